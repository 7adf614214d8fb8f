"""Sample size and power of one test, read once: means, shares, lifts, hazards, holdouts, reversals.

A test of two-sided level alpha has power p for an effect of z_{1 - alpha / 2} + z_p standard errors, its *distance*.
Numbers of units and events are those of both variants together unless a name says otherwise. Estimates are normal with
known variances. ``analysis.power`` plans a whole experiment, read over weekly looks.
"""

import math

import scipy
from scipy import special


def distance(alpha: float, power: float) -> float:
    """Return the effect, in standard errors, that a single look finds with ``power`` at two-sided ``alpha``."""
    return float(special.ndtri(1 - alpha / 2) + special.ndtri(power))


def difference_variance(control: float, treatment: float, share: float = 0.5) -> float:
    """Return n times the variance of a difference of means, for n units with ``share`` of them in treatment.

    ``control`` and ``treatment`` are variances between units: of a window's mean; of a share p, p (1 - p).
    """
    return control / (1 - share) + treatment / share


def needed_units(
    effect: float, variance: float, alpha: float, power: float, null_variance: float | None = None
) -> float:
    """Return the units of both variants together that find ``effect`` in a single look.

    ``variance`` is that of ``difference_variance``; ``null_variance`` the one by which the test divides, if that is
    another (a pooled share, say). (z_{1 - alpha / 2} sqrt(null) + z_power sqrt(variance))^2 / effect^2.
    """
    from statsmodels.stats.power import normal_sample_size_one_tail

    null = math.sqrt(variance if null_variance is None else null_variance)
    return float(normal_sample_size_one_tail(effect, power, alpha / 2, null, math.sqrt(variance)))


def power_of(effect: float, se: float, alpha: float) -> float:
    """Return the power of a single two-sided look for an effect with standard error ``se``."""
    from statsmodels.stats.power import normal_power_het

    return float(normal_power_het(effect, 1, alpha, std_null=se))


def lift_power(lift: float, variance: float, n_control: float, n_treatment: float, alpha: float) -> float:
    """Return the power for a lift; ``variance`` between units is in squared means of the control.

    By the delta method Var(lift) = variance (1 / n_T + (1 + lift)^2 / n_C).
    """
    return power_of(lift, math.sqrt(variance * (1 / n_treatment + (1 + lift) ** 2 / n_control)), alpha)


def smallest_lift(variance: float, n_control: float, n_treatment: float, alpha: float, power: float) -> float | None:
    """Return the smallest positive lift found with ``power`` (``lift_power`` solved for it), None if none is."""
    scale = distance(alpha, power) ** 2 * variance
    a, b = scale / n_treatment, scale / n_control
    return None if b >= 1 else (b + math.sqrt(b * b + (1 - b) * (a + b))) / (1 - b)


def needed_events(hazard_ratio: float, alpha: float, power: float, share: float = 0.5) -> float:
    """Return the events of both variants together that tell a hazard ratio from 1 (Schoenfeld 1983, Biometrics 39:499).

    ``share`` of the units is in treatment; hazards are proportional.
    """
    return distance(alpha, power) ** 2 / (share * (1 - share) * math.log(hazard_ratio) ** 2)


def holdout_factor(fraction: float) -> float:
    """Return how many times larger the smallest effect found is with ``fraction`` held out than with an even split.

    For the same units in all: 1 / sqrt(4 h (1 - h)), from 1 / n_C + 1 / n_T.
    """
    return 1 / math.sqrt(4 * fraction * (1 - fraction))


def holdout_fraction(factor: float) -> float | None:
    """Return the smallest fraction held out whose ``holdout_factor`` is ``factor``, None below 1: no split does."""
    return None if factor < 1 else (1 - math.sqrt(1 - 1 / factor**2)) / 2


def reversal_power(early: float, late: float, correlation: float, alpha: float) -> float:
    """Return the probability that an early win and a late loss are both claimed, each one-sided at ``alpha`` / 4.

    ``early`` and ``late`` are the win and the loss over their standard errors, larger is clearer; ``correlation`` is
    that of the two estimates as they stand (a win and a loss then correlate with its negative).
    """
    c = float(special.ndtri(1 - alpha / 4))
    covariance = [[1.0, -correlation], [-correlation, 1.0]]
    return float(scipy.stats.multivariate_normal.cdf([early - c, late - c], cov=covariance, allow_singular=True))
