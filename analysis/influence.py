"""How an estimate moves with each unit, and from that the covariance of any two estimates.

To first order every estimate here is a sum over units of something linear in the unit's vector, its influence function
(Hampel 1974, Journal of the American Statistical Association 69:383): an adjusted mean, a difference, a log ratio. Two
estimates may stand on different cohorts, windows and metrics; a unit that is in both moves both, so

    Cov(a, b) = sum over variants, over units of the cohorts common to both, of influence_a(unit) influence_b(unit)

and that sum follows from the moments of the common cohorts. It equals the covariance in ``Means`` up to one part in n.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.effects import Means
from analysis.moments import Array, Moments
from analysis.triangle import Triangle


@dataclass(frozen=True, eq=False)
class Influence:
    """Influence functions of m estimates on the same cohorts: weights @ (unit's vector - center).

    Attributes:
        cohorts: the exposure cohorts whose units move the estimates.
        weights: by variant, shape (m, D).
        center: by variant, shape (D,): the mean over these cohorts, so that the influences sum to zero.
    """

    cohorts: tuple[int, ...]
    weights: Mapping[str, Array]
    center: Mapping[str, Array]

    def pick(self, values: Sequence[int]) -> "Influence":
        """Return the influence functions of some of the estimates."""
        return Influence(self.cohorts, {key: rows[list(values)] for key, rows in self.weights.items()}, self.center)


def influence(triangle: Triangle, means: Means, variant: str, cohorts: tuple[int, ...], log: bool) -> Influence:
    """Return the influence functions of the m effects (``log`` False) or log lifts (``log`` True) in ``means``.

    ``means`` must have been estimated for ``variant`` on ``cohorts`` of this triangle. With Lin's adjustment a unit
    also moves the covariate's mean over both variants, and by it both adjusted means.
    """
    control = triangle.plan.control.key
    if log:
        scales = [1 / np.abs(means.control[:, None]), 1 / np.abs(means.treatment[:, None])]
    else:
        scales = [np.ones((means.values, 1)), np.ones((means.values, 1))]
    slopes = [slope[:, None] for slope in means.slopes]
    units = (means.n_control, means.n_treatment)
    shared = (slopes[1] * scales[1] - slopes[0] * scales[0]) / sum(units)
    weights, center = {}, {}
    for side, (key, sign) in enumerate(((control, -1.0), (variant, 1.0))):
        covariate, values = means.forms[side][0], means.forms[side][1:]
        own = sign * scales[side] * (values - slopes[side] * covariate) / units[side]
        weights[key] = own + shared * covariate
        center[key] = triangle.moments(key, cohorts).mean
    return Influence(cohorts, weights, center)


def covariance(triangle: Triangle, estimates: Sequence[Influence]) -> Array:
    """Return the covariance matrix of all the estimates, in order; shape (sum of m, sum of m).

    Two estimates of different treatments share the control's units alone.
    """
    sizes = [len(next(iter(one.weights.values()))) for one in estimates]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
    matrix = np.zeros((starts[-1], starts[-1]))
    for i, first in enumerate(estimates):
        for j, second in enumerate(estimates[: i + 1]):
            block = _between(triangle, first, second)
            matrix[starts[i] : starts[i + 1], starts[j] : starts[j + 1]] = block
            matrix[starts[j] : starts[j + 1], starts[i] : starts[i + 1]] = block.T
    return matrix


def _between(triangle: Triangle, first: Influence, second: Influence) -> Array:
    common = tuple(cohort for cohort in first.cohorts if cohort in second.cohorts)
    total = np.zeros((len(next(iter(first.weights.values()))), len(next(iter(second.weights.values())))))
    for key in first.weights.keys() & second.weights.keys():
        moments = triangle.moments(key, common)
        if moments.n:
            total += _products(moments, first.weights[key], first.center[key], second.weights[key], second.center[key])
    return total


def _products(moments: Moments, left: Array, left_center: Array, right: Array, right_center: Array) -> Array:
    """Sum over units of (left @ (x - left_center)) (right @ (x - right_center))'."""
    mean = moments.mean
    means = (left @ (mean - left_center))[:, None] * (right @ (mean - right_center))
    product: Array = left @ moments.scatter @ right.T + moments.n * means
    return product


def correlation(matrix: Array) -> Array:
    """Return the correlation matrix of a covariance matrix; an estimate that does not vary correlates with none."""
    spread = np.sqrt(np.clip(np.diag(matrix), 0, None))
    safe = np.where(spread > 0, spread, 1.0)
    result: Array = np.clip(matrix / np.outer(safe, safe), -1.0, 1.0)
    np.fill_diagonal(result, 1.0)
    return result
