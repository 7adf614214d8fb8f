"""How a lift goes on: the probability of a late loss, from the weeks since exposure that have been lived so far.

This is an extrapolation and is labelled so. It rests on one fixed prior over the shapes that lifts take; the prior has
a version, and is the same for every metric and every experiment. Nothing in it is estimated from the experiment.

The model of the log lift theta(k), the log of the ratio of means in week k since exposure:

    theta(k) = level + novelty * fading(k) + drift * path(k) + wander(k)

    fading(k)  either exp(-k / tau) (Hohnhold, O'Brien, Tang 2015, KDD, fit learned effects by it), or a change that
               holds for some weeks and is gone with the next: people find out, a campaign ends
    path(k)    the weeks of change lived by week k: none until ``onset``, then one a week, either for four weeks (the
               lift settles elsewhere) or for good (units keep leaving, which a constant hazard does)
    wander(k)  independent normal deviations of single weeks from any smooth shape, so that millions of units do not
               make a list of shapes look like certainty

Level, novelty and drift are each exactly absent with probability 1/2 ("spike and slab": Mitchell and Beauchamp 1988,
JASA 83:1023), and else normal around zero. Without the point masses a lift that fades to nothing is read as one on its
way below nothing: a prior centered at zero has no reason to stop there. Given the parts present and their times
everything is linear and normal, so the posterior of the late average is a mixture of normal distributions in closed
form (Kass and Raftery 1995, JASA 90:773, for the weights by marginal likelihood), with no sampling.

What it cannot do: see a loss that begins after the last week seen; at week 8 no prior can. A win that stops at exactly
nothing is the hardest case, because the boundary of a loss is where it stays; tests/rates/test_warning.py measures it.
"""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from analysis.numbers import CONFIDENCE
from analysis.plan import Window

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

#: Changes with anything below that moves a probability. Stored beside a forecast, it says which prior was used.
PRIOR_VERSION = 1

#: A late loss smaller than this log lift (.5 %) is not one worth a warning.
MATERIALITY = 0.005

#: The probability of a late loss above which an early win carries a warning.
WARNING_PROBABILITY = 0.8

#: The probability that a part is exactly absent: neither way is favored.
ABSENT = 0.5

#: Standard deviations of level and novelty, log lifts: two thirds of them within 5 %, nearly all within 10 %.
LEVEL_SD = 0.05
NOVELTY_SD = 0.05

#: Standard deviation of the drift, log lift a week: .5 % a week that lasts is -6 % to -11 % in week 25, a large
#: harm. A churn hazard that is higher by .005 a week does that.
DRIFT_SD = 0.005

#: Standard deviation of a week's own deviation, log lift. Matters only where weeks are known better than that.
WANDER_SD = 0.0025

#: Weeks until 1 / e of an exponential novelty is left, doubling from week to quarter.
TAUS = (1, 2, 4, 8)

#: Weeks that a holding win lasts, up to the first quarter. Every week: where many units show the week of a sudden end
#: exactly, an end between two of these would look like the beginning of a drift.
HOLDS = tuple(range(3, 14))

#: Weeks since exposure when a drift sets in. A drift is smooth, so every second week will do.
ONSETS = (2, 4, 6, 8, 10, 12)

#: Weeks a drift lasts.
DURATIONS = (4.0, np.inf)

#: Directions in which the weeks have less variance than this share of the largest repeat others: left out.
_RANK_TOLERANCE = 1e-10

#: Halvings of the interval that holds a quantile; 2^-50 of it is rounding.
_HALVINGS = 50


@dataclass(frozen=True)
class Forecast:
    """An extrapolation of the average lift over the late window, never a measurement.

    probability: that the average log lift of the late weeks is below -materiality.
    late_lift: 0.03 is 3 %, from the posterior mean of the average log lift; late_low, late_high: the 2.5 % and 97.5 %
        points of the posterior. Positive is better, as in what was given.
    late_sd: posterior standard deviation of the average log lift.
    """

    probability: float
    late_lift: float
    late_low: float
    late_high: float
    late_sd: float
    prior_version: int = PRIOR_VERSION


@dataclass(frozen=True, eq=False)
class Forecaster:
    """The prior meets weeks of known covariance: all that does not depend on the lifts. M models, r directions.

    whitener: (r, m), turns m log lifts into r independent ones of variance 1.
    scores: (M, 3, r), from these to the coordinates in which a model's posterior is standard normal.
    reach: (M, 3), how far the late average moves with these coordinates.
    wandered: (r,), what the wander of late weeks already seen adds to the late average.
    variance: (M,), posterior variance of the late average under each model.
    log_weight: (M,), prior weight and determinant part of the marginal likelihood.
    """

    whitener: Floats
    scores: Floats
    reach: Floats
    wandered: Floats
    variance: Floats
    log_weight: Floats

    @classmethod
    def of(cls, weeks: ArrayLike, covariance: ArrayLike, late: Window) -> "Forecaster":
        """Prepare for log lifts of ``weeks`` (m,) with ``covariance`` (m, m), and the late window to be foreseen."""
        seen, matrix = _checked(weeks, covariance)
        ahead = np.arange(late.start_week, late.end_week)
        whitener = _whitener(matrix + WANDER_SD**2 * np.equal.outer(seen, seen))
        wandered = whitener @ (WANDER_SD**2 / len(ahead) * np.isin(seen, ahead))
        wander_left = max(WANDER_SD**2 / len(ahead) - float(wandered @ wandered), 0.0)
        designs = (whitener @ _parts(seen))[:, _COLUMNS].transpose(1, 2, 0) * _SCALES[:, :, None]
        root = np.linalg.cholesky(np.eye(3) + designs @ designs.transpose(0, 2, 1))
        target = _parts(ahead).mean(axis=0)[_COLUMNS] * _SCALES - designs @ wandered
        solved = np.linalg.solve(root, np.concatenate([designs, target[:, :, None]], axis=2))
        scores, reach = solved[:, :, :-1], solved[:, :, -1]
        log_weight = _LOG_PRIOR - np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        return cls(whitener, scores, reach, wandered, (reach**2).sum(axis=1) + wander_left, log_weight)

    def mixture(self, log_lifts: ArrayLike) -> tuple[Floats, Floats]:
        """Return the models' posterior probabilities and means of the late average; (..., M) each, from (..., m)."""
        values = np.asarray(log_lifts, dtype=np.float64)
        if values.shape[-1:] != (self.whitener.shape[1],) or not np.isfinite(values).all():
            raise ValueError("every week seen needs one finite log lift: leave out weeks without one")
        white = values @ self.whitener.T
        models, coordinates, directions = self.scores.shape
        flat = white @ self.scores.reshape(models * coordinates, directions).T
        found = flat.reshape(*white.shape[:-1], models, coordinates)
        log_posterior = self.log_weight + (found**2).sum(axis=-1) / 2
        posterior = np.asarray(special.softmax(log_posterior, axis=-1))
        return posterior, (found * self.reach).sum(axis=-1) + (white @ self.wandered)[..., None]

    def loss_probability(self, log_lifts: ArrayLike, materiality: float = MATERIALITY) -> Floats:
        """Return P(late average log lift < -materiality | weeks seen), shape (...) from (..., m)."""
        posterior, mean = self.mixture(log_lifts)
        beyond = (posterior * special.ndtr(_standardized(-materiality, mean, self.variance))).sum(axis=-1)
        # The weights add up to one but for rounding.
        return np.asarray(np.clip(beyond, 0.0, 1.0))

    def forecast(self, log_lifts: ArrayLike, materiality: float = MATERIALITY) -> Forecast:
        """Return the whole forecast of one experiment from its log lifts (m,)."""
        posterior, mean = self.mixture(log_lifts)
        center = float(posterior @ mean)
        variance = float(posterior @ (self.variance + (mean - center) ** 2))
        low, high = _quantiles(posterior, mean, self.variance)
        probability = float(self.loss_probability(log_lifts, materiality))
        lift, lift_low, lift_high = (math.expm1(value) for value in (center, low, high))
        return Forecast(probability, lift, lift_low, lift_high, late_sd=math.sqrt(variance))


def late_loss_probability(
    weeks: ArrayLike, log_lifts: ArrayLike, covariance: ArrayLike, late: Window, materiality: float = MATERIALITY
) -> float:
    """Return P(average log lift over the late window < -materiality | weeks seen).

    ``weeks`` (m,) are weeks since exposure, ``log_lifts`` (m,) the logs of treatment mean over control mean, signed so
    that positive is better, ``covariance`` (m, m) theirs, which may be singular. Without weeks it is the prior's.
    """
    return float(Forecaster.of(weeks, covariance, late).loss_probability(log_lifts, materiality))


def forecast(
    weeks: ArrayLike, log_lifts: ArrayLike, covariance: ArrayLike, late: Window, materiality: float = MATERIALITY
) -> Forecast:
    """Return the extrapolated late lift with its interval, and the probability of a late loss."""
    return Forecaster.of(weeks, covariance, late).forecast(log_lifts, materiality)


def _parts(weeks: Whole) -> Floats:
    """Return the value of every part in every week; shape (weeks, 1 + fadings + paths)."""
    week = weeks[:, None].astype(np.float64)
    exponential = np.exp(-week / np.array(TAUS))
    holding = week < np.array(HOLDS)
    paths = [np.clip(week - onset, 0, duration) for onset, duration in product(ONSETS, DURATIONS)]
    return np.hstack([np.ones_like(week), exponential, holding, *paths])


def _models() -> tuple[Whole, Floats, Floats]:
    """Return of each model the columns of its three parts (M, 3), their scales (M, 3), 0 if absent, and log priors."""
    fadings, paths = len(TAUS) + len(HOLDS), len(ONSETS) * len(DURATIONS)
    columns, scales, prior = [], [], []
    for level, fading, path in product((False, True), range(fadings + 1), range(paths + 1)):
        columns.append((0, max(fading, 1), fadings + max(path, 1)))
        scales.append((LEVEL_SD * level, NOVELTY_SD * (fading > 0), DRIFT_SD * (path > 0)))
        there = [1 - ABSENT if present else ABSENT for present in (level, fading, path)]
        prior.append(np.prod(there) / (fadings if fading else 1) / (paths if path else 1))
    return np.array(columns), np.array(scales), np.log(prior)


_COLUMNS, _SCALES, _LOG_PRIOR = _models()


def _checked(weeks: ArrayLike, covariance: ArrayLike) -> tuple[Whole, Floats]:
    seen, matrix = np.asarray(weeks, dtype=np.int64), np.asarray(covariance, dtype=np.float64)
    if seen.ndim != 1 or np.any(seen < 0):
        raise ValueError("weeks are a list of whole numbers from 0 on")
    if matrix.size == 0 and len(seen) == 0:
        matrix = matrix.reshape(0, 0)
    if matrix.shape != (len(seen), len(seen)) or not np.isfinite(matrix).all():
        raise ValueError(f"the covariance of {len(seen)} weeks needs shape {(len(seen),) * 2} and finite numbers")
    if np.any(np.abs(matrix - matrix.T) > 1e-9 * np.abs(matrix).max(initial=0.0)):
        raise ValueError("the covariance is not symmetric")
    return seen, matrix


def _whitener(covariance: Floats) -> Floats:
    """Return W (r, m) with W covariance W' = identity; directions that only repeat others are left out.

    By eigenvalues and not by Cholesky, which fails on a week that is listed twice.
    """
    values, vectors = np.linalg.eigh(covariance)
    floor = _RANK_TOLERANCE * float(values.max(initial=0.0))
    if np.any(values < -1e3 * floor):
        raise ValueError("the covariance is not positive semidefinite")
    kept = values > floor
    return np.asarray((vectors[:, kept] / np.sqrt(values[kept])).T)


def _standardized(value: float, mean: Floats, variance: Floats) -> Floats:
    # A variance of zero (the late weeks are known exactly) becomes so small that it makes no difference.
    return np.asarray((value - mean) / np.sqrt(np.maximum(variance, 1e-20)))


def _quantiles(posterior: Floats, mean: Floats, variance: Floats) -> tuple[float, float]:
    """Return the ends of the central 95 % of a mixture of normals, by bisection."""
    spread = 10 * np.sqrt(variance)
    ends = []
    for share in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2):
        low, high = float((mean - spread).min()), float((mean + spread).max())
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            below = float(posterior @ special.ndtr(_standardized(middle, mean, variance)))
            low, high = (middle, high) if below < share else (low, middle)
        ends.append((low + high) / 2)
    return ends[0], ends[1]
