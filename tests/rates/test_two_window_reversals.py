"""How often the two declared windows alone are called an early win with a later loss.

Worlds of the Honeymoon example with two weeks for its two windows, so that each test is one reading; its horizon read
week by week is in test_reversals.py. Bounds are four standard errors of the binomial: a right rule fails in one of
16,000 runs. 2,000 worlds would see a true 6.5 % instead of 5 % in four of five cases only, so the slow run draws 4,000.
"""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.plan import Metric
from analysis.simulation_moments import CohortMoments
from tests.analysis.honeymoon_worlds import plan, triangles, true_moments, without_late_effect
from tests.analysis.reversal_rows import reversal
from tests.analysis.unit_rows import ACTIVE, HEAD_SHARE, LINES

STANDARD_ERRORS = 4.0
MANY, FEW = 4_000, 75
COUNTS = [pytest.param(FEW, id="thin"), pytest.param(MANY, id="full", marks=pytest.mark.slow)]

#: Level of a leg: alpha / 4 on one side.
LEVEL = 0.0125


def confirmed(
    control: CohortMoments, treatment: CohortMoments, units: int, count: int, seed: int, metric: Metric
) -> int:
    found = triangles(control, treatment, units, count, seed)
    return sum(reversal(triangle, metric, "a").state == "confirmed" for triangle in found)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("metric", [LINES, ACTIVE, HEAD_SHARE], ids=lambda metric: metric.key)
def test_an_experiment_without_effect_is_almost_never_confirmed(metric: Metric, count: int) -> None:
    """Both legs at once have at most .0125^2 where windows do not correlate negatively.

    That is .6 expected in 4,000 worlds, and more than 10 in fewer than one of 20,000 runs.
    """
    control, _ = true_moments()
    assert confirmed(control, control, 40_000, count, seed=41, metric=metric) <= 10


@pytest.mark.parametrize("count", COUNTS)
def test_an_early_win_that_ends_at_exactly_zero_is_confirmed_at_the_level_of_the_test(count: int) -> None:
    """The hardest null: the early leg always rejects, so the late one decides alone.

    The lower bound matters as much: a rule that never flags would pass every upper one.
    """
    control, treatment = true_moments()
    rate = confirmed(control, without_late_effect(control, treatment), 400_000, count, seed=42, metric=LINES) / count
    assert abs(rate - LEVEL) < STANDARD_ERRORS * math.sqrt(LEVEL * (1 - LEVEL) / count)


@pytest.mark.parametrize("count", COUNTS)
def test_the_honeymoon_is_confirmed_at_its_size(count: int) -> None:
    """40,000 units, +3.0 % early and -6.4 % late. The power of each leg follows from the true moments: the late one is
    sure, the early one decides."""
    power = confirmed(*true_moments(), 40_000, count, seed=43, metric=LINES) / count
    expected = float(stats.norm.sf(stats.norm.isf(LEVEL) - early_z(40_000)))
    assert expected > 0.9
    assert power == pytest.approx(expected, abs=STANDARD_ERRORS * math.sqrt(expected * (1 - expected) / count) + 0.002)


def early_z(units: int) -> float:
    """True early effect over its adjusted standard error, from the frozen moments: pooled over cohorts by hand."""
    arms = []
    for moments in true_moments():
        mean = moments.share @ moments.mean
        away = moments.mean - mean
        covariance = np.einsum("c,cij->ij", moments.share, moments.covariance + away[:, :, None] * away[:, None, :])
        before, early = moments.position("lines"), moments.position("lines", 0)
        slope = covariance[early, before] / covariance[before, before]
        arms.append((mean[early], covariance[early, early] - slope**2 * covariance[before, before]))
    (control, variance_c), (treatment, variance_t) = arms
    return float((treatment - control) / np.sqrt((variance_c + variance_t) / (units / 2)))


def test_the_drawn_worlds_have_the_windows_of_the_example() -> None:
    triangle = next(triangles(*true_moments(), units=1_000, count=1, seed=44))
    assert triangle.layout.series == plan().series
    assert [(series.kind, series.column) for series in plan().series] == [
        ("sum", "lines"), ("active", "lines"), ("sum", "head_lines"),
    ]  # fmt: skip
