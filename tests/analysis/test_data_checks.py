"""Balance before exposure, gaps in telemetry, leaps of a single week, and units that leave."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from scipy import stats

from analysis.checks import attrition, jump, pre_period_balance, telemetry_gap
from analysis.moments import Moments
from analysis.triangle import Cell, Departure, Tally
from tests.analysis.unit_rows import (
    ACTIVE,
    LINES,
    START,
    draw_rows,
    make_plan,
    matrix,
    triangle_of,
    triangle_of_rows,
    variants,
)

#: Before exposure the drawn units are alike in these; in head lines they are not.
ALIKE = (LINES, ACTIVE)

#: Standard errors of a binomial that a rate may be away: one in 16,000.
STANDARD_ERRORS = 4.0


def vectors_of(plan, rows, vectors):
    cells = {
        Cell(variant.key, cohort): Moments.of(vectors[rows.of(variant.key, [cohort])])
        for variant in plan.variants
        for cohort in range(plan.enrollment_weeks)
    }
    return triangle_of(plan, cells)


# --- balance ----------------------------------------------------------------------------------------------------------
def test_balance_is_hotellings_test_of_the_pre_period_averages_over_all_treatments():
    plan = make_plan(variants=variants(40, 30, 30), metrics=ALIKE)
    rows = draw_rows(plan, 2500, 1)
    row = pre_period_balance(triangle_of_rows(plan, rows))
    before = matrix(plan, rows)[:, [0, 7]]
    groups = [before[rows.variant == key] for key in ("control", "a", "b")]
    away = np.concatenate([group.mean(axis=0) - groups[0].mean(axis=0) for group in groups[1:]])
    spread = [np.cov(group.T) / len(group) for group in groups]
    covariance = np.block([[spread[0] + spread[1], spread[0]], [spread[0], spread[0] + spread[2]]])
    statistic = away @ np.linalg.solve(covariance, away)
    freedom, size = min(map(len, groups)) - 1, len(away)
    rest = freedom - size + 1
    assert row.p_value == pytest.approx(stats.f.sf(statistic * rest / (size * freedom), size, rest), rel=1e-6)
    assert row.p_value == pytest.approx(stats.chi2.sf(statistic, size), abs=0.01), "with many units it is Wald's"
    assert row.state == "ok"


def test_variants_that_differed_before_exposure_are_an_alarm_that_names_the_series():
    plan = make_plan()
    rows = draw_rows(plan, 2500, 2)
    vectors = matrix(plan, rows)
    vectors[rows.variant == "a", 0] += 0.6
    row = pre_period_balance(vectors_of(plan, rows, vectors))
    assert row.state == "alarm"
    assert "sum of lines" in row.detail


def test_balance_is_unknown_without_a_pre_period_or_with_few_units():
    plan = make_plan(pre_weeks=0)
    assert pre_period_balance(triangle_of_rows(plan, draw_rows(plan, 500, 3))).state == "unknown"
    plan = make_plan()
    assert pre_period_balance(triangle_of_rows(plan, draw_rows(plan, 40, 3))).state == "unknown"


def test_balance_is_called_off_as_often_as_the_level_says():
    """1,000 healthy worlds at 5 %: the binomial's standard error is .7 %."""
    plan = make_plan(metrics=ALIKE)
    worlds = (triangle_of_rows(plan, draw_rows(plan, 400, seed)) for seed in range(1000))
    small = [pre_period_balance(world).p_value < 0.05 for world in worlds]
    # Skewed counts of 200 units a variant make the chi-square approximation a little off.
    assert np.mean(small) == pytest.approx(0.05, abs=STANDARD_ERRORS * np.sqrt(0.05 * 0.95 / 1000) + 0.005)


# --- gaps -------------------------------------------------------------------------------------------------------------
def gap_of(rows, first_day=0):
    plan = make_plan()
    triangle = triangle_of(plan, {}, START + timedelta(days=7 * len(rows)))
    tallies = {week: Tally(rows=count, last=START + timedelta(days=7 * week + 6)) for week, count in enumerate(rows)}
    return telemetry_gap(replace(triangle, tallies=tallies, first_fact=START + timedelta(days=first_day)))


def test_a_week_with_hardly_any_rows_between_full_ones_is_a_gap():
    row = gap_of([1000, 1100, 90, 1050, 990])
    assert row.state == "alarm"
    assert "week of 2024-01-15: 90 rows, usually 1,025" in row.detail
    assert gap_of([1000, 1100, 0, 1050, 990]).state == "alarm"


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([1000, 1100, 500, 1050, 990], id="a quiet week"),
        pytest.param([100, 200, 300, 400, 500], id="a ramp"),
        pytest.param([1000, 1000, 1000, 50], id="the last week may not be complete"),
        pytest.param([3, 0, 4, 2, 0, 1, 3], id="rare events"),
        pytest.param([1000, 900, 100, 90, 80], id="an end that stays"),
    ],
)
def test_what_is_no_gap_is_no_alarm(rows):
    assert gap_of(rows).state == "ok"


def test_the_week_in_which_facts_begin_is_not_judged_and_too_few_weeks_are_unknown():
    assert gap_of([10, 1000, 1000, 1000], first_day=5).state == "ok"
    assert gap_of([1000, 1000]).state == "unknown"


# --- leaps ------------------------------------------------------------------------------------------------------------
def jump_of(change, clock="calendar", seed=4):
    """Change the vectors of treated units: ``change(vectors, cohort)`` on (treated units, weeks) of lines."""
    plan = make_plan(metrics=(LINES,), clock=clock)
    rows = draw_rows(plan, 6000, seed)
    vectors = matrix(plan, rows)
    for cohort in range(3):
        inside = rows.of("a", [cohort])
        vectors[inside, 1:] = change(vectors[inside, 1:], cohort)
    triangle = vectors_of(plan, rows, vectors)
    return jump(triangle, {"lines": triangle})


def in_calendar_week(week, factor):
    def change(weeks, cohort):
        weeks = weeks.copy()
        if 0 <= week - cohort < weeks.shape[1]:
            weeks[:, week - cohort] *= factor
        return weeks

    return change


def test_logging_that_doubles_for_one_calendar_week_is_a_leap():
    row = jump_of(in_calendar_week(4, 2.0))
    assert row.state == "alarm"
    assert "lines of a by +" in row.detail
    assert "week of 2024-01-29" in row.detail


def test_a_change_that_stays_and_no_change_at_all_are_none():
    assert jump_of(lambda weeks, cohort: weeks).state == "ok"
    assert jump_of(lambda weeks, cohort: weeks * np.where(np.arange(6) + cohort >= 4, 1.5, 1.0)).state == "ok"


# --- attrition --------------------------------------------------------------------------------------------------------
def leaving(control, treated):
    plan = make_plan(pre_weeks=0)
    triangle = triangle_of_rows(plan, draw_rows(plan, 4000, 5))
    left = {
        Departure(Cell("control", 0), 0): control, Departure(Cell("a", 0), 0): treated // 2,
        Departure(Cell("a", 0), 3): treated - treated // 2,
    }  # fmt: skip
    return attrition(replace(triangle, left=left))


def test_units_that_leave_one_variant_more_often_are_an_alarm():
    assert leaving(60, 64).state == "ok"
    row = leaving(60, 160)
    assert row.state == "alarm"
    assert "60 of" in row.detail
    assert "160 of" in row.detail
    assert leaving(1, 2).state == "unknown"


def test_without_left_at_attrition_is_unknown():
    plan = make_plan()
    row = attrition(triangle_of_rows(plan, draw_rows(plan, 200, 6)))
    assert row.state == "unknown"
    assert "left_at" in row.detail
