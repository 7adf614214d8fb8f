"""Lifts and their intervals, and contrasts of lifts on the log scale."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.effects import Interval, compare, contrast, lift_interval
from analysis.moments import Layout, Moments
from tests.analysis.brute_force import fieller
from tests.analysis.unit_rows import LINES, exact, two_windows

Z = stats.norm.ppf(0.975)


def interval(control: float, treatment: float, variance_c: float, variance_t: float) -> Interval:
    return lift_interval(control, treatment, np.diag([variance_c, variance_t]))


@pytest.mark.parametrize(
    ("control", "treatment"),
    [(4.0, 5.0), (4.0, 0.0), (4.0, -1.0), (2.5, 40.0), (-4.0, -5.0), (-3.0, 2.0), (10.0, -3.0)],
)
def test_a_control_mean_near_zero_or_a_change_of_sign_gets_the_set_of_fieller(control: float, treatment: float) -> None:
    found = interval(control, treatment, 1.0, 0.7)
    low, high = fieller(control, treatment, 1.0, 0.7, Z)
    assert found.lift == pytest.approx(treatment / control - 1)
    assert found.low == pytest.approx(low - 1, abs=1e-9)
    assert found.high == pytest.approx(high - 1, abs=1e-9)


def test_fieller_uses_the_covariance_that_adjustment_brings() -> None:
    covariance = np.array([[1.0, 0.6], [0.6, 1.2]])
    found = lift_interval(4.0, 5.0, covariance)
    for end in (found.low, found.high):
        assert end is not None
        ratio = 1 + end
        variance = 1.2 + ratio**2 - 2 * ratio * 0.6
        assert (5.0 - ratio * 4.0) ** 2 == pytest.approx(Z**2 * variance, rel=1e-9)


@pytest.mark.parametrize("control", [1.9, -1.9, 0.1])
def test_a_control_mean_that_may_be_zero_has_no_lift_and_says_why(control: float) -> None:
    found = interval(control, 5.0, 1.0, 1.0)
    assert (found.lift, found.low, found.high) == (None, None, None)
    assert "not estimable" in found.reason


def test_a_control_mean_of_zero_has_no_lift_and_says_why() -> None:
    found = interval(0.0, 5.0, 1.0, 1.0)
    assert (found.lift, found.low, found.high) == (None, None, None)
    assert "zero" in found.reason


def test_two_negative_means_keep_the_ratio_of_their_sizes() -> None:
    negative, positive = interval(-10, -11, 0.04, 0.04), interval(10, 11, 0.04, 0.04)
    assert negative == positive


def test_a_wider_confidence_gives_a_wider_interval() -> None:
    narrow = lift_interval(10, 11, np.diag([0.04, 0.04]), 0.9)
    wide = lift_interval(10, 11, np.diag([0.04, 0.04]), 0.99)
    assert narrow.low is not None
    assert wide.low is not None
    assert wide.low < narrow.low < 0.1


def test_a_contrast_whose_means_change_sign_has_no_log_scale() -> None:
    plan = two_windows()
    identity = np.eye(3)
    control, treatment = exact(900, [0, 2, 1], identity), exact(900, [0, 2, -1], identity)
    late = contrast(compare(control, treatment, Layout.of(plan), LINES, plan.windows, adjust=False), 0, 1)
    assert late.effect == pytest.approx(-2.0)
    assert late.effect_se == pytest.approx(math.sqrt(4 / 900))
    assert (late.lift, late.lift_low, late.lift_high, late.lift_p_value) == (None,) * 4


def test_a_contrast_of_negative_means_is_that_of_their_sizes() -> None:
    plan = two_windows()
    layout = Layout.of(plan)
    spread = np.diag([1.0, 2.0, 3.0])
    above = compare(exact(900, [0, 2, 4], spread), exact(800, [0, 3, 5], spread), layout, LINES, plan.windows, False)
    below = compare(
        exact(900, [0, -2, -4], spread), exact(800, [0, -3, -5], spread), layout, LINES, plan.windows, False
    )
    left, right = contrast(above, 0, 1), contrast(below, 0, 1)
    assert (left.lift, left.lift_p_value) == pytest.approx((right.lift, right.lift_p_value))
    assert left.effect == pytest.approx(-right.effect)


def test_a_constant_lift_has_a_log_contrast_of_zero_though_activity_falls_with_age() -> None:
    """23 lines a week early, 13 late, +5 % in both: the lift did not fade, while the difference shrinks by half."""
    plan = two_windows()
    spread = np.array([[1, 0, 0], [0, 400, 150], [0, 150, 300.0]])
    control, treatment = exact(200_000, [0, 23, 13], spread), exact(200_000, [0, 24.15, 13.65], spread * 1.05**2)
    late = contrast(compare(control, treatment, Layout.of(plan), LINES, plan.windows, adjust=False), 0, 1)
    assert late.lift == pytest.approx(0, abs=1e-12)
    assert late.lift_p_value == pytest.approx(1)
    assert late.p_value is not None
    assert late.p_value < 1e-6


def test_values_that_do_not_change_between_windows_leave_no_contrast_to_test() -> None:
    plan = two_windows()
    value = np.random.default_rng(12).integers(1, 9, size=(200, 1)).astype(float)
    arms = [Moments.of(np.hstack([value[part], value[part], value[part]])) for part in (slice(0, 100), slice(100, 200))]
    late = contrast(compare(arms[0], arms[1], Layout.of(plan), LINES, plan.windows, adjust=False), 0, 1)
    assert late.effect == pytest.approx(0, abs=1e-12)
    assert late.p_value is None or late.p_value > 0.05
    assert late.lift_p_value is None or late.lift_p_value > 0.05
