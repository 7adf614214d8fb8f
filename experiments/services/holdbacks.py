"""Launches that kept a holdback, read on: what the experiment says 30, 60 and 90 days after the launch.

A reading is a weekly look, the first one that reads so many days since the launch: the schedule takes it like all
others, one that was missed is rebuilt, and nothing is stored for it. The horizon bounds it. It counts weeks since each
unit's own exposure, so after the last planned look there is nothing new to be read, whatever the day of the launch.
That is said before the decision is taken, with the horizon that would be needed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from analysis import windows
from analysis.plan import Plan
from analysis.results import EffectRow, RecommendationRow, RollbackRow, Scorecard, SurvivalComparisonRow
from experiments.models import Decision, Experiment, states
from experiments.services.past import scorecard_as_of
from experiments.services.results import NoLookYet, find_experiment

#: Days after a launch on which its holdback is read.
READ_AFTER = (30, 60, 90)

HOLDBACK = "launch_with_holdback"


@dataclass(frozen=True)
class Due:
    """The day of a reading. ``needs``: the smallest horizon_weeks that reach it, None where those of the plan do."""

    days: int
    as_of: date
    needs: int | None


@dataclass(frozen=True)
class Reading:
    """What was read of one treatment on the day that is ``due``, or ``why`` nothing was.

    Attributes:
        effects, events: the primary metrics in the windows that decide.
        criteria: the rollback criteria as they stood then.
        advice: what was recommended then.
    """

    due: Due
    why: str = ""
    effects: tuple[EffectRow, ...] = ()
    events: tuple[SurvivalComparisonRow, ...] = ()
    criteria: tuple[RollbackRow, ...] = ()
    advice: RecommendationRow | None = None

    @property
    def met(self) -> bool:
        """Whether a rollback criterion was surely met."""
        return any(row.met for row in self.criteria)


@dataclass(frozen=True)
class Holdback:
    """A treatment that was launched with a holdback: since when, and its readings."""

    plan: Plan
    variant: str
    launched: date
    readings: tuple[Reading, ...]

    @property
    def read_until(self) -> date:
        """The day of the last look that is planned."""
        return windows.last_look(self.plan)


def ahead(plan: Plan, launched: date) -> tuple[Due, ...]:
    """Return the readings that follow a launch on a day."""
    return tuple(_due(plan, launched, days) for days in READ_AFTER)


def _due(plan: Plan, launched: date, days: int) -> Due:
    as_of = windows.look_that_reads(plan, launched + timedelta(days=days))
    beyond = (as_of - windows.last_look(plan)).days
    # Looks and weeks of the horizon are both a week apart, so a week more of the one is a week more of the other.
    return Due(days, as_of, plan.horizon_weeks + -(-beyond // 7) if beyond > 0 else None)


def holdbacks(key: str) -> tuple[Holdback, ...]:
    """Return what was read of each treatment that was ever launched with a holdback. Raises NoSuchExperiment."""
    experiment = find_experiment(key)
    plan = experiment.current_plan.load()
    decisions = list(experiment.decisions.defer("document").order_by("pk"))
    return tuple(_holdbacks(experiment, plan, decisions))


def _holdbacks(experiment: Experiment, plan: Plan, decisions: list[Decision]) -> Iterator[Holdback]:
    for treatment in plan.treatments:
        of_it = [one for one in decisions if one.variant == treatment.key and one.ending in states.OUTCOMES]
        place = max((place for place, one in enumerate(of_it) if one.action == HOLDBACK), default=None)
        if place is None:
            continue
        launched, after = _day(plan, of_it[place]), next(iter(of_it[place + 1 :]), None)
        readings = tuple(_reading(experiment, plan, treatment.key, due, after) for due in ahead(plan, launched))
        yield Holdback(plan, treatment.key, launched, readings)


def _day(plan: Plan, decision: Decision) -> date:
    return decision.decided_at.astimezone(ZoneInfo(plan.timezone)).date()


def _reading(experiment: Experiment, plan: Plan, variant: str, due: Due, after: Decision | None) -> Reading:
    if after is not None and (ended := _day(plan, after)) < due.as_of:
        return Reading(due, f"not read: {after.action.replace('_', ' ')} was decided on {ended}")
    if due.needs is not None:
        return Reading(due, _too_short(plan, due))
    try:
        card, _ = scorecard_as_of(experiment.key, due.as_of, for_page=True)
    except NoLookYet:
        return Reading(due, _missing(experiment, due))
    return _read(card, variant, due)


def _too_short(plan: Plan, due: Due) -> str:
    return (
        f"cannot be read: units are followed for {plan.horizon_weeks} weeks since their exposure, until "
        f"{windows.last_look(plan)}; this needs horizon_weeks of at least {due.needs} (an amendment)"
    )


def _missing(experiment: Experiment, due: Due) -> str:
    if experiment.state == states.ARCHIVED:
        return "not read: archived before"
    return f"readable from {due.as_of}"


def _read(card: Scorecard, variant: str, due: Due) -> Reading:
    primary = {metric.key: metric.deciding_window for metric in card.plan.metrics if metric.role == "primary"}
    return Reading(
        due,
        effects=tuple(
            row for row in card.effects
            if row.variant == variant and row.segment is None and primary.get(row.metric) == row.window
        ),
        events=tuple(row for row in card.survival_comparisons if row.variant == variant and row.metric in primary),
        criteria=tuple(row for row in card.rollback if row.variant == variant),
        advice=next((row for row in card.recommendations if row.variant == variant), None),
    )  # fmt: skip
