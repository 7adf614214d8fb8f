"""A holdout beside its members: what was launched when, and the sum of their lifts against what was measured.

The holdout's own numbers are rows of its look. What its members did is read when somebody asks, as of the look's day:
decisions taken until then, and the lifts that members had until they were launched (until the look's day where a
holdback kept their control apart).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from analysis import contamination, windows
from analysis.holdout import metrics_read, newest
from analysis.plan import Metric, Plan, Window
from analysis.reconciliation import Member, Reading, Reconciliation, read_member, reconcile
from analysis.results import Action, ContaminationRow, HoldoutKind, Scorecard
from analysis.sample_size import distance, holdout_factor
from analysis.triangle import Triangle
from experiments.models import CurrentTriangle, Experiment
from experiments.services.contamination import NOTHING_LAUNCHED
from experiments.services.members import LAUNCHES, Side, members, sides_of
from experiments.services.results import NoLookYet, find_experiment, in_force, stored_scorecard
from experiments.services.scorecards import holdout_row, plain, to_json

#: The spans over which the sum of lifts is held against the measured effect: the newest weeks, and all of them.
SPANS: tuple[HoldoutKind, ...] = ("now", "cumulative")

#: Why a pass without a database has neither launches nor a reconciliation.
MEMBERS_UNKNOWN = "what its members did is kept in the database, which this pass does not read"

#: Why looks from before it was measured, and members that joined since, have no contamination.
NOT_IN_THIS_LOOK = "this look did not measure who held out met it; the next one does"

NOBODY_HELD_OUT = "nobody is held out yet"


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

    ``ended`` are decisions that launched nothing; ``met`` the units held out that met any launch, ``bounds`` what that
    hides at most. None before there is a look.
    """

    launches: tuple[Launch, ...] = ()
    ended: tuple[Launch, ...] = ()
    reconciliations: tuple[Reconciliation, ...] = ()
    met: ContaminationRow | None = None
    bounds: tuple["Bound", ...] = ()

    @property
    def decided(self) -> tuple[Launch, ...]:
        """Everything that was decided, in time."""
        return tuple(sorted((*self.launches, *self.ended), key=lambda one: (one.day, one.key)))

    def of(self, metric: str, kind: HoldoutKind) -> Reconciliation | None:
        """The reconciliation of a metric over the newest weeks (now) or all of them (cumulative)."""
        found = [one for one in self.reconciliations if one.metric == metric]
        return found[SPANS.index(kind)] if found else None

    def bound(self, metric: str, kind: HoldoutKind) -> "Bound | None":
        """What units held out that met a launch hide at most of a metric's effect over a span."""
        return next((one for one in self.bounds if (one.metric, one.kind) == (metric, kind)), None)


@dataclass(frozen=True)
class Bound:
    """The effect if units held out that met a launch had all that launched units have: effect / (1 - share).

    ``lift`` is that of control's mean without it (``analysis.contamination.bound``). None where ``reason`` says why.
    ``hides``: whether any unit met a launch; else both are what is measured.
    """

    metric: str
    kind: HoldoutKind
    effect: float | None
    lift: float | None
    reason: str | None = None
    hides: bool = False


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


def beside(card: Scorecard) -> Beside:
    """Return what stands beside the rows of a stored scorecard of a holdout; nothing beside an experiment's."""
    plan = card.plan
    if plan.kind != "holdout":
        return Beside()
    sides = sides_of(plan, card.as_of)
    triangles = {side.experiment.pk: _stored(side.experiment) for side in sides}
    decided = sorted((_launch(plan, side) for side in sides if side.day is not None), key=lambda one: one.day)
    found = [
        _reconciled(card, metric, kind, [_member(card, metric, side, triangles[side.experiment.pk]) for side in sides])
        for metric in metrics_read(plan)
        if metric.event is None
        for kind in SPANS
    ]
    met = _met_any(card, sides)
    return Beside(
        tuple(one for one in decided if one.action in LAUNCHES),
        tuple(one for one in decided if one.action not in LAUNCHES),
        tuple(found), met, tuple(_bounds(card, met)),
    )  # fmt: skip


def _met(card: Scorecard, key: str, variant: str) -> ContaminationRow | None:
    return next((row for row in card.contamination if (row.member, row.variant) == (key, variant)), None)


def _met_any(card: Scorecard, sides: Sequence[Side]) -> ContaminationRow:
    """Who met any launch; with a reason where something was launched that the look did not know to be."""
    launched = [(side.experiment.key, side.variant) for side in sides if side.state == "launched"]
    found = next((row for row in card.contamination if row.member is None), None)
    if found is None:
        held = card.units.get(card.plan.control.key, 0)
        why = NOT_IN_THIS_LOOK if launched else NOTHING_LAUNCHED
        return ContaminationRow(member=None, variant=None, launched=True, held_out=held, met=None, reason=why)
    known = {(row.member, row.variant) for row in card.contamination if row.launched}
    since = [key for key, variant in launched if (key, variant) not in known]
    if not since:
        return found
    why = f"launched after this look was taken: {', '.join(dict.fromkeys(since))}"
    before = [] if found.reason in (None, NOTHING_LAUNCHED) else [str(found.reason)]
    return replace(found, reason="; ".join([*before, why]))


def _bounds(card: Scorecard, met: ContaminationRow) -> Iterator[Bound]:
    for metric in metrics_read(card.plan):
        for kind in SPANS:
            row = newest(card.holdout, metric.key, kind)
            if met.share is None or met.reason:
                yield Bound(metric.key, kind, None, None, met.reason or NOBODY_HELD_OUT)
            elif row is None or row.effect is None or row.lift is None:
                yield Bound(metric.key, kind, None, None, (row and row.reason) or "nothing can be read yet")
            else:
                lift = contamination.bound(row.lift, met.share)
                effect = None if lift is None else row.effect / (1 - met.share)
                why = "so many units held out met a launch that no control is left" if lift is None else None
                yield Bound(metric.key, kind, effect, lift, why, hides=met.share > 0)


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


def _launch(plan: Plan, side: Side) -> Launch:
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


def _member(card: Scorecard, metric: Metric, side: Side, triangle: Triangle | None) -> Member:
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
    held = _met(card, side.experiment.key, side.variant)
    return Member(
        key=side.experiment.key, variant=side.variant, state=side.state, started=started,
        decided=None if side.day is None else _week(card.plan, side.day), exposed_share=met, treated_share=treated,
        reading=found if isinstance(found, Reading) else None, reason=found if isinstance(found, str) else None,
        met=None if held is None or held.met is None else held.weekly,
        met_reason=NOT_IN_THIS_LOOK if held is None else held.reason,
    )  # fmt: skip


def _keeps_a_holdback(side: Side) -> bool:
    return side.decision is not None and side.decision.action == "launch_with_holdback"


def _before_the_launch(triangle: Triangle, side: Side, as_of: date) -> Triangle | None:
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
    return reconcile(metric, span, measured, found)


# --- JSON -------------------------------------------------------------------------------------------------------------
_RECONCILED = (
    "raw", "shrunk", "bayes", "aged", "expected", "expected_se", "measured", "measured_low", "measured_high", "gap",
    "rest_se", "rest_low", "rest_high", "explained",
)  # fmt: skip
_BOUND = ("metric", "kind", "effect", "lift", "reason")
_MEMBER = (
    "key", "variant", "state", "launched_share", "running_share", "held_out_share", "lift", "shrunk", "aged", "diluted",
    "running", "held_out", "posterior", "reason",
)  # fmt: skip


def whole_json(card: Scorecard, found: Beside | None) -> dict[str, Any]:
    """Return a scorecard as JSON, of a holdout with what experiments do not have under ``holdout``.

    ``found`` is None where members are not known (a pass without a database): launches, contamination and
    reconciliation are null.
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
        "contamination": None if found is None else [_met_json(row) for row in card.contamination if row.member],
        "met_a_launch": None if found is None or found.met is None else _any_met_json(found.met, found.bounds),
        "reason": MEMBERS_UNKNOWN if found is None else None,
    }
    return told


def _met_json(row: ContaminationRow) -> dict[str, Any]:
    told = {name: plain(getattr(row, name)) for name in ("member", "variant", "launched", "held_out", "met", "share")}
    return {**told, "weekly": list(row.weekly), "reason": row.reason or (None if row.held_out else NOBODY_HELD_OUT)}


def _any_met_json(met: ContaminationRow, bounds: Sequence[Bound]) -> dict[str, Any]:
    told = {name: value for name, value in _met_json(met).items() if name not in ("member", "variant", "launched")}
    return {**told, "bounds": [{name: plain(getattr(one, name)) for name in _BOUND} for one in bounds]}


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
