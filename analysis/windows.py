"""Time since exposure: which cohorts have lived through which weeks as of a day.

Definitions (all days are dates in the plan's time zone):
    exposure cohort c = (exposure date - start_date) // 7
    clock "unit":     week k of a unit is its own days 7k .. 7k+6 after the exposure date, so cohort c, whose last
                      unit is exposed on day 7c+6, has lived week k when the first unread day is day 7(c+k)+13.
    clock "calendar": week k of cohort c is calendar week c+k from start_date, complete on day 7(c+k+1).
"""

from datetime import date, timedelta

from analysis.plan import Plan, Window


def read_until(plan: Plan, as_of: date) -> date:
    """Return the first day that is not read: as_of less the days that are not complete yet."""
    return as_of - timedelta(days=plan.lag_days)


def look_number(plan: Plan, as_of: date) -> int:
    """Return the number of whole weeks from start_date to as_of."""
    return (as_of - plan.start_date).days // 7


def _days_to_maturity(plan: Plan, cohort: int, week: int) -> int:
    """Days from start_date until ``cohort`` has lived ``week``, data lag left out."""
    return 7 * (cohort + week) + (13 if plan.clock == "unit" else 7)


def mature_weeks(plan: Plan, cohort: int, as_of: date) -> int:
    """Return how many weeks [0, K) ``cohort`` has lived as of ``as_of``, at most the horizon."""
    lived = (read_until(plan, as_of) - plan.start_date).days - _days_to_maturity(plan, cohort, 0)
    return max(0, min(plan.horizon_weeks, lived // 7 + 1))


def mature_cohorts(plan: Plan, end_week: int, as_of: date) -> tuple[int, ...]:
    """Return the cohorts that have lived all weeks before ``end_week``."""
    cohorts = range(plan.enrollment_weeks)
    return tuple(cohort for cohort in cohorts if mature_weeks(plan, cohort, as_of) >= end_week)


def first_readable(plan: Plan, end_week: int) -> date:
    """Return the first as_of on which one cohort has lived all weeks before ``end_week``."""
    return readable(plan, 0, end_week)


def fully_readable(plan: Plan, end_week: int) -> date:
    """Return the first as_of on which every cohort has lived all weeks before ``end_week``."""
    return readable(plan, plan.enrollment_weeks - 1, end_week)


def readable(plan: Plan, cohort: int, end_week: int) -> date:
    """Return the first as_of on which ``cohort`` has lived all weeks before ``end_week``."""
    return plan.start_date + timedelta(days=_days_to_maturity(plan, cohort, end_week - 1) + plan.lag_days)


def planned_looks(plan: Plan) -> int:
    """Return the number of weekly looks until every cohort has lived the whole horizon."""
    days = (fully_readable(plan, plan.horizon_weeks) - plan.start_date).days
    return -(-days // 7)


def window_cohorts(plan: Plan, window: Window, as_of: date) -> tuple[int, ...]:
    """Return the cohorts mature for ``window``."""
    return mature_cohorts(plan, window.end_week, as_of)


def weekly_looks(plan: Plan, as_of: date) -> tuple[date, ...]:
    """Return the days on which a weekly look is due until ``as_of``: whole weeks from start_date, data lag added."""
    first = plan.start_date + timedelta(days=7 + plan.lag_days)
    return tuple(first + timedelta(days=7 * week) for week in range(max(0, (as_of - first).days // 7 + 1)))


def last_look(plan: Plan) -> date:
    """Return the day of the last weekly look that is planned: after it every unit has lived its horizon."""
    return plan.start_date + timedelta(days=7 * (planned_looks(plan) - plan.lag_days // 7) + plan.lag_days)


def look_that_reads(plan: Plan, day: date) -> date:
    """Return the day of the first weekly look that reads all days before ``day``, planned or not."""
    weeks = max(1, -(-(day - plan.start_date).days // 7))
    return plan.start_date + timedelta(days=7 * weeks + plan.lag_days)


def planned_weeks(plan: Plan) -> int:
    """Return how many calendar weeks from start_date a holdout reads: until planned_end_date, while units are followed.

    Raises ValueError for a plan that is not a holdout's.
    """
    if plan.planned_end_date is None:
        raise ValueError(f"{plan.key} is not a holdout: it has no planned_end_date")
    return min((plan.planned_end_date - plan.start_date).days // 7, plan.enrollment_weeks + plan.horizon_weeks - 1)


def week_begins(plan: Plan, week: int) -> date:
    """Return the first day of a calendar week from start_date."""
    return plan.start_date + timedelta(days=7 * week)


def week_of(plan: Plan, day: date) -> int:
    """Return the calendar week from start_date in which a day lies; negative before it."""
    return (day - plan.start_date).days // 7
