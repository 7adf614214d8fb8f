"""A holdout beside its members: what was launched when, and the sum of their lifts against what was measured.

The holdout's own numbers are rows of its look. What its members did is read when somebody asks, as of the look's day:
decisions taken until then, and the lifts that members had until they were launched (until the look's day where a
holdback kept their control apart).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Q

from analysis import windows
from analysis.holdout import metrics_read, newest
from analysis.plan import Metric, Plan, Window
from analysis.reconciliation import Member, MemberState, Reading, Reconciliation, read_member, reconcile
from analysis.results import Action, HoldoutKind, Scorecard
from analysis.sample_size import distance, holdout_factor
from analysis.triangle import Triangle
from experiments.models import CurrentTriangle, Decision, Experiment
from experiments.services.results import NoLookYet, find_experiment, in_force, stored_scorecard
from experiments.services.scorecards import holdout_row, plain, to_json

#: The spans over which the sum of lifts is held against the measured effect: the newest weeks, and all of them.
SPANS: tuple[HoldoutKind, ...] = ("now", "cumulative")

#: Decisions that end an experiment; the others leave it running.
_LAUNCHES = ("launch", "launch_with_holdback")
_ENDINGS = (*_LAUNCHES, "stop", "roll_back")


#: Why a pass without a database has neither launches nor a reconciliation.
MEMBERS_UNKNOWN = "what its members did is kept in the database, which this pass does not read"


class NoHoldout(LookupError):
    """The key is an experiment's. The message says so."""


@dataclass(frozen=True)
class Launch:
    """A decision on a member that changed what launched units have, in calendar weeks from the holdout's start."""

    key: str
    name: str
    variant: str
    action: Action
    day: date
    week: float


@dataclass(frozen=True)
class Beside:
    """What stands beside a holdout's own rows: its members' launches, and the reconciliation of each metric.

    ``ended`` are decisions that launched nothing.
    """

    launches: tuple[Launch, ...] = ()
    ended: tuple[Launch, ...] = ()
    reconciliations: tuple[Reconciliation, ...] = ()

    @property
    def decided(self) -> tuple[Launch, ...]:
        """Everything that was decided, in time."""
        return tuple(sorted((*self.launches, *self.ended), key=lambda one: (one.day, one.key)))

    def of(self, metric: str, kind: HoldoutKind) -> Reconciliation | None:
        """The reconciliation of a metric over the newest weeks (now) or all of them (cumulative)."""
        found = [one for one in self.reconciliations if one.metric == metric]
        return found[SPANS.index(kind)] if found else None


@dataclass(frozen=True)
class Size:
    """What a holdout of this size can find, as of a look: the smallest lift, at the plan's alpha and power.

    ``factor``: how many times larger that is than with an even split of the same units. ``mde`` is that of a single
    look at the precision of all weeks so far; None where there is no estimate.
    """

    metric: str
    factor: float
    mde: float | None


def sizes(card: Scorecard) -> tuple[Size, ...]:
    """Return what a holdout can find on each of its metrics."""
    plan = card.plan
    assert plan.fraction is not None
    needed = distance(plan.decision.alpha, plan.decision.power)
    found = []
    for metric in metrics_read(plan):
        row = newest(card.holdout, metric.key, "cumulative")
        mde = None
        if row is not None and row.effect_se is not None and row.control_mean:
            mde = needed * row.effect_se / abs(row.control_mean)
        found.append(Size(metric.key, holdout_factor(plan.fraction), mde))
    return tuple(found)


@dataclass(frozen=True)
class _Side:
    """One treatment of a member with what has been decided on it until the holdout's day."""

    experiment: Experiment
    plan: Plan
    variant: str
    decision: Decision | None
    day: date | None

    @property
    def state(self) -> MemberState:
        if self.decision is None:
            return "running"
        return "launched" if self.decision.action in _LAUNCHES else "ended"


def beside(card: Scorecard) -> Beside:
    """Return what stands beside the rows of a stored scorecard of a holdout; nothing beside an experiment's."""
    plan = card.plan
    if plan.kind != "holdout":
        return Beside()
    sides = [side for member in members(plan) for side in _sides(member, card.as_of)]
    triangles = {side.experiment.pk: _stored(side.experiment) for side in sides}
    decided = sorted((_launch(plan, side) for side in sides if side.day is not None), key=lambda one: one.day)
    found = [
        _reconciled(card, metric, kind, [_member(card, metric, side, triangles[side.experiment.pk]) for side in sides])
        for metric in metrics_read(plan)
        if metric.event is None
        for kind in SPANS
    ]
    return Beside(
        tuple(one for one in decided if one.action in _LAUNCHES),
        tuple(one for one in decided if one.action not in _LAUNCHES),
        tuple(found),
    )


def holdout_card(key: str, as_of: date | None = None) -> tuple[Scorecard, Beside]:
    """Return a holdout's scorecard with what stands beside it. Raises NoSuchExperiment, NoLookYet, NoHoldout."""
    if find_experiment(key).kind != "holdout":
        raise NoHoldout(f"`{key}` is an experiment, not a holdout")
    card = stored_scorecard(key, as_of)
    return card, beside(card)


@dataclass(frozen=True)
class Entry:
    """A holdout in the list. ``card`` is that of its newest look, None before one; ``metric`` the one shown."""

    key: str
    standing: str
    plan: Plan
    members: int
    card: Scorecard | None
    metric: Metric | None


def overview() -> tuple[Entry, ...]:
    """All holdouts by key."""
    found = []
    for experiment in in_force().filter(kind="holdout"):
        plan = experiment.current_plan.load()
        read = metrics_read(plan)
        try:
            card = stored_scorecard(experiment.key, for_page=True)
        except NoLookYet:
            card = None
        metric = next((one for one in read if one.role == "primary"), next(iter(read), None))
        found.append(Entry(experiment.key, experiment.standing, plan, len(members(plan)), card, metric))
    return tuple(found)


def members(plan: Plan) -> list[Experiment]:
    """The experiments that a holdout's launches come from: named, of a named layer, or respecting it by themselves."""
    found = in_force().filter(kind="experiment").filter(
        Q(key__in=plan.members) | Q(plan__body__extra__layer__in=plan.members) | Q(plan__body__holdout=plan.key)
    )  # fmt: skip
    return list(found.order_by("key"))


def _sides(experiment: Experiment, as_of: date) -> Iterable[_Side]:
    plan = experiment.current_plan.load()
    if plan.start_date >= as_of:
        return
    for treatment in plan.treatments:
        rows = experiment.decisions.filter(variant=treatment.key, action__in=_ENDINGS).defer("document").order_by("pk")
        days = [(row, row.decided_at.astimezone(ZoneInfo(plan.timezone)).date()) for row in rows]
        known = [(row, day) for row, day in days if day <= as_of]
        last = known[-1] if known else (None, None)
        yield _Side(experiment, plan, treatment.key, *last)


def _launch(plan: Plan, side: _Side) -> Launch:
    assert side.decision is not None
    assert side.day is not None
    return Launch(
        side.experiment.key, side.plan.name, side.variant, side.decision.ending, side.day, _week(plan, side.day)
    )  # fmt: skip


def _week(plan: Plan, day: date) -> float:
    """A day as weeks from the holdout's start, its first day being 0."""
    return (day - plan.start_date).days / 7


def _stored(experiment: Experiment) -> Triangle | None:
    head = CurrentTriangle.objects.filter(plan=experiment.plan_id).select_related("plan__experiment").first()
    return None if head is None else head.load()


def _member(card: Scorecard, metric: Metric, side: _Side, triangle: Triangle | None) -> Member:
    launched = card.units.get(card.plan.treatments[0].key, 0)
    found: Reading | str = f"it has no look: take one with python manage.py refresh {side.experiment.key}"
    met, treated = 0.0, 0.0
    if triangle is not None and launched:
        then = _before_the_launch(triangle, side, card.as_of)
        if then is None:
            found = "it has no weekly look until then"
        else:
            found = read_member(then, metric, side.variant)
            counted = sum(then.units(variant.key) for variant in side.plan.variants)
            kept = then.units(side.plan.control.key) if _keeps_a_holdback(side) else 0
            met = min(1.0, (counted / float(side.plan.extra.get("share") or 1.0) - kept) / launched)
            treated = min(1.0, then.units(side.variant) / launched)
    started = _week(card.plan, side.plan.start_date)
    return Member(
        key=side.experiment.key, variant=side.variant, state=side.state, started=started,
        decided=None if side.day is None else _week(card.plan, side.day), exposed_share=met, treated_share=treated,
        reading=found if isinstance(found, Reading) else None, reason=found if isinstance(found, str) else None,
    )  # fmt: skip


def _keeps_a_holdback(side: _Side) -> bool:
    return side.decision is not None and side.decision.action == "launch_with_holdback"


def _before_the_launch(triangle: Triangle, side: _Side, as_of: date) -> Triangle | None:
    """The member as it was read last while its control was apart: until the launch, or on where a holdback stayed."""
    apart = side.day is None or _keeps_a_holdback(side)
    last = as_of if apart or side.day is None else min(as_of, side.day)
    if triangle.as_of <= last:
        return triangle
    looks = windows.weekly_looks(triangle.plan, last)
    return triangle.at(looks[-1]) if looks else None


def _reconciled(card: Scorecard, metric: Metric, kind: HoldoutKind, found: Sequence[Member]) -> Reconciliation:
    measured = newest(card.holdout, metric.key, kind)
    if measured is not None:
        span = Window(kind, measured.start_week, measured.end_week)
    else:
        span = Window(kind, 0, max(1, windows.week_of(card.plan, card.as_of)))
    return reconcile(metric, span, measured, found, None)


# --- JSON -------------------------------------------------------------------------------------------------------------
_RECONCILED = (
    "raw", "shrunk", "bayes", "aged", "expected", "expected_se", "measured", "measured_low", "measured_high", "gap",
    "rest_se", "rest_low", "rest_high", "explained",
)  # fmt: skip
_MEMBER = (
    "key", "variant", "state", "launched_share", "running_share", "lift", "shrunk", "aged", "diluted", "running",
    "posterior", "reason",
)  # fmt: skip


def whole_json(card: Scorecard, found: Beside | None) -> dict[str, Any]:
    """Return a scorecard as JSON, of a holdout with what experiments do not have under ``holdout``.

    ``found`` is None where members are not known (a pass without a database): launches and reconciliation are null.
    """
    told, plan = to_json(card), card.plan
    if plan.kind != "holdout":
        return told
    told["holdout"] = {
        "fraction": plan.fraction,
        "planned_end_date": plain(plan.planned_end_date),
        "members": list(plan.members),
        "effects": [holdout_row(row) for row in card.holdout],
        "launches": None if found is None else [_launch_json(one) for one in found.launches],
        "ended": None if found is None else [_launch_json(one) for one in found.ended],
        "reconciliation": None if found is None else [_reconciliation_json(one) for one in found.reconciliations],
        "reason": MEMBERS_UNKNOWN if found is None else None,
    }
    return told


def _launch_json(launch: Launch) -> dict[str, Any]:
    return {name: plain(value) for name, value in vars(launch).items()}


def _reconciliation_json(one: Reconciliation) -> dict[str, Any]:
    return {
        "metric": one.metric,
        "span": {"kind": one.span.name, "start_week": one.span.start_week, "end_week": one.span.end_week},
        **{name: plain(getattr(one, name)) for name in _RECONCILED},
        "parts": [{name: plain(value) for name, value in vars(part).items()} for part in one.parts],
        "members": [{name: plain(getattr(row, name)) for name in _MEMBER} for row in one.members],
        "reason": one.reason,
    }
