"""From a triangle to a scorecard: every estimate, claim and check as of one day, and what to do."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from analysis import claims, holdout, survival, windows
from analysis.checks import checks
from analysis.effects import effect_of, means_of
from analysis.objectives import oec
from analysis.plan import Metric
from analysis.recommendation import Evidence, recommend
from analysis.results import EffectRow, Scorecard
from analysis.reversal import reversals
from analysis.rollback import rollback
from analysis.segments import heterogeneity
from analysis.trajectory import trajectory, unread
from analysis.triangle import Triangle


def build(triangle: Triangle) -> Scorecard:
    """Compute the scorecard of a triangle as of its day."""
    plan = triangle.plan
    of_metric = by_metric(triangle)
    card = judge(triangle, of_metric)
    rows = (
        row
        for metric in plan.metrics
        for variant in plan.treatments
        for row in trajectory(of_metric[metric.key], metric, variant.key)
    )
    by_calendar_week = holdout.build(triangle) if plan.kind == "holdout" else ()
    return replace(
        card, trajectory=tuple(rows), survival=tuple(survival.curves(triangle)), holdout=by_calendar_week
    )  # fmt: skip


def by_metric(triangle: Triangle) -> dict[str, Triangle]:
    """Each metric's own triangle: all that its estimates need, in small matrices."""
    return {metric.key: triangle.of_metric(metric) for metric in triangle.plan.metrics}


def judge(triangle: Triangle, of_metric: Mapping[str, Triangle]) -> Scorecard:
    """Return all of a scorecard but its trajectories: what a recommendation rests on.

    ``of_metric`` has each metric's own triangle (``Triangle.of_metric``).
    """
    plan, as_of, data = triangle.plan, triangle.as_of, triangle.data
    pairs = [(metric, variant.key) for metric in plan.estimated_metrics for variant in plan.treatments]
    found = [row for metric, variant in pairs for row in effects(triangle, of_metric[metric.key], metric, variant)]
    found += in_segments(triangle, of_metric)
    effect_rows = claims.adjust_secondary(found, plan.decision.alpha)
    flags = [reversals(triangle, of_metric, variant.key) for variant in plan.treatments]
    card = Scorecard(
        plan=plan,
        as_of=as_of,
        look=windows.look_number(plan, as_of),
        planned_looks=windows.planned_looks(plan),
        first_fact=data.first,
        last_fact=data.last,
        fact_rows=data.rows,
        units={variant.key: triangle.units(variant.key) for variant in plan.variants},
        excluded=triangle.excluded,
        checks=tuple(checks(triangle, of_metric)),
        effects=effect_rows,
        trajectory=(),
        reversals=tuple(row for of_a_metric in zip(*(rows for rows, _ in flags), strict=True) for row in of_a_metric),
        conflicts=tuple(row for _, rows in flags for row in rows),
        heterogeneity=heterogeneity(triangle, of_metric),
        oec=oec(triangle),
        rollback=tuple(rollback(triangle, of_metric, effect_rows)),
        survival_comparisons=tuple(
            survival.comparison(triangle, metric, variant.key)
            for metric in plan.event_metrics
            for variant in plan.treatments
        ),
    )
    advice = tuple(recommend(_evidence(card, variant.key)) for variant in plan.treatments)
    return replace(card, recommendations=advice)


def _evidence(card: Scorecard, variant: str) -> Evidence:
    """The rows of one treatment, all units together."""
    return Evidence(
        plan=card.plan, as_of=card.as_of, variant=variant, checks=card.checks,
        effects=tuple(row for row in card.effects if row.variant == variant and row.segment is None),
        reversals=tuple(row for row in card.reversals if row.variant == variant),
        conflicts=tuple(row for row in card.conflicts if row.variant == variant),
        rollback=tuple(row for row in card.rollback if row.variant == variant),
        survival=tuple(row for row in card.survival_comparisons if row.variant == variant),
    )  # fmt: skip


def effects(
    whole: Triangle, triangle: Triangle, metric: Metric, variant: str, segment: str | None = None
) -> Iterator[EffectRow]:
    """Yield the effect of a treatment on a metric in each window, on all units of the cohorts mature for it.

    ``triangle`` is the metric's own, of one segment if that is named; ``whole`` has the plan with all metrics, which
    share alpha.
    """
    plan = whole.plan
    for window in plan.windows:
        cohorts = windows.window_cohorts(plan, window, whole.as_of)
        means = means_of(triangle, metric, variant, [window], cohorts) if cohorts else None
        shown = effect_of(means) if means is not None else unread(triangle, variant, window.end_week, cohorts)
        row = EffectRow(
            **vars(shown), metric=metric.key, role=metric.role, term=metric.term, variant=variant,
            window=window.name, start_week=window.start_week, end_week=window.end_week, margin=metric.margin,
            readable_from=windows.fully_readable(plan, window.end_week), segment=segment,
        )  # fmt: skip
        if means is not None and row.state == "ok":
            row = claims.claimed(row, means, claims.looks(triangle, variant, cohorts), plan, metric, window)
        yield row


def in_segments(triangle: Triangle, of_metric: Mapping[str, Triangle]) -> list[EffectRow]:
    """Return the effects within each value of the declared segments."""
    rows: list[EffectRow] = []
    for metric in triangle.plan.estimated_metrics:
        for segment in triangle.segments:
            part = of_metric[metric.key].of_segment(segment)
            for variant in triangle.plan.treatments:
                rows += effects(triangle, part, metric, variant.key, segment)
    return rows
