"""The winner's curse: estimates that were chosen because they are large are, on average, too large.

Two corrections. Lee & Shen 2018 (KDD, "Winner's Curse: Bias Estimation for Total Effects of Features in Online
Controlled Experiments"): where experiment i is launched if X_i > b_i sigma_i, the sum of launched estimates exceeds the
sum of their true effects by sum_i sigma_i phi(b_i - a_i / sigma_i), over all experiments that could have been launched,
the true a_i replaced by X_i. Empirical Bayes: true effects are normal around a common mean with a variance that all
experiments tell (restricted maximum likelihood), and each estimate moves towards that mean by its own uncertainty.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy
from scipy import special

from analysis.moments import Array

#: Fewer experiments tell nothing of how much true effects vary.
FEWEST = 3


def selection_bias(
    estimate: float, se: float, threshold: float, *, other_se: float | None = None, correlation: float = 1.0
) -> float:
    """Return by how much a credited estimate exceeds the truth on average, by launching only if estimate > b se.

    This is E[(X - a) 1{X > b se}] with a replaced by ``estimate`` (Lee & Shen 2018): it belongs to every experiment
    that could have been launched, launched or not. With ``other_se`` and ``correlation`` it is the excess of another
    estimate Y that is credited when X was chosen: E[(Y - EY) 1{X > b se}] = rho se_Y phi(b - a / se).
    """
    return correlation * (se if other_se is None else other_se) * _density(threshold - estimate / se)


def corrected_error(estimate: float, se: float, threshold: float, *, correlation: float = 1.0) -> float:
    """Return the mean squared error of a credited and corrected estimate, in units of its own squared error.

    E[(1{Z > c} Y - rho phi(c - Z))^2] with Z and Y standard normal, correlated by rho, and c = b - a / se, the true a
    replaced by ``estimate``: the noise of what was credited, of what was not, and of the correction itself. It is 1 for
    a sure launch. Closed form: phi(c - z) phi(z) and phi(c - z)^2 phi(z) are normal densities again, but for a factor.
    """
    c = threshold - estimate / se
    above, density = float(special.ndtr(-c)), _density(c)
    half = c / math.sqrt(2)
    crossed = _density(half) / math.sqrt(2) * (c / 2 * float(special.ndtr(-half)) + _density(half) / math.sqrt(2))
    squared = _density(c / math.sqrt(1.5)) / math.sqrt(1.5) / (2 * math.sqrt(math.pi))
    own = c * density + above - 2 * crossed + squared
    return correlation**2 * own + (1 - correlation**2) * above


def _density(x: float) -> float:
    return math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


@dataclass(frozen=True)
class Prior:
    """How true effects are spread: normal with this mean and standard deviation; ``mean_se`` is the mean's error."""

    mean: float
    sd: float
    mean_se: float

    def posterior(self, estimate: float, se: float) -> tuple[float, float]:
        """Return mean and standard deviation of the true effect behind an estimate."""
        weight = self.sd**2 / (self.sd**2 + se**2)
        return self.mean + weight * (estimate - self.mean), math.sqrt(weight) * se


def prior(estimates: Array, errors: Array) -> Prior | None:
    """Fit the spread of true effects by restricted maximum likelihood; None below three experiments.

    ``estimates`` and ``errors`` have shape (k,); errors are taken as known. Raises ValueError for an error of zero.
    """
    if len(estimates) < FEWEST:
        return None
    if not (errors > 0).all():
        raise ValueError("every estimate needs a standard error above zero")
    # On the scale of the estimates' own spread, so that the search knows what is small.
    scale = float(np.var(estimates, ddof=1) + np.mean(errors**2))
    y, s2 = estimates / math.sqrt(scale), errors**2 / scale

    def loss(tau2: float) -> float:
        weights = 1 / (tau2 + s2)
        mean = weights @ y / weights.sum()
        return float(-np.log(weights).sum() + np.log(weights.sum()) + weights @ (y - mean) ** 2)

    found = scipy.optimize.minimize_scalar(loss, bounds=(0, 100), method="bounded", options={"xatol": 1e-10})
    tau2 = float(found.x) if found.fun < loss(0.0) else 0.0
    weights = 1 / (tau2 + s2)
    return Prior(
        float(weights @ y / weights.sum()) * math.sqrt(scale),
        math.sqrt(tau2 * scale),
        math.sqrt(scale / float(weights.sum())),
    )
