"""Seeded worlds with known truth, drawn from recorded trajectories.

A world is an experiment whose answer is known: units are households drawn with replacement from a table of recorded
daily values, and the treatment is *injected* into the recorded days of the treatment units. Everything that is hard to
invent (skew, habits, gaps, the drift of a year) is recorded; only the effect is made up, and so its size is exact.

How a unit is drawn (``draw_world``):
    1. a household and an eligible day, uniform over the households and the enrollment days; the unit is exposed on the
       household's first active day on or after the eligible day, and a pair without such a day is drawn again;
    2. a variant, an independent Bernoulli draw;
    3. week k is the 7-day block that starts 7k days after the unit's exposure day (clock "unit").

The expected values, by enumeration and not by simulation, are in ``analysis.simulation_truth``; worlds drawn as
moments, without any rows, in ``analysis.simulation_moments``. Days are whole numbers counted from the first recorded
day; callers turn them into dates.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]

DAYS_A_WEEK = 7


@dataclass(frozen=True)
class Trajectories:
    """Recorded daily values of households. Each array has shape (households, days) and holds whole numbers.

    lines:      what the household did that day, in lines; a day with 0 lines is a day without facts
    head_lines: how many of these lines are of head items, 0 <= head_lines <= lines
    cents:      what the lines cost, in hundredths of the currency (whole, so that sums are exact), 0 without lines
    """

    lines: Whole
    head_lines: Whole
    cents: Whole

    def __post_init__(self) -> None:
        if self.lines.ndim != 2 or self.lines.shape != self.head_lines.shape or self.lines.shape != self.cents.shape:
            raise ValueError("lines, head_lines and cents need one shape (households, days)")
        if any(np.any(values < 0) for values in (self.lines, self.head_lines, self.cents)):
            raise ValueError("recorded daily values cannot be negative")
        if np.any(self.head_lines > self.lines):
            raise ValueError("head_lines cannot exceed lines")
        if np.any(self.cents[self.lines == 0] != 0):
            raise ValueError("a day without lines cannot have sales")

    @property
    def households(self) -> int:
        return int(self.lines.shape[0])

    @property
    def days(self) -> int:
        return int(self.lines.shape[1])


@dataclass(frozen=True)
class Enrollment:
    """The days of an experiment, counted from the first recorded day; ends are left out.

    Facts are written for [first_day, last_day); units become eligible on [start_day, start_day + 7 * weeks).
    """

    first_day: int
    start_day: int
    last_day: int
    weeks: int

    def __post_init__(self) -> None:
        if not 0 <= self.first_day <= self.start_day < self.end_day <= self.last_day:
            raise ValueError("an enrollment needs 0 <= first_day <= start_day < end of enrollment <= last_day")

    @property
    def days(self) -> int:
        """Length of the enrollment in days."""
        return DAYS_A_WEEK * self.weeks

    @property
    def end_day(self) -> int:
        """First day on which no unit is exposed any more."""
        return self.start_day + self.days


@dataclass(frozen=True)
class Injection:
    """What the treatment does, by week since exposure. After a profile's last week its last value holds.

    multiplier:      m(k) > 0, the factor on the expected lines (and sales) of a unit that is still there
    hazard:          h(k) in [0, 1), the probability that a unit leaves for good at the start of week k
    head_conversion: r(k) in [0, 1], the share of the other lines that become head lines
    """

    multiplier: tuple[float, ...] = (1.0,)
    hazard: tuple[float, ...] = (0.0,)
    head_conversion: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        if not (self.multiplier and self.hazard and self.head_conversion):
            raise ValueError("every profile needs at least one week")
        if not all(0 < value < np.inf for value in self.multiplier):
            raise ValueError(f"multipliers must be positive and finite, got {self.multiplier}")
        if not all(0 <= value < 1 for value in self.hazard):
            raise ValueError(f"hazards must lie in [0, 1), got {self.hazard}")
        if not all(0 <= value <= 1 for value in self.head_conversion):
            raise ValueError(f"head conversions must lie in [0, 1], got {self.head_conversion}")

    def multipliers(self, weeks: int) -> Floats:
        """Return m(0) .. m(weeks - 1), shape (weeks,)."""
        return _extended(self.multiplier, weeks)

    def hazards(self, weeks: int) -> Floats:
        """Return h(0) .. h(weeks - 1), shape (weeks,)."""
        return _extended(self.hazard, weeks)

    def head_conversions(self, weeks: int) -> Floats:
        """Return r(0) .. r(weeks - 1), shape (weeks,)."""
        return _extended(self.head_conversion, weeks)

    def survival(self, weeks: int) -> Floats:
        """Return S(k), the probability of still being there during week k: the product of 1 - h(j) over j <= k."""
        return np.asarray(np.cumprod(1.0 - self.hazards(weeks)))


#: The treatment of an A/A experiment.
NOTHING = Injection()


def _extended(profile: tuple[float, ...], weeks: int) -> Floats:
    """Return the profile over ``weeks`` weeks, its last value repeated; shape (weeks,)."""
    values = np.asarray(profile, dtype=np.float64)
    return values[np.minimum(np.arange(weeks), len(values) - 1)]


@dataclass(frozen=True)
class World:
    """One drawn experiment. Unit arrays have shape (units,), fact arrays shape (facts,); facts go by unit, then day.

    household, exposed_day: where the unit comes from and the day of its exposure
    treated:                True in the treatment variant
    churn_week:             first week since exposure that a unit of the treatment is gone; -1 for a unit that stays
    fact_unit:              position of the fact's unit in the unit arrays
    fact_day, lines, head_lines, cents: the day's values after the injection; days without lines have no fact
    """

    household: Whole
    exposed_day: Whole
    treated: Flags
    churn_week: Whole
    fact_unit: Whole
    fact_day: Whole
    lines: Whole
    head_lines: Whole
    cents: Whole


def exposure_days(trajectories: Trajectories, enrollment: Enrollment) -> Whole:
    """Return the exposure day for every household and eligible day, -1 where there is none.

    Shape (households, enrollment days): the household's first active day on or after the eligible day, if it falls
    within the enrollment.
    """
    if enrollment.last_day > trajectories.days:
        raise ValueError(f"facts up to day {enrollment.last_day} need more than the {trajectories.days} recorded days")
    active = trajectories.lines[:, enrollment.start_day : enrollment.end_day] > 0
    days = np.where(active, np.arange(enrollment.start_day, enrollment.end_day), enrollment.end_day)
    first = np.minimum.accumulate(days[:, ::-1], axis=1)[:, ::-1]
    return np.where(first < enrollment.end_day, first, -1).astype(np.int64)


def draw_world(
    rng: np.random.Generator,
    trajectories: Trajectories,
    enrollment: Enrollment,
    injection: Injection,
    units: int,
    treatment_share: float = 0.5,
) -> World:
    """Draw ``units`` units, expose them, assign variants and inject the treatment; see the module for the steps."""
    household, exposed_day = _draw_units(rng, trajectories, enrollment, units)
    treated = rng.random(units) < treatment_share
    churn_week = _draw_churn_weeks(rng, enrollment, injection, treated)
    fact_unit, fact_day = _active_days(trajectories, enrollment, household)
    week = (fact_day - exposed_day[fact_unit]) // DAYS_A_WEEK
    gone = (churn_week[fact_unit] >= 0) & (week >= churn_week[fact_unit])
    fact_unit, fact_day, week = fact_unit[~gone], fact_day[~gone], week[~gone]
    source = household[fact_unit]
    values = (
        trajectories.lines[source, fact_day],
        trajectories.head_lines[source, fact_day],
        trajectories.cents[source, fact_day],
    )
    lines, head_lines, cents = _inject(rng, injection, values, week, treated[fact_unit] & (week >= 0))
    left = lines > 0
    return World(
        household=household,
        exposed_day=exposed_day,
        treated=treated,
        churn_week=churn_week,
        fact_unit=fact_unit[left],
        fact_day=fact_day[left],
        lines=lines[left],
        head_lines=head_lines[left],
        cents=cents[left],
    )


def _draw_units(
    rng: np.random.Generator, trajectories: Trajectories, enrollment: Enrollment, units: int
) -> tuple[Whole, Whole]:
    """Draw (household, exposure day) of each unit, two arrays of shape (units,).

    Drawing uniformly among the pairs that do lead to an exposure is the same as drawing any pair and drawing again
    where it does not.
    """
    exposed = exposure_days(trajectories, enrollment)
    valid = np.flatnonzero(exposed >= 0)
    if not len(valid):
        raise ValueError("no household is active during the enrollment: nobody can be exposed")
    drawn = valid[rng.integers(len(valid), size=units)]
    return drawn // enrollment.days, exposed.ravel()[drawn]


def _draw_churn_weeks(rng: np.random.Generator, enrollment: Enrollment, injection: Injection, treated: Flags) -> Whole:
    """Draw the first week without the unit, -1 for units that stay until the last day; shape (units,)."""
    weeks = -(-(enrollment.last_day - enrollment.start_day) // DAYS_A_WEEK)
    survival = injection.survival(weeks)
    # Gone during week k when the draw is not below S(k): the first such week is the first one without the unit.
    first_gone = np.searchsorted(-survival, -rng.random(len(treated)), side="left")
    return np.where(treated & (first_gone < weeks), first_gone, -1).astype(np.int64)


def _active_days(trajectories: Trajectories, enrollment: Enrollment, household: Whole) -> tuple[Whole, Whole]:
    """Return (unit, day) of every recorded active day of every unit, sorted by unit, then day; shape (facts,) each."""
    active = trajectories.lines[:, enrollment.first_day : enrollment.last_day] > 0
    day = np.nonzero(active)[1] + enrollment.first_day
    count = active.sum(axis=1)
    start = np.cumsum(count) - count
    facts = count[household]
    unit = np.repeat(np.arange(len(household)), facts)
    within = np.arange(len(unit)) - np.repeat(np.cumsum(facts) - facts, facts)
    return unit, day[start[household][unit] + within]


def _inject(
    rng: np.random.Generator, injection: Injection, values: tuple[Whole, Whole, Whole], week: Whole, touched: Flags
) -> tuple[Whole, Whole, Whole]:
    """Return (lines, head_lines, cents) with the treatment applied where ``touched``; shape (facts,) each.

    With recorded lines v, head lines w and cents c, the expectations are exact: E lines = m v, E cents = m c,
    E head_lines = m (w + r (v - w)). Head lines never exceed lines, because rounding a number that is not above a whole
    number cannot pass that number.
    """
    lines, head_lines, cents = (column.copy() for column in values)
    if not touched.any():
        return lines, head_lines, cents
    weeks = int(week[touched].max()) + 1
    before = lines[touched]
    after = _round_at_random(rng, before * injection.multipliers(weeks)[week[touched]])
    head = _round_at_random(rng, head_lines[touched] * after / before)
    head += rng.binomial(after - head, injection.head_conversions(weeks)[week[touched]])
    lines[touched] = after
    head_lines[touched] = head
    cents[touched] = _round_at_random(rng, cents[touched] * after / before)
    return lines, head_lines, cents


def _round_at_random(rng: np.random.Generator, values: Floats) -> Whole:
    """Round up with the probability of the fraction, else down: whole numbers with exactly the given expectation."""
    floor = np.floor(values)
    return (floor + (rng.random(values.shape) < values - floor)).astype(np.int64)
