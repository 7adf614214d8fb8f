"""Do 95 % intervals hold the injected truth 95 % of the time? Thousands of Honeymoon worlds drawn as moments.

Two-sided on purpose: intervals that are too wide are as wrong as those that are too narrow. The truth is exact, by
enumeration over the recorded households (tests/reference/make_honeymoon.py).

How far a rate may be off is argued from the binomial: with n worlds and a true .95 its standard error is
sqrt(.95 * .05 / n). There are 60 rates a test, so the bounds are four of these: the chance that any of them is further
away is below .4 %. With 400 worlds that is .0436 and a broken formula must be gross to be seen; with 8,000 it is .0097,
inside .94-.96, and a true rate of .936 (a standard error 5 % too small) is seen in four of five runs.
"""

import math
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pytest

from analysis.effects import Means, compare, contrast, effect_of
from analysis.moments import Layout, Moments
from analysis.plan import Metric
from analysis.simulation_moments import CohortMoments
from analysis.triangle import Cell
from tests.analysis.honeymoon_worlds import FROZEN, merged, plan, true_moments, worlds

STANDARD_ERRORS = 4.0

#: The interval that the documentation promises for the slow run.
PROMISED = (0.94, 0.96)

#: A variance is known from n draws to sqrt(2 / n) of itself.
VARIANCE_ERRORS = 4.5

Truth = dict[str, tuple[list[float], list[float]]]


def true_values(control: CohortMoments, treatment: CohortMoments) -> Truth:
    """(early, late) of control and treatment by metric: averages over all exposed units, a ratio of averages."""
    answer = {}
    sides = [moments.share @ moments.mean for moments in (control, treatment)]
    for metric, columns in (("lines", ["lines"]), ("active", ["active"]), ("head_share", ["head_lines", "lines"])):
        values = []
        for side in sides:
            parts = [[side[control.position(column, week)] for week in (0, 1)] for column in columns]
            values.append([parts[0][week] / (parts[1][week] if len(parts) > 1 else 1.0) for week in (0, 1)])
        answer[metric] = (values[0], values[1])
    return answer


def claims(means: Means, control: list[float], treatment: list[float]) -> Iterator[tuple[str, bool, float]]:
    """Yield (what, whether its interval holds the truth, error in standard errors)."""
    for week, name in enumerate(("early", "late")):
        found = effect_of(means, week)
        truth = treatment[week] - control[week]
        yield f"{name} effect", found.effect_low <= truth <= found.effect_high, (found.effect - truth) / found.effect_se
        lift = treatment[week] / control[week] - 1
        error = (math.log1p(found.lift_high) - math.log1p(found.lift_low)) / (2 * 1.959964)
        yield (
            f"{name} lift",
            found.lift_low <= lift <= found.lift_high,
            (math.log1p(found.lift) - math.log1p(lift)) / error,
        )
    both = contrast(means, 0, 1)
    truth = (treatment[1] - control[1]) - (treatment[0] - control[0])
    away = (both.effect - truth) / both.effect_se
    yield "contrast", abs(away) <= 1.959964, away
    truth = math.log(treatment[1] / control[1]) - math.log(treatment[0] / control[0])
    error = (both.lift_high - both.lift_low) / (2 * 1.959964)
    yield "lift contrast", both.lift_low <= truth <= both.lift_high, (both.lift - truth) / error


def arms_of(cells: dict[Cell, Moments]) -> tuple[Moments, Moments]:
    return merged(cells, "control"), merged(cells, "a")


def check_coverage(count: int, seed: int, units: int, share: float, effect: bool, bound: float) -> None:
    """Draw the worlds, gather every claim, and compare rates and spreads with what they should be."""
    control, treatment = true_moments()
    if not effect:
        treatment = control
    truth = true_values(control, treatment)
    used = plan()
    layout = Layout.of(used)
    hits: dict[str, int] = defaultdict(int)
    errors: dict[str, list[float]] = defaultdict(list)
    for cells in worlds(control, treatment, units, count, seed, share):
        arms = arms_of(cells)
        for metric in used.metrics:
            for adjust in (False, True):
                means = compare(arms[0], arms[1], layout, metric, used.windows, adjust)
                assert means.adjusted is adjust
                for what, holds, error in claims(means, *truth[metric.key]):
                    key = f"{metric.key}, {'adjusted' if adjust else 'plain'}, {what}"
                    hits[key] += holds
                    errors[key].append(error)
    assert len(hits) == 3 * 2 * 6
    rates = {key: hit / count for key, hit in hits.items()}
    off = {key: rate for key, rate in rates.items() if abs(rate - 0.95) > bound}
    assert not off, f"coverage off by more than {bound:.4f}: {off}"
    center = {key: float(np.mean(value)) for key, value in errors.items()}
    biased = {key: value for key, value in center.items() if abs(value) > STANDARD_ERRORS / math.sqrt(count) + 0.02}
    assert not biased, f"estimates off by these standard errors on average: {biased}"
    spread = {key: float(np.var(value)) for key, value in errors.items()}
    wrong = {key: value for key, value in spread.items() if abs(value - 1) > VARIANCE_ERRORS * math.sqrt(2 / count)}
    assert not wrong, f"true over estimated variance: {wrong}"


def binomial_bound(count: int) -> float:
    return STANDARD_ERRORS * math.sqrt(0.95 * 0.05 / count)


#: Units, share of the treatment, whether there is an effect.
SETTINGS = [
    pytest.param(40_000, 0.5, True, id="honeymoon"),
    pytest.param(40_000, 0.1, True, id="honeymoon, 90:10"),
    pytest.param(4_000, 0.5, False, id="no effect, few units"),
]


@pytest.mark.parametrize(("units", "share", "effect"), SETTINGS)
def test_intervals_hold_the_truth_in_four_hundred_worlds(units: int, share: float, effect: bool) -> None:
    check_coverage(400, seed=61, units=units, share=share, effect=effect, bound=binomial_bound(400))


@pytest.mark.slow
@pytest.mark.parametrize(("units", "share", "effect"), SETTINGS)
def test_intervals_hold_the_truth_in_94_to_96_percent_of_eight_thousand_worlds(
    units: int, share: float, effect: bool
) -> None:
    bound = binomial_bound(8_000)
    assert PROMISED[0] < 0.95 - bound
    assert 0.95 + bound < PROMISED[1]
    check_coverage(8_000, seed=62, units=units, share=share, effect=effect, bound=bound)


@pytest.mark.slow
def test_a_doubling_effect_is_covered_only_because_the_slopes_differ_in_the_formula() -> None:
    """Lin's variance with the term for the estimated center of the covariate: at a +100 % effect slopes differ much.

    Without it such intervals hold the truth in about .932 of the worlds, below the bounds.
    """
    control, _ = true_moments()
    matrix = np.eye(9)
    for column in ("lines", "head_lines"):
        for week in (0, 1):
            matrix[control.position(column, week), control.position(column, week)] = 2.0
    doubled = CohortMoments(
        control.columns, control.weeks, control.share, control.mean @ matrix.T, matrix @ control.covariance @ matrix.T
    )
    truth = true_values(control, doubled)["lines"]
    used = plan()
    count, hits, without = 8_000, 0, 0
    for cells in worlds(control, doubled, 8_000, count, seed=63):
        arms = arms_of(cells)
        means = compare(arms[0], arms[1], Layout.of(used), lines(used.metrics), used.windows, adjust=True)
        found = effect_of(means, 0)
        error = abs(found.effect - (truth[1][0] - truth[0][0]))  # type: ignore[operator]
        hits += error <= 1.959964 * found.effect_se  # type: ignore[operator]
        without += error <= 1.959964 * naive_error(arms)
    assert abs(hits / count - 0.95) < binomial_bound(count)
    assert without / count < 0.95 - binomial_bound(count)


def lines(metrics: tuple[Metric, ...]) -> Metric:
    return next(metric for metric in metrics if metric.key == "lines")


def naive_error(arms: tuple[Moments, Moments]) -> float:
    """The standard error of the early adjusted effect with the covariate's mean taken as known."""
    variance = 0.0
    for arm in arms:
        before, early = 0, 1  # the first three columns are lines: before, early, late
        covariance = arm.covariance
        variance += (covariance[early, early] - covariance[before, early] ** 2 / covariance[before, before]) / arm.n
    return math.sqrt(variance)


def test_the_frozen_truth_is_that_of_the_example() -> None:
    """The lifts that the README of the examples prints, and the frozen means, say the same."""
    control, treatment = true_moments()
    for metric, (below, above) in true_values(control, treatment).items():
        for week in (0, 1):
            assert above[week] / below[week] - 1 == pytest.approx(FROZEN["lifts"][metric][week], abs=1e-12)
    assert FROZEN["lifts"]["lines"] == pytest.approx([0.030, -0.0645], abs=5e-5)
