"""What a plan is computed from: the claims it makes and the history it rests on.

A claim may be made at any weekly look, so what counts is the *drift*: the effect, in standard errors of the last look,
whose path crosses its boundaries at some look with the planned power (Jennison & Turnbull 2000, section 2.3).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import scipy
from scipy import special

from analysis import claims, sequential
from analysis.effects import Means, compare, lift_interval, log_lift
from analysis.event_power import Lives
from analysis.moments import Array, Layout, Moments
from analysis.multiplicity import adjusted_power
from analysis.numbers import MIN_UNITS_FOR_INTERVAL
from analysis.plan import Event, Metric, Plan, Window

_FEW = f"fewer than {MIN_UNITS_FOR_INTERVAL} units"


@dataclass(frozen=True)
class Claim:
    """A claim that is planned: at which two-sided alpha over all looks, and with which power."""

    plan: Plan
    alpha: float
    power: float

    def critical(self, looks: int, units: float) -> tuple[float, ...]:
        """Return the critical value at each of ``looks`` looks, which share ``units`` mature units evenly."""
        times = _times(looks)
        seen = [claims.Looks(times[:j], looks, max(1, round(units * j / looks))) for j in range(1, looks + 1)]
        return tuple(claims.critical(self.plan, look, self.alpha) for look in seen)

    def drift(self, looks: int, units: float) -> float:
        """Return the effect, in standard errors of the last look, that is claimed at some look with the power."""
        return _drift(self.critical(looks, units), self.power)

    def power_at(self, drift: float, looks: int, units: float) -> float:
        """Return the probability that an effect of ``drift`` standard errors is claimed at some look."""
        return sequential.crossing_probability(self.critical(looks, units), _times(looks), drift, upper_only=True)


def _times(looks: int) -> tuple[float, ...]:
    return tuple(look / looks for look in range(1, looks + 1))


@lru_cache(maxsize=1024)
def _drift(critical: tuple[float, ...], power: float) -> float:
    times = _times(len(critical))

    def missing(drift: float) -> float:
        return sequential.crossing_probability(critical, times, drift, upper_only=True) - power

    # At the upper end the last look alone has more than the power.
    return float(scipy.optimize.brentq(missing, 0.0, critical[-1] + max(float(special.ndtri(power)), 0.0) + 1))


@dataclass(frozen=True, eq=False)
class Design:
    """A plan with the history it is planned on.

    Attributes:
        history: moments of comparable units without treatment, in the columns of ``Layout.of(plan)``.
        units_per_week: units of all variants exposed in a week.
        weeks: weeks since exposure that all units of the history have lived.
        lives: time to event of comparable units; events that are not in it have too little history.
    """

    plan: Plan
    history: Moments
    units_per_week: float
    weeks: int
    lives: Mapping[Event, Lives] = field(default_factory=dict)

    @property
    def shares(self) -> tuple[str, float, float]:
        """The treatment with the fewest units, and the shares of control and of this treatment among all units."""
        weights = {one.key: one.weight or 1.0 for one in self.plan.variants}
        variant = min(self.plan.treatments, key=lambda one: weights[one.key]).key
        total = sum(weights.values())
        return variant, weights[self.plan.control.key] / total, weights[variant] / total

    @property
    def all_units(self) -> float:
        """Units of all variants at the end of enrollment."""
        return self.units_per_week * self.plan.enrollment_weeks

    @property
    def sizes(self) -> tuple[int, int]:
        """Units of control and of the treatment at the end of enrollment."""
        return round(self.all_units * self.shares[1]), round(self.all_units * self.shares[2])

    def means(self, metric: Metric, spans: list[Window]) -> Means | str:
        """Estimate both variants from the history at their planned sizes; a reason in words where that is impossible.

        Both sides have the history's mean, so there is no effect.
        """
        last = max(span.end_week for span in spans)
        if last > self.weeks:
            return f"the history has {self.weeks} of the {last} weeks since exposure that are needed"
        if self.history.n < MIN_UNITS_FOR_INTERVAL:
            return f"{_FEW} of history"
        if min(self.sizes) < MIN_UNITS_FOR_INTERVAL:
            return f"{_FEW} in a variant are planned"
        control, treatment = (scaled(self.history, size) for size in self.sizes)
        means = compare(control, treatment, Layout.of(self.plan), metric, spans, adjust=self.plan.pre_weeks > 0)
        for value in range(means.values):
            own = np.ix_((value, means.values + value), (value, means.values + value))
            if not math.isfinite(means.control[value]):
                return "the denominator sums to zero, so there is no ratio"
            interval = lift_interval(float(means.control[value]), float(means.treatment[value]), means.covariance[own])
            if interval.reason is not None:
                return interval.reason
            if log_lift(means, value) is None:
                return "the units of the history do not vary"
        return means

    def life(self, metric: Metric) -> tuple[float, float] | str:
        """Return the control's restricted mean of weeks without the event and the standard error of its log ratio.

        At the planned sizes and followed for the whole horizon; a reason in words where that is impossible.
        """
        assert metric.event is not None
        lives = self.lives.get(metric.event)
        if lives is None:
            return f"{_FEW} of the history have lived the {self.plan.horizon_weeks} weeks that are needed"
        if min(self.sizes) < MIN_UNITS_FOR_INTERVAL:
            return f"{_FEW} in a variant are planned"
        if not lives.variance:
            return "no unit of the history has had the event"
        return lives.mean, math.sqrt(lives.variance * sum(1 / size for size in self.sizes)) / lives.mean

    def claim(self, metric: Metric, window: Window) -> Claim:
        """Return what a metric claims over a window. Primary metrics are planned at the plan's own power.

        Guardrails must all hold for a launch, so each is planned at ``multiplicity.adjusted_power``.
        """
        plan, power = self.plan, self.plan.decision.power
        if claims.is_deciding_guardrail(metric, window):
            guardrails = sum(one.role == "guardrail" for one in plan.metrics)
            power = adjusted_power(power, guardrails, any(one.role == "primary" for one in plan.metrics))
        at = claims.level(plan, metric, window)
        return Claim(plan, at.low if metric.sign > 0 else at.high, power)


def scaled(moments: Moments, units: int) -> Moments:
    """Return moments of ``units`` units with the same mean and sample covariance."""
    return Moments.from_parts(units, moments.mean, moments.covariance * (units - 1))


def log_covariance(means: Means) -> Array:
    """Covariance of the log lifts, shape (m, m), by the delta method."""
    m = means.values
    gradient = np.zeros((m, 2 * m))
    places = np.arange(m)
    gradient[places, places], gradient[places, m + places] = -1 / np.abs(means.control), 1 / np.abs(means.treatment)
    return np.asarray(gradient @ means.covariance @ gradient.T)


def direction(metric: Metric, mean: float) -> int:
    """The sign of a lift that is a win: of a negative mean (a loss in money) the smaller size is the higher value."""
    return metric.sign if mean > 0 else -metric.sign
