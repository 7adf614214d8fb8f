"""The one policy on numbers that do not exist, and the interval helpers every estimator shares."""

import math

import numpy as np
from scipy import special

#: Two-sided confidence of the plain interval of one look.
CONFIDENCE = 0.95

#: Below this many units in a variant a normal interval is not to be trusted, so none is given.
MIN_UNITS_FOR_INTERVAL = 30

#: A variance this small relative to the squared mean is rounding, not variation between units.
_ROUNDING = 1e-24


def finite(value: float) -> float | None:
    """Return ``value``, or None where it is NaN or infinite: an undefined number is never shown as a number."""
    return float(value) if math.isfinite(value) else None


def divide(numerator: float, denominator: float) -> float | None:
    """Return the quotient, or None where it is undefined. The one zero-division policy."""
    return finite(numerator / denominator) if denominator else None


def critical(confidence: float = CONFIDENCE) -> float:
    """Return the two-sided standard normal critical value (1.96 for .95)."""
    return float(special.ndtri(0.5 + confidence / 2))


def p_greater(z: float) -> float:
    """Return the one-sided p value of "greater than zero" for a standard normal statistic, exact in the far tail."""
    return float(special.ndtr(-z))


def p_two_sided(z: float) -> float:
    """Return the two-sided p value of a standard normal statistic."""
    return float(2 * special.ndtr(-abs(z)))


def standard_error(variance: float, scale: float) -> float | None:
    """Return the square root of a variance, or None where units do not vary.

    ``scale`` is a typical size of the values (in their own unit), against which rounding is told from variation.
    """
    if not np.isfinite(variance) or variance <= _ROUNDING * scale * scale:
        return None
    return math.sqrt(variance)
