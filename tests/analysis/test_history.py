"""Where a pseudo-enrollment lies against trying every week, and what is taken from a triangle against rows of units."""

import math
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import history
from analysis.moments import Layout, Moments
from analysis.past import TooShort, past_of
from analysis.plan import Plan
from analysis.triangle import Cell, FactCount, FactWeek, Tally, Triangle
from tests.analysis.unit_rows import ACTIVE, LINES, draw_rows, exact, make_plan, matrix, triangle_of, triangle_of_rows

#: A Monday.
START = date(2024, 7, 1)

#: Sums of some hundred numbers of the same size.
ROUNDING = 1e-12


def planned(**changes: object) -> Plan:
    return make_plan(start_date=START, **changes)


def days(count: int) -> timedelta:
    return timedelta(days=count)


# --- Where the pseudo-enrollment lies ---------------------------------------------------------------------------------
def lived(clock: str, exposed: int, days_read: int) -> int:
    """Whole weeks that a unit has lived which was exposed on day ``exposed``, on the plan's clock, by enumeration."""
    begin = exposed if clock == "unit" else exposed // 7 * 7
    return sum(begin + 7 * (week + 1) <= days_read for week in range(200))


def by_trying(plan: Plan, first: date, last: date) -> tuple[date, date] | None:
    """The start and the first unread day of the pseudo-enrollment: every week back is tried on every day of exposure.

    Among the starts with a whole pre-period the latest whose units all live the horizon, else the earliest one, where
    all units live a week.
    """
    end = min(START, last + days(1) - days(plan.lag_days))
    known = {}
    for back in range(1, 150):
        start = START - days(7 * back)
        if start - days(7 * plan.pre_weeks) >= first:
            exposed = range(7 * plan.enrollment_weeks)
            known[start] = min(lived(plan.clock, day, (end - start).days) for day in exposed)
    whole = [start for start, weeks in known.items() if weeks >= plan.horizon_weeks]
    start = max(whole) if whole else min(known, default=None)
    return None if start is None or known[start] < 1 else (start, end)


@given(
    before=st.integers(-5, 250), length=st.integers(1, 260), clock=st.sampled_from(["unit", "calendar"]),
    pre_weeks=st.integers(0, 4), enrollment_weeks=st.integers(1, 6), lag_days=st.integers(0, 9),
)  # fmt: skip
def test_the_enrollment_lies_where_trying_every_week_finds_the_best(
    before: int, length: int, clock: str, pre_weeks: int, enrollment_weeks: int, lag_days: int
) -> None:
    plan = planned(clock=clock, pre_weeks=pre_weeks, enrollment_weeks=enrollment_weeks, lag_days=lag_days)
    first = START - days(before)
    last = first + days(length - 1)
    known = by_trying(plan, first, last)
    if known is None:
        with pytest.raises(TooShort):
            past_of(plan, first, last)
        return
    found = past_of(plan, first, last)
    assert (found.plan.start_date, found.as_of - days(lag_days)) == known


def test_the_whole_horizon_ends_right_before_the_start() -> None:
    # By the clock of the unit its last unit needs 7 (2 + 5) + 13 = 62 days: nine weeks.
    found = past_of(planned(), START - days(400), START + days(90))
    assert (found.plan.start_date, found.as_of) == (START - days(63), START)
    found = past_of(planned(clock="calendar"), START - days(400), START + days(90))
    assert (found.plan.start_date, found.as_of) == (START - days(56), START)


def test_facts_that_end_before_the_start_are_read_to_their_end() -> None:
    found = past_of(planned(lag_days=2), START - days(400), START - days(11))
    # The last day read is 13 days before the start: 62 days before it begin on day 74, a whole week earlier on 77.
    assert (found.plan.start_date, found.as_of) == (START - days(77), START - days(10))


def test_the_plan_of_the_past_reads_the_same_values_of_one_variant() -> None:
    adjusted = replace(LINES, adjust=("age",))
    plan = planned(metrics=(adjusted, ACTIVE), segments=("country",))
    found = past_of(plan, START - days(400), START).plan
    assert [(one.key, one.control) for one in found.variants] == [("control", True)]
    assert (found.segments, found.metrics[0].adjust) == ((), ())
    assert Layout.of(found) == Layout.of(plan)


def test_a_short_past_says_what_there_is_and_what_it_takes() -> None:
    with pytest.raises(TooShort) as raised:
        past_of(planned(), START - days(40), START)
    assert str(raised.value) == (
        "before 2024-07-01 there are facts from 2024-05-22 on, 40 days; a plan needs 41 days in whole weeks before "
        "start_date (pre_weeks 2, enrollment_weeks 3 and one week of every unit)"
    )
    with pytest.raises(TooShort, match=r"no facts \(the first is of 2024-07-02\).*21 days.*\(enrollment_weeks"):
        past_of(planned(pre_weeks=0, clock="calendar"), START + days(1), START + days(5))


# --- What is taken from a triangle ------------------------------------------------------------------------------------
def triangle_of_sizes(plan: Plan, sizes: list[list[int]], as_of: date) -> Triangle:
    """A triangle of cells of these sizes, by variant and cohort, each with a mean of its own."""
    columns = Layout.of(plan).columns
    cells = {
        Cell(variant.key, cohort): exact(size, np.full(columns, 1.0 + cohort), np.eye(columns))
        for variant, row in zip(plan.variants, sizes, strict=True)
        for cohort, size in enumerate(row)
    }
    return triangle_of(plan, cells, as_of)


def test_the_moments_are_those_of_the_control_in_the_cohorts_that_have_lived() -> None:
    plan = make_plan(variants=make_plan().variants)
    rows = draw_rows(plan, 900, 11)
    as_of = plan.start_date + days(7 * (2 + 3) + 13)  # the last cohort has lived four weeks
    found = history.history_of(triangle_of_rows(plan, rows, as_of))
    assert found.weeks == 4
    known = Moments.of(matrix(plan, rows)[rows.of("control", range(3))])
    assert found.moments.n == known.n
    np.testing.assert_allclose(found.moments.mean, known.mean, rtol=ROUNDING)
    np.testing.assert_allclose(found.moments.covariance, known.covariance, rtol=1e-9, atol=ROUNDING)
    assert found.enrolled == tuple(int((rows.cohort == cohort).sum()) for cohort in range(3))
    assert found.units_per_week == pytest.approx(300)


@pytest.mark.parametrize(
    ("sizes", "weeks", "units"), [([300, 100, 1], 5, 400), ([300, 100, 50], 5, 400), ([600, 100, 1], 6, 600),
                                  ([100, 100, 100], 4, 300)],
)  # fmt: skip
def test_weeks_are_those_that_three_quarters_of_the_units_have_lived(sizes: list[int], weeks: int, units: int) -> None:
    plan = make_plan(horizon_weeks=8)
    as_of = plan.start_date + days(7 * (2 + 3) + 13)
    found = history.history_of(triangle_of_sizes(plan, [sizes, [9, 9, 9]], as_of))
    assert (found.weeks, found.moments.n) == (weeks, units)
    lived_by = {4: 3, 5: 2, 6: 1}[weeks]
    mean = sum(size * (1 + cohort) for cohort, size in enumerate(sizes[:lived_by])) / units
    np.testing.assert_allclose(found.moments.mean, mean, rtol=ROUNDING)


def test_only_weeks_of_enrollment_that_are_over_count_for_the_units_a_week() -> None:
    plan = make_plan()
    triangle = triangle_of_sizes(plan, [[300, 200, 3], [100, 100, 7]], plan.start_date + days(20))
    found = history.history_of(triangle)
    assert found.enrolled == (400, 300)
    assert found.units_per_week == 350
    # The units of the third week have lived no week, but 500 of 503 of the control's others have lived the first.
    assert (found.weeks, found.moments.n) == (1, 500)


def test_without_a_week_lived_there_is_no_history() -> None:
    plan = make_plan()
    found = history.history_of(triangle_of_sizes(plan, [[300, 0, 0], [300, 0, 0]], plan.start_date + days(6)))
    assert (found.weeks, found.moments.n, found.enrolled) == (0, 0, ())


# --- What a reader must know ------------------------------------------------------------------------------------------
def test_nothing_is_told_of_a_history_without_flaws() -> None:
    plan = make_plan()
    assert (
        history.caveats(history.history_of(triangle_of_sizes(plan, [[90, 80, 70]] * 2, plan.start_date + days(90))))
        == ()
    )


def test_weeks_and_units_that_are_missing_are_told() -> None:
    plan = make_plan()
    triangle = triangle_of_sizes(plan, [[300, 100, 20], [300, 100, 20]], plan.start_date + days(7 * (1 + 2) + 13))
    told = history.caveats(history.history_of(triangle))
    assert told[0] == "the history follows units for 3 of 6 weeks; windows that end later cannot be planned"
    assert told[1] == "400 of the 420 past units have lived 3 weeks and are used; those exposed later have not"
    assert told[2].startswith("new units become fewer in the history, week by week 600, 200, 40: further weeks")
    assert len(told) == 3


def test_a_gap_in_the_history_is_told() -> None:
    plan = make_plan()
    whole = triangle_of_sizes(plan, [[90, 80, 70]] * 2, plan.start_date + days(70))
    tallies = {week: Tally(rows=0 if week == 4 else 1_000) for week in range(-2, 10)}
    gappy = Triangle(plan, whole.as_of, whole.cells, tallies, {FactWeek(0, 0): FactCount(1, 0)}, plan.start_date)
    (told,) = history.caveats(history.history_of(gappy))
    assert told.startswith("the history has gaps: data are missing (week of 2024-01-29: 0 rows, usually 1,000)")
    assert math.isfinite(history.history_of(gappy).moments.mean.sum())
