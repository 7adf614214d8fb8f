"""Does the effect differ between segments? Cochran's Q over the log lifts of a segment's values.

Values of a segment hold different units, so their estimates are independent: Q = sum of (lift - weighted mean)^2 / se^2
is chi-square with (values - 1) degrees of freedom where the lift is the same in all (Cochran 1954, Biometrics 10:101).
P values are adjusted for the number of tests (Benjamini & Hochberg 1995): this is exploration, not a claim.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from scipy import special

from analysis import windows
from analysis.effects import log_lift, means_of
from analysis.multiplicity import benjamini_hochberg
from analysis.plan import Metric, Window
from analysis.results import HeterogeneityRow
from analysis.triangle import Triangle


def heterogeneity(triangle: Triangle, of_metric: Mapping[str, Triangle]) -> tuple[HeterogeneityRow, ...]:
    """Return the test of each metric, treatment, window and segment column of the plan."""
    rows = list(_rows(triangle, of_metric))
    adjusted = benjamini_hochberg([row.p_value for row in rows])
    return tuple(replace(row, p_value_adjusted=value) for row, value in zip(rows, adjusted, strict=True))


def _rows(triangle: Triangle, of_metric: Mapping[str, Triangle]) -> Iterator[HeterogeneityRow]:
    plan = triangle.plan
    for column in plan.segments:
        names = [name for name in triangle.segments if name.startswith(f"{column}=")]
        for metric in plan.estimated_metrics:
            parts = [of_metric[metric.key].of_segment(name) for name in names]
            for variant in plan.treatments:
                for window in plan.windows:
                    yield _test(parts, metric, variant.key, window, column)


def _test(parts: list[Triangle], metric: Metric, variant: str, window: Window, column: str) -> HeterogeneityRow:
    lifts, errors = [], []
    for part in parts:
        cohorts = windows.window_cohorts(part.plan, window, part.as_of)
        means = means_of(part, metric, variant, [window], cohorts) if cohorts else None
        found = log_lift(means, 0) if means is not None else None
        if found is not None:
            lifts.append(found[0])
            errors.append(found[1])
    row = HeterogeneityRow(
        metric=metric.key, variant=variant, window=window.name, segment=column, values=len(lifts)
    )  # fmt: skip
    if len(lifts) < 2:
        return replace(row, reason="fewer than two values of the segment have a lift in this window yet")
    weights = 1 / np.square(errors)
    away = np.array(lifts) - np.average(lifts, weights=weights)
    return replace(row, p_value=float(special.chdtrc(len(lifts) - 1, float(weights @ away**2))))
