"""Life tables from counts: Kaplan-Meier curves, their intervals, and the restricted mean, in whole weeks.

A unit whose event falls in week k has duration k + 1 and is at risk at t = 1 .. k + 1. A cohort that has lived K weeks
is followed for K weeks (occurrence), or K - G + 1 (inactivity: that weeks k .. k + G - 1 lack activity is known only
when all of them are lived; nobody is labelled by "inactive so far"). A unit without an event by then is censored there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from analysis import windows
from analysis.moments import Array
from analysis.numbers import critical
from analysis.plan import Event, Plan
from analysis.triangle import Triangle

Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LifeTable:
    """Units of one variant at risk and with an event, by exposure cohort and completed week.

    Attributes:
        at_risk, events: shape (cohorts, T); column t - 1 is for t. Beyond a cohort's follow-up both are zero.
        returned: units of the events counted that were active again in a week lived.
    """

    at_risk: Whole
    events: Whole
    returned: int = 0

    @property
    def weeks(self) -> int:
        """The longest duration T there is a column for."""
        return int(self.at_risk.shape[1])

    @property
    def total(self) -> "LifeTable":
        """All cohorts together, as one."""
        return LifeTable(
            self.at_risk.sum(axis=0, keepdims=True), self.events.sum(axis=0, keepdims=True), self.returned
        )  # fmt: skip

    @property
    def censored(self) -> Whole:
        """Shape (T,): units that are at risk at t for the last time, without an event."""
        after = np.concatenate([self.at_risk[:, 1:], np.zeros((len(self.at_risk), 1), dtype=np.int64)], axis=1)
        return np.asarray((self.at_risk - self.events - after).sum(axis=0))

    def of_cohorts(self, cohorts: Sequence[int]) -> "LifeTable":
        """Return the table of some cohorts; what has returned is not known of them alone."""
        chosen = list(cohorts)
        return LifeTable(self.at_risk[chosen], self.events[chosen])


def extra_weeks(event: Event) -> int:
    """Weeks that must be lived after week k before it is known whether the event falls in it."""
    return event.gap_weeks - 1 if event.type == "inactivity" else 0


def longest(plan: Plan, event: Event) -> int:
    """The deciding horizon tau: the longest duration that can be known, in weeks."""
    return plan.horizon_weeks - extra_weeks(event)


def life_table(triangle: Triangle, event: Event, variant: str, as_of: date | None = None) -> LifeTable:
    """Return the life table of a variant, shape (cohorts of the plan, tau), as of the triangle's day or an earlier one.

    An earlier day shortens the follow-up; units are those that count as of the triangle's day.
    """
    plan, extra, day = triangle.plan, extra_weeks(event), as_of or triangle.as_of
    at_risk = np.zeros((plan.enrollment_weeks, longest(plan, event)), dtype=np.int64)
    events = np.zeros_like(at_risk)
    returned = 0
    for cohort in range(plan.enrollment_weeks):
        lived = windows.mature_weeks(plan, cohort, day)
        followed = max(0, lived - extra)
        counts = triangle.event_counts(event, variant, cohort)
        known = counts.weeks[:followed].sum(axis=1)
        events[cohort, :followed] = known
        at_risk[cohort, :followed] = counts.n - np.concatenate([[0], np.cumsum(known)])[:followed]
        returned += int(counts.weeks[:followed, :lived].sum())
    return LifeTable(at_risk, events, returned if event.type == "inactivity" else 0)


@dataclass(frozen=True, eq=False)
class Curve:
    """A Kaplan-Meier estimate.

    Attributes:
        survival: shape (T,), S(1) .. S(T), up to the last t with units at risk.
        hazard_variance: shape (T,), the sum of d / (n (n - d)) up to t, infinite once nobody is left.
        at_risk, events: shape (T,).
    """

    survival: Array
    hazard_variance: Array
    at_risk: Whole
    events: Whole

    @classmethod
    def of(cls, table: LifeTable) -> "Curve":
        """Estimate the curve of all cohorts of a table (Kaplan & Meier 1958, JASA 53:457)."""
        n, d = table.at_risk.sum(axis=0), table.events.sum(axis=0)
        seen = int(np.count_nonzero(n))
        n, d = n[:seen], d[:seen]
        left = n - d
        with np.errstate(divide="ignore"):
            steps = np.where(d > 0, d / (n * left.astype(float)), 0.0)
        return cls(np.cumprod(left / n), np.cumsum(steps), n, d)

    @property
    def weeks(self) -> int:
        return len(self.survival)

    def variance(self, t: int) -> float:
        """Greenwood's variance of S(t) (Greenwood 1926); 0 where S is 0."""
        s = float(self.survival[t - 1])
        return s * s * float(self.hazard_variance[t - 1]) if s else 0.0

    def interval(self, t: int) -> tuple[float, float]:
        """Return the log-log interval of S(t) at 95 % (Kalbfleisch & Prentice 2002, 1.4.3); no wider than [0, 1].

        Where nobody has had an event yet, or everybody has, there is no such interval and S stands for both ends.
        """
        s = float(self.survival[t - 1])
        if not 0 < s < 1:
            return s, s
        half = critical() * math.sqrt(float(self.hazard_variance[t - 1])) / abs(math.log(s))
        return s ** math.exp(half), s ** math.exp(-half)

    @property
    def median(self) -> int | None:
        """The first t with S(t) at most one half, None where it is not reached."""
        below = np.flatnonzero(self.survival <= 0.5)
        return int(below[0]) + 1 if len(below) else None


@dataclass(frozen=True)
class RestrictedMean:
    """Weeks without the event out of the first t, with the variance of the estimate."""

    weeks: float
    variance: float


def restricted_mean(curve: Curve, t: int) -> RestrictedMean:
    """Return the restricted mean of weeks up to ``t``: S(0) + .. + S(t - 1), S(0) = 1.

    Its variance is the sum over event times of (area under S from there to t)^2 d / (n (n - d)) (Klein & Moeschberger
    2003, 4.5.2). Events at t itself do not count: the area after them is zero. Raises ValueError beyond the curve.
    """
    if not 1 <= t <= curve.weeks:
        raise ValueError(f"the curve has {curve.weeks} weeks, not {t}")
    before = np.concatenate([[1.0], curve.survival[: t - 1]])
    # After an event at time i the area up to t is S(i) + .. + S(t - 1).
    area = np.cumsum(before[::-1])[::-1][1:]
    n, d = curve.at_risk[: t - 1].astype(float), curve.events[: t - 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where((d > 0) & (area > 0), area**2 * d / (n * (n - d)), 0.0)
    return RestrictedMean(float(before.sum()), float(terms.sum()))
