"""A win that was picked because it was large looks smaller when it is measured again: that alone is no fading.

Effects are constant here. Of experiments with an early win the later estimate is smaller on average, and a test of
"late minus early is below zero" fires in up to a third of them at a nominal 5 %. The test of a reversal asks for a late
loss itself, and hardly ever fires. This is why fading informs and decides nothing.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import special
from scipy.stats import multivariate_normal

from analysis.effects import compare, contrast, effect_of
from analysis.moments import Layout
from tests.analysis.unit_rows import LINES, exact, two_windows

KNOWN = json.loads((Path(__file__).parents[1] / "reference" / "reversal.json").read_text(encoding="utf-8"))["entries"]
FADING, LOSS = KNOWN["selected_fading"], KNOWN["selected_loss"]

#: A win at the usual two-sided 5 %, and a one-sided 5 % afterwards.
WIN, LATER = 1.959964, 1.644854

MANY, FEW = 4_000, 300
COUNTS = [pytest.param(FEW, id="thin"), pytest.param(MANY, id="full", marks=pytest.mark.slow)]
STANDARD_ERRORS = 4.0


def among_winners(mean: float, late_mean: float, correlation: float, edge: float) -> float:
    """P(second < -edge | first > WIN) of two normal scores of variance 1; by scipy's bivariate integral."""
    pair = multivariate_normal([-mean, late_mean], [[1, -correlation], [-correlation, 1]])
    return float(pair.cdf([-WIN, -edge]) / special.ndtr(mean - WIN))


def fading_share(mean: float, correlation: float) -> float:
    """The contrast over its error has mean 0, and correlates with the early score by -sqrt((1 - r) / 2)."""
    return among_winners(mean, 0.0, -math.sqrt((1 - correlation) / 2), LATER)


@pytest.mark.parametrize("case", FADING["expected"], ids=lambda case: f"m={case['m']} r={case['r']}")
def test_the_share_of_winners_that_seem_to_fade_is_a_bivariate_normal_probability(case: dict[str, float]) -> None:
    tolerance = FADING["tolerance"] if case["m"] else FADING["tolerance_m_0"]
    assert fading_share(case["m"], case["r"]) == pytest.approx(case["share"], abs=tolerance)


@pytest.mark.parametrize("case", LOSS["expected"], ids=lambda case: f"m={case['m']} r={case['r']}")
def test_hardly_any_of_them_loses_later(case: dict[str, float]) -> None:
    found = among_winners(case["m"], case["m"], case["r"], LATER)
    assert found == pytest.approx(case["at_most"], abs=LOSS["tolerance"])


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("mean", "correlation"), [(0, 0.3), (1, 0.6), (3, 0.3)])
def test_our_contrast_fires_among_winners_as_often_as_that(mean: float, correlation: float, count: int) -> None:
    """Moments whose early and late estimates are drawn winners: the contrast and the late loss as the product tests
    them."""
    rng, units = np.random.default_rng(91), 100_000
    plan = two_windows()
    layout = Layout.of(plan)
    covariance = np.array([[1.0, 0, 0], [0, 1, correlation], [0, correlation, 1]])
    control = exact(units, [0, 10, 10], covariance)
    error = math.sqrt(2 / units)
    early = mean + special.ndtri(rng.uniform(special.ndtr(WIN - mean), 1, count))
    late = mean + correlation * (early - mean) + math.sqrt(1 - correlation**2) * rng.standard_normal(count)
    fading = lost = 0
    for first, second in zip(early, late, strict=True):
        means = compare(
            control, exact(units, [0, 10 + error * first, 10 + error * second], covariance), layout, LINES,
            plan.windows, adjust=False,
        )  # fmt: skip
        both, later = contrast(means, 0, 1), effect_of(means, 1)
        assert both.effect is not None
        assert both.effect_se is not None
        assert later.effect is not None
        assert later.effect_se is not None
        fading += both.effect / both.effect_se < -LATER
        lost += later.effect / later.effect_se < -LATER
    print(
        f"m={mean} r={correlation}: of {count} winners {fading / count:.4f} seem to fade, {lost / count:.4f} lose late"
    )
    for share, expected in (
        (fading / count, fading_share(mean, correlation)),
        (lost / count, among_winners(mean, mean, correlation, LATER)),
    ):
        noise = STANDARD_ERRORS * math.sqrt(expected * (1 - expected) / count)
        # A thin slice of rare events is Poisson.
        assert abs(share - expected) <= noise + STANDARD_ERRORS / count
