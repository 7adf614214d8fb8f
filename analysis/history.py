"""The past that an experiment is planned on: which weeks of it are read, and what is taken from them.

Before an experiment there are facts, but no exposures. A *pseudo-enrollment* takes their place: a unit counts as
exposed on the day of its first fact in enrollment_weeks weeks of the past, and all units are the control's. It lies as
late as the whole horizon is over before the experiment starts; where the facts begin too late for that, as early as
they have the pre-period, and fewer weeks are known. Read as any exposures are, it gives a cohort triangle. The control
of a running experiment gives one as well.

Assumed: units are exposed when they are active, whoever comes first in these weeks; and units will vary as they did.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta

from analysis import windows
from analysis.moments import Moments
from analysis.plan import Plan
from analysis.rolling import SHARE
from analysis.telemetry import telemetry_gap
from analysis.triangle import Triangle

#: Units of the last week of enrollment, relative to those of an average week, below which longer enrollment is known to
#: bring fewer units than the average says.
_FEWER = 0.5


class TooShort(ValueError):
    """The past has too few days to plan anything on."""


@dataclass(frozen=True)
class Past:
    """A pseudo-enrollment: the plan by which it is read, with one variant, and the day as of which."""

    plan: Plan
    as_of: date


@dataclass(frozen=True, eq=False)
class History:
    """What the past says.

    Attributes:
        triangle: the past as it was read; its control is what the plan rests on.
        weeks: weeks since exposure that cohorts with at least 75 % of the control's units have lived.
        moments: moments of the control's units in these cohorts.
        enrolled: units of all variants by exposure cohort, for the cohorts whose week of exposure is over.
    """

    triangle: Triangle
    weeks: int
    moments: Moments
    enrolled: tuple[int, ...]

    @property
    def units_per_week(self) -> float:
        """Units of all variants in an average week of enrollment. Raises ZeroDivisionError before one is over."""
        return sum(self.enrolled) / len(self.enrolled)


def past(plan: Plan, first: date, last: date) -> Past:
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


def history_of(triangle: Triangle) -> History:
    """Take from a triangle what a plan rests on; ``weeks`` is 0 where no cohort has lived any."""
    plan, control = triangle.plan, triangle.plan.control.key
    over = (windows.read_until(plan, triangle.as_of) - plan.start_date).days // 7
    enrolled = tuple(
        sum(triangle.cohort_units(variant.key, cohort) for variant in plan.variants)
        for cohort in range(min(plan.enrollment_weeks, max(0, over)))
    )
    for weeks in range(plan.horizon_weeks, 0, -1):
        cohorts = windows.mature_cohorts(plan, weeks, triangle.as_of)
        moments = triangle.moments(control, cohorts)
        if moments.n >= SHARE * triangle.units(control) > 0:
            return History(triangle, weeks, moments, enrolled)
    return History(triangle, 0, triangle.moments(control, ()), enrolled)


def caveats(history: History) -> tuple[str, ...]:
    """Return what a reader of a plan must know of its history, in sentences; empty where nothing is amiss."""
    plan, told = history.triangle.plan, []
    if history.weeks < plan.horizon_weeks:
        told.append(
            f"the history follows units for {history.weeks} of {plan.horizon_weeks} weeks; windows that end later "
            "cannot be planned"
        )
    everyone = history.triangle.units(plan.control.key)
    if history.moments.n < everyone:
        told.append(
            f"{history.moments.n:,} of the {everyone:,} past units have lived {history.weeks} weeks and are used; "
            "those exposed later have not"
        )
    if len(history.enrolled) > 1 and history.enrolled[-1] < _FEWER * history.units_per_week:
        counts = ", ".join(f"{units:,}" for units in history.enrolled)
        told.append(
            f"new units become fewer in the history, week by week {counts}: further weeks of enrollment bring fewer "
            "than the average, so more weeks are needed than is said here"
        )
    gap = telemetry_gap(history.triangle)
    if gap.state == "alarm":
        told.append(f"the history has gaps: {gap.detail}")
    return tuple(told)
