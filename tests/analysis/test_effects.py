"""Effects, adjustment, lifts and contrasts: against formulas on rows, other packages and published numbers."""

import csv
import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import tea_tasting as tt
from scipy import stats

from analysis.effects import Interval, Means, compare, contrast, effect_of, lift_interval, means_of
from analysis.moments import Layout, Moments
from analysis.plan import Metric, Plan, Window
from analysis.results import Comparison
from tests.analysis.brute_force import brute, fieller
from tests.analysis.unit_rows import (
    ACTIVE,
    HEAD_SHARE,
    LINES,
    LINES_A_ROW,
    Rows,
    draw_rows,
    exact,
    make_plan,
    triangle_of_rows,
    two_windows,
    variants,
)

REFERENCE = Path(__file__).parents[1] / "reference"
METRICS = (LINES, ACTIVE, HEAD_SHARE, LINES_A_ROW)
Z = stats.norm.ppf(0.975)

#: The same formula on rows and from moments: some thousand additions of numbers of one size.
PLAIN = 1e-8
#: Adjustment divides by a variance, which costs a few more digits.
ADJUSTED = 1e-6
#: Numbers quoted from R, statsmodels or gbstats with this many digits behind the point.
SEVEN_DIGITS = 1e-7
SIX_DIGITS = 6e-6
#: HC2 divides each squared residual by 1 - leverage, our formula by (n - 1) / n: at thousands of units a part in a
#: thousand, with an allowance for skewed counts, whose few largest residuals go together with a large covariate.
HC2_AT_40_000 = 0.02
#: With 58 units in an arm one leverage of .1 moves the HC2 standard error by more than a percent.
HC2_AT_157 = 0.03


def close(found: float | None, expected: float, relative: float) -> bool:
    """Relative agreement; effects that happen to be near zero are measured against a thousandth."""
    return found is not None and abs(found - expected) <= relative * max(0.001, abs(expected))


WORLDS = [
    pytest.param((50.0, 50.0), 3_000, id="50:50"),
    pytest.param((90.0, 10.0), 4_000, id="90:10"),
    pytest.param((40.0, 30.0, 30.0), 3_000, id="three variants"),
]


@pytest.mark.parametrize("cohorts", [(0, 1, 2), (0,)])
@pytest.mark.parametrize("pre_weeks", [0, 2])
@pytest.mark.parametrize(("weights", "units"), WORLDS)
def test_effects_and_contrasts_equal_the_formulas_on_rows(
    weights: tuple[float, ...], units: int, pre_weeks: int, cohorts: tuple[int, ...]
) -> None:
    plan = make_plan(variants=variants(*weights), pre_weeks=pre_weeks)
    rows = draw_rows(plan, units, seed=len(weights) + pre_weeks)
    triangle = triangle_of_rows(plan, rows)
    tolerance = ADJUSTED if pre_weeks else PLAIN
    for metric in METRICS:
        for variant in plan.treatments:
            means = means_of(triangle, metric, variant.key, plan.windows, cohorts)
            assert means is not None
            expected = brute(rows, metric.key, variant.key, list(cohorts), list(plan.windows), adjust=pre_weeks > 0)
            plain = brute(rows, metric.key, variant.key, list(cohorts), list(plan.windows), adjust=False)
            for step in (0, 1):
                found = effect_of(means, step)
                assert found.state == "ok"
                assert found.adjusted is (pre_weeks > 0)
                assert (found.n_control, found.n_treatment) == (expected.n_control, expected.n_treatment)
                assert close(found.control_mean, expected.raw_control[step], PLAIN)
                assert close(found.treatment_mean, expected.raw_treatment[step], PLAIN)
                assert close(found.unadjusted_effect, plain.effect[step], PLAIN)
                assert close(found.unadjusted_se, plain.se[step], PLAIN)
                assert close(found.effect, expected.effect[step], tolerance)
                assert close(found.effect_se, expected.se[step], tolerance)
                check_interval(found, expected.effect[step], expected.se[step], tolerance)
                ratio = expected.treatment[step] / expected.control[step]
                half = Z * expected.relative_se[step]
                assert close(found.lift, ratio - 1, tolerance)
                assert close(found.lift_low, ratio * math.exp(-half) - 1, tolerance)
                assert close(found.lift_high, ratio * math.exp(half) - 1, tolerance)
            late = contrast(means, 0, 1)
            assert close(late.effect, expected.contrast, tolerance)
            assert close(late.effect_se, expected.contrast_se, tolerance)
            assert late.p_value == pytest.approx(
                2 * stats.norm.sf(abs(expected.contrast) / expected.contrast_se), rel=1e-4, abs=1e-12
            )
            assert close(late.lift, expected.log_contrast, tolerance)
            assert close(late.lift_low, expected.log_contrast - Z * expected.log_contrast_se, tolerance)
            assert close(late.lift_high, expected.log_contrast + Z * expected.log_contrast_se, tolerance)
            assert late.lift_p_value == pytest.approx(
                2 * stats.norm.sf(abs(expected.log_contrast) / expected.log_contrast_se), rel=1e-4, abs=1e-12
            )


def check_interval(found: Comparison, effect: float, se: float, tolerance: float) -> None:
    assert close(found.effect_low, effect - Z * se, tolerance)
    assert close(found.effect_high, effect + Z * se, tolerance)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(effect) / se), rel=1e-4, abs=1e-12)


def test_the_slopes_of_the_drawn_rows_differ_so_that_the_whole_formula_is_tried() -> None:
    """Without a slope of its own for each variant the comparison above would not see a pooled one."""
    plan = make_plan()
    rows = draw_rows(plan, 3_000, seed=4)
    slopes = [
        np.polyfit(rows.before("lines")[units], rows.window("lines", plan.windows[0])[units], 1)[0]
        for units in (rows.of("control", [0, 1, 2]), rows.of("a", [0, 1, 2]))
    ]
    assert abs(slopes[0] - slopes[1]) > 0.1


def test_windows_estimated_one_by_one_or_together_give_the_same_effects() -> None:
    plan = make_plan()
    triangle = triangle_of_rows(plan, draw_rows(plan, 900, seed=5))
    for metric in METRICS:
        together = means_of(triangle, metric, "a", plan.windows, (0, 1, 2))
        assert together is not None
        for step, window in enumerate(plan.windows):
            alone = means_of(triangle, metric, "a", [window], (0, 1, 2))
            assert alone is not None
            assert_same(effect_of(together, step), effect_of(alone))


def assert_same(left: Comparison, right: Comparison) -> None:
    """Every field alike, numbers up to the order of additions."""
    for key, value in vars(right).items():
        expected = pytest.approx(value, rel=1e-11) if isinstance(value, float) else value
        assert getattr(left, key) == expected, key


def test_the_covariance_between_windows_halves_the_error_of_the_contrast_when_habits_last() -> None:
    """Units whose habits last: treating the windows as independent would overstate the error (Gram identity)."""
    plan = make_plan(metrics=(LINES,), pre_weeks=0)
    rows = draw_rows(plan, 5_000, seed=6)
    means = means_of(triangle_of_rows(plan, rows), LINES, "a", plan.windows, (0, 1, 2))
    assert means is not None
    early, late, both = effect_of(means, 0), effect_of(means, 1), contrast(means, 0, 1)
    assert early.effect_se is not None
    assert late.effect_se is not None
    assert both.effect_se is not None
    # The same from one number a unit: late minus early, Welch.
    arms = [
        rows.window("lines", plan.windows[1])[units] - rows.window("lines", plan.windows[0])[units]
        for units in (rows.of("control", [0, 1, 2]), rows.of("a", [0, 1, 2]))
    ]
    assert close(both.effect, arms[1].mean() - arms[0].mean(), PLAIN)
    assert close(both.effect_se, math.sqrt(sum(arm.var(ddof=1) / len(arm) for arm in arms)), PLAIN)
    assert both.effect_se < 0.75 * math.hypot(early.effect_se, late.effect_se)


def influence_error(arms: list[pd.DataFrame], function: Callable[[list[np.ndarray]], float]) -> float:
    """Standard error by the infinitesimal jackknife: the derivative of an estimator by each unit's weight."""
    base = function([np.ones(len(arm)) for arm in arms])
    step, total = 1e-4, 0.0
    for index, arm in enumerate(arms):
        for unit in range(len(arm)):
            weights = [np.ones(len(other)) for other in arms]
            weights[index][unit] += step
            total += ((function(weights) - base) / step) ** 2
    return math.sqrt(total)


def adjusted_estimates(arms: list[pd.DataFrame], weights: list[np.ndarray]) -> list[list[float]]:
    """Weighted Lin estimates of two windows: a regression line per variant, read at the common mean of x."""
    center = np.average(np.concatenate([arm["x"] for arm in arms]), weights=np.concatenate(weights))
    out = []
    for arm, weight in zip(arms, weights, strict=True):
        lines = [np.polyfit(arm["x"], arm[name], 1, w=np.sqrt(weight)) for name in ("y0", "y1")]
        out.append([float(np.polyval(line, center)) for line in lines])
    return out


@pytest.mark.parametrize("scale", ["effect", "values", "log"])
def test_adjusted_standard_errors_agree_with_the_influence_of_every_unit(scale: str) -> None:
    """The derivative of the whole estimator, the common mean of the covariate included, by each unit's weight.

    Not the same formula: it takes the residuals' variance for each unit, so that a dependence between the size of the
    residual and the covariate shows. At 600 units the two agree within a few percent.
    """
    plan = make_plan(metrics=(LINES,))
    rows = draw_rows(plan, 600, seed=7)
    arms = [
        pd.DataFrame(
            {"x": rows.before("lines")[units]}
            | {f"y{step}": rows.window("lines", window)[units] for step, window in enumerate(plan.windows)}
        )
        for units in (rows.of("control", [0, 1, 2]), rows.of("a", [0, 1, 2]))
    ]
    means = means_of(triangle_of_rows(plan, rows), LINES, "a", plan.windows, (0, 1, 2))
    assert means is not None
    late = contrast(means, 0, 1)
    assert late.lift_high is not None
    assert late.lift is not None

    def estimate(weights: list[np.ndarray]) -> float:
        (c0, c1), (t0, t1) = adjusted_estimates(arms, weights)
        if scale == "effect":
            return t1 - c1
        return (t1 - c1) - (t0 - c0) if scale == "values" else math.log(t1 / c1) - math.log(t0 / c0)

    ours = {
        "effect": effect_of(means, 1).effect_se,
        "values": late.effect_se,
        "log": (late.lift_high - late.lift) / Z,
    }[scale]
    assert ours == pytest.approx(influence_error(arms, estimate), rel=0.05)


def test_a_covariate_that_does_not_vary_leaves_everything_unadjusted() -> None:
    plan = make_plan()
    rows = draw_rows(plan, 400, seed=8)
    weeks = {key: np.hstack([np.full((400, 1), 3.0), value[:, 1:]]) for key, value in rows.weeks.items()}
    flat = Rows(rows.variant, rows.cohort, weeks)
    for metric in METRICS:
        found = effects_of(flat, plan, metric)
        assert not found.adjusted
        assert found.state == "ok"
        assert found.effect == found.unadjusted_effect
        assert found.effect_se == found.unadjusted_se


def test_a_covariate_that_varies_in_one_variant_only_leaves_everything_unadjusted() -> None:
    plan = make_plan(metrics=(LINES,))
    rows = draw_rows(plan, 400, seed=9)
    lines = rows.weeks["lines"].copy()
    lines[rows.variant == "a", 0] = 0.0
    found = effects_of(Rows(rows.variant, rows.cohort, {**rows.weeks, "lines": lines}), plan, LINES)
    assert not found.adjusted
    assert found.state == "ok"


def test_without_a_pre_period_nothing_is_adjusted() -> None:
    plan = make_plan(pre_weeks=0)
    found = effects_of(draw_rows(plan, 400, seed=10), plan, LINES)
    assert not found.adjusted


def effects_of(rows: Rows, plan: Plan, metric: Metric) -> Comparison:
    triangle = triangle_of_rows(plan, rows)
    means = means_of(triangle, metric, "a", [plan.windows[0]], (0, 1, 2))
    assert means is not None
    return effect_of(means)


def test_statsmodels_regression_with_interactions_and_hc2_agrees_at_40_000_units() -> None:
    """Lin 2013: least squares on treatment, centered covariate and their product. One formula, another library.

    HC2 takes the covariate's mean as known, so its variance lacks (slope_T - slope_C)^2 Var(x) / (n_T + n_C), which is
    added here from the regression's own interaction: these rows have slopes that differ much more than real ones.
    """
    plan = make_plan(metrics=(LINES, ACTIVE))
    rows = draw_rows(plan, 40_000, seed=11)
    triangle = triangle_of_rows(plan, rows)
    treated = (rows.variant == "a").astype(float)
    for metric, name in ((LINES, "lines"), (ACTIVE, "active")):
        means = means_of(triangle, metric, "a", plan.windows, (0, 1, 2))
        assert means is not None
        centered = rows.before(name) - rows.before(name).mean()
        design = np.column_stack([np.ones(len(treated)), treated, centered, treated * centered])
        for step, window in enumerate(plan.windows):
            fit = sm.OLS(rows.window(name, window), design).fit(cov_type="HC2")
            found = effect_of(means, step)
            assert found.effect == pytest.approx(fit.params[1], rel=ADJUSTED)
            center = fit.params[3] ** 2 * centered.var(ddof=1) / len(centered)
            assert found.effect_se == pytest.approx(math.hypot(fit.bse[1], math.sqrt(center)), rel=HC2_AT_40_000)


def test_hc2_alone_agrees_where_the_treatment_adds_and_does_not_multiply() -> None:
    """Equal slopes: the term that HC2 lacks is next to nothing, and so the two agree as they are."""
    plan = make_plan(metrics=(LINES,))
    rows = draw_rows(make_plan(metrics=(LINES,), variants=variants(100, 0)), 40_000, seed=12)
    treated = np.arange(40_000) % 2
    lines = rows.weeks["lines"].copy()
    lines[:, 1:] += 0.2 * treated[:, None]
    split = Rows(np.where(treated, "a", "control"), rows.cohort, {"lines": lines})
    found = effects_of(split, plan, LINES)
    centered = lines[:, 0] - lines[:, 0].mean()
    design = np.column_stack([np.ones(40_000), treated, centered, treated * centered])
    fit = sm.OLS(split.window("lines", plan.windows[0]), design).fit(cov_type="HC2")
    assert found.effect == pytest.approx(fit.params[1], rel=ADJUSTED)
    assert found.effect_se == pytest.approx(fit.bse[1], rel=HC2_AT_40_000)


# --- Other packages and published numbers -----------------------------------------------------------------------------


def two_columns(rows: pd.DataFrame, columns: list[str], treated: pd.Series, pre: bool) -> Means:
    """Means of one metric over one window of one week, from rows of (covariate, value) a unit."""
    plan = two_windows(pre_weeks=1 if pre else 0, horizon_weeks=1, windows=(Window("early", 0, 1),))
    arms = [Moments.of(rows.loc[treated == value, columns].to_numpy(float)) for value in (0, 1)]
    return compare(arms[0], arms[1], Layout.of(plan), LINES, plan.windows, adjust=pre)


@pytest.fixture(scope="module")
def users() -> pd.DataFrame:
    """4,000 users of tea-tasting's generator, those of its user guide."""
    return tt.make_users_data(rng=42, return_type="pandas", covariates=False)


#: tea-tasting user guide (package 1.14.0): control and treatment mean, lift in percent with its interval, p value.
GUIDE = {
    "sessions": (1.996045, 1.982802, -0.006635, (-0.036972, 0.024658), 0.674),
    "orders": (0.530400, 0.573091, 0.080487, (-0.019488, 0.190655), 0.118),
    "revenue": (5.241028, 5.730111, 0.093318, (-0.023706, 0.224370), 0.123),
    "orders_per_session": (0.265726, 0.289031, 0.087703, (-0.008918, 0.193744), 0.0762),
}


def users_effect(users: pd.DataFrame, name: str) -> Comparison:
    treated = users["variant"]
    if name == "orders_per_session":
        plan = two_windows(metrics=(HEAD_SHARE,), horizon_weeks=1, windows=(Window("early", 0, 1),))
        table = users.assign(before=0.0)[["before", "orders", "before", "sessions"]].to_numpy(float)
        arms = [Moments.of(table[treated == value]) for value in (0, 1)]
        return effect_of(compare(arms[0], arms[1], Layout.of(plan), HEAD_SHARE, plan.windows, adjust=False))
    return effect_of(two_columns(users.assign(before=0.0), ["before", name], treated, pre=False))


@pytest.mark.parametrize("name", GUIDE)
def test_the_numbers_of_the_tea_tasting_user_guide_are_reproduced(users: pd.DataFrame, name: str) -> None:
    control, treatment, lift, (low, high), p_value = GUIDE[name]
    found = users_effect(users, name)
    assert (found.n_control, found.n_treatment) == (2023, 1977)
    assert found.control_mean == pytest.approx(control, abs=SIX_DIGITS)
    assert found.treatment_mean == pytest.approx(treatment, abs=SIX_DIGITS)
    assert found.lift == pytest.approx(lift, abs=SIX_DIGITS)
    assert found.lift_low == pytest.approx(low, abs=SIX_DIGITS)
    assert found.lift_high == pytest.approx(high, abs=SIX_DIGITS)
    assert found.p_value == pytest.approx(p_value, abs=6e-4)  # three printed digits, and theirs is Student's


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
    ours = effect_of(two_columns(users, ["revenue_covariate", "revenue"], users["variant"], pre=True))
    their_se = (theirs.effect_size_ci_upper - theirs.effect_size_ci_lower) / 2 / Z
    assert ours.adjusted
    assert ours.effect_se == pytest.approx(their_se, rel=0.01)
    assert ours.effect == pytest.approx(theirs.effect_size, abs=0.05 * their_se)
    assert ours.unadjusted_se is not None
    assert their_se < 0.95 * ours.unadjusted_se  # the covariate helps, so agreement says something


def test_the_star_trial_agrees_with_lm_lin_of_r() -> None:
    """alo_star_men of the R package estimatr, frozen by tests/reference/make_alo_star_men.R."""
    rows = pd.read_csv(REFERENCE / "alo_star_men.csv")
    with (REFERENCE / "alo_star_men_expected.csv").open(encoding="utf-8") as file:
        answers = {row["estimator"]: row for row in csv.DictReader(file)}
    found = effect_of(two_columns(rows, ["gpa0", "GPA_year1"], rows["ssp"], pre=True))
    assert (found.n_treatment, found.n_control) == (99, 58)
    assert found.unadjusted_effect == pytest.approx(float(answers["difference"]["effect"]), abs=SEVEN_DIGITS)
    assert found.unadjusted_se == pytest.approx(float(answers["difference"]["hc2_se"]), abs=SEVEN_DIGITS)
    assert found.effect == pytest.approx(float(answers["lin"]["effect"]), abs=SEVEN_DIGITS)
    assert found.effect_se == pytest.approx(float(answers["lin"]["hc2_se"]), rel=HC2_AT_157)
    assert float(answers["lin"]["effect"]) == pytest.approx(0.0812197975, abs=SEVEN_DIGITS)  # as published with it


# Job Corps: moments frozen by tests/reference/make_job_corps.py; effects and standard errors as printed there.

#: effect, standard error (None: only z was printed), z, each with half a unit of the last printed digit.
JOB_CORPS = {
    "earnq4": (-15.825, 2.988, -5.30),
    "earny2": (-2.272, None, -0.72),
    "earny3": (11.463, None, 3.33),
    "earny4": (16.055, 4.074, 3.94),
    "pworky1": (-9.860, None, -13.6),
    "pworky4": (3.275, None, 3.95),
}
PRINTED = {"effect": 0.0005, "z": 0.005, "pworky1 z": 0.05}


def job_corps(columns: list[str], control: str = "control", treatment: str = "offer") -> list[Moments]:
    """Moments of (weekly earnings at assignment, *columns) in two arms."""
    frozen = json.loads((REFERENCE / "job_corps.json").read_text(encoding="utf-8"))
    kept = [frozen["columns"].index(name) for name in ["mwearn", *columns]]
    arms = []
    for name in (control, treatment):
        arm = frozen["arms"][name]
        arms.append(exact(arm["n"], np.array(arm["mean"])[kept], np.array(arm["covariance"])[np.ix_(kept, kept)]))
    return arms


@pytest.mark.parametrize("name", JOB_CORPS)
def test_the_published_effects_of_the_job_corps_trial_are_reproduced(name: str) -> None:
    effect, se, z = JOB_CORPS[name]
    plan = two_windows(horizon_weeks=1, windows=(Window("early", 0, 1),))
    found = effect_of(compare(*job_corps([name]), Layout.of(plan), LINES, plan.windows, adjust=False))
    assert found.effect is not None
    assert found.effect_se is not None
    assert found.effect == pytest.approx(effect, abs=PRINTED["effect"])
    assert found.effect / found.effect_se == pytest.approx(z, abs=PRINTED.get(f"{name} z", PRINTED["z"]))
    if se is not None:
        assert found.effect_se == pytest.approx(se, abs=PRINTED["effect"])


@pytest.mark.parametrize("name", ["earnq4", "earny2", "earny3", "earny4"])
def test_adjusted_effects_of_the_job_corps_trial_agree_with_the_interacted_regression(name: str) -> None:
    frozen = json.loads((REFERENCE / "job_corps.json").read_text(encoding="utf-8"))["interacted_ols_hc2"]
    plan = two_windows(horizon_weeks=1, windows=(Window("early", 0, 1),))
    found = effect_of(compare(*job_corps([name]), Layout.of(plan), LINES, plan.windows, adjust=True))
    assert found.effect == pytest.approx(frozen[name][0], rel=ADJUSTED)
    assert found.effect_se == pytest.approx(frozen[name][1], rel=HC2_AT_40_000)


# GrowthBook's own test values (gbstats 0.8.0, MIT, commit 8f1db445): n, sum, sum of squares.


def raw_moments(n: int, sums: list[float], products: list[list[float]]) -> Moments:
    return Moments(n, np.array(sums), np.array(products), np.zeros(len(sums)))


def gbstats(control: tuple[int, float, float], treatment: tuple[int, float, float]) -> Comparison:
    plan = two_windows(horizon_weeks=1, windows=(Window("early", 0, 1),))
    arms = [raw_moments(n, [0, total], [[0, 0], [0, squares]]) for n, total, squares in (control, treatment)]
    return effect_of(compare(arms[0], arms[1], Layout.of(plan), LINES, plan.windows, adjust=False))


def test_gbstats_absolute_differences_agree_but_for_student_and_normal() -> None:
    found = gbstats((3407, 1396.87, 52377.9767), (3461, 2422.7, 134698.29))
    assert found.effect == pytest.approx(0.29, abs=SIX_DIGITS)
    assert found.effect_se == pytest.approx(0.12478, abs=SIX_DIGITS)
    # Theirs: [0.04538, 0.53462], p .02016, Welch's t with 5,800 degrees of freedom. Ours is normal, a little narrower.
    student = stats.t.ppf(0.975, 5_800) / Z
    assert found.effect_low == pytest.approx(0.29 - (0.29 - 0.04538) / student, abs=2 * SIX_DIGITS)
    assert found.effect_high == pytest.approx(0.29 + (0.53462 - 0.29) / student, abs=2 * SIX_DIGITS)
    assert found.p_value == pytest.approx(0.02016, rel=0.01)


def test_gbstats_relative_effect_has_our_point_and_standard_error_but_another_interval() -> None:
    """Theirs is lift +- t se, symmetric: [-.035, 1.450]. Ours is symmetric for the log of the ratio, so it is not."""
    found = gbstats((3407, 1396.87, 52377.9767), (3461, 2422.7, 134698.29))
    assert found.lift == pytest.approx(0.70732, abs=SIX_DIGITS)
    assert found.lift_low is not None
    assert found.lift_high is not None
    se = (math.log1p(found.lift_high) - math.log1p(found.lift_low)) / 2 / Z * (1 + 0.70732)
    assert se == pytest.approx(0.37879, abs=2 * SIX_DIGITS)
    assert found.lift_low > -0.03526
    assert found.lift_high > 1.44989


def test_gbstats_small_proportions_get_a_lift_but_no_interval() -> None:
    """28 and 30 units: they print an interval, we give none below 30 in a variant. Their variance is p (1 - p)."""
    found = gbstats((28, 14, 14), (30, 16, 16))
    assert found.state == "too_few"
    assert found.lift == pytest.approx(0.06667, abs=SIX_DIGITS)
    assert (found.effect_low, found.effect_high, found.lift_low, found.lift_high, found.p_value) == (None,) * 5


def test_gbstats_variance_of_a_difference_agrees() -> None:
    plan = two_windows(horizon_weeks=1, windows=(Window("early", 0, 1),))
    arms = [exact(4, [0, 7], [[0, 0], [0, 2.0]]), exact(15, [0, 5], [[0, 0], [0, 0.5]])]
    found = effect_of(compare(arms[0], arms[1], Layout.of(plan), LINES, plan.windows, adjust=False))
    assert found.effect_se is not None
    assert found.effect_se**2 == pytest.approx(0.53333, abs=SIX_DIGITS)


def test_gbstats_adjusted_effect_is_near_though_it_pools_the_slope() -> None:
    """Theirs: one slope, the difference of adjusted means over the control's unadjusted mean. 3,000 units a variant."""
    plan = two_windows(pre_weeks=1, horizon_weeks=1, windows=(Window("early", 0, 1),))
    control = raw_moments(3001, [210, 300], [[415, -20], [-20, 600]])
    treatment = raw_moments(3000, [120, 222], [[405, -10], [-10, 555]])
    found = effect_of(compare(control, treatment, Layout.of(plan), LINES, plan.windows, adjust=True))
    assert found.effect is not None
    assert found.control_mean is not None
    # Slopes of -.10 and -.05 against one of -.07, times a difference of .03 in the covariate: parts in a thousand.
    assert found.effect / found.control_mean == pytest.approx(-0.281707154, rel=0.005)
    # Our lift is over the adjusted control mean, so that it is the ratio of two comparable means.
    assert found.unadjusted_effect == pytest.approx(222 / 3000 - 300 / 3001, rel=PLAIN)


def test_gbstats_ratios_agree() -> None:
    """The quoted sums are not those of any real rows (a negative sum of products), so only the points are compared."""
    plan = two_windows(metrics=(HEAD_SHARE,), horizon_weeks=1, windows=(Window("early", 0, 1),))
    arms = []
    for n, top, below, squares in ((100, 270, 510, (848.79, 810, -900)), (120, 300, 500, (869, 800, -905))):
        products = np.zeros((4, 4))
        products[1, 1], products[3, 3], products[1, 3], products[3, 1] = squares[0], squares[1], squares[2], squares[2]
        arms.append(Moments(n, np.array([0.0, top, 0.0, below]), products, np.zeros(4)))
    found = effect_of(compare(arms[0], arms[1], Layout.of(plan), HEAD_SHARE, plan.windows, adjust=False))
    assert found.control_mean == pytest.approx(0.529411765, abs=1e-9)
    assert found.treatment_mean == pytest.approx(0.6, abs=1e-9)
    assert found.lift == pytest.approx(0.133333333, abs=1e-8)


# Mozilla's test values (mozanalysis 6d203cb, jetstream 2cecf86, MPL-2.0: figures only).


def arms_of(*arms: np.ndarray) -> list[Moments]:
    return [Moments.of(np.column_stack([np.zeros(len(arm)), arm])) for arm in arms]


def test_mozanalysis_difference_of_three_variants_agrees_but_for_student_and_normal() -> None:
    """0..99, 100..199 and 200..299: their interval is +- 8.07433 by Student's distribution with 297 degrees."""
    plan = two_windows(horizon_weeks=1, windows=(Window("early", 0, 1),))
    values = np.arange(100.0)
    control, middle, high = arms_of(values, values + 100, values + 200)
    for other, effect in ((middle, 100.0), (high, 200.0)):
        found = effect_of(compare(control, other, Layout.of(plan), LINES, plan.windows, adjust=False))
        assert found.effect == pytest.approx(effect, rel=PLAIN)
        assert found.effect_se is not None
        assert found.effect_se * stats.t.ppf(0.975, 297) == pytest.approx(8.07433, abs=SIX_DIGITS)
        assert found.effect_high == pytest.approx(effect + Z * found.effect_se, rel=PLAIN)


def test_jetstream_impact_of_ten_clients_has_our_difference_but_no_interval_here() -> None:
    plan = two_windows(horizon_weeks=1, windows=(Window("early", 0, 1),))
    control, treatment = arms_of(np.arange(10) / 20, np.arange(10, 20) / 20)
    found = effect_of(compare(control, treatment, Layout.of(plan), LINES, plan.windows, adjust=False))
    assert found.effect == pytest.approx(10 / 20, rel=PLAIN)
    assert found.lift == pytest.approx(2.2222222222, rel=PLAIN)
    assert found.state == "too_few"
    assert found.effect_se is not None
    # Theirs, for 20 clients: 7.155338 .. 12.844662, Student's distribution with 18 degrees of freedom.
    assert 20 * found.effect_se * stats.t.ppf(0.975, 18) == pytest.approx(10 - 7.155338, abs=SIX_DIGITS)


def test_jetstream_covariates_narrow_the_interval_and_bring_the_estimate_nearer() -> None:
    rng = np.random.RandomState(42)
    control = rng.normal(2, 1, size=200)
    treatment = control + rng.normal(1, 1, size=200)
    covariate = control + rng.normal(0, 1, size=200)
    plan = two_windows(pre_weeks=1, horizon_weeks=1, windows=(Window("early", 0, 1),))
    arms = [
        Moments.of(np.column_stack([covariate[100:], control[100:]])),
        Moments.of(np.column_stack([covariate[:100], treatment[:100]])),
    ]
    plain = effect_of(compare(arms[0], arms[1], Layout.of(plan), LINES, plan.windows, adjust=False))
    adjusted = effect_of(compare(arms[0], arms[1], Layout.of(plan), LINES, plan.windows, adjust=True))
    assert adjusted.effect_se is not None
    assert plain.effect_se is not None
    assert adjusted.effect_se < plain.effect_se
    assert abs(adjusted.lift - 0.5) < abs(plain.lift - 0.5)  # type: ignore[operator]


def test_a_ratio_that_is_the_same_for_every_unit_has_no_test_instead_of_one_made_of_rounding() -> None:
    """jetstream test_population_ratio: numerators 10..1, denominators 100..10; here ten times over, for 100 units."""
    plan = two_windows(metrics=(HEAD_SHARE,), horizon_weeks=1, windows=(Window("early", 0, 1),))
    top = np.tile(np.arange(10.0, 0.0, -1), 10)
    table = np.column_stack([np.zeros(100), top, np.zeros(100), 10 * top])
    for scale in (1.0, 0.3, 1e-3):
        arms = [Moments.of(table * scale), Moments.of(table * scale)]
        found = effect_of(compare(arms[0], arms[1], Layout.of(plan), HEAD_SHARE, plan.windows, adjust=False))
        assert found.control_mean == pytest.approx(0.1, rel=1e-5)
        assert found.treatment_mean == pytest.approx(0.1, rel=1e-5)
        assert found.effect == pytest.approx(0, abs=1e-12)
        # Either no test at all, or one that says nothing: rounding must never read as a difference.
        assert found.p_value is None or found.p_value > 0.05


# --- Lifts ------------------------------------------------------------------------------------------------------------


def interval(control: float, treatment: float, variance_c: float, variance_t: float) -> Interval:
    return lift_interval(control, treatment, np.diag([variance_c, variance_t]))


def test_the_log_delta_interval_has_the_worked_values() -> None:
    """Means 10 and 11, standard errors .2: log-delta [1.0432, 1.1598]; plain delta would be [1.0417, 1.1583]."""
    found = interval(10, 11, 0.04, 0.04)
    assert found.low is not None
    assert found.high is not None
    assert 1 + found.low == pytest.approx(1.0432, abs=5e-5)
    assert 1 + found.high == pytest.approx(1.1598, abs=5e-5)
    assert found.lift == pytest.approx(0.1)
    # The second implementation used below gives Fieller's worked values for the same numbers.
    assert fieller(10, 11, 0.04, 0.04, Z) == pytest.approx((1.0433, 1.1600), abs=5e-5)


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


# --- Numbers that do not exist ----------------------------------------------------------------------------------------


def test_fewer_than_two_units_in_a_variant_have_no_means() -> None:
    plan = make_plan()
    rows = draw_rows(plan, 60, seed=13)
    one = np.flatnonzero(rows.variant == "a")[0]
    kept = (rows.variant == "control") | (np.arange(60) == one)
    few = Rows(rows.variant[kept], rows.cohort[kept], {key: value[kept] for key, value in rows.weeks.items()})
    assert means_of(triangle_of_rows(plan, few), LINES, "a", plan.windows, (0, 1, 2)) is None


@pytest.mark.parametrize(("units", "state"), [(29, "too_few"), (30, "ok")])
def test_an_interval_needs_thirty_units_in_each_variant(units: int, state: str) -> None:
    plan = two_windows(horizon_weeks=1, windows=(Window("early", 0, 1),))
    spread = np.diag([0.0, 1.0])
    for sizes in ((units, 500), (500, units)):
        arms = [exact(size, [0, 5], spread) for size in sizes]
        found = effect_of(compare(arms[0], arms[1], Layout.of(plan), LINES, plan.windows, adjust=False))
        assert found.state == state
        assert (found.p_value is None) is (state == "too_few")
        assert found.effect_se is not None
        if state == "too_few":
            assert found.reason is not None
            assert "fewer than 30 units" in found.reason


@pytest.mark.parametrize("value", [0.0, 5.0, 0.1, 1e15])
def test_units_that_do_not_vary_have_an_effect_but_no_test(value: float) -> None:
    plan = make_plan(metrics=(LINES,), pre_weeks=0)
    rows = draw_rows(plan, 300, seed=14)
    flat = Rows(rows.variant, rows.cohort, {"lines": np.full((300, 7), value)})
    found = effects_of(flat, plan, LINES)
    assert found.state == "too_few"
    assert found.effect == 0
    assert (found.effect_se, found.p_value, found.lift_low) == (None, None, None)
    assert found.reason == "the units do not vary, so nothing can be tested"


def test_a_denominator_of_zero_in_one_window_leaves_the_other_windows_as_they_are() -> None:
    plan = make_plan(metrics=(HEAD_SHARE,))
    rows = draw_rows(plan, 600, seed=15)
    lines, head = rows.weeks["lines"].copy(), rows.weeks["head"].copy()
    lines[:, 5:7], head[:, 5:7] = 0.0, 0.0
    silent = triangle_of_rows(plan, Rows(rows.variant, rows.cohort, {**rows.weeks, "lines": lines, "head": head}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        means = means_of(silent, HEAD_SHARE, "a", plan.windows, (0, 1, 2))
        assert means is not None
        early, late = effect_of(means, 0), effect_of(means, 1)
    untouched = means_of(triangle_of_rows(plan, rows), HEAD_SHARE, "a", plan.windows, (0, 1, 2))
    assert untouched is not None
    assert_same(early, effect_of(untouched, 0))
    assert late.state == "too_few"
    assert (late.effect, late.lift, late.p_value, late.control_mean) == (None,) * 4
    assert late.reason == "the denominator sums to zero, so there is no ratio"


def test_a_ratio_without_a_past_denominator_is_still_estimated() -> None:
    """New units: no lines at all before exposure. The covariate does not vary, so nothing is adjusted."""
    plan = make_plan(metrics=(HEAD_SHARE,))
    rows = draw_rows(plan, 600, seed=16)
    weeks = {key: np.hstack([np.zeros((600, 1)), value[:, 1:]]) for key, value in rows.weeks.items()}
    found = effects_of(Rows(rows.variant, rows.cohort, weeks), plan, HEAD_SHARE)
    assert found.state == "ok"
    assert not found.adjusted


def test_numbers_at_1e15_keep_effects_and_errors() -> None:
    plan = make_plan(metrics=(LINES,))
    rows = draw_rows(plan, 600, seed=17)
    large = Rows(rows.variant, rows.cohort, {"lines": rows.weeks["lines"] * 2.0**50})
    small, scaled = effects_of(rows, plan, LINES), effects_of(large, plan, LINES)
    assert scaled.effect == pytest.approx(2.0**50 * small.effect, rel=1e-10)  # type: ignore[operator]
    assert scaled.effect_se == pytest.approx(2.0**50 * small.effect_se, rel=1e-10)  # type: ignore[operator]
    assert scaled.lift_low == pytest.approx(small.lift_low, rel=1e-10)
    assert scaled.p_value == pytest.approx(small.p_value, rel=1e-8)


def test_a_mean_of_1e8_standard_deviations_keeps_its_error() -> None:
    plan = make_plan(metrics=(LINES,))
    rows = draw_rows(plan, 600, seed=18)
    far = Rows(rows.variant, rows.cohort, {"lines": rows.weeks["lines"] + 1e8})
    near_zero, moved = effects_of(rows, plan, LINES), effects_of(far, plan, LINES)
    assert moved.state == "ok"
    assert moved.effect == pytest.approx(near_zero.effect, abs=1e-6)
    assert moved.effect_se == pytest.approx(near_zero.effect_se, rel=1e-6)
