"""The effect by week: one row for each week and kind, each on the cohorts that have lived its weeks."""

from datetime import timedelta

import pytest

from analysis import windows
from analysis.effects import effect_of, means_of
from analysis.plan import Window
from analysis.results import Comparison, TrajectoryRow
from analysis.trajectory import trajectory
from analysis.triangle import Triangle
from tests.analysis.brute_force import brute
from tests.analysis.unit_rows import (
    HEAD_SHARE,
    LINES,
    START,
    all_mature,
    draw_rows,
    make_plan,
    triangle_of,
    triangle_of_rows,
    variants,
)

PLAN = make_plan()
ROWS = draw_rows(PLAN, 1_500, seed=21)

#: As for effects: adjustment divides by a variance.
ADJUSTED = 1e-6


def rows_of(triangle: Triangle, kind: str) -> list[TrajectoryRow]:
    return [row for row in trajectory(triangle, LINES, "a") if row.kind == kind]


def test_there_is_one_row_for_each_week_weekly_then_cumulative_then_calendar_at_any_day() -> None:
    for day in (-7, 0, 20, 41, 90):
        triangle = triangle_of_rows(PLAN, ROWS, START + timedelta(days=day))
        found = [(row.kind, row.week) for row in trajectory(triangle, LINES, "a")]
        weeks = {"weekly": 6, "cumulative": 6, "calendar": 8}
        assert found == [(kind, week) for kind, number in weeks.items() for week in range(number)]


def test_each_weekly_row_is_the_effect_of_that_week_on_the_cohorts_that_have_lived_it() -> None:
    """Day 41: with three cohorts, the early weeks are there for all, the middle ones for some, the last for none."""
    as_of = START + timedelta(days=41)
    triangle = triangle_of_rows(PLAN, ROWS, as_of)
    lived = [windows.mature_cohorts(PLAN, week + 1, as_of) for week in range(6)]
    assert [len(cohorts) for cohorts in lived] == [3, 3, 3, 2, 1, 0]
    for kind, first in (("weekly", lambda week: week), ("cumulative", lambda week: 0)):
        for row in rows_of(triangle, kind)[:5]:
            span = Window("", first(row.week), row.week + 1)
            cohorts = list(lived[row.week])
            expected = brute(ROWS, "lines", "a", cohorts, [span, span], adjust=True)
            assert row.state == "ok"
            assert (row.n_control, row.n_treatment) == (expected.n_control, expected.n_treatment)
            assert row.effect == pytest.approx(expected.effect[0], rel=ADJUSTED)
            assert row.effect_se == pytest.approx(expected.se[0], rel=ADJUSTED)
            assert row.lift == pytest.approx(expected.treatment[0] / expected.control[0] - 1, rel=ADJUSTED)


def test_rows_that_are_computed_together_equal_rows_computed_alone() -> None:
    triangle = triangle_of_rows(PLAN, ROWS)
    for metric in (LINES, HEAD_SHARE):
        for row in trajectory(triangle, metric, "a"):
            if row.kind == "calendar":
                continue
            start = row.week if row.kind == "weekly" else 0
            means = means_of(triangle, metric, "a", [Window("", start, row.week + 1)], (0, 1, 2))
            assert means is not None
            alone = effect_of(means)
            for field in vars(Comparison()):
                found, expected = getattr(row, field), getattr(alone, field)
                assert found == (pytest.approx(expected, rel=1e-10) if isinstance(expected, float) else expected)


def test_the_first_cumulative_week_is_the_first_week_and_the_last_covers_all_weeks() -> None:
    triangle = triangle_of_rows(PLAN, ROWS)
    weekly, cumulative = rows_of(triangle, "weekly"), rows_of(triangle, "cumulative")
    assert cumulative[0].effect == pytest.approx(weekly[0].effect, rel=1e-12)
    raw = [row.unadjusted_effect for row in weekly]
    assert cumulative[-1].unadjusted_effect == pytest.approx(sum(x for x in raw if x is not None) / 6, rel=1e-10)


def test_weeks_that_nobody_has_lived_carry_their_dates_and_no_numbers() -> None:
    as_of = START + timedelta(days=41)
    last = rows_of(triangle_of_rows(PLAN, ROWS, as_of), "weekly")[-1]
    assert last.state == "not_yet"
    assert last.readable_from == windows.fully_readable(PLAN, 6) == START + timedelta(days=7 * 7 + 13)
    assert last.reason == "no cohort has lived week 5 yet: the first has on 2024-02-18, all have on 2024-03-03"
    assert (last.n_control, last.n_treatment) == (0, 0)
    assert (last.control_mean, last.effect, last.effect_se, last.p_value, last.lift, last.lift_low) == (None,) * 6


def test_a_variant_without_units_is_too_few_and_the_counts_are_named() -> None:
    rows = rows_of(triangle_of(PLAN, {}, all_mature(PLAN)), "cumulative")
    assert {row.state for row in rows} == {"too_few"}
    assert rows[0].reason == "a comparison needs two units in each variant; found 0 in control, 0 in a"


def test_each_treatment_has_a_trajectory_of_its_own() -> None:
    plan = make_plan(variants=variants(40, 30, 30))
    rows = draw_rows(plan, 2_000, seed=22)
    triangle = triangle_of_rows(plan, rows)
    for key in ("a", "b"):
        first = next(iter(trajectory(triangle, LINES, key)))
        expected = brute(rows, "lines", key, [0, 1, 2], [Window("", 0, 1), Window("", 0, 1)], adjust=True)
        assert first.variant == key
        assert first.effect == pytest.approx(expected.effect[0], rel=ADJUSTED)
        assert first.n_treatment == len(rows.of(key, [0, 1, 2]))
