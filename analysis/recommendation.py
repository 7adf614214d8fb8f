"""From a scorecard to advice: launch, launch with holdback, keep running, stop or roll back, with reasons.

A pure function of what the scorecard says; a person decides. The first rule that holds gives the action:

    stop                  a sample ratio mismatch: the numbers are not to be used
    roll_back             a rollback criterion surely met, a reversal confirmed on a primary metric, a guardrail surely
                          inferior, or a long-term primary metric surely worse
    keep_running          before min_weeks
    launch                a primary surely better, every primary readable late and every guardrail, none worse, all
                          guardrails non-inferior, nothing turned or warned, no alarm
    launch_with_holdback  a short-term primary surely better, nothing worse, inferior, turned or warned so far, no
                          alarm, and late windows not readable yet
    stop                  every primary and guardrail readable and nothing won
    keep_running          otherwise

A holdout launches nothing: after the first two rules it keeps running until its planned end, and stops (is released).

A short-term primary that lost early and surely wins in the late window has made up for it: the early loss blocks no
launch then (a slow burn). A guardrail that is surely beyond its margin in another window than the deciding one, so in
the early weeks, blocks a launch with holdback and nothing else. What is not readable is never "not worse".
Ship rule after Schultzberg, Ankargren and Franberg 2024 (arXiv 2402.11609).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from analysis import claims, windows
from analysis.checks import BLOCKING
from analysis.plan import Metric, Plan
from analysis.results import (
    Action,
    CheckRow,
    ClaimRow,
    ConflictRow,
    EffectRow,
    RecommendationRow,
    ReversalRow,
    RollbackRow,
    SurvivalComparisonRow,
)


@dataclass(frozen=True)
class Evidence:
    """What is known of one treatment as of a day: the rows of a scorecard, without segments."""

    plan: Plan
    as_of: date
    variant: str
    effects: tuple[EffectRow, ...]
    reversals: tuple[ReversalRow, ...]
    conflicts: tuple[ConflictRow, ...]
    rollback: tuple[RollbackRow, ...]
    checks: tuple[CheckRow, ...]
    survival: tuple[SurvivalComparisonRow, ...] = ()

    def claim(self, metric: str, window: str) -> ClaimRow | None:
        """The row from which a metric's claim is read: of a time to event the one at its horizon."""
        effects = (row for row in self.effects if (row.metric, row.window) == (metric, window))
        return next(effects, next((row for row in self.survival if row.metric == metric), None))

    def readable(self, row: ClaimRow | None) -> bool:
        """Whether every cohort has lived the window or horizon, and its interval over all looks is there."""
        return row is not None and self.as_of >= row.readable_from and row.claimed is not None


def recommend(evidence: Evidence) -> RecommendationRow:
    """Return the recommendation for a treatment, or for a holdout as long as it measures."""
    if evidence.plan.kind == "holdout":
        return _of_holdout(evidence)
    rules: tuple[tuple[Action, Callable[[Evidence], Iterator[str]]], ...] = (
        ("stop", _mismatch),
        ("roll_back", _harm),
        ("keep_running", _too_early),
        ("launch", _win),
        ("launch_with_holdback", _early_win),
        ("stop", _no_win),
    )
    for action, rule in rules:
        reasons = tuple(rule(evidence))
        if reasons:
            return RecommendationRow(
                variant=evidence.variant, action=action, reasons=reasons, changes_on=_changes_on(evidence, action)
            )
    missing = (
        *_blocks(evidence), *_inferior_so_far(evidence), *_unread(evidence), *_undecided_guardrails(evidence),
    )  # fmt: skip
    return RecommendationRow(
        variant=evidence.variant, action="keep_running", changes_on=_changes_on(evidence, "keep_running"),
        reasons=missing or ("nothing is decided yet: no primary metric is surely better or worse",),
    )  # fmt: skip


def _of_holdout(evidence: Evidence) -> RecommendationRow:
    """A holdout launches nothing: it measures until its planned end, unless what was launched does surely harm."""
    end = evidence.plan.planned_end_date
    assert end is not None
    over = (f"it has reached its planned end on {end}: read what was measured, and release it",)
    rules: tuple[tuple[Action, tuple[str, ...]], ...] = (
        ("stop", tuple(_mismatch(evidence))),
        ("roll_back", tuple(_harm(evidence))),
        ("stop", over if windows.read_until(evidence.plan, evidence.as_of) >= end else ()),
        ("keep_running", (f"a holdout measures until its planned end on {end}",)),
    )
    action, reasons = next(rule for rule in rules if rule[1])
    return RecommendationRow(
        variant=evidence.variant, action=action, reasons=reasons, changes_on=_changes_on(evidence, action)
    )  # fmt: skip


def _mismatch(evidence: Evidence) -> Iterator[str]:
    for check in evidence.checks:
        if check.check in BLOCKING and check.state == "alarm":
            yield f"the variants are not split as designed, so no number here can be used: {check.detail}"


def _harm(evidence: Evidence) -> Iterator[str]:
    metrics = _metrics(evidence.plan)
    for criterion in evidence.rollback:
        if criterion.met:
            yield (
                f"rollback criterion met: the lift of {criterion.metric} ({criterion.window}) is surely below "
                f"{_percent(criterion.below)} (best case {_percent(criterion.lift_high)})"
            )
    for reversal in evidence.reversals:
        if reversal.state == "confirmed" and metrics[reversal.metric].role == "primary":
            yield f"early win, later loss on {reversal.metric}: {reversal.reason}"
    yield from _inferior(evidence)
    for metric, row in _judged(evidence, "long"):
        if claims.surely_worse(metric, row):
            yield f"{metric.key} is surely worse: {_said(row)}"


def _too_early(evidence: Evidence) -> Iterator[str]:
    if evidence.as_of < _min_day(evidence.plan):
        yield f"the plan asks for {evidence.plan.decision.min_weeks} weeks before any launch: {_min_day(evidence.plan)}"


def _win(evidence: Evidence) -> Iterator[str]:
    if any(_unread(evidence)) or any(_blocks(evidence)) or any(_undecided_guardrails(evidence)):
        return
    yield from _better(evidence, "short", "long", None)
    for metric, row in _judged(evidence, "short"):
        if _made_up(evidence, metric, row):
            yield f"{metric.key} was surely worse before ({_said(row)}), and has made up for it"


def _early_win(evidence: Evidence) -> Iterator[str]:
    unread = list(_unread(evidence, later=True))
    if not unread or any(_blocks(evidence)) or any(_inferior_so_far(evidence)):
        return
    better = list(_better(evidence, "short"))
    if better:
        yield from better
        yield "nothing is worse so far, but the long term is not known yet; keep a holdback: " + "; ".join(unread)


def _no_win(evidence: Evidence) -> Iterator[str]:
    if not any(_unread(evidence)) and not any(_better(evidence, "short", "long", None)):
        yield "every window is readable, and no primary metric is surely better"


def _metrics(plan: Plan) -> dict[str, Metric]:
    return {metric.key: metric for metric in plan.metrics}


def _judged(evidence: Evidence, *terms: str | None) -> Iterator[tuple[Metric, ClaimRow]]:
    """Yield the judged pairs of primary metrics of these terms that have a row."""
    metrics = _metrics(evidence.plan)
    for key, window in claims.judged(evidence.plan):
        row = evidence.claim(key, window)
        if row is not None and metrics[key].term in terms:
            yield metrics[key], row


def _better(evidence: Evidence, *terms: str | None) -> Iterator[str]:
    for metric, row in _judged(evidence, *terms):
        if claims.surely_better(metric, row):
            yield f"{metric.key} is surely better: {_said(row)}"


def _made_up(evidence: Evidence, metric: Metric, row: ClaimRow) -> bool:
    """Whether a short-term primary was surely worse, and is surely better in the late window of all units."""
    late = evidence.claim(metric.key, "late")
    if late is None or late is row or metric.term != "short" or not evidence.readable(late):
        return False
    return claims.surely_worse(metric, row) and claims.surely_better(metric, late)


def _blocks(evidence: Evidence) -> Iterator[str]:
    """Yield what forbids a launch of any kind so far."""
    for metric, row in _judged(evidence, "short", "long", None):
        if claims.surely_worse(metric, row) and not _made_up(evidence, metric, row):
            yield f"{metric.key} is surely worse: {_said(row)}"
    for reversal in evidence.reversals:
        if reversal.state in ("confirmed", "turned", "warning"):
            yield f"{reversal.metric}: {reversal.state}, {reversal.reason}"
    for conflict in evidence.conflicts:
        if conflict.state == "confirmed":
            yield f"{conflict.short_metric} against {conflict.long_metric}: {conflict.reason}"
    yield from _inferior(evidence)
    for check in evidence.checks:
        if check.state == "alarm":
            yield f"check {check.check} is in alarm: {check.detail}"


def _guardrails(evidence: Evidence) -> Iterator[ClaimRow]:
    """Yield the deciding row of each guardrail."""
    for metric in evidence.plan.metrics:
        row = evidence.claim(metric.key, metric.deciding_window)
        if metric.role == "guardrail" and row is not None:
            yield row


def _inferior(evidence: Evidence) -> Iterator[str]:
    for row in _guardrails(evidence):
        if row.verdict == "inferior":
            yield f"guardrail {row.metric} is surely worse than its margin of {_margin(row)}: {_said(row)}"


def _inferior_so_far(evidence: Evidence) -> Iterator[str]:
    """Yield the guardrails that are surely beyond their margins in windows that do not decide."""
    metrics = _metrics(evidence.plan)
    for row in evidence.effects:
        metric = metrics[row.metric]
        if metric.role != "guardrail" or row.window == metric.deciding_window or row.drawn is None:
            continue
        if claims.verdict(metric, *row.drawn) == "inferior":
            yield f"guardrail {metric.key} is surely worse than its margin of {_margin(row)} so far: {_said(row)}"


def _undecided_guardrails(evidence: Evidence) -> Iterator[str]:
    for row in _guardrails(evidence):
        if evidence.readable(row) and row.verdict == "undecided":
            yield f"guardrail {row.metric} is not surely within its margin of {_margin(row)}: {_said(row)}"


def _unread(evidence: Evidence, *, later: bool = False) -> Iterator[str]:
    """Yield the primaries and guardrails whose last word cannot be read, ``later`` those alone that can be one day.

    The last word on a short-term primary is its late window, so that not even a plan without a long-term metric
    launches for good, or stops, on early weeks.
    """
    plan = evidence.plan
    for metric in plan.metrics:
        if metric.role not in ("primary", "guardrail"):
            continue
        short = metric.role == "primary" and metric.term == "short"
        window = plan.window("late" if short else metric.deciding_window)
        row = evidence.claim(metric.key, window.name)
        day = windows.fully_readable(plan, window.end_week) if row is None else row.readable_from
        lived = evidence.as_of >= day
        if evidence.readable(row) or (later and lived):
            continue
        if lived:
            yield f"{metric.key} has no interval to decide on: {(row and row.reason) or 'nothing is known of it'}"
        else:
            weeks = f"over {row.tau} weeks" if isinstance(row, SurvivalComparisonRow) else f"in {window.label}"
            yield f"{metric.key} {weeks} is readable from {day}"


def _said(row: ClaimRow) -> str:
    if isinstance(row, SurvivalComparisonRow):
        weeks, effect = f"weeks without it out of {row.horizon_week}", row.rmst_difference
        lift = row.rmst_lift
    else:
        weeks, effect, lift = f"weeks {row.start_week}-{row.end_week - 1}", row.effect, row.lift
    if lift is None or row.drawn is None:
        return f"{weeks}, effect {effect:+.4g}"
    low, high = row.drawn
    return f"{weeks}, {_percent(lift)} ({_percent(low)} to {_percent(high)} over all looks)"


def _margin(row: ClaimRow) -> str:
    assert row.margin is not None
    return f"{100 * row.margin:.3g} %"


def _percent(fraction: float | None) -> str:
    return "unknown" if fraction is None else f"{100 * fraction:+.1f} %"


def _min_day(plan: Plan) -> date:
    return plan.start_date + timedelta(days=7 * plan.decision.min_weeks)


def _changes_on(evidence: Evidence, action: Action) -> date | None:
    """Return the next day on which a window becomes readable, or min_weeks is reached; None if nothing will change."""
    if action in ("launch", "roll_back") or any(_mismatch(evidence)):
        return None
    plan = evidence.plan
    days = {windows.readable(plan, cohort, window.end_week) for window in plan.windows
            for cohort in range(plan.enrollment_weeks)}  # fmt: skip
    days |= {_min_day(plan), *(row.readable_from for row in evidence.survival)}
    return min((day for day in days if day > evidence.as_of), default=None)
