"""What the past says that an experiment is planned on: values, units a week, and what a reader must know of them.

It is taken from a triangle of past units, whose enrollment is one of ``analysis.past``, or of a running experiment,
whose control it is taken from. Assumed: units will vary as they did.
"""

from dataclasses import dataclass

from analysis import windows
from analysis.moments import Moments
from analysis.rolling import SHARE
from analysis.telemetry import telemetry_gap
from analysis.triangle import Triangle

#: Units of the last week of enrollment, relative to those of an average week, below which longer enrollment is known to
#: bring fewer units than the average says.
_FEWER = 0.5


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
