"""The winner's curse: the published correction, its sum over simulated programs, and empirical Bayes against R."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from analysis.shrinkage import corrected_error, prior, selection_bias

FROZEN = json.loads((Path(__file__).parents[1] / "reference" / "holdouts.json").read_text(encoding="utf-8"))

#: Means of 200,000 simulated programs: four standard errors.
SIMULATED = 4.0

#: R prints four decimals.
PRINTED = 6e-5

#: The maximum of a smooth function is found to the root of what it is evaluated to.
MAXIMUM = 1e-5


def test_the_published_correction_is_reproduced() -> None:
    case = FROZEN["winners_curse"]
    found = [selection_bias(a, sigma, case["threshold"]) for a, sigma in zip(case["a"], case["sigma"], strict=True)]
    assert found == pytest.approx(case["expected"], abs=case["tolerance"])
    assert sum(found) == pytest.approx(case["total"], abs=4 * case["tolerance"])


def test_over_many_programs_the_correction_at_the_truth_is_the_excess_of_what_was_launched() -> None:
    """Also of a second estimate that correlates with the one by which launches were chosen."""
    truth, se, later_se = np.array([0.0, 0.01, 0.02, 0.04]), np.array([0.01, 0.02, 0.01, 0.015]), 0.02
    later, rho, b = np.array([0.0, 0.0, 0.01, 0.03]), 0.4, 1.96
    rng = np.random.default_rng(11)
    z = rng.standard_normal((200_000, 4))
    first = truth + se * z
    second = later + later_se * (rho * z + math.sqrt(1 - rho**2) * rng.standard_normal(z.shape))
    launched = first > b * se
    for credited, true, expected in (
        (first, truth, [selection_bias(a, s, b) for a, s in zip(truth, se, strict=True)]),
        (
            second, later,
            [selection_bias(a, s, b, other_se=later_se, correlation=rho) for a, s in zip(truth, se, strict=True)],
        ),
    ):  # fmt: skip
        excess = ((credited - true) * launched).sum(axis=1)
        assert excess.mean() == pytest.approx(sum(expected), abs=SIMULATED * excess.std() / math.sqrt(len(excess)))


def test_the_error_of_a_corrected_credit_is_that_of_many_draws() -> None:
    rng, b, draws = np.random.default_rng(12), 1.96, 200_000
    for truth, rho in ((0.0, 1.0), (1.5, 1.0), (2.5, 0.3), (9.0, 0.6)):
        z = rng.standard_normal(draws)
        other = rho * z + math.sqrt(1 - rho**2) * rng.standard_normal(draws)
        squares = ((truth + z > b) * other - rho * stats.norm.pdf(b - truth - z)) ** 2
        expected = pytest.approx(squares.mean(), abs=SIMULATED * squares.std() / math.sqrt(draws))
        assert corrected_error(2 * truth, 2.0, b, correlation=rho) == expected


def test_the_spread_of_true_effects_is_that_of_metafor_on_the_trials_of_bcg() -> None:
    case = FROZEN["bcg"]
    table = np.array(case["tables"], dtype=float)
    ill, well, ill_control, well_control = table.T
    y = np.log((ill / (ill + well)) / (ill_control / (ill_control + well_control)))
    variance = 1 / ill - 1 / (ill + well) + 1 / ill_control - 1 / (ill_control + well_control)
    found = prior(y, np.sqrt(variance))
    assert found is not None
    assert found.sd**2 == pytest.approx(case["tau2"], abs=PRINTED)
    assert (found.mean, found.mean_se) == pytest.approx((case["estimate"], case["se"]), abs=PRINTED)
    # Given the spread, the mean is that of statsmodels, and it is the same on any scale.
    assert found.mean == pytest.approx(np.average(y, weights=1 / (variance + found.sd**2)))
    small = prior(y / 1000, np.sqrt(variance) / 1000)
    assert small is not None
    assert small.sd * 1000 == pytest.approx(found.sd, rel=MAXIMUM)


def test_a_posterior_is_the_normal_one() -> None:
    """By brute force over a grid: prior density times likelihood."""
    found = prior(np.array([0.0, 0.02, 0.05, -0.03]), np.full(4, 0.01))
    assert found is not None
    mean, sd = found.posterior(0.05, 0.02)
    grid = np.linspace(-0.5, 0.5, 200_001)
    weight = stats.norm.pdf(grid, found.mean, found.sd) * stats.norm.pdf(0.05, grid, 0.02)
    expected = np.average(grid, weights=weight)
    assert mean == pytest.approx(expected)
    assert sd == pytest.approx(math.sqrt(np.average((grid - expected) ** 2, weights=weight)))


def test_equal_effects_have_no_spread_and_all_move_to_their_mean() -> None:
    y, se = np.array([0.01, 0.011, 0.009, 0.0102]), np.full(4, 0.01)
    found = prior(y, se)
    assert found is not None
    assert found.sd == 0
    assert found.posterior(0.011, 0.01) == (pytest.approx(y.mean()), 0)
    assert found.mean_se == pytest.approx(combine_effects(y, se**2).sd_eff_w_fe)


def test_two_experiments_tell_nothing_and_an_error_of_zero_is_refused() -> None:
    assert prior(np.array([0.01, 0.02]), np.array([0.01, 0.01])) is None
    with pytest.raises(ValueError, match="standard error above zero"):
        prior(np.array([0.01, 0.02, 0.03]), np.array([0.01, 0.0, 0.01]))
