"""The scorecard: everything a look says, computed from one triangle. Pure and without a clock."""

from collections.abc import Iterator

from analysis import windows
from analysis.checks import checks
from analysis.effects import effect_of, means_of
from analysis.plan import Metric
from analysis.results import EffectRow, Scorecard
from analysis.reversal import reversal
from analysis.trajectory import trajectory, unread
from analysis.triangle import Triangle


def build(triangle: Triangle) -> Scorecard:
    """Compute the scorecard of a triangle as of its day."""
    plan, as_of, data = triangle.plan, triangle.as_of, triangle.data
    pairs = [(metric, variant.key) for metric in plan.estimated_metrics for variant in plan.treatments]
    return Scorecard(
        plan=plan,
        as_of=as_of,
        look=windows.look_number(plan, as_of),
        planned_looks=windows.planned_looks(plan),
        first_fact=data.first,
        last_fact=data.last,
        fact_rows=data.rows,
        units={variant.key: triangle.units(variant.key) for variant in plan.variants},
        excluded=triangle.excluded,
        checks=tuple(checks(triangle)),
        effects=tuple(row for metric, variant in pairs for row in effects(triangle, metric, variant)),
        trajectory=tuple(row for metric, variant in pairs for row in trajectory(triangle, metric, variant)),
        reversals=tuple(reversal(triangle, metric, variant) for metric, variant in pairs),
    )


def effects(triangle: Triangle, metric: Metric, variant: str) -> Iterator[EffectRow]:
    """Yield the effect of a treatment on a metric in each window, on all units of the cohorts mature for it."""
    plan = triangle.plan
    for window in plan.windows:
        cohorts = windows.window_cohorts(plan, window, triangle.as_of)
        means = means_of(triangle, metric, variant, [window], cohorts) if cohorts else None
        shown = effect_of(means) if means is not None else unread(triangle, variant, window.end_week, cohorts)
        yield EffectRow(
            **vars(shown), metric=metric.key, role=metric.role, term=metric.term, variant=variant,
            window=window.name, start_week=window.start_week, end_week=window.end_week, margin=metric.margin,
            readable_from=windows.fully_readable(plan, window.end_week),
        )  # fmt: skip
