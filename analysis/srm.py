"""Sample ratio mismatch: are the variants as large as they were designed to be?

Three views of the same counts of exposed units. Chi-square reads them once; read every week it alarms too often. The
sequential test may be read at any time. The one by cohort finds splits that changed over time and cancel out.
"""

from collections.abc import Sequence

import numpy as np
from scipy import special

from analysis.moments import Array
from analysis.multiplicity import holm
from analysis.results import CheckRow, CheckState
from analysis.triangle import Triangle

#: An SRM alarm must be rare on healthy data, for it blocks every decision (Fabijan et al., KDD 2019, use .0005-.001).
LEVEL = 0.001

#: Below this many expected units in a variant the chi-square distribution is not close enough.
MIN_EXPECTED = 5

#: Prior units of the sequential test, shared out as designed: the larger, the smaller the mismatches it looks for. This
#: many see an imbalance of 49.5 : 50.5 in hundreds of thousands of units (Lindon & Malek 2022).
CONCENTRATION = 10_000.0

UNKNOWN_SPLIT = "designed split unknown: give every variant a weight"


def srm(triangle: Triangle) -> CheckRow:
    """Chi-square of the units per variant against the designed weights, as if read once."""
    counts, shares = _totals(triangle), _shares(triangle)
    seen = " : ".join(f"{count:,}" for count in counts)
    if shares is None:
        return CheckRow(check="srm", state="unknown", detail=f"{UNKNOWN_SPLIT} ({seen} units)")
    designed = _designed(triangle)
    p_value = chi_square(counts, shares)
    if p_value is None:
        return CheckRow(check="srm", state="unknown", detail=f"too few units to tell: {seen}, designed {designed}")
    return CheckRow(check="srm", state=_state(p_value), p_value=p_value, detail=f"{seen} units, designed {designed}")


def srm_sequential(triangle: Triangle) -> CheckRow:
    """The same question for readers who look every week: each cohort is a block, and the smallest p value counts."""
    shares = _shares(triangle)
    if shares is None:
        return CheckRow(check="srm_sequential", state="unknown", detail=UNKNOWN_SPLIT)
    blocks = _by_cohort(triangle)
    if not blocks.sum():
        return CheckRow(check="srm_sequential", state="unknown", detail="no units yet")
    p_values = sequential_p(np.cumsum(blocks, axis=0), shares)
    p_value = float(p_values[-1])
    if p_value >= LEVEL:
        return CheckRow(check="srm_sequential", state="ok", p_value=p_value, detail="may be read every week")
    week = int(np.argmax(p_values < LEVEL))
    detail = f"not split as designed since enrollment week {week}; find out where units are lost before reading on"
    return CheckRow(check="srm_sequential", state="alarm", p_value=p_value, detail=detail)


def srm_cohort(triangle: Triangle) -> CheckRow:
    """Chi-square within each exposure cohort, adjusted for their number (Holm 1979)."""
    shares = _shares(triangle)
    if shares is None:
        return CheckRow(check="srm_cohort", state="unknown", detail=UNKNOWN_SPLIT)
    blocks = _by_cohort(triangle)
    adjusted = holm([chi_square(block, shares) for block in blocks])
    known = [(value, cohort) for cohort, value in enumerate(adjusted) if value is not None]
    if not known:
        return CheckRow(check="srm_cohort", state="unknown", detail="too few units in every cohort to tell")
    p_value, cohort = min(known)
    seen = " : ".join(f"{int(count):,}" for count in blocks[cohort])
    detail = f"furthest from the design: exposure cohort {cohort}, {seen}, designed {_designed(triangle)}"
    return CheckRow(check="srm_cohort", state=_state(p_value), p_value=p_value, detail=detail)


def chi_square(counts: Sequence[float] | Array, shares: Array) -> float | None:
    """Return the p value of counts, shape (variants,), against designed shares; None with too few units to tell."""
    found = np.asarray(counts, dtype=float)
    expected = found.sum() * shares
    if expected.min() < MIN_EXPECTED:
        return None
    return float(special.chdtrc(len(found) - 1, float(((found - expected) ** 2 / expected).sum())))


def sequential_p(cumulative: Array, shares: Array, concentration: Array | float = CONCENTRATION) -> Array:
    """Return the p value after each block, shape (blocks,), that may be read at any time.

    One over the largest Bayes factor so far of "any split" against the designed one. Under "any split" the shares have
    a Dirichlet prior about the design, so that cumulative counts n, shape (blocks, variants), have the factor
    B(prior + n) / B(prior) / prod shares^n (Lindon & Malek 2022, "Anytime-valid inference for multinomial count data").
    """
    prior = np.broadcast_to(concentration * shares, shares.shape)
    counts = np.asarray(cumulative, dtype=float)
    factor = _log_beta(prior + counts) - _log_beta(prior) - counts @ np.log(shares)
    return np.asarray(np.minimum.accumulate(np.exp(-np.maximum(factor, 0.0))))


def _log_beta(x: Array) -> Array:
    return np.asarray(special.gammaln(x).sum(axis=-1) - special.gammaln(x.sum(axis=-1)))


def _state(p_value: float) -> CheckState:
    return "alarm" if p_value < LEVEL else "ok"


def _totals(triangle: Triangle) -> list[int]:
    return [triangle.units(variant.key) for variant in triangle.plan.variants]


def _by_cohort(triangle: Triangle) -> Array:
    """Units by exposure cohort and variant, shape (cohorts, variants)."""
    plan = triangle.plan
    return np.array(
        [[triangle.cohort_units(variant.key, cohort) for variant in plan.variants]
         for cohort in range(plan.enrollment_weeks)], dtype=float,
    )  # fmt: skip


def _shares(triangle: Triangle) -> Array | None:
    """The designed shares, None where a weight is unknown."""
    weights = [variant.weight for variant in triangle.plan.variants if variant.weight is not None]
    if len(weights) < len(triangle.plan.variants):
        return None
    return np.array(weights) / sum(weights)


def _designed(triangle: Triangle) -> str:
    return " : ".join(f"{variant.weight:g}" for variant in triangle.plan.variants)
