"""Maturity by brute force: units are exposed on every day, and a week counts when its last day was read for all."""

from datetime import date, timedelta

import pytest

from analysis import windows
from analysis.plan import Window
from tests.analysis.unit_rows import START, make_plan

CLOCKS = ("unit", "calendar")
LAGS = (0, 1, 7, 10)


def last_day_of_week(clock: str, exposed: date, cohort: int, week: int) -> date:
    """The last day that belongs to ``week`` of a unit exposed on ``exposed``."""
    if clock == "unit":
        return max(exposed + timedelta(days=day) for day in range(400) if day // 7 == week)
    return max(START + timedelta(days=day) for day in range(400) if day // 7 == cohort + week)


def lived_weeks(clock: str, cohort: int, horizon: int, last_read: date) -> int:
    """How many weeks in a row all seven possible exposure days of a cohort have lived to the end."""
    exposed = [START + timedelta(days=day) for day in range(400) if day // 7 == cohort]
    week = 0
    while week < horizon and all(last_day_of_week(clock, day, cohort, week) <= last_read for day in exposed):
        week += 1
    return week


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("clock", CLOCKS)
def test_a_cohort_is_mature_exactly_when_its_last_unit_has_lived_the_week(clock: str, lag: int) -> None:
    plan = make_plan(clock=clock, lag_days=lag, horizon_weeks=4, windows=(Window("early", 0, 1), Window("late", 3, 4)))
    for day in range(-15, 80):
        as_of = START + timedelta(days=day)
        last_read = as_of - timedelta(days=lag + 1)
        lived = [lived_weeks(clock, cohort, 4, last_read) for cohort in range(3)]
        assert [windows.mature_weeks(plan, cohort, as_of) for cohort in range(3)] == lived
        for end_week in range(1, 5):
            mature = tuple(cohort for cohort in range(3) if lived[cohort] >= end_week)
            assert windows.mature_cohorts(plan, end_week, as_of) == mature
        assert windows.window_cohorts(plan, plan.window("late"), as_of) == windows.mature_cohorts(plan, 4, as_of)


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("clock", CLOCKS)
def test_the_readable_dates_are_the_first_days_on_which_one_cohort_and_all_are_mature(clock: str, lag: int) -> None:
    plan = make_plan(clock=clock, lag_days=lag)
    days = [START + timedelta(days=day) for day in range(120)]
    for end_week in range(1, plan.horizon_weeks + 1):
        first = next(day for day in days if windows.mature_cohorts(plan, end_week, day))
        whole = next(day for day in days if len(windows.mature_cohorts(plan, end_week, day)) == plan.enrollment_weeks)
        assert windows.first_readable(plan, end_week) == first
        assert windows.fully_readable(plan, end_week) == whole


def test_the_honeymoon_calendar_is_that_of_the_documented_scorecard() -> None:
    plan = make_plan(
        start_date=date(2017, 5, 29), enrollment_weeks=4, horizon_weeks=26, pre_weeks=8,
        windows=(Window("early", 0, 4), Window("late", 13, 26)),
    )  # fmt: skip
    assert windows.fully_readable(plan, 4) == date(2017, 5, 29) + timedelta(days=7 * (3 + 3) + 13)
    assert windows.fully_readable(plan, 26) == date(2017, 12, 24)
    assert windows.planned_looks(plan) == 30
    assert windows.look_number(plan, date(2017, 12, 31)) == 30


def test_looks_are_whole_weeks_since_the_start_and_lag_does_not_renumber_them() -> None:
    for lag in LAGS:
        plan = make_plan(lag_days=lag)
        numbers = [windows.look_number(plan, START + timedelta(days=day)) for day in range(22)]
        assert numbers == [0] * 7 + [1] * 7 + [2] * 7 + [3]
        assert windows.look_number(plan, START - timedelta(days=1)) < 0


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("clock", CLOCKS)
def test_the_last_planned_look_is_the_first_weekly_one_that_reads_everything(clock: str, lag: int) -> None:
    plan = make_plan(clock=clock, lag_days=lag)
    looks = [START + timedelta(weeks=week) for week in range(60)]
    complete = [
        number
        for number, day in enumerate(looks)
        if len(windows.mature_cohorts(plan, plan.horizon_weeks, day)) == plan.enrollment_weeks
    ]
    assert windows.planned_looks(plan) == complete[0]


def test_days_that_are_not_complete_yet_are_not_read() -> None:
    assert windows.read_until(make_plan(lag_days=3), date(2024, 3, 1)) == date(2024, 2, 27)


def test_a_window_of_28_days_needs_the_same_days_as_in_mozilla_jetstream() -> None:
    """mozanalysis tests/test_experiment.py: enrollment of 8 days from 2019-01-01, 28 days need data up to 2019-02-04.

    Its last unit starts on 2019-01-08. Our enrollment is whole weeks: the last unit starts a day earlier, so the data
    are needed up to a day earlier, and as_of is the day after the last one that is needed.
    """
    plan = make_plan(start_date=date(2019, 1, 1), enrollment_weeks=1)
    assert windows.fully_readable(plan, 4) - timedelta(days=1) == date(2019, 2, 4) - timedelta(days=1)
    assert windows.fully_readable(plan, 1) - timedelta(days=1) == date(2019, 1, 14) - timedelta(days=1)
    # A day earlier theirs raises "insufficient data"; here no cohort has lived the week.
    assert windows.window_cohorts(plan, Window("", 0, 1), date(2019, 1, 14)) == (0,)
    assert windows.window_cohorts(plan, Window("", 0, 1), date(2019, 1, 13)) == ()
    # 45 days of data hold one span of 28 days: weeks 4 to 7 are not lived yet.
    assert windows.window_cohorts(plan, Window("", 0, 4), date(2019, 2, 15)) == (0,)
    assert windows.window_cohorts(plan, Window("", 4, 8), date(2019, 2, 15)) == ()
