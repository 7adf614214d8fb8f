"""Two variants' hazards from life tables: log-rank, Cox's hazard ratio with Efron's ties, proportionality over time.

Everything here is a function of (at risk, events) by variant and week. With a million units it takes milliseconds, and
gives what a fit on the million rows gives. Weighted rows in a library's Cox fit do not: weights are not Efron's ties.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from analysis.life_table import LifeTable
from analysis.moments import Array
from analysis.numbers import critical, p_two_sided

#: Newton's method ends when a step is this small; log hazard ratios are then right to the same.
_ARRIVED = 1e-12
_MOST_STEPS = 50

#: A log hazard ratio beyond this is running away: one variant has (nearly) all events or none.
_FARTHEST = 30.0


@dataclass(frozen=True)
class LogRank:
    """Events of the treatment beyond what equal hazards expect, and the variance of that difference."""

    score: float
    variance: float

    @property
    def z(self) -> float | None:
        return self.score / math.sqrt(self.variance) if self.variance > 0 else None

    @property
    def chi2(self) -> float | None:
        return None if self.z is None else self.z**2

    @property
    def p_value(self) -> float | None:
        return None if self.z is None else p_two_sided(self.z)


def log_rank(control: LifeTable, treatment: LifeTable, weeks: slice = slice(None)) -> LogRank:
    """Test equal hazards at the chosen durations (``slice(0, 4)``: t = 1 .. 4), stratified by the tables' cohorts.

    Mantel 1966; the variance is hypergeometric. Pass ``table.total`` for the test without strata.
    """
    score, variance = increments(control, treatment)
    return LogRank(float(score[:, weeks].sum()), float(variance[:, weeks].sum()))


def increments(control: LifeTable, treatment: LifeTable) -> tuple[Array, Array]:
    """Return the log-rank score and its variance of each cohort and week, shape (cohorts, T) both.

    Increments of different cohorts, and of different weeks of one cohort, do not correlate (Tsiatis 1981, Biometrika
    68:311), so the covariance of sums over two sets of them is the variance of what both sets hold.
    """
    n_c, n_t = control.at_risk.astype(float), treatment.at_risk.astype(float)
    d = (control.events + treatment.events).astype(float)
    n = n_c + n_t
    safe = np.where(n > 0, n, 1.0)
    score = treatment.events - d * n_t / safe
    variance = np.where(n > 1, d * n_t * n_c * (n - d) / (safe**2 * np.maximum(n - 1, 1.0)), 0.0)
    return score, variance


@dataclass(frozen=True)
class HazardRatio:
    """Cox's estimate of treatment against control; ``log`` is the log hazard ratio."""

    log: float
    se: float

    @property
    def ratio(self) -> float:
        return math.exp(self.log)

    @property
    def interval(self) -> tuple[float, float]:
        half = critical() * self.se
        return math.exp(self.log - half), math.exp(self.log + half)

    @property
    def p_value(self) -> float:
        """Wald's p value of equal hazards."""
        return p_two_sided(self.log / self.se)


@dataclass(frozen=True, eq=False)
class _Ties:
    """Both variants at the durations with events: n at risk and d events, shape (m,) each, as floats; t the weeks."""

    t: Array
    n_c: Array
    n_t: Array
    d_c: Array
    d_t: Array


def _ties(control: LifeTable, treatment: LifeTable, weeks: slice) -> _Ties:
    c, t = control.total, treatment.total
    kept = np.flatnonzero((c.events + t.events)[0])
    chosen = np.arange(c.weeks)[weeks]
    kept = kept[np.isin(kept, chosen)]
    columns = (table[0, kept].astype(np.float64) for table in (c.at_risk, t.at_risk, c.events, t.events))
    return _Ties((kept + 1).astype(np.float64), *columns)


def hazard_ratio(control: LifeTable, treatment: LifeTable, weeks: slice = slice(None)) -> HazardRatio | None:
    """Fit Cox's model to the variant alone at the chosen durations (Cox 1972; ties by Efron 1977, JASA 72:557).

    None where a variant has no events, or nobody at risk beside the other's: then there is no finite estimate.
    """
    ties = _ties(control, treatment, weeks)
    both = (ties.n_c > 0) & (ties.n_t > 0)
    if not (ties.d_c[both].any() and ties.d_t[both].any()):
        return None
    beta = 0.0
    for _ in range(_MOST_STEPS):
        mean, variance = _efron(ties, beta)
        step = float((ties.d_t - mean).sum() / variance.sum())
        # Far from the estimate a whole step may overshoot.
        beta += max(-1.0, min(1.0, step))
        if abs(step) < _ARRIVED or abs(beta) > _FARTHEST:
            break
    if abs(beta) > _FARTHEST:
        return None
    return HazardRatio(beta, 1 / math.sqrt(float(_efron(ties, beta)[1].sum())))


def _efron(ties: _Ties, beta: float) -> tuple[Array, Array]:
    """Expected events of the treatment at each duration, and their variance, at a log hazard ratio; shape (m,) both.

    The l-th of d tied events (l = 0 .. d - 1) is drawn from the units at risk less l / d of those with an event. With
    p(l) the treatment's share of their hazards the sums are over p(l) and p(l) (1 - p(l)); p(l) = a / (x - l) + b, so
    they are differences of digamma and trigamma functions, whatever d.
    """
    growth = math.exp(beta)
    d = ties.d_c + ties.d_t
    hazard_t, tied_t = growth * ties.n_t, growth * ties.d_t
    hazard, tied = ties.n_c + hazard_t, ties.d_c + tied_t
    x = hazard * d / tied
    b = tied_t / tied
    a = hazard_t * d / tied - b * x
    first = special.digamma(x + 1) - special.digamma(x - d + 1)
    second = special.polygamma(1, x - d + 1) - special.polygamma(1, x + 1)
    mean = a * first + d * b
    return mean, mean - (a * a * second + 2 * a * b * first + d * b * b)


def proportional_p(control: LifeTable, treatment: LifeTable) -> float | None:
    """Return the p value of a hazard ratio that is the same at all durations, against one that changes with t.

    Score test of treatment x t beside the treatment (Grambsch & Therneau 1994 as in R's survival::cox.zph, identity
    transform). None where there is no hazard ratio or it could not change.
    """
    fitted = hazard_ratio(control, treatment)
    if fitted is None:
        return None
    return _trend_p(_ties(control, treatment, slice(None)), fitted.log)


def _trend_p(ties: _Ties, beta: float, transform: Sequence[float] | None = None) -> float | None:
    """The same, with the durations transformed; for the transforms of other software."""
    g = ties.t if transform is None else np.asarray(transform, dtype=float)
    mean, variance = _efron(ties, beta)
    score = float((g * (ties.d_t - mean)).sum())
    whole, cross, square = (float((power * variance).sum()) for power in (np.ones_like(g), g, g * g))
    spread = square - cross**2 / whole
    if spread <= 1e-12 * square:
        return None
    return float(special.chdtrc(1, score * score / spread))
