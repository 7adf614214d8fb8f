"""Sample ratio mismatch: are the variants as large as they were designed to be?

Three views of the same counts of exposed units. Chi-square reads them once; read every week it alarms too often. The
sequential test may be read at any time. The one by cohort finds splits that changed over time and cancel out.
"""

from collections.abc import Sequence
from datetime import timedelta

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

#: What to do about any of these alarms.
ADVICE = "; find out where units are lost before reading on"


def srm(triangle: Triangle) -> CheckRow:
    """Chi-square of the units per variant against the designed weights, as if read once."""
    counts, shares = _totals(triangle), _shares(triangle)
    seen = _seen(counts)
    if shares is None:
        return CheckRow(check="srm", state="unknown", detail=f"{UNKNOWN_SPLIT} ({seen} units)")
    designed = _designed(triangle)
    p_value = chi_square(counts, shares)
    if p_value is None:
        return CheckRow(check="srm", state="unknown", detail=f"too few units to tell: {seen}, designed {designed}")
    return _row("srm", p_value, f"{seen} units, designed {designed}")


def srm_sequential(triangle: Triangle) -> CheckRow:
    """The same question for readers who look every week: each cohort is a block, and the smallest p value counts."""
    shares = _shares(triangle)
    if shares is None:
        return CheckRow(check="srm_sequential", state="unknown", detail=UNKNOWN_SPLIT)
    blocks = _by_cohort(triangle)
    if not blocks.sum():
        return CheckRow(check="srm_sequential", state="unknown", detail="no units yet")
    totals = np.cumsum(blocks, axis=0)
    p_values = sequential_p(totals, shares)
    p_value, designed = float(p_values[-1]), _designed(triangle)
    if p_value >= LEVEL:
        detail = f"{_seen(totals[-1])} units, designed {designed}: no mismatch, whenever and however often this is read"
        return _row("srm_sequential", p_value, detail)
    week = int(np.argmax(p_values < LEVEL))
    detail = f"not split as designed since enrollment week {week} ({_from(triangle, week)}): "
    return _row("srm_sequential", p_value, f"{detail}{_seen(totals[week])} units by then, designed {designed}")


def srm_cohort(triangle: Triangle) -> CheckRow:
    """Chi-square within each exposure cohort, adjusted for their number (Holm 1979)."""
    shares = _shares(triangle)
    if shares is None:
        return CheckRow(check="srm_cohort", state="unknown", detail=UNKNOWN_SPLIT)
    blocks = _by_cohort(triangle)
    p_values = [chi_square(block, shares) for block in blocks]
    known = [(value, cohort) for cohort, value in enumerate(p_values) if value is not None]
    if not known:
        return CheckRow(check="srm_cohort", state="unknown", detail="too few units in every cohort to tell")
    # The smallest adjusted value is that of the smallest; others may equal it, and only this one tells the week.
    cohort = min(known)[1]
    p_value = holm(p_values)[cohort]
    assert p_value is not None
    week = f"enrollment week {cohort} ({_from(triangle, cohort)})"
    seen = f"{_seen(blocks[cohort])} units, designed {_designed(triangle)}"
    return _row("srm_cohort", p_value, f"furthest from the design: {week}, {seen}")


def chi_square(counts: Sequence[float] | Array, shares: Array) -> float | None:
    """Return the p value of counts, shape (variants,), against designed shares; None with too few units to tell."""
    found = np.asarray(counts, dtype=float)
    expected = found.sum() * shares
    if expected.min() < MIN_EXPECTED:
        return None
    return float(special.chdtrc(len(found) - 1, float(((found - expected) ** 2 / expected).sum())))


def sequential_p(cumulative: Array, shares: Array) -> Array:
    """Return the p value after each block, shape (blocks,), that may be read at any time.

    One over the largest Bayes factor so far (Lindon & Malek 2022, "Anytime-valid inference for multinomial count
    data"): without a mismatch the chance that it ever falls below a level is at most that level.
    """
    factor = log_bayes_factor(cumulative, shares, CONCENTRATION * shares)
    return np.asarray(np.minimum.accumulate(np.exp(-np.maximum(factor, 0.0))))


def log_bayes_factor(cumulative: Array, shares: Array, prior: Array) -> Array:
    """Return the log Bayes factor of "any split" against the designed shares after each block, shape (blocks,).

    Under "any split" the shares have a Dirichlet distribution with parameters ``prior``, so that cumulative counts n,
    shape (blocks, variants), have the factor B(prior + n) / B(prior) / prod shares^n.
    """
    counts = np.asarray(cumulative, dtype=float)
    return np.asarray(_log_beta(prior + counts) - _log_beta(prior) - counts @ np.log(shares))


def _log_beta(x: Array) -> Array:
    return np.asarray(special.gammaln(x).sum(axis=-1) - special.gammaln(x.sum(axis=-1)))


def _row(check: str, p_value: float, detail: str) -> CheckRow:
    state: CheckState = "alarm" if p_value < LEVEL else "ok"
    return CheckRow(check=check, state=state, p_value=p_value, detail=detail + (ADVICE if state == "alarm" else ""))


def _seen(counts: Sequence[int] | Array) -> str:
    return " : ".join(f"{int(count):,}" for count in counts)


def _from(triangle: Triangle, week: int) -> str:
    return f"from {triangle.plan.start_date + timedelta(days=7 * week)}"


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
