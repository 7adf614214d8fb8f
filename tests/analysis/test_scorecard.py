"""The scorecard: every row is there whatever its state, numbers are finite or absent with a reason."""

import math
from dataclasses import replace
from datetime import date, timedelta
from itertools import product

import numpy as np
import pytest

from analysis import windows
from analysis.effects import effect_of, means_of
from analysis.plan import Event, Metric, Plan, Window
from analysis.results import EffectRow, Scorecard
from analysis.scorecard import build
from analysis.triangle import Triangle
from tests.analysis.brute_force import brute
from tests.analysis.unit_rows import (
    ACTIVE,
    HEAD_SHARE,
    LINES,
    LINES_A_ROW,
    START,
    Rows,
    all_mature,
    draw_rows,
    make_plan,
    triangle_of,
    triangle_of_rows,
    variants,
)

CHURN = Metric(
    key="churn", kind="event", better="lower", role="guardrail", margin=0.02, event=Event("inactivity", "lines", 4)
)
PLAN = make_plan(
    metrics=(LINES, ACTIVE, HEAD_SHARE, LINES_A_ROW, CHURN),
    variants=variants(40, 30, 30),
    windows=(Window("early", 0, 2), Window("late", 4, 6), Window("whole", 0, 6)),
)
ROWS = draw_rows(PLAN, 1_500, seed=51)

#: As for effects: adjustment divides by a variance.
ADJUSTED = 1e-6


def card_on(day: int, plan: Plan = PLAN, rows: Rows = ROWS) -> Scorecard:
    return build(triangle_of_rows(plan, rows, START + timedelta(days=day)))


def row_of(card: Scorecard, metric: str, window: str, variant: str = "a") -> EffectRow:
    [row] = [row for row in card.effects if (row.metric, row.window, row.variant) == (metric, window, variant)]
    return row


@pytest.mark.parametrize("day", [-30, 0, 6, 13, 20, 27, 34, 41, 55, 62, 200])
def test_there_is_one_effect_for_each_metric_window_and_treatment_on_any_day(day: int) -> None:
    card = card_on(day)
    metrics = ("lines", "active", "head_share", "lines_a_row")  # not the event
    found = [(row.metric, row.variant, row.window) for row in card.effects]
    assert found == list(product(metrics, ("a", "b"), ("early", "late", "whole")))
    claimed = metrics[:3]  # of a diagnostic metric nothing is claimed
    assert [(row.metric, row.variant) for row in card.reversals] == list(product(claimed, ("a", "b")))
    calendar_weeks = PLAN.enrollment_weeks + PLAN.horizon_weeks - 1
    # Four metrics with values, and retention beside the one with inactivity.
    assert len(card.trajectory) == 5 * 2 * (2 * PLAN.horizon_weeks + calendar_weeks)
    assert [(row.metric, row.variant) for row in card.survival_comparisons] == [("churn", "a"), ("churn", "b")]


@pytest.mark.parametrize("day", [-30, 0, 13, 27, 41, 62])
@pytest.mark.parametrize("silent", [False, True])
def test_no_number_is_nan_or_infinite_and_what_is_missing_has_a_reason(day: int, silent: bool) -> None:
    rows = ROWS
    if silent:
        rows = Rows(ROWS.variant, ROWS.cohort, {key: np.zeros_like(value) for key, value in ROWS.weeks.items()})
    card = card_on(day, rows=rows)
    for row in (*card.effects, *card.trajectory, *card.reversals):
        numbers = {key: value for key, value in vars(row).items() if isinstance(value, float)}
        assert all(math.isfinite(value) for value in numbers.values()), row
    for row in (*card.effects, *card.trajectory):
        if row.state != "ok" or row.lift_low is None:
            assert row.reason, row
    assert all(row.reason for row in card.reversals)


def test_rows_that_cannot_be_read_yet_carry_the_dates_on_which_they_can() -> None:
    card = card_on(27)  # the early window is lived by two cohorts, the others by none
    early, late = row_of(card, "lines", "early"), row_of(card, "lines", "late")
    assert early.state == "ok"
    assert early.n_control == len(ROWS.of("control", [0, 1]))
    assert early.readable_from == date(2024, 2, 4)
    assert late.state == "not_yet"
    assert late.readable_from == date(2024, 3, 3)
    assert late.reason == "no cohort has lived week 5 yet: the first has on 2024-02-18, all have on 2024-03-03"
    assert (late.n_control, late.n_treatment) == (0, 0)
    assert (late.effect, late.effect_se, late.p_value, late.lift, late.control_mean, late.lift_low) == (None,) * 6


def test_before_the_start_everything_is_not_yet_and_nothing_fails() -> None:
    card = build(triangle_of(PLAN, {}, START - timedelta(days=3)))
    assert {row.state for row in card.effects} == {"not_yet"}
    assert {row.state for row in card.trajectory} == {"not_yet"}
    assert {row.state for row in card.reversals} == {"immature"}
    assert card.units == {"control": 0, "a": 0, "b": 0}


def test_the_dates_shift_with_the_lag_of_the_data() -> None:
    late = row_of(card_on(20, replace(PLAN, lag_days=5)), "lines", "late")
    assert late.readable_from == date(2024, 3, 8)


@pytest.mark.parametrize("day", [34, 55, 200])
@pytest.mark.parametrize("metric", ["lines", "active", "head_share", "lines_a_row"])
def test_effects_equal_the_formulas_on_the_rows_of_the_mature_cohorts(day: int, metric: str) -> None:
    card = card_on(day)
    as_of = START + timedelta(days=day)
    for variant, window in product(("a", "b"), PLAN.windows):
        row = row_of(card, metric, window.name, variant)
        cohorts = list(windows.window_cohorts(PLAN, window, as_of))
        assert (row.state == "ok") is bool(cohorts)
        if cohorts:
            expected = brute(ROWS, metric, variant, cohorts, [window, window], adjust=True)
            assert (row.n_control, row.n_treatment) == (expected.n_control, expected.n_treatment)
            assert row.effect == pytest.approx(expected.effect[0], rel=ADJUSTED, abs=1e-9)
            assert row.effect_se == pytest.approx(expected.se[0], rel=ADJUSTED)
            assert row.control_mean == pytest.approx(expected.raw_control[0])


def test_rows_repeat_what_the_plan_says_of_their_metric_and_window() -> None:
    card = card_on(200)
    row = row_of(card, "head_share", "late", "b")
    assert (row.role, row.term, row.margin, row.segment) == ("guardrail", None, 0.02, None)
    assert (row.start_week, row.end_week) == (4, 6)
    assert row_of(card, "lines", "early").term == "short"
    assert (row.sequential_look, row.sequential_looks) == (PLAN.enrollment_weeks, PLAN.enrollment_weeks)
    assert row_of(card, "lines", "early").verdict is None  # margins belong to guardrails


def test_the_head_of_the_card_counts_units_looks_and_facts() -> None:
    card = card_on(41)
    assert card.as_of == START + timedelta(days=41)
    assert (card.look, card.planned_looks) == (5, 9)
    assert card.units == {key: int((ROWS.variant == key).sum()) for key in ("control", "a", "b")}
    assert (card.first_fact, card.last_fact, card.fact_rows) == (START, START + timedelta(days=40), 1)
    states = {row.check: row.state for row in card.checks}
    assert (states["srm"], states["freshness"], states["attrition"]) == ("ok", "ok", "unknown")
    assert set(card.excluded.values()) == {0}


def test_a_card_of_an_earlier_day_from_the_same_triangle_is_the_card_of_that_day() -> None:
    now = triangle_of_rows(PLAN, ROWS)
    day = START + timedelta(days=42)
    then = build(now.at(day))
    fresh = build(triangle_of_rows(PLAN, ROWS, day))
    assert then.effects == fresh.effects
    assert then.trajectory == fresh.trajectory
    assert then.reversals == fresh.reversals


def test_the_same_triangle_gives_the_same_card_to_the_last_bit() -> None:
    assert card_on(62) == card_on(62)


# --- What cannot be estimated -----------------------------------------------------------------------------------------


def small(units: int, **changes: object) -> Scorecard:
    plan = make_plan(**changes)
    return build(triangle_of_rows(plan, draw_rows(plan, units, seed=52)))


@pytest.mark.parametrize("units", [0, 1, 2, 3, 8, 50])
def test_few_units_give_rows_without_intervals(units: int) -> None:
    card = small(units)
    assert len(card.effects) == 8
    for row in card.effects:
        assert row.state == "too_few"
        assert (row.effect_low, row.effect_high, row.lift_low, row.lift_high, row.p_value) == (None,) * 5
        assert row.reason
    assert {row.state for row in card.reversals} <= {"none", "immature"}


def test_one_unit_in_a_variant_names_the_counts() -> None:
    plan = make_plan(metrics=(LINES,))
    rows = draw_rows(plan, 100, seed=53)
    one = np.flatnonzero(rows.variant == "a")[0]
    kept = (rows.variant == "control") | (np.arange(100) == one)
    few = Rows(rows.variant[kept], rows.cohort[kept], {key: value[kept] for key, value in rows.weeks.items()})
    triangle = triangle_of_rows(plan, few)
    row = row_of(build(triangle), "lines", "early")
    control = int((few.variant == "control").sum())
    assert row.state == "too_few"
    assert row.reason == f"a comparison needs two units in each variant; found {control} in control, 1 in a"
    assert (row.n_control, row.n_treatment) == (control, 1)


def changed(series: dict[str, np.ndarray]) -> Scorecard:
    plan = make_plan()
    rows = draw_rows(plan, 400, seed=54)
    return build(triangle_of_rows(plan, Rows(rows.variant, rows.cohort, {**rows.weeks, **series})))


def test_units_that_do_not_vary_have_no_test_and_other_metrics_do() -> None:
    card = changed({"active": np.ones((400, 7))})
    row = row_of(card, "active", "late")
    assert (row.state, row.effect, row.effect_se, row.p_value) == ("too_few", 0.0, None, None)
    assert row.reason == "the units do not vary, so nothing can be tested"
    assert row_of(card, "lines", "late").state == "ok"


def test_nobody_active_leaves_ratios_without_a_value_and_means_at_zero() -> None:
    nothing = np.zeros((400, 7))
    card = changed({"lines": nothing, "head": nothing, "active": nothing, "rows": nothing})
    for metric in ("head_share", "lines_a_row"):
        row = row_of(card, metric, "early")
        assert row.state == "too_few"
        assert row.reason == "the denominator sums to zero, so there is no ratio"
        assert (row.control_mean, row.effect, row.lift) == (None, None, None)
    row = row_of(card, "lines", "early")
    assert (row.state, row.control_mean, row.effect, row.lift) == ("too_few", 0.0, 0.0, None)


def test_a_denominator_that_is_zero_in_control_alone_leaves_no_ratio() -> None:
    plan = make_plan()
    rows = draw_rows(plan, 400, seed=55)
    silent = {
        key: np.where((rows.variant == "control")[:, None] & (np.arange(7) > 0), 0.0, value)
        for key, value in rows.weeks.items()
    }
    card = build(triangle_of_rows(plan, Rows(rows.variant, rows.cohort, silent)))
    row = row_of(card, "head_share", "early")
    assert (row.state, row.effect) == ("too_few", None)
    # The mean has an effect and a test, but no lift: the control's mean is zero.
    lines = row_of(card, "lines", "early")
    assert lines.state == "ok"
    assert lines.effect is not None
    assert lines.effect > 0
    assert (lines.lift, lines.lift_low, lines.lift_high) == (None, None, None)
    assert lines.reason is not None
    assert "no lift" in lines.reason or "not estimable" in lines.reason


def test_a_control_mean_of_zero_without_a_pre_period_has_an_effect_and_a_test_but_no_lift() -> None:
    plan = make_plan(metrics=(LINES,), pre_weeks=0)
    rows = draw_rows(plan, 400, seed=56)
    lines = np.where((rows.variant == "control")[:, None], 0.0, rows.weeks["lines"])
    row = row_of(build(triangle_of_rows(plan, Rows(rows.variant, rows.cohort, {"lines": lines}))), "lines", "late")
    assert row.state == "ok"
    assert row.control_mean == 0.0
    assert row.p_value is not None
    assert row.p_value < 1e-6
    assert (row.lift, row.lift_low, row.lift_high) == (None, None, None)
    assert row.reason == "control's mean is zero, so there is no lift"


def test_a_card_agrees_with_its_parts() -> None:
    triangle: Triangle = triangle_of_rows(PLAN, ROWS, all_mature(PLAN))
    card = build(triangle)
    means = means_of(triangle, HEAD_SHARE, "b", [PLAN.window("whole")], (0, 1, 2))
    assert means is not None
    shown = effect_of(means)
    row = row_of(card, "head_share", "whole", "b")
    assert {key: getattr(row, key) for key in vars(shown)} == vars(shown)


def test_the_weeks_of_a_window_that_all_cohorts_have_lived_agree_with_the_cumulative_trajectory() -> None:
    card = card_on(200)
    row = row_of(card, "lines", "whole")
    [last] = [r for r in card.trajectory if (r.metric, r.variant, r.kind, r.week) == ("lines", "a", "cumulative", 5)]
    assert (row.effect, row.effect_se, row.lift_high) == pytest.approx((last.effect, last.effect_se, last.lift_high))
