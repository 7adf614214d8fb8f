"""Effects, adjustment, lifts and contrasts: against formulas on rows. Published numbers: test_published_effects.py."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from analysis.effects import compare, contrast, effect_of, means_of
from analysis.moments import Layout
from analysis.plan import Metric, Plan, Window
from analysis.results import Comparison
from tests.analysis.brute_force import brute
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

METRICS = (LINES, ACTIVE, HEAD_SHARE, LINES_A_ROW)
Z = stats.norm.ppf(0.975)

#: The same formula on rows and from moments: some thousand additions of numbers of one size.
PLAIN = 1e-8
#: Adjustment divides by a variance, which costs a few more digits.
ADJUSTED = 1e-6
#: HC2 divides each squared residual by 1 - leverage, our formula by (n - 1) / n: at thousands of units a part in a
#: thousand, with an allowance for skewed counts, whose few largest residuals go together with a large covariate.
HC2_AT_40_000 = 0.02


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
