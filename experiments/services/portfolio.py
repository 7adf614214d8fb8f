"""All experiments and holdouts at a glance, in a number of queries that does not depend on how many there are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from django.db.models import Q

from analysis import results, windows
from analysis.plan import Plan as PlanBody
from experiments.models import (
    CheckRow,
    EffectRow,
    Experiment,
    Look,
    RecommendationRow,
    ReversalRow,
    RollbackRow,
    SurvivalComparisonRow,
    TrajectoryRow,
)
from experiments.models.look import DONE
from experiments.models.rows import ResultRow
from experiments.services.results import LookStatus, in_force, statuses

R = TypeVar("R")

#: A weekly look that is due for so long has been forgotten, or its data are late.
GRACE = timedelta(days=3)

#: Reversals that a reader should know of.
FLAGGED = ("confirmed", "turned", "warning", "fading")

#: One week of a trajectory: the week, its lift, and the ends of the plain interval.
Week = tuple[int, float, float, float]


class Reversed(NamedTuple):
    """A metric of any treatment and the state of its reversal."""

    metric: str
    state: str


@dataclass(frozen=True)
class PortfolioEntry:
    """An experiment at a glance: its newest look, and what its newest finished one says that needs attention.

    Attributes:
        look: the newest look, whatever its state; None before the first one.
        shown: the number in the database of the finished look that the rows are from, None without one.
        as_of: the day of that look.
        due: the day of a weekly look that should have been taken by now, None where none is overdue.
        alarms: the checks that alarm.
        reversals: those that are confirmed, turned, warned of or fading.
        harmed: guardrails that are surely beyond their margin.
        met: metrics with a rollback criterion that is surely met.
    """

    key: str
    name: str
    kind: str
    owner: str
    hypothesis: str
    state: str
    plan: PlanBody
    look: LookStatus | None
    shown: int | None
    as_of: date | None
    due: date | None
    alarms: tuple[results.CheckRow, ...]
    reversals: tuple[Reversed, ...]
    harmed: tuple[str, ...]
    met: tuple[str, ...]
    recommendations: tuple[results.RecommendationRow, ...]

    @property
    def primaries(self) -> tuple[str, ...]:
        return tuple(metric.key for metric in self.plan.metrics if metric.role == "primary")

    @property
    def charted(self) -> str:
        """The metric whose weeks are drawn: the first primary one with windows, none if empty."""
        return next((metric.key for metric in self.plan.estimated_metrics if metric.role == "primary"), "")


@dataclass(frozen=True)
class Course:
    """What is shown beside the name of an experiment: its primary metrics where they decide, and the weeks of one.

    ``weekly`` has the weeks with a lift by treatment.
    """

    effects: tuple[results.EffectRow, ...] = ()
    events: tuple[results.SurvivalComparisonRow, ...] = ()
    weekly: Mapping[str, tuple[Week, ...]] | None = None


def portfolio(now: datetime) -> tuple[PortfolioEntry, ...]:
    """Return all experiments and holdouts by key, with what decides on their place in the list."""
    experiments = list(in_force().defer("definition"))
    of_plan = Look.objects.filter(plan__in=[one.plan_id for one in experiments]).distinct("plan_id")
    # Of the experiment a status needs the key alone; plans and definitions are long.
    with_key = of_plan.select_related("plan__experiment").defer("plan__body", "plan__experiment__definition")
    newest = {look.plan_id: look for look in with_key.order_by("plan_id", "-as_of", "-planned_at", "-pk")}
    done = of_plan.filter(state=DONE).order_by("plan_id", "-as_of", "-finished_at", "-pk")
    finished = {look.plan_id: look for look in done}
    rows = _Rows.of([look.pk for look in finished.values()])
    how_far = statuses(newest.values())
    return tuple(
        _entry(one, newest.get(one.current_plan.pk), finished.get(one.current_plan.pk), how_far, rows, now)
        for one in experiments
    )


def courses(entries: Sequence[PortfolioEntry]) -> dict[str, Course]:
    """Return what is shown beside the names of some entries, by key."""
    shown = {entry.shown: entry for entry in entries if entry.shown is not None}
    primaries = {(pk, key) for pk, entry in shown.items() for key in entry.primaries}
    names = {key for _, key in primaries}
    chosen: dict[str, Any] = {"look__in": list(shown), "metric__in": names}
    windowed = EffectRow.objects.filter(**chosen, segment__isnull=True).order_by("look", "position")
    effects = _by_look(
        (row.look_id, row.to_result(results.EffectRow))
        for row in windowed
        if (row.look_id, row.metric) in primaries and row.window == _deciding(shown[row.look_id], row.metric)
    )
    compared = SurvivalComparisonRow.objects.filter(**chosen).select_related("adjusted_hazard")
    events = _by_look(
        (row.look_id, row.to_result(results.SurvivalComparisonRow))
        for row in compared.prefetch_related("survival_difference", "periods").order_by("look", "position")
        if (row.look_id, row.metric) in primaries
    )
    weekly = _weekly(shown)
    return {
        entry.key: Course(tuple(effects.get(pk, ())), tuple(events.get(pk, ())), weekly.get(pk))
        for pk, entry in shown.items()
    }


def _deciding(entry: PortfolioEntry, metric_key: str) -> str:
    return next(metric.deciding_window for metric in entry.plan.metrics if metric.key == metric_key)


def _weekly(shown: Mapping[int, PortfolioEntry]) -> dict[int, dict[str, tuple[Week, ...]]]:
    """The weeks of each entry's charted metric, by treatment: as plain numbers, for there are many."""
    charted = Q(pk__in=[])
    for metric in {entry.charted for entry in shown.values()}:
        charted |= Q(metric=metric, look__in=[pk for pk, entry in shown.items() if entry.charted == metric])
    rows = TrajectoryRow.objects.filter(charted, kind="weekly", lift__isnull=False, lift_low__isnull=False)
    found: dict[int, dict[str, list[Week]]] = {}
    told = rows.order_by("look", "week").values_list("look", "variant", "week", "lift", "lift_low", "lift_high")
    for pk, variant, week, lift, low, high in told:
        assert lift is not None
        assert low is not None
        assert high is not None  # the ends of an interval are both there, or none is
        found.setdefault(pk, {}).setdefault(variant, []).append((week, lift, low, high))
    return {pk: {variant: tuple(weeks) for variant, weeks in sides.items()} for pk, sides in found.items()}


@dataclass(frozen=True)
class _Rows:
    """What finished looks say that needs attention, by look."""

    alarms: dict[int, list[results.CheckRow]]
    reversals: dict[int, list[Reversed]]
    recommendations: dict[int, list[results.RecommendationRow]]
    harmed: dict[int, list[str]]
    met: dict[int, list[str]]

    @classmethod
    def of(cls, looks: Sequence[int]) -> "_Rows":
        def read(table: type[ResultRow], **chosen: Any) -> dict[int, list[Any]]:
            rows = table._default_manager.filter(look__in=looks, **chosen).order_by("look", "position")
            return _by_look((row.look_id, row.to_result(table.result)) for row in rows)

        flagged = ReversalRow.objects.filter(look__in=looks, state__in=FLAGGED).order_by("position")
        beyond = Q(look__in=looks, verdict="inferior")
        windowed = EffectRow.objects.filter(beyond, segment__isnull=True).values_list("look", "metric")
        events = SurvivalComparisonRow.objects.filter(beyond).values_list("look", "metric")
        return cls(
            alarms=read(CheckRow, state="alarm"),
            reversals=_by_look((pk, Reversed(*told)) for pk, *told in flagged.values_list("look", "metric", "state")),
            recommendations=read(RecommendationRow),
            harmed=_by_look([*windowed, *events]),
            met=_by_look(RollbackRow.objects.filter(look__in=looks, met=True).values_list("look", "metric")),
        )


def _by_look(rows: Iterable[tuple[int, R]]) -> dict[int, list[R]]:
    found: dict[int, list[R]] = {}
    for look_id, row in rows:
        found.setdefault(look_id, []).append(row)
    return found


def _entry(
    experiment: Experiment,
    newest: Look | None,
    finished: Look | None,
    how_far: Mapping[int, LookStatus],
    rows: _Rows,
    now: datetime,
) -> PortfolioEntry:
    plan = experiment.current_plan.load()
    today = now.astimezone(ZoneInfo(plan.timezone)).date()
    pk = finished.pk if finished else 0
    return PortfolioEntry(
        key=experiment.key, name=experiment.name, kind=experiment.kind, owner=experiment.owner,
        hypothesis=experiment.hypothesis, state=experiment.standing, plan=plan,
        look=how_far[newest.pk] if newest else None, shown=finished.pk if finished else None,
        as_of=finished.as_of if finished else None,
        due=overdue(plan, finished.as_of, finished.number, finished.planned_looks, today) if finished else None,
        alarms=tuple(rows.alarms.get(pk, ())), reversals=tuple(rows.reversals.get(pk, ())),
        harmed=tuple(dict.fromkeys(rows.harmed.get(pk, ()))), met=tuple(dict.fromkeys(rows.met.get(pk, ()))),
        recommendations=tuple(rows.recommendations.get(pk, ())),
    )  # fmt: skip


def overdue(plan: PlanBody, as_of: date, number: int, planned: int, today: date) -> date | None:
    """Return the day of the weekly look after the one of ``as_of``, if it passed a few days ago and more are planned.

    ``number`` is that of the last look, of ``planned`` ones.
    """
    if number >= planned:
        return None
    week = windows.look_number(plan, as_of - timedelta(days=plan.lag_days)) + 1
    due = plan.start_date + timedelta(days=7 * week + plan.lag_days)
    return due if today >= due + GRACE else None
