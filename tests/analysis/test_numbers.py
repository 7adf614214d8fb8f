"""The shared policy on numbers that do not exist, and normal tails."""

import math

import pytest
from scipy import stats

from analysis import numbers

#: scipy.stats and scipy.special compute the same function by different routes.
SAME_FUNCTION = 1e-12


def test_a_number_that_is_not_finite_is_none() -> None:
    assert [numbers.finite(value) for value in (math.nan, math.inf, -math.inf)] == [None] * 3
    assert numbers.finite(-1.5) == -1.5


def test_division_by_zero_is_none_and_so_is_an_overflow() -> None:
    assert numbers.divide(1.0, 0.0) is None
    assert numbers.divide(0.0, 0.0) is None
    assert numbers.divide(1e300, 1e-300) is None
    assert numbers.divide(math.nan, 1.0) is None
    assert numbers.divide(3.0, -2.0) == -1.5


def test_normal_tails_agree_with_scipy_and_hold_far_out() -> None:
    assert numbers.critical() == pytest.approx(1.959963984540054, rel=SAME_FUNCTION)
    assert numbers.critical(0.9) == pytest.approx(stats.norm.ppf(0.95), rel=SAME_FUNCTION)
    for z in (-3.0, 0.0, 1.0, 5.0, 20.0, 37.0):
        assert numbers.p_greater(z) == pytest.approx(stats.norm.sf(z), rel=SAME_FUNCTION)
        assert numbers.p_two_sided(z) == pytest.approx(2 * stats.norm.sf(abs(z)), rel=SAME_FUNCTION)
    assert 0 < numbers.p_greater(37.0) < 1e-290  # 1 - cdf would be exactly 0


def test_a_two_sided_p_value_does_not_depend_on_the_sign() -> None:
    assert numbers.p_two_sided(-2.5) == numbers.p_two_sided(2.5)


@pytest.mark.parametrize("variance", [0.0, -1e-9, math.nan, math.inf, -math.inf])
def test_a_variance_that_is_no_variation_has_no_standard_error(variance: float) -> None:
    assert numbers.standard_error(variance, 1.0) is None


def test_rounding_is_told_from_variation_by_the_size_of_the_values() -> None:
    assert numbers.standard_error(1e-26, 1.0) is None
    assert numbers.standard_error(1e-26, 1e-6) == pytest.approx(1e-13)
    assert numbers.standard_error(1e-26, 0.0) == pytest.approx(1e-13)
    # Units with a mean of 1e8 standard deviations, a million of them: real variation, small beside the mean.
    assert numbers.standard_error(1.0 / 1e6, 1e8) == pytest.approx(1e-3)
