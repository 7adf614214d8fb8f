"""Rollback criteria: is a lift surely below what the plan tolerates?

On ``latest``, the newest week that all cohorts have lived, each week is read once, at one-sided alpha / (2 x horizon):
over all weeks together false alarms stay below alpha / 2 (Bonferroni). On a window of the plan the interval over all
looks decides, as it is drawn. Lifts are signed: "below -0.05" is 5 % worse, whichever direction is better.
"""

from collections.abc import Iterator, Mapping, Sequence

from scipy import special

from analysis import windows
from analysis.effects import effect_of, interval_of, means_of
from analysis.plan import Metric, RollbackCriterion, Window
from analysis.results import EffectRow, RollbackRow
from analysis.triangle import Triangle


def rollback(
    triangle: Triangle, of_metric: Mapping[str, Triangle], effects: Sequence[EffectRow]
) -> Iterator[RollbackRow]:
    """Yield every criterion of the plan for every treatment."""
    plan = triangle.plan
    metrics = {metric.key: metric for metric in plan.estimated_metrics}
    for treatment in plan.treatments:
        for criterion in plan.decision.rollback:
            metric = metrics[criterion.metric]
            if criterion.window == "latest":
                yield _latest(of_metric[metric.key], metric, treatment.key, criterion)
            else:
                row = next(
                    row for row in effects
                    if (row.metric, row.variant, row.window, row.segment)
                    == (metric.key, treatment.key, criterion.window, None)
                )  # fmt: skip
                yield _named(row, metric, criterion)


def _latest(triangle: Triangle, metric: Metric, variant: str, criterion: RollbackCriterion) -> RollbackRow:
    plan = triangle.plan
    lived = windows.mature_weeks(plan, plan.enrollment_weeks - 1, triangle.as_of)
    row = _empty(criterion, variant)
    if not lived:
        day = windows.fully_readable(plan, 1)
        return _with(row, reason=f"no week has been lived by all cohorts yet: the first is readable from {day}")
    week = Window("latest", lived - 1, lived)
    means = means_of(triangle, metric, variant, [week], tuple(range(plan.enrollment_weeks)))
    shown = effect_of(means) if means is not None else None
    if means is None or shown is None or shown.state != "ok":
        return _with(row, reason=(shown and shown.reason) or f"{week.label} has no estimate")
    z = float(special.ndtri(1 - plan.decision.alpha / (2 * plan.horizon_weeks)))
    ends = interval_of(means, 0, z)[2]
    row = _with(row, start_week=week.start_week, end_week=week.end_week)
    return _judged(row, metric, shown.lift, ends.low, ends.high, ends.reason)


def _named(effect: EffectRow, metric: Metric, criterion: RollbackCriterion) -> RollbackRow:
    row = _with(_empty(criterion, effect.variant), start_week=effect.start_week, end_week=effect.end_week)
    low, high = effect.sequential_lift_low, effect.sequential_lift_high
    return _judged(row, metric, effect.lift, low, high, effect.reason)


def _judged(
    row: RollbackRow, metric: Metric, lift: float | None, low: float | None, high: float | None, reason: str | None
) -> RollbackRow:
    if lift is None or low is None or high is None:
        return _with(row, reason=reason or "the lift cannot be estimated")
    signed, best = metric.sign * lift, max(metric.sign * low, metric.sign * high)
    return _with(row, met=best < row.below, lift=signed, lift_high=best, distance=signed - row.below)


def _empty(criterion: RollbackCriterion, variant: str) -> RollbackRow:
    return RollbackRow(
        metric=criterion.metric, variant=variant, window=criterion.window, below=criterion.below, met=False
    )  # fmt: skip


def _with(row: RollbackRow, **changes: object) -> RollbackRow:
    return RollbackRow(**{**vars(row), **changes})
