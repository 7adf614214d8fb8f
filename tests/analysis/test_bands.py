"""The critical value of a joint band, against closed forms and numerical integration."""

import numpy as np
import pytest
from scipy import special
from scipy.stats import multivariate_normal

from analysis import bands

#: 8,192 quasi-random points leave the share outside the band uncertain by about .001, which moves c by about .01.
QUASI_RANDOM = 0.012


def equicorrelated(size, rho):
    return np.full((size, size), rho) + (1 - rho) * np.eye(size)


@pytest.mark.parametrize("size", [1, 2, 12, 26, 52])
def test_of_independent_weeks_it_is_sidaks_value(size):
    sidak = special.ndtri((1 + 0.95 ** (1 / size)) / 2)
    assert bands.critical(np.eye(size)) == pytest.approx(sidak, abs=QUASI_RANDOM)


def test_of_weeks_that_move_as_one_it_is_that_of_a_single_week():
    assert bands.critical(np.ones((20, 20))) == pytest.approx(1.959964, abs=QUASI_RANDOM)


def test_twelve_weeks_correlated_at_point_eight_need_2_56():
    # An equicorrelated normal is sqrt(rho) Z0 + sqrt(1 - rho) Zi: one integral gives the exact probability.
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    c = bands.critical(equicorrelated(12, 0.8))
    upper, lower = (special.ndtr((sign * c - np.sqrt(0.8) * nodes) / np.sqrt(0.2)) for sign in (1, -1))
    inside = weights @ (upper - lower) ** 12 / weights.sum()
    assert inside == pytest.approx(0.95, abs=0.002)
    assert c == pytest.approx(2.56, abs=QUASI_RANDOM)


def test_of_any_correlation_the_band_holds_with_95_percent():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(5, 4))
    matrix = root @ root.T + np.diag(rng.uniform(0.1, 1, 5))
    correlation = matrix / np.sqrt(np.outer(np.diag(matrix), np.diag(matrix)))
    c = bands.critical(correlation)
    inside = multivariate_normal(np.zeros(5), correlation).cdf(np.full(5, c), lower_limit=np.full(5, -c))
    assert inside == pytest.approx(0.95, abs=0.002)


def test_it_repeats_and_does_not_hang_on_last_digits():
    matrix = equicorrelated(8, 0.4)
    assert bands.critical(matrix) == bands.critical(matrix + 1e-14)
