"""The exact answer of a simulated experiment, by enumeration over households and eligible days.

The worlds of ``analysis.simulation`` draw from a finite list of (household, exposure day) pairs with known
probabilities, and the treatment acts on each pair with known expectations. So the expected value of a unit in a week
is a finite sum: nothing here is simulated. A unit's value in a window [a, b) is the average over its weeks, a ratio is
the sum of numerators over the sum of denominators, a lift is treatment over control less 1.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from analysis.simulation import DAYS_A_WEEK, Enrollment, Floats, Injection, Trajectories, Whole, exposure_days

CENTS = 100


@dataclass(frozen=True)
class Pairs:
    """The distinct (household, exposure day) pairs, shape (pairs,) each; probabilities sum to 1."""

    household: Whole
    exposed_day: Whole
    probability: Floats


@dataclass(frozen=True)
class WindowTruth:
    """Expected value of a unit in a window (average a week; a ratio for ratios) and the lift, a fraction."""

    control: float
    treatment: float

    @property
    def effect(self) -> float:
        return self.treatment - self.control

    @property
    def lift(self) -> float:
        return self.treatment / self.control - 1.0


@dataclass(frozen=True)
class MetricTruth:
    """Expected numerators and denominators by week since exposure, shape (weeks,) each; denominators 1 for means."""

    control: Floats
    treatment: Floats
    control_denominator: Floats
    treatment_denominator: Floats

    def window(self, start_week: int, end_week: int) -> WindowTruth:
        """Return the truth in [start_week, end_week)."""
        if not 0 <= start_week < end_week <= len(self.control):
            raise ValueError(f"window [{start_week}, {end_week}) is outside the {len(self.control)} weeks")
        weeks = slice(start_week, end_week)
        return WindowTruth(
            control=float(self.control[weeks].sum() / self.control_denominator[weeks].sum()),
            treatment=float(self.treatment[weeks].sum() / self.treatment_denominator[weeks].sum()),
        )

    def weekly(self) -> list[WindowTruth]:
        """Return the truth of each single week."""
        return [self.window(week, week + 1) for week in range(len(self.control))]


@dataclass(frozen=True)
class SurvivalTruth:
    """Probability of being event-free after t = 1, 2, ... completed weeks, shape (times,) each."""

    control: Floats
    treatment: Floats

    def restricted_mean(self, tau: int) -> WindowTruth:
        """Return the restricted mean in weeks, the sum of S(0) .. S(tau - 1), with its lift."""
        if not 1 <= tau <= len(self.control) + 1:
            raise ValueError(f"tau {tau} is outside 1 .. {len(self.control) + 1}")
        return WindowTruth(
            control=float(1.0 + self.control[: tau - 1].sum()),
            treatment=float(1.0 + self.treatment[: tau - 1].sum()),
        )


def enumerate_pairs(
    trajectories: Trajectories, enrollment: Enrollment, cohorts: Collection[int] | None = None
) -> Pairs:
    """Return the pairs a unit can be, with their probabilities; ``cohorts`` keeps units exposed in these weeks only."""
    exposed = exposure_days(trajectories, enrollment)
    household, eligible = np.nonzero(exposed >= 0)
    key, count = np.unique(household * trajectories.days + exposed[household, eligible], return_counts=True)
    household, exposed_day = key // trajectories.days, key % trajectories.days
    if cohorts is not None:
        kept = np.isin((exposed_day - enrollment.start_day) // DAYS_A_WEEK, sorted(cohorts))
        household, exposed_day, count = household[kept], exposed_day[kept], count[kept]
    if not len(count):
        raise ValueError("no household is active during the enrollment: nobody can be exposed")
    return Pairs(household, exposed_day, count / count.sum())


def weekly_sums(values: Floats | Whole, pairs: Pairs, first_week: int, end_week: int) -> Floats:
    """Return sums of daily ``values`` (households, days) over weeks since exposure; shape (pairs, weeks).

    Weeks may be negative (before exposure). A week outside the recorded days is an error, never a silent zero.
    """
    first_days = pairs.exposed_day[:, None] + DAYS_A_WEEK * np.arange(first_week, end_week)
    if first_days.size and (first_days.min() < 0 or first_days.max() + DAYS_A_WEEK > values.shape[1]):
        raise ValueError(f"weeks [{first_week}, {end_week}) since exposure reach outside the recorded days")
    running = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, out=running[:, 1:])
    rows = pairs.household[:, None]
    return np.asarray(running[rows, first_days + DAYS_A_WEEK] - running[rows, first_days])


def expected_metrics(
    trajectories: Trajectories,
    enrollment: Enrollment,
    injection: Injection,
    weeks: int,
    cohorts: Collection[int] | None = None,
) -> dict[str, MetricTruth]:
    """Return the truth of lines, active (a share), head_share (a ratio) and sales (in currency) for ``weeks`` weeks."""
    pairs = enumerate_pairs(trajectories, enrollment, cohorts)
    scale = injection.multipliers(weeks) * injection.survival(weeks)
    conversion = injection.head_conversions(weeks)

    def mean(values: Floats | Whole) -> Floats:
        return pairs.probability @ weekly_sums(values, pairs, 0, weeks)

    lines, head, sales = mean(trajectories.lines), mean(trajectories.head_lines), mean(trajectories.cents) / CENTS
    one = np.ones(weeks)
    stays = injection.survival(weeks)
    active = pairs.probability @ active_probability(trajectories, pairs, Injection(), weeks)
    treated_active = stays * (pairs.probability @ active_probability(trajectories, pairs, injection, weeks))
    treated_head = scale * (head + conversion * (lines - head))
    return {
        "lines": MetricTruth(lines, scale * lines, one, one),
        "active": MetricTruth(active, treated_active, one, one),
        "head_share": MetricTruth(head, treated_head, lines, scale * lines),
        "sales": MetricTruth(sales, scale * sales, one, one),
    }


def active_probability(trajectories: Trajectories, pairs: Pairs, injection: Injection, weeks: int) -> Floats:
    """Return the probability that a unit that is still there has any line in a week; shape (pairs, weeks).

    Rounding at random empties a day of v lines with probability 1 - m v where m v < 1, days are independent, and a day
    with m v >= 1 keeps at least one line. With m >= 1 this is 1 or 0: was the week active as recorded.
    """
    result = np.empty((len(pairs.household), weeks))
    emptied: dict[float, Floats] = {}
    for week, multiplier in enumerate(injection.multipliers(weeks).tolist()):
        if multiplier not in emptied:
            emptied[multiplier] = _empty_probability(trajectories, pairs, multiplier, weeks)
        result[:, week] = 1.0 - emptied[multiplier][:, week]
    return result


def _empty_probability(trajectories: Trajectories, pairs: Pairs, multiplier: float, weeks: int) -> Floats:
    """Return the probability that no line of a week is left under ``multiplier``; shape (pairs, weeks)."""
    lines = multiplier * trajectories.lines
    sure = weekly_sums((lines >= 1.0).astype(np.int64), pairs, 0, weeks) > 0
    log_empty = np.log1p(-np.where(lines < 1.0, lines, 0.0))
    return np.where(sure, 0.0, np.exp(weekly_sums(log_empty, pairs, 0, weeks)))


def inactivity_survival(
    trajectories: Trajectories,
    enrollment: Enrollment,
    injection: Injection,
    weeks: int,
    gap_weeks: int,
    cohorts: Collection[int] | None = None,
) -> SurvivalTruth:
    """Return the truth of the event "the first week k such that weeks k .. k + gap_weeks - 1 all lack activity".

    Units are followed for ``weeks`` weeks, so S(t) is known for t = 1 .. weeks - gap_weeks + 1.
    """
    if not 1 <= gap_weeks <= weeks:
        raise ValueError(f"a gap of {gap_weeks} weeks does not fit into {weeks} weeks")
    pairs = enumerate_pairs(trajectories, enrollment, cohorts)

    def survival(treatment: Injection) -> Floats:
        active = active_probability(trajectories, pairs, treatment, weeks)
        return _gap_survival(pairs.probability, active, treatment.hazards(weeks), gap_weeks)

    return SurvivalTruth(control=survival(Injection()), treatment=survival(injection))


def _gap_survival(probability: Floats, active: Floats, hazard: Floats, gap_weeks: int) -> Floats:
    """Follow the length of the current run of inactive weeks week by week; shape (weeks - gap_weeks + 1,).

    The state is a distribution over run lengths 0 .. gap_weeks - 1, apart for units that are there and units that left
    (whose weeks all lack activity). Reaching gap_weeks in week k is the event of week k - gap_weeks + 1.
    """
    pairs, weeks = active.shape
    there = np.zeros((pairs, gap_weeks))
    there[:, 0] = probability
    left = np.zeros_like(there)
    reached = np.zeros(weeks)
    for week in range(weeks):
        left += hazard[week] * there
        there *= 1.0 - hazard[week]
        active_share = active[:, week]
        reached[week] = left[:, -1].sum() + (1.0 - active_share) @ there[:, -1]
        total = there.sum(axis=1)
        there[:, 1:] = (1.0 - active_share)[:, None] * there[:, :-1]
        there[:, 0] = active_share * total
        left[:, 1:] = left[:, :-1].copy()
        left[:, 0] = 0.0
    return 1.0 - np.cumsum(reached[gap_weeks - 1 :])
