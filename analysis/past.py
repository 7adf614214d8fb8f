"""Where in the past an experiment is planned: which weeks of facts are read, and as of which day.

Before an experiment there are facts, but no exposures. A *pseudo-enrollment* takes their place: a unit counts as
exposed on the day of its first fact in enrollment_weeks weeks of the past, and all units are the control's. It lies as
late as the whole horizon is over before the experiment starts; where the facts begin too late for that, as early as
they have the pre-period, and fewer weeks are known. Read as any exposures are, it gives a cohort triangle.

Assumed: units are exposed when they are active, whoever comes first in these weeks.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta

from analysis import windows
from analysis.plan import Plan


class TooShort(ValueError):
    """The past has too few days to plan anything on."""


@dataclass(frozen=True)
class Past:
    """A pseudo-enrollment: the plan by which it is read, with one variant, and the day as of which."""

    plan: Plan
    as_of: date


def past_of(plan: Plan, first: date, last: date) -> Past:
    """Place the pseudo-enrollment for ``plan`` in facts of the days ``first`` to ``last``.

    It starts whole weeks before start_date, so that weeks begin on the same weekday. Facts from start_date on are not
    used, nor are those of the last lag_days days. Raises TooShort where not even week 0 of every cohort is known.
    """
    lag = timedelta(days=plan.lag_days)
    end = min(plan.start_date, last + timedelta(days=1) - lag)
    over = windows.fully_readable(plan, plan.horizon_weeks) - lag
    back = -(-(over - end).days // 7)
    room = (plan.start_date - first).days // 7 - plan.pre_weeks
    if room < 1:
        raise TooShort(_needs(plan, first, end))
    start_date = plan.start_date - timedelta(days=7 * min(back, room))
    metrics = tuple(replace(metric, adjust=()) for metric in plan.metrics)
    found = replace(
        plan, variants=(replace(plan.control, weight=None),), start_date=start_date, segments=(), metrics=metrics
    )
    if windows.fully_readable(found, 1) > end + lag:
        raise TooShort(_needs(plan, first, end))
    return Past(found, end + lag)


def _needs(plan: Plan, first: date, end: date) -> str:
    days = (windows.fully_readable(plan, 1) - plan.start_date).days - plan.lag_days + 7 * plan.pre_weeks
    parts = f"enrollment_weeks {plan.enrollment_weeks} and one week of every unit"
    parts = f"pre_weeks {plan.pre_weeks}, {parts}" if plan.pre_weeks else parts
    there = (
        f"facts from {first} on, {(end - first).days} days" if first < end else f"no facts (the first is of {first})"
    )
    return f"before {end} there are {there}; a plan needs {days} days in whole weeks before start_date ({parts})"
