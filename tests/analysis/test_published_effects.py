"""Effects, lifts and adjustment against published numbers and other packages; the answers are in tests/reference."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tea_tasting as tt
from scipy import stats

from analysis.effects import Means, compare, effect_of, lift_interval
from analysis.moments import Layout, Moments
from analysis.results import Comparison
from tests.analysis.brute_force import fieller
from tests.analysis.unit_rows import HEAD_SHARE, LINES, effect_between, exact, one_window, two_columns

REFERENCE = Path(__file__).parents[1] / "reference"
KNOWN = json.loads((REFERENCE / "effects.json").read_text(encoding="utf-8"))["entries"]
Z = stats.norm.ppf(0.975)

#: The same formula on rows and from moments: some thousand additions of numbers of one size.
PLAIN = 1e-8


def known(entry: str) -> tuple[Any, Any, float]:
    """Inputs, expected values and tolerance of an answer."""
    answer = KNOWN[entry]
    return answer["inputs"], answer["expected"], answer["tolerance"]


def arms_of(*arms: np.ndarray) -> list[Moments]:
    return [Moments.of(np.column_stack([np.zeros(len(arm)), arm])) for arm in arms]


# --- tea-tasting ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def users() -> pd.DataFrame:
    """4,000 users of tea-tasting's generator, those of its user guide."""
    return tt.make_users_data(rng=42, return_type="pandas", covariates=False)


GUIDE = KNOWN["tea_tasting"]["expected"]


def users_effect(users: pd.DataFrame, name: str) -> Comparison:
    treated = users["variant"]
    if name == "orders_per_session":
        plan = one_window(metrics=(HEAD_SHARE,))
        table = users.assign(before=0.0)[["before", "orders", "before", "sessions"]].to_numpy(float)
        arms = [Moments.of(table[treated == value]) for value in (0, 1)]
        return effect_of(compare(arms[0], arms[1], Layout.of(plan), HEAD_SHARE, plan.windows, adjust=False))
    return effect_between(*two_columns(users.assign(before=0.0), ["before", name], treated))


@pytest.mark.parametrize("name", GUIDE)
def test_the_numbers_of_the_tea_tasting_user_guide_are_reproduced(users: pd.DataFrame, name: str) -> None:
    tolerance = KNOWN["tea_tasting"]["tolerance"]
    found = users_effect(users, name)
    assert (found.n_control, found.n_treatment) == (2023, 1977)
    shown = [found.control_mean, found.treatment_mean, found.lift, found.lift_low, found.lift_high]
    assert shown == pytest.approx(GUIDE[name][:5], abs=tolerance)
    assert found.p_value == pytest.approx(GUIDE[name][5], abs=6e-4)  # three printed digits, and theirs is Student's


@pytest.mark.parametrize("name", GUIDE)
def test_tea_tasting_itself_agrees_on_the_same_rows(users: pd.DataFrame, name: str) -> None:
    """Without Student's distribution, which the package would use by default and we do not: at 2,000 users a variant
    the two differ in the fourth digit."""
    ratio = name == "orders_per_session"
    metric = tt.RatioOfMeans("orders", "sessions", use_t=False) if ratio else tt.Mean(name, use_t=False)
    theirs = tt.Experiment(metric=metric).analyze(users)["metric"]
    ours = users_effect(users, name)
    assert ours.effect == pytest.approx(theirs.effect_size, rel=PLAIN)
    assert ours.effect_low == pytest.approx(theirs.effect_size_ci_lower, rel=PLAIN)
    assert ours.effect_high == pytest.approx(theirs.effect_size_ci_upper, rel=PLAIN)
    assert ours.lift == pytest.approx(theirs.rel_effect_size, rel=PLAIN)
    assert ours.lift_low == pytest.approx(theirs.rel_effect_size_ci_lower, rel=PLAIN)
    assert ours.lift_high == pytest.approx(theirs.rel_effect_size_ci_upper, rel=PLAIN)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=PLAIN)


def test_tea_tasting_with_a_covariate_is_near_though_it_pools_the_slope() -> None:
    """Equal variants: a common slope (theirs) and one for each variant (ours, Lin) differ by less than a percent."""
    users = tt.make_users_data(rng=7, covariates=True, n_users=8_000, return_type="pandas")
    theirs = tt.Experiment(metric=tt.Mean("revenue", "revenue_covariate", use_t=False)).analyze(users)["metric"]
    ours = effect_between(*two_columns(users, ["revenue_covariate", "revenue"], users["variant"]), adjust=True)
    their_se = (theirs.effect_size_ci_upper - theirs.effect_size_ci_lower) / 2 / Z
    assert ours.adjusted
    assert ours.effect_se == pytest.approx(their_se, rel=0.01)
    assert ours.effect == pytest.approx(theirs.effect_size, abs=0.05 * their_se)
    assert ours.unadjusted_se is not None
    assert their_se < 0.95 * ours.unadjusted_se  # the covariate helps, so agreement says something


# --- GrowthBook -------------------------------------------------------------------------------------------------------


def raw_moments(n: int, sums: Sequence[float], products: Sequence[Sequence[float]]) -> Moments:
    return Moments(n, np.array(sums, dtype=float), np.array(products, dtype=float), np.zeros(len(sums)))


def gbstats(entry: str) -> Comparison:
    """The comparison of two sides given as n, sum and sum of squares (of zeros and ones: the sum)."""
    inputs = known(entry)[0]
    sides = [inputs["control"], inputs["treatment"]]
    return effect_between(*(
        raw_moments(side["n"], [0, side["sum"]], [[0, 0], [0, side.get("sum_squares", side["sum"])]]) for side in sides
    ))  # fmt: skip


def freedom(control: tuple[float, int], treatment: tuple[float, int]) -> float:
    """Degrees of freedom of Welch and Satterthwaite from (variance of the mean, n) of both sides."""
    pairs = (control, treatment)
    return sum(v for v, _ in pairs) ** 2 / sum(v**2 / (n - 1) for v, n in pairs)


def welch(entry: str) -> float:
    pairs = []
    for side in (known(entry)[0]["control"], known(entry)[0]["treatment"]):
        variance = (side["sum_squares"] - side["sum"] ** 2 / side["n"]) / (side["n"] - 1)
        pairs.append((variance / side["n"], side["n"]))
    return freedom(*pairs)


def test_gbstats_absolute_differences_agree_but_for_student_and_normal() -> None:
    _, expected, tolerance = known("welch_t_absolute")
    found, student = gbstats("welch_t_absolute"), stats.t(welch("welch_t_absolute"))
    assert found.effect is not None
    assert found.effect_se is not None
    assert found.effect == pytest.approx(expected["effect"], abs=tolerance)
    assert found.effect_se == pytest.approx(expected["standard_error"], abs=tolerance)
    half = student.ppf(0.975) * found.effect_se
    assert [found.effect - half, found.effect + half] == pytest.approx(expected["ci"], abs=tolerance)
    assert 2 * student.sf(found.effect / found.effect_se) == pytest.approx(expected["p_value"], abs=tolerance)
    # Ours is normal: a little narrower at 5,800 degrees of freedom.
    assert found.effect_high == pytest.approx(found.effect + half * Z / student.ppf(0.975), rel=PLAIN)
    assert found.p_value == pytest.approx(expected["p_value"], rel=0.01)


def test_gbstats_one_sided_test_has_half_of_our_p_value_but_for_student_and_normal() -> None:
    _, expected, tolerance = known("one_sided_greater_absolute")
    found, student = gbstats("one_sided_greater_absolute"), stats.t(welch("one_sided_greater_absolute"))
    assert found.effect is not None
    assert found.effect_se is not None
    assert found.effect == pytest.approx(expected["effect"], abs=tolerance)
    assert found.effect_se == pytest.approx(expected["standard_error"], abs=tolerance)
    assert student.sf(found.effect / found.effect_se) == pytest.approx(expected["p_value"], abs=tolerance)
    assert found.effect - student.ppf(0.95) * found.effect_se == pytest.approx(expected["ci_lower"], abs=tolerance)
    assert found.p_value is not None
    assert found.p_value / 2 == pytest.approx(expected["p_value"], rel=1e-3)


def test_gbstats_relative_effect_has_our_point_and_standard_error_but_another_interval() -> None:
    """Theirs is lift +- t se, symmetric: [-.035, 1.450]. Ours is symmetric for the log of the ratio, so it is not."""
    _, expected, tolerance = known("welch_t_relative")
    found = gbstats("welch_t_relative")
    assert found.lift == pytest.approx(expected["effect"], abs=tolerance)
    assert found.lift_low is not None
    assert found.lift_high is not None
    se = (math.log1p(found.lift_high) - math.log1p(found.lift_low)) / 2 / Z * (1 + expected["effect"])
    assert se == pytest.approx(expected["standard_error"], abs=2 * tolerance)
    assert found.lift_low > expected["ci"][0]
    assert found.lift_high > expected["ci"][1]


def test_gbstats_small_proportions_get_a_lift_but_no_interval() -> None:
    """28 and 30 units: they print an interval, we give none below 30 in a variant. Their variance is p (1 - p)."""
    _, expected, tolerance = known("proportion_relative")
    found = gbstats("proportion_relative")
    assert found.state == "too_few"
    assert found.lift == pytest.approx(expected["effect"], abs=tolerance)
    assert (found.effect_low, found.effect_high, found.lift_low, found.lift_high, found.p_value) == (None,) * 5


def test_gbstats_variance_of_a_difference_agrees() -> None:
    inputs, expected, tolerance = known("delta_var_absolute")
    arms = [
        exact(
            inputs[f"n_{side}"], [0, inputs[f"mean_{side}"]], np.diag([0, inputs[f"var_{side}"]]),
        )
        for side in ("control", "treatment")
    ]  # fmt: skip
    found = effect_between(*arms)
    assert found.effect_se is not None
    assert found.effect_se**2 == pytest.approx(expected["variance"], abs=tolerance)


def test_gbstats_adjusted_effect_is_near_though_it_pools_the_slope() -> None:
    """Theirs: one slope, the difference of adjusted means over the control's unadjusted mean. 3,000 units a variant."""
    inputs, expected, tolerance = known("cuped_mean_relative")
    arms = []
    for side in (inputs["control"], inputs["treatment"]):
        cross = side["post_pre_sum_of_products"]
        products = [[side["pre_sum_squares"], cross], [cross, side["post_sum_squares"]]]
        arms.append(raw_moments(side["n"], [side["pre_sum"], side["post_sum"]], products))
    found = effect_between(*arms, adjust=True)
    assert found.effect is not None
    assert found.control_mean is not None
    # Slopes of -.10 and -.05 against one of -.07, times a difference of .03 in the covariate: parts in a thousand.
    assert found.effect / found.control_mean == pytest.approx(expected["effect"], rel=0.005)
    # Their point from the same moments: the slope of all units together.
    scatter = (arms[0] + arms[1]).scatter
    slope = scatter[0, 1] / scatter[0, 0]
    moved = arms[1].mean - arms[0].mean
    assert (moved[1] - slope * moved[0]) / arms[0].mean[1] == pytest.approx(expected["effect"], abs=tolerance)


def test_gbstats_ratios_agree_but_for_student_and_normal() -> None:
    """The quoted sums are not those of any real rows (a negative variance of the denominator), but formulas are."""
    inputs, expected, tolerance = known("ratio_relative")
    plan, arms = one_window(metrics=(HEAD_SHARE,)), []
    for side in (inputs["control"], inputs["treatment"]):
        products = np.zeros((4, 4))
        products[1, 1], products[3, 3] = side["m_sum_squares"], side["d_sum_squares"]
        products[1, 3] = products[3, 1] = side["md_sum_of_products"]
        arms.append(Moments(side["n"], np.array([0.0, side["m_sum"], 0.0, side["d_sum"]]), products, np.zeros(4)))
    means = compare(arms[0], arms[1], Layout.of(plan), HEAD_SHARE, plan.windows, adjust=False)
    found = effect_of(means)
    assert found.control_mean == pytest.approx(expected["control_ratio"], abs=1e-9)
    assert found.treatment_mean == pytest.approx(expected["treatment_ratio"], abs=1e-9)
    assert found.lift == pytest.approx(expected["effect"], abs=tolerance)
    # Their p value: the lift over its delta-method error, Student's distribution.
    below, above = np.diag(means.covariance)
    error = math.sqrt(above / means.control[0] ** 2 + below * means.treatment[0] ** 2 / means.control[0] ** 4)
    student = stats.t(freedom((below, means.n_control), (above, means.n_treatment)))
    assert 2 * student.sf(expected["effect"] / error) == pytest.approx(expected["p_value"], abs=tolerance)


# --- Mozilla ----------------------------------------------------------------------------------------------------------


def test_mozanalysis_mean_of_one_variant_agrees_but_for_student_and_normal() -> None:
    _, expected, tolerance = known("one_arm_mean_t_ci")
    plan, arms = one_window(), arms_of(np.arange(100.0), np.arange(100.0, 200.0))
    means: Means = compare(arms[0], arms[1], Layout.of(plan), LINES, plan.windows, adjust=False)
    for side, mean in enumerate((means.control[0], means.treatment[0])):
        half = stats.t.ppf(0.975, 99) * math.sqrt(means.covariance[side, side])
        assert [mean, mean - half, mean + half] == pytest.approx(list(expected[side].values()), abs=tolerance)


def test_mozanalysis_difference_of_three_variants_agrees_but_for_student_and_normal() -> None:
    """0..99, 100..199 and 200..299, the middle one as the control."""
    _, expected, tolerance = known("abs_difference_three_arm_ols")
    values = np.arange(100.0)
    low, middle, high = arms_of(values, values + 100, values + 200)
    for other, sign in ((low, -1), (high, 1)):
        found = effect_between(middle, other)
        assert found.effect == pytest.approx(sign * expected["difference"], rel=PLAIN)
        assert found.effect_se is not None
        assert found.effect_se * stats.t.ppf(0.975, 297) == pytest.approx(expected["half_95"], abs=tolerance)
        assert found.effect_se * stats.t.ppf(0.995, 297) == pytest.approx(expected["half_99"], abs=tolerance)
        assert found.effect_high == pytest.approx(found.effect + Z * found.effect_se, rel=PLAIN)


def test_jetstream_impact_of_ten_clients_has_our_difference_but_no_interval_here() -> None:
    _, expected, tolerance = known("small_sample_dau_impact")
    control, treatment = arms_of(np.arange(10) / 20, np.arange(10, 20) / 20)
    found = effect_between(control, treatment)
    assert found.effect is not None
    assert 20 * found.effect == pytest.approx(expected["difference"], rel=PLAIN)
    assert found.lift == pytest.approx(expected["lift"], rel=PLAIN)
    assert found.state == "too_few"
    assert found.effect_se is not None
    half = 20 * found.effect_se * stats.t.ppf(0.975, 18)
    assert [10 - half, 10 + half] == pytest.approx([expected["low"], expected["high"]], abs=tolerance)


def test_jetstream_covariates_narrow_the_interval_and_bring_the_estimate_nearer() -> None:
    truth = known("covariate_adjustment_property")[1]["lift"]
    rng = np.random.RandomState(42)
    control = rng.normal(2, 1, size=200)
    treatment = control + rng.normal(1, 1, size=200)
    covariate = control + rng.normal(0, 1, size=200)
    arms = [
        Moments.of(np.column_stack([covariate[100:], control[100:]])),
        Moments.of(np.column_stack([covariate[:100], treatment[:100]])),
    ]
    plain, adjusted = effect_between(*arms), effect_between(*arms, adjust=True)
    assert adjusted.effect_se is not None
    assert plain.effect_se is not None
    assert adjusted.effect_se < plain.effect_se
    assert abs(adjusted.lift - truth) < abs(plain.lift - truth)  # type: ignore[operator]
    assert plain.lift_low < adjusted.lift_low < adjusted.lift_high < plain.lift_high  # type: ignore[operator]


def test_a_ratio_that_is_the_same_for_every_unit_has_no_test_instead_of_one_made_of_rounding() -> None:
    """jetstream test_population_ratio: numerators 10..1, denominators 100..10; here ten times over, for 100 units."""
    _, expected, tolerance = known("constant_ratio_metric")
    plan = one_window(metrics=(HEAD_SHARE,))
    top = np.tile(np.arange(10.0, 0.0, -1), 10)
    table = np.column_stack([np.zeros(100), top, np.zeros(100), 10 * top])
    for scale in (1.0, 0.3, 1e-3):
        arms = [Moments.of(table * scale), Moments.of(table * scale)]
        found = effect_of(compare(arms[0], arms[1], Layout.of(plan), HEAD_SHARE, plan.windows, adjust=False))
        assert found.control_mean == pytest.approx(expected["ratio"], abs=tolerance)
        assert found.treatment_mean == pytest.approx(expected["ratio"], abs=tolerance)
        assert found.effect == pytest.approx(expected["difference"], abs=1e-12)
        # Either no test at all, or one that says nothing: rounding must never read as a difference.
        assert found.p_value is None or found.p_value > 0.05


# --- A worked ratio ---------------------------------------------------------------------------------------------------


def test_the_log_delta_interval_has_the_worked_values() -> None:
    """Means 10 and 11, standard errors .2; the plain delta method is the worst of three."""
    _, expected, tolerance = known("fieller")
    found = lift_interval(10, 11, np.diag([0.04, 0.04]))
    assert found.lift == pytest.approx(0.1)
    assert found.low is not None
    assert found.high is not None
    assert [1 + found.low, 1 + found.high] == pytest.approx(expected["log_delta"], abs=tolerance)
    # The second implementation with which Fieller's set is tested elsewhere gives the worked values too.
    exact_ends = fieller(10, 11, 0.04, 0.04, Z)
    assert exact_ends == pytest.approx(expected["fieller"], abs=tolerance)
    half = Z * math.sqrt(0.04 / 10**2 + 0.04 * 11**2 / 10**4)
    assert [1.1 - half, 1.1 + half] == pytest.approx(expected["delta"], abs=tolerance)
    away = [abs(ends[0] - exact_ends[0]) for ends in (expected["log_delta"], expected["delta"])]
    assert away[0] < away[1]
