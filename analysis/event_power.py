"""Time to event before an experiment: how much the weeks without the event vary, and what a hazard ratio does to them.

A unit of duration T that is followed for tau weeks has min(T, tau) weeks without the event. P(min(T, tau) >= t) is
S(t - 1): the mean is the restricted mean S(0) + .. + S(tau - 1), the mean square the sum of (2 t - 1) S(t - 1), and the
restricted mean of n units without censoring has the variance of min(T, tau) over n. With a constant hazard ratio r the
treatment's curve is S(t)^r (proportional hazards, in continuous time).
"""

from dataclasses import dataclass

import numpy as np
import scipy

from analysis.life_table import Curve, life_table, longest
from analysis.moments import Array
from analysis.numbers import MIN_UNITS_FOR_INTERVAL
from analysis.plan import Event
from analysis.triangle import Triangle

#: Hazard ratios beyond this, or below its inverse, are not looked for.
LARGEST_RATIO = 100.0


@dataclass(frozen=True, eq=False)
class Lives:
    """How long comparable units without treatment go without the event.

    Attributes:
        survival: shape (tau + 1,), the share without the event after 0 .. tau weeks.
    """

    survival: Array

    @property
    def mean(self) -> float:
        """The restricted mean of weeks without the event, in weeks."""
        return float(self.survival[:-1].sum())

    @property
    def variance(self) -> float:
        """The variance of min(T, tau) between units, in squared weeks; 0 where no unit differs from another."""
        square = float((2 * np.arange(1, len(self.survival)) - 1) @ self.survival[:-1])
        found = square - self.mean**2
        # What rounding leaves of none.
        return found if found > 1e-9 * square else 0.0

    def lift(self, hazard_ratio: float) -> float:
        """Return the lift of the restricted mean that a constant hazard ratio makes."""
        return float((self.survival[:-1] ** hazard_ratio).sum()) / self.mean - 1

    def hazard_ratio(self, lift: float) -> float | None:
        """Return the constant hazard ratio that makes this lift, None where none of a sensible size does."""
        low, high = 1 / LARGEST_RATIO, LARGEST_RATIO
        if not self.lift(high) < lift < self.lift(low):
            return None
        return float(scipy.optimize.brentq(lambda ratio: self.lift(ratio) - lift, low, high))

    def share_with_event(self, hazard_ratio: float, share: float) -> float:
        """Return the share of units with an event within tau weeks, a ``share`` of them in treatment."""
        left = float(self.survival[-1])
        return (1 - share) * (1 - left) + share * (1 - float(left**hazard_ratio))


def lives_of(triangle: Triangle, event: Event) -> Lives | None:
    """Estimate the control's curve up to tau (Kaplan-Meier), None where fewer than 30 units are at risk in week tau."""
    tau = longest(triangle.plan, event)
    curve = Curve.of(life_table(triangle, event, triangle.plan.control.key))
    if curve.weeks < tau or curve.at_risk[tau - 1] < MIN_UNITS_FOR_INTERVAL:
        return None
    return Lives(np.concatenate([[1.0], curve.survival[:tau]]))
