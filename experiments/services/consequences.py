"""What follows from a definition while it is written: what it can find and when, what is missing, who is in the way.

The past of the source is read once for all plans that read it alike: what differs in windows, roles, margins or the
decision rule alone is planned on the same history. A process keeps the histories that it read last.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from threading import Lock

from analysis import power, windows
from analysis.history import History
from analysis.holdout import metrics_read
from analysis.moments import Layout
from analysis.plan import DecisionRule, Plan
from analysis.planned import Planned, PlannedDates
from experiments.definitions import Definition
from experiments.models import Experiment, Source
from experiments.models.states import DRAFT, ENROLLMENT_CLOSED, IN_REVIEW, RUNNING
from experiments.services import planner
from experiments.services.analyze import CannotAnalyze
from experiments.services.planned_slice import planned_slice
from experiments.services.planner import CannotPlan
from experiments.sources.base import SourceProblem
from experiments.sources.registry import open_history

#: Histories that a process keeps.
KEPT = 4

#: The most bytes of moments that one history may take: all metrics, weeks and cohorts together. A panel beside a form
#: is no place for more; the command has no such limit.
LARGEST = 64 * 2**20

#: A late window that ends before this many weeks since exposure sees little but the first reaction: habits are formed
#: and lost within about two months (Lally et al. 2010 found a median of 66 days).
SHORTEST_LATE = 9

_Key = tuple[str, str]
_kept: OrderedDict[_Key, History] = OrderedDict()
_lock = Lock()


@dataclass(frozen=True)
class Overlap:
    """Another experiment on the same units at the same time. ``apart``: one layer keeps them apart."""

    key: str
    name: str
    standing: str
    until: date
    why: str
    apart: bool


@dataclass(frozen=True)
class Check:
    """A point of the checklist: whether it is met, and what to do where it is not."""

    met: bool
    words: str


@dataclass(frozen=True)
class Consequences:
    """What a definition entails. ``planned`` is None where the past cannot be read, and ``why`` says why."""

    plan: Plan
    dates: PlannedDates
    planned: Planned | None
    why: str
    warnings: tuple[str, ...]
    overlaps: tuple[Overlap, ...]
    checks: tuple[Check, ...]


def consequences(
    definition: Definition, source: Source, today: Callable[[Plan], date], *, but: Experiment | None = None
) -> Consequences:
    """Return what follows from a definition on the data of ``source``; ``but`` is the experiment that it changes.

    Raises CannotPlan where the calendar ends before the horizon does.
    """
    located = replace(definition, source=source.spec)
    plan = planner.started(located, None)
    planned, why = None, ""
    try:
        planned = planner.plan_on(_history(located, plan, today), plan)
    except (SourceProblem, CannotPlan, CannotAnalyze) as problem:
        # The advice of the command names its options.
        why = located.source.told(problem.__cause__ or problem)
    # Members of a holdout are meant to be on its units; other holdouts are told with its slice.
    overlaps = tuple(_overlaps(plan, source, but)) if plan.kind == "experiment" else ()
    return Consequences(
        plan, power.dates(plan), planned, why, tuple(_warnings(plan, planned)), overlaps,
        tuple(_checks(plan, planned, overlaps) if plan.kind == "experiment" else _held_checks(plan, planned, but)),
    )  # fmt: skip


def dates(plan: Plan) -> PlannedDates | None:
    """Return when a plan can be read, None where the calendar ends before its horizon does."""
    try:
        return power.dates(plan)
    except OverflowError:
        return None


def _history(definition: Definition, plan: Plan, today: Callable[[Plan], date]) -> History:
    size = 8 * plan.enrollment_weeks * Layout.of(plan).columns ** 2
    if size > LARGEST:
        raise CannotPlan(
            f"{len(plan.series)} weekly values in {plan.horizon_weeks} weeks and {plan.enrollment_weeks} cohorts are "
            "too many to be planned on while one types; `manage.py plan` does"
        )
    with open_history(definition.source, today(plan)) as source:
        key = (_reads(plan), f"{source.fingerprint(plan)} {today(plan)} {definition.source}")
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    found = planner.read_history(definition, plan, today)
    with _lock:
        _kept[key] = found
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return found


def _reads(plan: Plan) -> str:
    """The digest of what of a plan decides how its past is read: weeks, days, weekly values and events, in order."""
    metrics = tuple(
        replace(metric, key="", better="higher", role="secondary", term=None, margin=None, weight=None, window=None)
        for metric in plan.metrics
    )
    return replace(
        plan, key="", metrics=metrics, windows=(), decision=DecisionRule(), segments=(), extra={}, holdout=None,
        planned_end_date=None, unit="", variants=(replace(plan.control, weight=None),),
    ).digest  # fmt: skip


def _warnings(plan: Plan, planned: Planned | None) -> Iterator[str]:
    when, late = power.dates(plan), plan.window("late")
    if when.warning and plan.kind == "experiment":
        yield f"{when.warning}: begin earlier, follow fewer weeks, or plan a later end"
    if late.end_week < SHORTEST_LATE and plan.kind == "experiment":
        yield (
            f"the late window ends before week {late.end_week}: too short a horizon to see what a habit that wears off "
            f"brings; follow {SHORTEST_LATE} weeks or more"
        )
    if all(metric.role != "guardrail" for metric in plan.metrics):
        yield "no metric is a guardrail, so nothing says what a launch must not cost; give one a margin"
    for metric in plan.event_metrics:
        gap = metric.event.gap_weeks if metric.event else 0
        if gap and plan.horizon_weeks < 2 * gap:
            yield (
                f"the horizon of {plan.horizon_weeks} weeks is too short for {metric.key}: a gap of {gap} weeks is "
                f"known only for units that leave in the first {plan.horizon_weeks - gap + 1}"
            )
    yield from (planned.warnings[1:] if when.warning else planned.warnings) if planned else ()


def _checks(plan: Plan, planned: Planned | None, overlaps: tuple[Overlap, ...]) -> Iterator[Check]:
    roles = {metric.role for metric in plan.metrics}
    long_term = any(metric.role == "primary" and metric.term != "short" for metric in plan.metrics)
    end, when = plan.planned_end_date, power.dates(plan)
    yield Check(bool(plan.hypothesis), "it has a hypothesis")
    yield Check("primary" in roles, "a primary metric decides: without one it cannot start")
    yield Check(long_term, "a primary metric is long-term: otherwise the early weeks alone decide")
    yield Check("guardrail" in roles, "a guardrail says what must not get worse")
    yield Check(
        all(variant.weight for variant in plan.variants), "the designed split is known, so a broken one is seen"
    )
    yield Check(end is not None and when.late_all <= end, "the late window is readable before the planned end")
    yield Check(plan.pre_weeks > 0, "a pre-period makes the intervals narrower")
    yield Check(bool(plan.decision.rollback), "something asks for a rollback")
    yield Check(planned is not None, "its power is known from the past of the source")
    yield Check(all(overlap.apart for overlap in overlaps), "no other experiment is on the same units")


def _held_checks(plan: Plan, planned: Planned | None, but: Experiment | None) -> Iterator[Check]:
    told = planned_slice(plan, but)
    known = planned is not None and any(row.mde_lift is not None for row in planned.until_end)
    yield Check(bool(plan.hypothesis), "it has a hypothesis")
    yield Check(
        any(metric.role == "primary" for metric in metrics_read(plan)),
        "a primary metric is read by calendar week: without one nothing is claimed",
    )
    yield Check(any(metric.role == "guardrail" for metric in plan.metrics), "a guardrail says what must not get worse")
    yield Check(plan.pre_weeks > 0, "a pre-period makes the intervals narrower")
    yield Check(bool(plan.decision.rollback), "something asks for a rollback")
    yield Check(bool(plan.members or told.members), "it has members: layers or experiments that respect it")
    yield Check(
        told.refusal is None and all(member.refusal is None for member in told.members),
        "no member has started without it, and its slice is free",
    )
    yield Check(known, "its power is known from the past of the source")


def _overlaps(plan: Plan, source: Source, but: Experiment | None) -> Iterator[Overlap]:
    """Experiments that follow units in the same days, of the same layer, the same source or the same kind."""
    others = Experiment.objects.filter(
        kind="experiment", state__in=(DRAFT, IN_REVIEW, RUNNING, ENROLLMENT_CLOSED)
    ).select_related("plan", "source")  # fmt: skip
    for other in others.exclude(pk=but.pk) if but is not None else others:
        theirs = other.current_plan.load()
        why = _shared(plan, theirs, source.pk == other.source.pk)
        if why and _last_day(theirs) > plan.start_date and _last_day(plan) > theirs.start_date:
            apart, words = _kept_apart(plan, theirs)
            yield Overlap(other.key, other.name, other.standing, _last_day(theirs), f"{why}{words}", apart)


def _shared(plan: Plan, theirs: Plan, same_source: bool) -> str:
    layer = plan.extra.get("layer")
    if layer is not None and layer == theirs.extra.get("layer"):
        return f"the same layer {layer}"
    if same_source:
        return "the same data"
    return f"the same kind of unit, {plan.unit}" if plan.unit == theirs.unit else ""


def _kept_apart(plan: Plan, theirs: Plan) -> tuple[bool, str]:
    layer = plan.extra.get("layer")
    if layer is None or layer != theirs.extra.get("layer"):
        return False, "; give both one layer, with shares that add up to 1 at most"
    total = sum(float(one.extra.get("share") or 1.0) for one in (plan, theirs))
    if total > 1:
        return False, f", but their shares add up to {total:g}"
    return True, ", which keeps their units apart"


def _last_day(plan: Plan) -> date:
    """The last day on which a unit of the plan is followed."""
    return windows.fully_readable(plan, plan.horizon_weeks) - timedelta(days=1 + plan.lag_days)
