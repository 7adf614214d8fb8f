"""Sample sizes and plans against published answers, R, GrowthBook, statsmodels, quadrature and rows of units."""

import json
import math
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, special
from statsmodels.stats.power import NormalIndPower

from analysis import design, power, windows
from analysis.moments import Layout, Moments
from analysis.multiplicity import adjusted_power
from analysis.plan import DecisionRule, Event, Metric, Plan, Variant, Window
from analysis.power import Claim, Design, plan_power, plan_row
from analysis.sample_size import (
    difference_variance,
    distance,
    holdout_factor,
    holdout_fraction,
    lift_power,
    needed_events,
    needed_units,
    power_of,
    reversal_power,
    smallest_lift,
)
from tests.analysis.unit_rows import (
    ACTIVE,
    HEAD_SHARE,
    LINES,
    draw_rows,
    exact,
    make_plan,
    matrix,
    two_windows,
    variants,
)

KNOWN = json.loads((Path(__file__).parents[1] / "reference" / "power.json").read_text(encoding="utf-8"))["entries"]

#: Closed forms of the same thing differ by rounding.
ROUNDING = 1e-10

#: Root finding stops at a relative 1e-12 of the drift, and probabilities by quadrature are right to 1e-9 or better.
SOLVED = 1e-7

#: n - 1 against n, and whole units: parts in ten thousand at the sizes used here.
ONE_PART_IN_N = 1e-3


def expected(entry):
    return pytest.approx(KNOWN[entry]["expected"], abs=KNOWN[entry]["tolerance"])


def share_variance(p):
    return p * (1 - p)


# --- One test ---------------------------------------------------------------------------------------------------------
def test_units_for_shares_equal_r_and_evan_miller_and_the_closed_form():
    def units(low, high, alpha_null, wanted):
        variance = difference_variance(share_variance(low), share_variance(high))
        null = (
            None if alpha_null is None else difference_variance(share_variance(alpha_null), share_variance(alpha_null))
        )
        return needed_units(high - low, variance, 0.05, wanted, null) / 2

    assert units(0.5, 0.75, 0.625, 0.9) == expected("proportions_r")
    assert units(0.2, 0.25, 0.2, 0.8) == expected("proportions_evan_miller")
    assert units(0.4, 0.41, None, 0.8) == expected("retention")


def test_an_effect_of_one_standard_deviation_needs_sixteen_units_a_variant():
    assert needed_units(1.0, difference_variance(1.0, 1.0), 0.05, 0.8) / 2 == expected("rule_of_16")


def test_events_equal_schoenfeld_and_rpact():
    assert [needed_events(0.5, 0.05, 0.8), needed_events(0.7, 0.05, 0.9)] == expected("schoenfeld")


def test_relative_power_and_effect_equal_growthbook():
    n, variance = 400_000 / 3, 3909.9997749994377 / 100
    assert difference_variance(2, 0.5, 15 / 19) / 19 == expected("difference_variance")
    assert lift_power(0.05, variance, n, n, 0.05) == expected("lift_power")
    assert smallest_lift(variance, n, n, 0.05, 0.8) == expected("smallest_lift")


def test_a_lift_that_no_size_of_effect_makes_visible_is_none():
    assert smallest_lift(variance=100.0, n_control=50, n_treatment=50, alpha=0.05, power=0.8) is None


@pytest.mark.parametrize("share", [0.5, 0.1, 0.73])
def test_equal_variances_give_what_statsmodels_gives(share):
    ratio = share / (1 - share)
    known = NormalIndPower().solve_power(effect_size=0.1, alpha=0.01, power=0.9, ratio=ratio)
    found = needed_units(0.3, difference_variance(9.0, 9.0, share), 0.01, 0.9)
    # statsmodels counts the far tail too, which is nothing here.
    assert found * (1 - share) == pytest.approx(known, rel=1e-6)


@pytest.mark.parametrize("wanted", [0.3, 0.8, 0.99])
def test_the_units_needed_have_the_power_wanted(wanted):
    variance = difference_variance(4.0, 7.0, 0.2)
    units = needed_units(0.5, variance, 0.01, wanted)
    # The far tail adds at most a hundred thousandth at these powers.
    assert power_of(0.5, math.sqrt(variance / units), 0.01) == pytest.approx(wanted, abs=1e-5)
    assert power_of(-0.5, math.sqrt(variance / units), 0.01) == pytest.approx(wanted, abs=1e-5)


def test_power_without_an_effect_is_alpha():
    assert power_of(0.0, 1.0, 0.05) == pytest.approx(0.05, abs=ROUNDING)


def test_holdouts_cost_what_the_table_says_and_the_fraction_is_found_again():
    fractions = [0.01, 0.02, 0.05, 0.1]
    assert [holdout_factor(fraction) for fraction in fractions] == expected("holdout_factor")
    for fraction in [*fractions, 0.5]:
        assert holdout_fraction(holdout_factor(fraction)) == pytest.approx(fraction, rel=1e-6)
    assert holdout_fraction(0.99) is None
    for fraction in fractions:
        even, uneven = difference_variance(1, 1), difference_variance(1, 1, 1 - fraction)
        assert holdout_factor(fraction) == pytest.approx(math.sqrt(uneven / even), rel=ROUNDING)


def test_guardrails_cost_what_spotify_says():
    assert [adjusted_power(0.8, 5), adjusted_power(0.8, 2)] == expected("guardrail_power")
    cost = [(distance(0.05, adjusted_power(0.8, count)) / distance(0.05, 0.8)) ** 2 for count in (1, 2, 5)]
    assert cost == expected("guardrail_inflation")


# --- Reversals --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("correlation", [0.5, 0.7, 0.9])
def test_two_clear_legs_at_five_percent_each_are_flagged_four_times_in_five(correlation):
    assert reversal_power(3.0, 3.0, correlation, alpha=0.2) == expected("reversal")


@pytest.mark.parametrize(("early", "late", "correlation"), [(3, 3, 0.5), (2, 4, -0.3), (0.5, 1, 0.9), (5, 2.5, 0.0)])
def test_reversal_power_is_the_integral_over_the_early_leg(early, late, correlation):
    c, spread = float(special.ndtri(1 - 0.05 / 4)), math.sqrt(1 - correlation**2)

    def both(z):
        given_early = (late - correlation * (z - early) - c) / spread
        return math.exp(-0.5 * (z - early) ** 2) / math.sqrt(2 * math.pi) * special.ndtr(given_early)

    known, _ = integrate.quad(both, c, early + 12, epsabs=1e-12)
    # scipy's bivariate probability is right to 1e-5 by its own setting.
    assert reversal_power(early, late, correlation, 0.05) == pytest.approx(known, abs=2e-5)


def test_legs_that_move_as_one_are_flagged_as_the_sum_allows_and_never_more_than_the_weaker_leg():
    c = float(special.ndtri(1 - 0.0125))
    one, other = special.ndtr(3.0 - c), special.ndtr(2.5 - c)
    assert reversal_power(3.0, 2.5, 1.0, 0.05) == pytest.approx(max(0.0, one + other - 1), abs=1e-6)
    assert reversal_power(3.0, 2.5, -1.0, 0.05) == pytest.approx(min(one, other), abs=1e-6)
    assert reversal_power(3.0, 2.5, 0.0, 0.05) == pytest.approx(one * other, abs=1e-6)


# --- Looks ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", [0, 1])
def test_looks_inflate_the_units_as_rpact_says(number):
    spending = ("obrien_fleming", "pocock")[number]
    plan = two_windows(enrollment_weeks=12, decision=DecisionRule(spending=spending))
    row = plan_row(Design(plan, skewed_history(plan), 1000, 2), plan.metrics[0], plan.window("late"))
    known = KNOWN["sequential_inflation"]
    assert row.alpha == 0.025, "early and late are judged"
    claim = Claim(plan, 0.05, 0.8)
    inflation = (claim.drift(12, 1000) / distance(0.05, 0.8)) ** 2
    # rpact counts a path that first crosses on the wrong side and comes back; here such a path has stopped.
    assert inflation == pytest.approx(known["expected"][number], abs=2 * known["tolerance"])


def test_the_drift_has_the_power_and_a_single_look_has_no_inflation():
    claim = Claim(two_windows(), 0.05, 0.8)
    assert claim.drift(1, 1000) == pytest.approx(distance(0.05, 0.8), rel=SOLVED)
    assert claim.power_at(claim.drift(7, 1000), 7, 1000) == pytest.approx(0.8, abs=SOLVED)


# --- Plans ------------------------------------------------------------------------------------------------------------
def skewed_history(plan, units=4_000, seed=5):
    rows = draw_rows(replace(plan, variants=variants(50)), units, seed)
    return Moments.of(matrix(plan, rows))


def test_scaling_keeps_the_mean_and_the_covariance():
    history = skewed_history(make_plan(), units=50)
    scaled = design.scaled(history, 1234)
    assert scaled.n == 1234
    assert np.allclose(scaled.mean, history.mean, rtol=ROUNDING)
    assert np.allclose(scaled.covariance, history.covariance, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("pre_weeks", [0, 2])
def test_standard_errors_equal_those_of_the_rows(pre_weeks):
    plan = make_plan(pre_weeks=pre_weeks, variants=variants(70, 30))
    rows = draw_rows(replace(plan, variants=variants(50)), 3_000, 7)
    found = plan_power(plan, Moments.of(matrix(plan, rows)), units_per_week=2_000)
    size = 1 / (2_000 * 3 * 0.7) + 1 / (2_000 * 3 * 0.3)
    for row in found.rows:
        window = plan.window(row.window)
        above, below = {
            "lines": ("lines", None), "active": ("active", None), "head_share": ("head", "lines"),
            "lines_a_row": ("lines", "rows"),
        }[row.metric]  # fmt: skip
        value, before = rows.window(above, window), rows.before(above)
        mean = value.mean()
        if below is not None:
            mean = value.mean() / rows.window(below, window).mean()
            value = (value - mean * rows.window(below, window)) / rows.window(below, window).mean()
            before = before - before.mean() / rows.before(below).mean() * rows.before(below)
        left = 1 - np.corrcoef(value, before)[0, 1] ** 2 if pre_weeks else 1.0
        known = math.sqrt(np.var(value, ddof=1) * left * size) / mean
        assert row.se == pytest.approx(known, rel=ONE_PART_IN_N)
        assert row.control_mean == pytest.approx(mean, rel=1e-9)
        assert (row.units, row.reason) == (6_000, None)


@pytest.mark.parametrize("number", range(4))
def test_a_covariate_leaves_one_minus_its_squared_correlation(number):
    correlation = (0.3, 0.5, 0.7, 0.9)[number]
    covariance = [[1, correlation, 0], [correlation, 1, 0], [0, 0, 1]]
    history = exact(1_000, [5.0, 5.0, 5.0], covariance)
    errors = []
    for pre_weeks in (0, 4):
        plan = two_windows(pre_weeks=pre_weeks)
        errors.append(plan_row(Design(plan, history, 10_000, 2), plan.metrics[0], plan.window("early")).se)
    known = KNOWN["cuped"]
    assert (errors[1] / errors[0]) ** 2 == pytest.approx(known["expected"][number], abs=known["tolerance"])


def of(found, metric, window):
    return next(row for row in found.rows if (row.metric, row.window) == (metric, window))


def test_levels_and_powers_are_those_of_the_claims():
    plan = make_plan()
    found = plan_power(plan, skewed_history(plan), 2_000)
    # Judged: lines early and late, active late.
    assert [of(found, *pair).alpha for pair in (("lines", "early"), ("lines", "late"), ("active", "late"))] == [
        pytest.approx(0.05 / 3)
    ] * 3
    assert (of(found, "active", "early").alpha, of(found, "head_share", "early").margin) == (0.05, None)
    guardrail = of(found, "head_share", "late")
    assert (guardrail.alpha, guardrail.margin) == (0.05, 0.02)
    assert guardrail.power == pytest.approx(adjusted_power(0.8, 1))
    assert of(found, "lines", "late").power == 0.8
    assert found.variant == "a"


def test_the_smallest_lift_of_a_single_look_is_its_distance():
    plan = make_plan(enrollment_weeks=1)
    row = of(plan_power(plan, skewed_history(plan), 5_000), "lines", "early")
    assert row.inflation == pytest.approx(1.0, abs=SOLVED)
    assert row.mde_lift == pytest.approx(distance(0.05 / 3, 0.8) * row.se, rel=SOLVED)
    assert row.wanted_lift == pytest.approx(row.mde_lift / 2, rel=ROUNDING)
    assert row.units_needed == pytest.approx(4 * 5_000, rel=SOLVED)


RULES = [DecisionRule(), DecisionRule(spending="pocock"), DecisionRule(looks="any_time", planned_units=6_000)]


@pytest.mark.parametrize("rule", RULES)
def test_the_units_needed_find_the_lift_that_was_wanted(rule):
    plan = make_plan(decision=rule, variants=variants(60, 40))
    history = skewed_history(plan)
    first = of(plan_power(plan, history, 2_000, wanted={"lines": 0.02}), "lines", "late")
    assert first.wanted_lift == 0.02
    again = of(plan_power(plan, history, first.units_needed / 3), "lines", "late")
    assert again.mde_lift == pytest.approx(0.02, rel=ONE_PART_IN_N)


@pytest.mark.parametrize("rule", RULES)
def test_the_weeks_needed_find_the_lift_and_one_week_less_does_not(rule):
    plan = make_plan(decision=rule)
    history = skewed_history(plan)
    weeks = of(plan_power(plan, history, 2_000, wanted={"active": 0.02}), "active", "late").weeks_needed
    assert weeks > 1
    found = [
        of(plan_power(replace(plan, enrollment_weeks=count), history, 2_000), "active", "late").mde_lift
        for count in (weeks - 1, weeks)
    ]
    assert found[0] > 0.02 >= found[1]


def test_a_lift_out_of_reach_has_units_and_a_reason_instead_of_weeks():
    plan = make_plan()
    row = of(plan_power(plan, skewed_history(plan), 200, wanted={"lines": 0.001}), "lines", "late")
    assert row.weeks_needed is None
    assert row.units_needed > 104 * 200
    assert row.reason == "more than 104 weeks of enrollment would be needed"


def test_a_lift_that_is_not_positive_is_refused():
    plan = make_plan()
    with pytest.raises(ValueError, match=r"positive fraction, not -0\.1"):
        plan_power(plan, skewed_history(plan), 200, wanted={"lines": -0.1})


@pytest.mark.parametrize(("better", "sign"), [("higher", 1), ("lower", -1)])
def test_a_guardrail_is_planned_on_the_log_of_its_margin(better, sign):
    guardrail = replace(LINES, role="guardrail", term=None, better=better, margin=0.05)
    plan = make_plan(metrics=(ACTIVE, guardrail), enrollment_weeks=1)
    row = of(plan_power(plan, skewed_history(plan), 8_000), "lines", "late")
    far = abs(math.log(1 - sign * 0.05)) / row.se
    assert row.margin_power == pytest.approx(special.ndtr(far - special.ndtri(0.975)), abs=1e-6)
    reach = distance(0.05, 0.9) * row.se
    assert abs(math.log(1 - sign * row.mde_lift)) == pytest.approx(reach, rel=SOLVED)
    assert row.wanted_lift == 0.05
    assert row.units_needed == pytest.approx(8_000 * (distance(0.05, 0.9) / far) ** 2, rel=SOLVED)


def test_a_guardrail_without_a_primary_shares_no_power_with_one():
    plan = make_plan(metrics=(replace(HEAD_SHARE, key="one"), replace(HEAD_SHARE, key="two")))
    assert of(plan_power(plan, skewed_history(plan), 800), "one", "late").power == pytest.approx(0.9)


def test_the_treatment_with_the_fewest_units_is_planned():
    plan = make_plan(variants=variants(50, 30, 20))
    found = plan_power(plan, skewed_history(plan), 1_000)
    row = of(found, "lines", "early")
    assert (found.variant, row.units) == ("b", 2_100)
    assert row.alpha == pytest.approx(0.05 / 6)


def test_without_a_designed_split_it_is_even():
    plan = make_plan(variants=variants(None, None))
    assert of(plan_power(plan, skewed_history(plan), 1_000), "lines", "early").units == 3_000
    assert Design(plan, skewed_history(plan), 1_000, 6).sizes == (1_500, 1_500)


def test_negative_means_are_planned_by_their_size():
    plan = two_windows()
    covariance = [[1.0, 0.3, 0.2], [0.3, 1.0, 0.4], [0.2, 0.4, 1.0]]
    rows = [
        plan_row(Design(plan, exact(500, [mean] * 3, covariance), 4_000, 2), plan.metrics[0], plan.window("late"))
        for mean in (3.0, -3.0)
    ]
    assert rows[0].mde_lift == pytest.approx(rows[1].mde_lift, rel=ROUNDING)


def reasons(plan, history, rate=1_000, weeks=None):
    found = plan_power(plan, history, rate, weeks)
    return {(row.metric, row.window): row.reason for row in found.rows}, found


def test_weeks_beyond_the_history_have_a_reason_and_the_others_numbers():
    plan = make_plan()
    told, found = reasons(plan, skewed_history(plan), weeks=4)
    assert told["lines", "early"] is None
    assert told["lines", "late"] == "the history has 4 of the 6 weeks since exposure that are needed"
    assert {one.reason for one in found.reversals} == {told["lines", "late"]}


@pytest.mark.parametrize(
    ("history", "rate", "said"),
    [
        (exact(29, [2, 2, 2], np.eye(3)), 1_000, "fewer than 30 units of history"),
        (exact(500, [2, 2, 2], np.eye(3)), 50, "fewer than 30 units in a variant are planned"),
        (exact(500, [2, 2, 2], np.zeros((3, 3))), 1_000, "the units of the history do not vary"),
        (exact(500, [0, 0, 0], np.eye(3)), 1_000, "control's mean is zero, so there is no lift"),
        (exact(500, [0, 0.01, 0], np.eye(3)), 1_000, "control's mean is not surely different from zero"),
    ],
)
def test_what_cannot_be_planned_says_why(history, rate, said):
    told, found = reasons(two_windows(), history, rate)
    assert told["lines", "early"].startswith(said)
    row = found.rows[0]
    assert (row.se, row.mde_lift, row.units_needed, row.weeks_needed) == (None, None, None, None)
    assert all(one.power is None and one.reason for one in found.reversals)


def test_a_ratio_whose_denominator_is_nothing_says_so():
    plan = two_windows(metrics=(replace(HEAD_SHARE, role="secondary", margin=None),))
    mean = np.zeros(Layout.of(plan).columns)
    told, _ = reasons(plan, exact(500, mean, np.eye(len(mean))))
    assert told["head_share", "early"] == "the denominator sums to zero, so there is no ratio"


# --- Reversals of a plan ----------------------------------------------------------------------------------------------
def test_reversals_are_planned_for_what_the_windows_can_find():
    plan = make_plan()
    found = plan_power(plan, skewed_history(plan), 8_000)
    lines = [one for one in found.reversals if one.metric == "lines"]
    early, late = of(found, "lines", "early").mde_lift, of(found, "lines", "late").mde_lift
    assert [(one.early_lift, one.late_lift) for one in lines[:3]] == [
        (pytest.approx(times * early), pytest.approx(-times * late)) for times in (1, 1.5, 2)
    ]
    powers = [one.power for one in lines[:3]]
    assert 0.4 < powers[0] < powers[1] < powers[2] < 1
    assert [one.hazard for one in lines] == [None, None, None, 0.003, 0.006]
    assert {one.metric for one in found.reversals} == {"lines", "active", "head_share"}, "diagnostics are left out"
    lower = next(one for one in found.reversals if one.metric == "head_share")
    assert lower.early_lift < 0 < lower.late_lift
    assert all(one.reason is None for one in found.reversals)


def test_what_is_to_fall_cannot_fall_by_more_than_all():
    fall = replace(LINES, better="lower")
    covariance = [[1.0, 0.3, 0.2], [0.3, 1.0, 0.4], [0.2, 0.4, 1.0]]
    wide = exact(500, [0.5, 0.5, 0.5], 3 * np.array(covariance))
    plan = two_windows(metrics=(fall,))
    found = plan_power(plan, wide, 150)
    row = of(found, "lines", "late")
    drift = Claim(plan, 0.025, 0.8).drift(1, 150)
    assert drift * row.se > 1
    assert (row.mde_lift, row.wanted_lift) == (None, 0.5)
    assert row.reason == f"even a fall to nothing is too small to be found: that takes {100 * drift * row.se:.0f} %"
    assert row.units_needed == pytest.approx(150 * (drift * row.se / 0.5) ** 2, rel=SOLVED)
    assert row.weeks_needed is not None
    assert [one.reason for one in found.reversals] == [of(found, "lines", "early").reason]
    rise = of(plan_power(two_windows(), wide, 150), "lines", "late")
    assert (rise.mde_lift, rise.reason) == (pytest.approx(drift * row.se), None)


@pytest.mark.parametrize(("better", "sign"), [("higher", -1), ("lower", 1)])
def test_of_a_negative_mean_the_win_has_the_other_sign(better, sign):
    metric = replace(LINES, better=better)
    plan = two_windows(metrics=(metric,))
    covariance = [[1.0, 0.3, 0.2], [0.3, 1.0, 0.4], [0.2, 0.4, 1.0]]
    planned = {mean: plan_power(plan, exact(500, [mean] * 3, covariance), 4_000).reversals[0] for mean in (3.0, -3.0)}
    assert np.sign([planned[-3.0].early_lift, planned[-3.0].late_lift]).tolist() == [sign, -sign]
    # A rise and a fall of the same size are not the same on the log scale, by a few hundredths at these lifts.
    assert planned[-3.0].power == pytest.approx(planned[3.0].power, abs=0.05)


def test_the_correlation_of_the_legs_is_that_of_the_units():
    plan, covariance = two_windows(), [[1.0, 0.3, 0.2], [0.3, 1.0, 0.4], [0.2, 0.4, 1.0]]
    design = Design(plan, exact(500, [3, 3, 3], covariance), 4_000, 2)
    found = power.plan_reversal(design, plan.metrics[0], 0.05, -0.04)
    assert found.correlation == pytest.approx(0.4, abs=ROUNDING)
    se = plan_row(design, plan.metrics[0], plan.window("early")).se
    assert found.power == pytest.approx(reversal_power(math.log(1.05) / se, -math.log(0.96) / se, 0.4, 0.05), abs=1e-9)


def test_a_loss_of_more_than_everything_is_not_planned():
    plan = two_windows()
    design = Design(plan, exact(500, [3, 3, 3], np.eye(3)), 4_000, 2)
    found = power.plan_reversal(design, plan.metrics[0], 0.05, -1.0)
    assert found.power is None
    assert found.reason.startswith("nothing can lose more")


def test_churn_takes_a_share_of_those_that_are_left_each_week():
    path = power.churn_path(6, 0.1, 0.5, first_week=3)
    assert path == pytest.approx([0.1, 0.1, 0.1, 0.55 - 1, 0.275 - 1, 0.1375 - 1])


def test_the_lift_of_a_window_weighs_weeks_by_their_means():
    plan = make_plan(metrics=(LINES,), pre_weeks=0)
    history = exact(500, [0, 4, 4, 4, 4, 3, 1], np.eye(7))
    design = Design(plan, history, 1_000, 6)
    path = np.array([0, 0, 0, 0, 0.1, -0.1])
    assert power.window_lift(design, LINES, plan.window("late"), path) == pytest.approx((0.3 - 0.1) / 4)
    churn = power.plan_churn(design, LINES, 0.05, 0.01)
    assert churn.early_lift == pytest.approx(0.05)
    # Weeks 4 and 5 have lost three and four times since week 2, when the early window has ended.
    assert churn.late_lift == pytest.approx(1.05 * (3 * 0.99**3 + 0.99**4) / 4 - 1)
    assert (churn.hazard, churn.reason) == (0.01, None)


def test_churn_without_history_says_why():
    plan = make_plan()
    found = power.plan_churn(Design(plan, skewed_history(plan), 1_000, 2), LINES, 0.05, 0.01)
    assert (found.power, found.late_lift) == (None, None)
    assert "the history has 2" in found.reason


def test_events_are_told_for_time_to_event_metrics():
    churn = Metric(
        key="churn", kind="event", better="lower", role="guardrail", margin=0.02,
        event=Event(type="inactivity", column="lines", gap_weeks=2),
    )  # fmt: skip
    plan = make_plan(metrics=(LINES, churn), variants=variants(80, 20))
    found = plan_power(plan, skewed_history(plan), 1_000)
    assert [(one.metric, one.hazard_ratio) for one in found.events] == [("churn", 1.1), ("churn", 1.2), ("churn", 1.5)]
    assert found.events[1].events == pytest.approx(needed_events(1.2, 0.05, 0.8, 0.2), rel=ROUNDING)
    assert {row.metric for row in found.rows} == {"lines", "churn"}


# --- Dates ------------------------------------------------------------------------------------------------------------
def dated(**changes) -> Plan:
    given = {
        "start_date": date(2024, 1, 1), "enrollment_weeks": 4, "horizon_weeks": 26,
        "windows": (Window("early", 0, 4), Window("late", 13, 26)), **changes,
    }  # fmt: skip
    return make_plan(**given)


def test_dates_are_those_of_the_windows():
    found = power.dates(dated())
    # Cohort 0 has lived week 0 after 13 days; 25 weeks later the late window; cohort 3 three weeks after.
    assert found.first_look == date(2024, 1, 14)
    assert found.early_from == date(2024, 2, 4)
    assert found.early_all == date(2024, 2, 25)
    assert found.late_from == date(2024, 7, 7)
    assert (found.late_all, found.end) == (date(2024, 7, 28), date(2024, 7, 28))
    assert found.warning is None


def test_a_late_window_after_the_planned_end_is_warned_of():
    said = "the late window is readable from 2024-07-28 on, after the planned end 2024-07-27"
    assert power.dates(dated(), planned_end=date(2024, 7, 27)).warning == said
    assert power.dates(dated(planned_end_date=date(2024, 7, 27))).warning == said
    assert power.dates(dated(planned_end_date=date(2024, 7, 28))).warning is None


def test_rows_are_readable_when_all_cohorts_are():
    plan = make_plan()
    for row in plan_power(plan, skewed_history(plan), 1_000).rows:
        assert row.readable_from == windows.fully_readable(plan, plan.window(row.window).end_week)


# --- Holdouts ---------------------------------------------------------------------------------------------------------
def held_out(fraction: float, **changes) -> Plan:
    split = (Variant("held_out", fraction, control=True), Variant("launched", 1 - fraction))
    return make_plan(kind="holdout", variants=split, fraction=fraction, **changes)


def test_a_holdout_is_planned_for_other_sizes_of_the_same_units():
    plan = held_out(0.05)
    history = skewed_history(plan)
    found = plan_power(plan, history, 40_000)
    # Looks are as many as cohorts, so the same drift holds for all sizes: only the standard error changes.
    judged = {(one.metric, one.window) for one in found.holdouts}
    assert judged == {("lines", "early"), ("active", "late")}
    for metric, window in judged:
        rows = [one for one in found.holdouts if one.metric == metric]
        assert [one.fraction for one in rows] == [0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
        assert [one.units for one in rows] == [round(120_000 * one.fraction) for one in rows]
        for one in rows:
            assert one.factor == pytest.approx(holdout_factor(one.fraction), rel=ROUNDING)
            assert one.mde_lift / rows[-1].mde_lift == pytest.approx(one.factor, rel=ONE_PART_IN_N)
            again = of(plan_power(held_out(one.fraction), history, 40_000), metric, window)
            assert (one.mde_lift, one.reason) == (pytest.approx(again.mde_lift, rel=ROUNDING), None)


def test_a_holdout_of_its_own_size_stands_in_its_place_and_one_of_too_few_units_has_a_reason():
    plan = held_out(0.03)
    rows = [one for one in plan_power(plan, skewed_history(plan), 500).holdouts if one.metric == "active"]
    assert [one.fraction for one in rows] == [0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5]
    assert (rows[0].mde_lift, rows[0].reason) == (None, "fewer than 30 units in a variant are planned")
    assert rows[2].reason is None


def test_a_holdout_without_primaries_tells_all_metrics_and_an_experiment_no_sizes():
    plan = held_out(0.1, metrics=(replace(HEAD_SHARE, key="one"), replace(LINES, role="secondary")))
    assert {one.metric for one in plan_power(plan, skewed_history(plan), 4_000).holdouts} == {"one", "lines"}
    assert plan_power(make_plan(), skewed_history(make_plan()), 4_000).holdouts == ()


def test_warnings_and_units_by_variant_are_told():
    plan = held_out(0.05, planned_end_date=date(2024, 1, 20))
    found = plan_power(plan, skewed_history(plan), 4_000)
    assert found.units == {"held_out": 600, "launched": 11_400}
    assert len(found.warnings) == 1
    assert found.warnings[0] == found.dates.warning
    assert plan_power(make_plan(variants=variants(None, None, None)), skewed_history(make_plan()), 40).units == {
        "control": 40, "a": 40, "b": 40,
    }  # fmt: skip
