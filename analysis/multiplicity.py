"""Many tests at once: Holm for claims, Benjamini-Hochberg for tables that are explored, power when all must hold."""

from collections.abc import Callable, Sequence

import numpy as np
import scipy

from analysis.moments import Array


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p values so that any false claim among them has at most the level's probability (Holm 1979).

    None stays None and does not count as a test.
    """
    return _adjusted(p_values, _holm)


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p values so that of the claims made the level's share is false on average (Benjamini & Hochberg 1995).

    None stays None and does not count as a test.
    """
    return _adjusted(p_values, scipy.stats.false_discovery_control)


def _adjusted(p_values: Sequence[float | None], method: Callable[[Array], Array]) -> list[float | None]:
    known = np.array([value for value in p_values if value is not None])
    if not len(known):
        return list(p_values)
    adjusted = iter(method(known))
    return [None if value is None else float(next(adjusted)) for value in p_values]


def _holm(p_values: Array) -> Array:
    # statsmodels has this too, and collects garbage at each call: forty milliseconds in a loop over looks.
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty_like(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return adjusted


def adjusted_power(power: float, guardrails: int, with_success: bool = True) -> float:
    """Return the power each test needs so that a launch, for which all must succeed, has ``power``.

    1 - (1 - power) / (guardrails + 1) with a success metric, / guardrails without (Schultzberg, Ankargren and Franberg
    2024, arXiv 2402.11609). Raises ValueError without any test.
    """
    tests = guardrails + bool(with_success)
    if tests < 1:
        raise ValueError("there is nothing to test")
    return 1 - (1 - power) / tests
