"""Early win, later loss: the states and the test behind them. How often it errs: tests/rates."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from analysis import windows
from analysis.effects import contrast, effect_of, means_of
from analysis.legs import window_legs
from analysis.moments import Moments
from analysis.plan import DecisionRule, Metric, Plan
from analysis.results import ReversalRow
from analysis.triangle import Cell
from tests.analysis.reversal_rows import reversal
from tests.analysis.unit_rows import (
    LINES,
    exact,
    triangle_of,
    two_window_triangle,
    two_windows,
    variants,
)

REFERENCE = Path(__file__).parents[1] / "reference"

#: The same normal tail from scipy.stats and from the code.
SAME_FUNCTION = 1e-9

KNOWN = json.loads((REFERENCE / "reversal.json").read_text(encoding="utf-8"))["entries"]

FEWER_IS_BETTER = replace(LINES, key="tickets", better="lower")

SPREAD = 25.0 * np.array([[1.0, 0, 0], [0, 1, 0.5], [0, 0.5, 1]])


def row_of(
    early_lift: float, late_lift: float, metric: Metric = LINES, units: int = 10_000, plan: Plan | None = None
) -> ReversalRow:
    """Means of 10 (standard deviation 5, correlation .5) in control; the treatment's are moved by these lifts."""
    used = plan or two_windows(metrics=(metric,))
    control = exact(units, [0, 10, 10], SPREAD)
    treatment = exact(units, [0, 10 * (1 + early_lift), 10 * (1 + late_lift)], SPREAD)
    return reversal(two_window_triangle(used, control, treatment), metric, "a")


#: Lifts early and late, for a metric of which more is better; an effect of .05 is seven standard errors, .005 is .7.
STATES = [
    (0.05, -0.05, "confirmed"),
    (0.05, 0.05, "none"),
    (0.05, 0.045, "none"),
    (0.05, 0.005, "fading"),
    (0.05, 0.0, "fading"),
    (0.05, -0.005, "fading"),
    (0.0, 0.0, "none"),
    (0.005, -0.005, "none"),
    (-0.05, 0.05, "none"),  # an early loss that becomes a win
    (-0.05, -0.05, "none"),  # a loss all along
    (0.0, -0.05, "none"),  # a late loss without an early win
    (0.005, -0.05, "none"),
]


@pytest.mark.parametrize(("early", "late", "state"), STATES)
def test_the_state_follows_from_the_two_windows(early: float, late: float, state: str) -> None:
    assert row_of(early, late).state == state


@pytest.mark.parametrize(("early", "late", "state"), STATES)
def test_where_lower_is_better_the_same_holds_with_all_signs_turned(early: float, late: float, state: str) -> None:
    row = row_of(-early, -late, FEWER_IS_BETTER)
    assert row.state == state
    # Signs in the row stay raw: the effect of a treatment that lowers the metric is negative.
    assert row.early_effect == pytest.approx(-10 * early)
    assert row.p_value == pytest.approx(row_of(early, late).p_value)


@pytest.mark.parametrize(("early", "late"), [(0.03, -0.03), (0.02, -0.004), (0.004, -0.02), (-0.01, 0.01)])
def test_the_p_value_is_the_larger_of_the_two_one_sided_ones(early: float, late: float) -> None:
    def one_sided(lift: float, sign: int) -> float:
        # On the log scale; a mean of 10 (1 + lift) has the same spread as one of 10.
        error = 5 / np.sqrt(10_000) * np.hypot(1 / 10, 1 / (10 * (1 + lift)))
        return float(stats.norm.sf(sign * np.log1p(lift) / error))

    assert row_of(early, late).p_value == pytest.approx(
        max(one_sided(early, 1), one_sided(late, -1)), rel=SAME_FUNCTION
    )


def test_the_worked_example_of_the_intersection_union_test_is_reproduced() -> None:
    """Early effect .02 (se .006), late -.015 (se .005), covariance .000012."""
    known, tolerance = KNOWN["iut_example"]["expected"], KNOWN["iut_example"]["tolerance"]
    plan = two_windows()
    n = 1_000
    half = np.array([[0, 0, 0], [0, 0.006**2, 0.000012], [0, 0.000012, 0.005**2]]) * n / 2
    # Means of opposite sign have no ratio, so that the effects themselves are tested.
    control, treatment = exact(n, [0, -0.01, 0.0075], half), exact(n, [0, 0.01, -0.0075], half)
    triangle = two_window_triangle(plan, control, treatment)
    row = reversal(triangle, LINES, "a")
    read = window_legs(triangle, LINES, "a")
    assert read.early_p(triangle.as_of) == pytest.approx(known["p_early"], abs=tolerance)
    assert read.late["confirmed"].p_values[-1] == pytest.approx(known["p_late"], abs=tolerance)
    assert row.p_value == pytest.approx(known["p_value"], abs=tolerance)
    assert row.state == "confirmed"
    assert row.contrast is not None
    assert row.contrast_se is not None
    assert row.contrast / row.contrast_se == pytest.approx(known["contrast_z"], abs=tolerance)


def gail_simon(effects: np.ndarray, errors: np.ndarray) -> tuple[float, float, float]:
    """Q+, Q- and the p value of "all effects have one sign", of independent estimates (Gail & Simon 1985)."""
    z = effects / errors
    plus, minus = float((z[z > 0] ** 2).sum()), float((z[z < 0] ** 2).sum())
    count = len(z)
    chances = stats.binom.pmf(np.arange(1, count), count - 1, 0.5)
    return plus, minus, float(chances @ stats.chi2.sf(min(plus, minus), np.arange(1, count)))


def test_of_two_windows_the_p_value_is_that_of_gail_and_simon() -> None:
    """Their test asks for independent strata, and windows of the same units are not; of two it is the same test all the
    same, and the intersection-union test needs no independence. Their published example shows that ours is theirs."""
    known, tolerance = KNOWN["gail_simon_nsabp"]["expected"], KNOWN["gail_simon_nsabp"]["tolerance"]
    inputs = KNOWN["gail_simon_nsabp"]["inputs"]
    found = gail_simon(np.array(inputs["effects"]), np.array(inputs["errors"]))
    assert found == pytest.approx((known["q_plus"], known["q_minus"], known["p_value"]), abs=tolerance)
    for early, late in ((0.03, -0.03), (0.02, -0.004), (0.004, -0.02)):
        row = row_of(early, late)
        effects = np.log1p([early, late])
        errors = 5 / np.sqrt(10_000) * np.hypot(1 / 10, 1 / (10 * np.exp(effects)))
        assert row.p_value == pytest.approx(gail_simon(effects, errors)[2], rel=SAME_FUNCTION)


def test_the_row_carries_both_windows_and_their_contrast_on_both_scales() -> None:
    plan = two_windows()
    control = exact(10_000, [0, 12, 8], SPREAD)
    treatment = exact(9_000, [0, 12.6, 7.6], SPREAD)
    triangle = two_window_triangle(plan, control, treatment)
    row = reversal(triangle, LINES, "a")
    means = means_of(triangle, LINES, "a", plan.windows, (0,))
    assert means is not None
    early, late, both = effect_of(means, 0), effect_of(means, 1), contrast(means, 0, 1)
    assert (row.n_control, row.n_treatment) == (10_000, 9_000)
    assert (row.early_effect, row.late_effect) == (early.effect, late.effect) == pytest.approx((0.6, -0.4))
    assert (row.early_lift, row.late_lift) == (early.lift, late.lift) == pytest.approx((0.05, -0.05))
    assert (row.contrast, row.contrast_se, row.contrast_p_value) == (both.effect, both.effect_se, both.p_value)
    assert row.lift_contrast == both.lift == pytest.approx(np.log(0.95 / 1.05))
    assert (row.lift_contrast_low, row.lift_contrast_high) == (both.lift_low, both.lift_high)
    assert row.lift_contrast_p_value == both.lift_p_value
    assert (row.late_start_week, row.late_end_week) == (1, 2)


def test_a_constant_lift_on_falling_activity_is_not_fading() -> None:
    """23 lines a week early, 13 late, +5 % in both, 200,000 units: the difference shrinks, the lift does not."""
    plan = two_windows()
    spread = np.array([[1, 0, 0], [0, 400, 150], [0, 150, 300.0]])
    control, treatment = exact(100_000, [0, 23, 13], spread), exact(100_000, [0, 24.15, 13.65], spread * 1.05**2)
    row = reversal(two_window_triangle(plan, control, treatment), LINES, "a")
    assert row.contrast_p_value is not None
    assert row.contrast_p_value < 1e-4
    assert row.state == "none"


def test_the_level_of_a_leg_is_a_quarter_of_the_alpha_of_the_plan() -> None:
    lifts = 2.1 * 5 * np.sqrt(2 / 10_000) / 10  # z = 2.1 in both legs: one-sided p .018
    for alpha, confirmed in ((0.05, False), (0.1, True)):
        plan = two_windows(decision=DecisionRule(alpha=alpha))
        assert (row_of(lifts, -lifts, plan=plan).state == "confirmed") is confirmed


def test_the_reason_names_the_weeks_of_both_windows() -> None:
    assert row_of(0.05, -0.05).reason == "better in week 0 and worse in week 1 (one-sided 0.0125 over all looks)"
    fading = row_of(0.05, 0.0).reason
    assert fading is not None
    assert "shrank from week 0 to week 1" in fading


def test_a_win_that_grows_is_not_fading_where_means_are_negative() -> None:
    """A profit of -10 a week becomes -9.5 early and -8 late: better and better, though the ratio of the means falls."""
    plan = two_windows()
    control = exact(10_000, [0, -10, -10], SPREAD)
    grows = reversal(two_window_triangle(plan, control, exact(10_000, [0, -9.5, -8], SPREAD)), LINES, "a")
    shrinks = reversal(two_window_triangle(plan, control, exact(10_000, [0, -8, -9.5], SPREAD)), LINES, "a")
    assert (grows.early_effect, grows.late_effect) == pytest.approx((0.5, 2.0))
    assert (grows.state, shrinks.state) == ("none", "fading")


# --- Maturity ---------------------------------------------------------------------------------------------------------


def two_cohorts(day: int) -> ReversalRow:
    """Both cohorts win early and lose late, without any doubt."""
    plan = two_windows(enrollment_weeks=2)
    cells = {
        Cell(variant, cohort): exact(5_000 + cohort, mean, SPREAD)
        for variant, mean in (("control", [0, 10, 10]), ("a", [0, 12, 8]))
        for cohort in range(2)
    }
    return reversal(triangle_of(plan, cells, plan.start_date + timedelta(days=day)), LINES, "a")


def test_before_the_last_cohort_has_lived_the_late_window_nothing_is_confirmed() -> None:
    """Cohort 0 has lived week 1 on day 20, cohort 1 on day 27."""
    plan = two_windows(enrollment_weeks=2)
    readable = windows.fully_readable(plan, 2)
    assert (readable - plan.start_date).days == 27
    states = {day: two_cohorts(day) for day in (0, 19, 20, 26, 27, 60)}
    assert {day: row.state for day, row in states.items()} == {
        0: "immature", 19: "immature", 20: "warning", 26: "warning", 27: "confirmed", 60: "confirmed",
    }  # fmt: skip
    assert "readable from 2024-01-28" in str(states[19].reason)
    assert all(row.readable_from == readable and (row.p_value is None) == (day < 27) for day, row in states.items())
    # Estimates are shown from the first cohort on, those of the units that have lived both windows.
    shown = {day: (row.n_control, row.early_effect, row.late_effect) for day, row in states.items()}
    assert shown[0] == shown[19] == (0, None, None)
    assert shown[20] == shown[26] == (5_000, pytest.approx(2), pytest.approx(-2))
    assert shown[27] == (10_001, pytest.approx(2), pytest.approx(-2))


def test_too_few_units_for_a_test_are_no_reversal_and_the_reason_says_so() -> None:
    row = row_of(2.0, -0.9, units=20)
    assert row.state == "none"
    assert row.p_value is None
    assert row.reason == "fewer than 30 units in a variant: no interval yet"


def test_units_that_do_not_vary_are_no_reversal() -> None:
    plan = two_windows()
    flat = np.zeros((3, 3))
    row = reversal(two_window_triangle(plan, exact(50, [0, 1, 1], flat), exact(50, [0, 2, 0.5], flat)), LINES, "a")
    assert row.state == "none"
    assert row.reason == "the units do not vary, so nothing can be tested"


@pytest.mark.parametrize("units", [0, 1])
def test_a_variant_without_units_is_not_said_to_become_readable_on_a_day_that_is_past(units: int) -> None:
    plan = two_windows()
    control = exact(500, [0, 10, 10], SPREAD)
    few = Moments.of(np.ones((units, 3)))
    triangle = two_window_triangle(plan, control, few)
    row = reversal(triangle, LINES, "a")
    assert triangle.as_of > row.readable_from
    assert row.state != "immature"
    assert "two units" in str(row.reason)


def test_each_treatment_is_compared_with_the_control_alone() -> None:
    plan = two_windows(variants=variants(40, 30, 30))
    cells = {
        Cell("control", 0): exact(5_000, [0, 10, 10], SPREAD),
        Cell("a", 0): exact(5_000, [0, 11, 9], SPREAD),
        Cell("b", 0): exact(5_000, [0, 11, 11], SPREAD),
    }
    triangle = triangle_of(plan, cells)
    assert [reversal(triangle, LINES, key).state for key in ("a", "b")] == ["confirmed", "none"]


# --- A real reversal --------------------------------------------------------------------------------------------------


def job_corps(early: str, late: str, control: str, treatment: str) -> ReversalRow:
    """Two outcomes of the trial as the two windows; moments frozen by tests/reference/make_job_corps.py."""
    frozen = json.loads((REFERENCE / "job_corps.json").read_text(encoding="utf-8"))
    kept = [frozen["columns"].index(name) for name in ("mwearn", early, late)]
    arms = [
        exact(arm["n"], np.array(arm["mean"])[kept], np.array(arm["covariance"])[np.ix_(kept, kept)])
        for arm in (frozen["arms"][control], frozen["arms"][treatment])
    ]
    return reversal(two_window_triangle(two_windows(), *arms), LINES, "a")


@pytest.mark.parametrize(
    ("early", "late", "legs"),
    [
        ("earnq4", "earny4", (15.825 / 2.988, 16.055 / 4.074)),
        ("pworky1", "pworky4", (13.6, 3.95)),
    ],
)
def test_withdrawing_the_offer_of_job_corps_is_an_early_win_and_a_later_loss(
    early: str, late: str, legs: tuple[float, float]
) -> None:
    """Training costs earnings while it lasts. With the labels turned round that is a reversal in a real trial."""
    row = job_corps(early, late, control="offer", treatment="control")
    assert row.state == "confirmed"
    # Legs as published, of differences; here they are log ratios, whose z is smaller by half the lift (-7 %, -1.4 %).
    assert stats.norm.isf(row.p_value) == pytest.approx(min(legs), rel=0.015)
    assert row.contrast_p_value is not None
    assert row.contrast_p_value < 1e-8


def test_withdrawing_the_offer_is_no_reversal_where_the_early_gain_is_not_sure() -> None:
    """Earnings in year 2: z = .72. A later loss alone is not an early win, and it is more than fading."""
    row = job_corps("earny2", "earny4", control="offer", treatment="control")
    assert row.state == "none"
    assert stats.norm.isf(row.p_value) == pytest.approx(0.72, abs=0.005)


def test_the_trial_as_it_was_is_a_slow_burn_and_no_reversal() -> None:
    assert job_corps("earnq4", "earny4", control="control", treatment="offer").state == "none"
