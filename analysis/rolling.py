"""Late losses read week by week: the newest four weeks, on units that have lived them, under their real covariance.

At any time K is the last week that cohorts holding at least 75 % of the units have lived; the weeks read are [K-4, K)
on these cohorts' units. Each K is read once, on the cohorts that first reached it, so a look repeated or missed
changes nothing. Neighboring readings share weeks and units: their estimates do not have independent increments, and
boundaries that assume so are wrong in both directions. Here the boundaries follow from the readings' own covariance.

Two tests read these weeks: `turned` those before the late window, `confirmed` those inside it, and at last the whole
late window on all units. Each may spend its budget by look K of K0..K1 up to the share ((K-K0+1) / (K1-K0+1))^1.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np

from analysis import sequential, windows
from analysis.effects import means_of, score
from analysis.influence import correlation, covariance, influence
from analysis.moments import Array
from analysis.plan import Metric, Plan, Window
from analysis.triangle import Triangle

#: Weeks a reading averages over: one week is too noisy, more would notice late.
WEEKS = 4

#: Share of the units whose cohorts must have lived the weeks that are read.
SHARE = 0.75

#: How fast the budget is spent: little on the first readings, which the final one would miss.
_EXPONENT = 1.5

Test = Literal["turned", "confirmed"]


@dataclass(frozen=True)
class Reading:
    """Weeks that are read once: on which cohorts, from which day on, and the share of the budget spent by then."""

    window: Window
    cohorts: tuple[int, ...]
    day: date
    share: float


@dataclass(frozen=True, eq=False)
class Path:
    """The test of one metric, reading by reading.

    Attributes:
        readings: the k readings so far.
        p_values: shape (k,), the one-sided p value of a late loss over all readings so far; NaN while there is none.
    """

    readings: tuple[Reading, ...]
    p_values: Array

    def read_by(self, day: date) -> int:
        """How many of the readings were due by a day."""
        return sum(reading.day <= day for reading in self.readings)

    def p_value(self, day: date) -> float:
        """The p value as of a day; NaN before the first reading."""
        known = self.read_by(day)
        return float(self.p_values[known - 1]) if known else float("nan")


def readings(triangle: Triangle, test: Test, late: Window, extra: int = 0) -> tuple[Reading, ...]:
    """Return the readings of a test that are due as of the triangle's day, oldest first.

    ``late`` are the weeks that ``confirmed`` reads in the end. So many ``extra`` weeks must be lived after a week
    before it is known what happened in it.
    """
    plan = triangle.plan
    early = plan.window("early")
    if test == "turned":
        first, last = early.end_week + WEEKS, min(late.start_week + WEEKS - 1, late.end_week)
    else:
        first, last = min(late.start_week + WEEKS, late.end_week), late.end_week
    units = _units(triangle)
    found = []
    for end in range(first, last + 1):
        share = ((end - first + 1) / (last - first + 1)) ** _EXPONENT
        reading = _reading(plan, units, end, share, extra)
        if test == "confirmed" and end == last:
            everyone = tuple(range(plan.enrollment_weeks))
            reading = Reading(late, everyone, windows.fully_readable(plan, end + extra), share)
        if reading is not None and reading.day <= triangle.as_of:
            found.append(reading)
    return tuple(found)


def newest(triangle: Triangle, extra: int = 0) -> Reading | None:
    """Return the newest four weeks that can be read, whether a test reads them or not."""
    units = _units(triangle)
    for end in range(triangle.plan.horizon_weeks - extra, WEEKS - 1, -1):
        reading = _reading(triangle.plan, units, end, 1.0, extra)
        if reading is not None and reading.day <= triangle.as_of:
            return reading
    return None


def _units(triangle: Triangle) -> list[int]:
    """Units by cohort, all variants together."""
    plan = triangle.plan
    return [
        sum(triangle.cohort_units(variant.key, cohort) for variant in plan.variants)
        for cohort in range(plan.enrollment_weeks)
    ]


def _reading(plan: Plan, units: Sequence[int], end: int, share: float, extra: int) -> Reading | None:
    """Return the first reading of [end - 4, end): when the first cohorts with 75 % of the units have lived it."""
    for number in range(1, len(units) + 1):
        day = windows.readable(plan, number - 1, end + extra)
        entered = min(len(units), (windows.read_until(plan, day) - plan.start_date).days // 7)
        if sum(units[:number]) >= SHARE * sum(units[:entered]) > 0:
            return Reading(Window("", end - WEEKS, end), tuple(range(number)), day, share)
    return None


def path(triangle: Triangle, metric: Metric, variant: str, due: Sequence[Reading]) -> Path:
    """Test a metric for a late loss over the readings that are due."""
    scores, parts, told = [], [], []
    for position, reading in enumerate(due):
        means = means_of(triangle, metric, variant, [reading.window], reading.cohorts)
        found = score(means, 0) if means is not None else None
        if means is None or found is None:
            continue
        scores.append(-metric.sign * found.z)
        parts.append(influence(triangle, means, variant, reading.cohorts, log=found.log))
        told.append(position)
    matrix = correlation(covariance(triangle, parts)) if told else np.zeros((0, 0))
    return tested(due, told, np.array(scores), matrix)


def tested(due: Sequence[Reading], told: Sequence[int], scores: Array, correlation: Array) -> Path:
    """Test readings by their scores of a late loss, shape (m,), of the readings at the positions ``told``."""
    p_values = np.full(len(due), np.nan)
    if told:
        shares = np.array([due[position].share for position in told])
        p_values[list(told)] = sequential.rolling_p(scores, correlation, shares)
    return Path(tuple(due), np.fmin.accumulate(p_values))
