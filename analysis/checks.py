"""Checks of the data's health. A check is ok, in alarm, or unknown with the reason; it never changes a number."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy import special

from analysis import windows
from analysis.moments import Array, Moments
from analysis.numbers import MIN_UNITS_FOR_INTERVAL
from analysis.results import CheckRow
from analysis.srm import LEVEL, MIN_EXPECTED, srm, srm_cohort, srm_sequential
from analysis.telemetry import jump, name_of, telemetry_gap
from analysis.triangle import Triangle

#: An alarm of one of these says that the numbers are not to be used at all.
BLOCKING = ("srm", "srm_sequential", "srm_cohort")

#: Days without any fact at the end of the data after which they are taken as incomplete.
STALE_DAYS = 7

#: Directions with less variance than this share of the largest repeat others up to rounding.
SINGULAR = 1e-9


def checks(triangle: Triangle, of_metric: Mapping[str, Triangle]) -> Iterator[CheckRow]:
    """Yield every check of the data as of the triangle's day. ``of_metric`` has each metric's own triangle."""
    yield srm(triangle)
    yield srm_sequential(triangle)
    yield srm_cohort(triangle)
    yield attrition(triangle)
    yield pre_period_balance(triangle)
    yield telemetry_gap(triangle)
    yield jump(triangle, of_metric)
    yield freshness(triangle)


def attrition(triangle: Triangle) -> CheckRow:
    """Whether units leave (closed accounts, withdrawn consent) at different rates: what is left then is not random."""
    plan = triangle.plan
    if triangle.left is None:
        detail = "no left_at column, so leaving is not known (inactivity is not leaving)"
        return CheckRow(check="attrition", state="unknown", detail=detail)
    units = [triangle.units(variant.key) for variant in plan.variants]
    left = [triangle.left_units(variant.key) for variant in plan.variants]
    counts = zip(plan.variants, left, units, strict=True)
    seen = ", ".join(f"{gone:,} of {n:,} in {variant.key}" for variant, gone, n in counts)
    p_value = attrition_p(left, units)
    if p_value is None:
        return CheckRow(check="attrition", state="unknown", detail=f"too few units have left or stayed to tell: {seen}")
    alarm = p_value < LEVEL
    advice = "; those who stayed are no longer comparable, so find out why units leave" if alarm else ""
    return CheckRow(
        check="attrition", state="alarm" if alarm else "ok", p_value=p_value, detail=f"{seen} have left{advice}"
    )  # fmt: skip


def attrition_p(left: Sequence[int], units: Sequence[int]) -> float | None:
    """Return the p value of units leaving at one rate, by variant; None with too few that left or stayed to tell.

    Pearson's chi-square of the table of left and stayed: both are counted, for where most have left the number of
    leavers varies little.
    """
    gone, everyone = np.asarray(left, dtype=float), np.asarray(units, dtype=float)
    if not everyone.sum():
        return None
    rate = gone.sum() / everyone.sum()
    if everyone.min() * min(rate, 1 - rate) < MIN_EXPECTED:
        return None
    statistic = ((gone - everyone * rate) ** 2 / (everyone * rate * (1 - rate))).sum()
    return float(special.chdtrc(len(gone) - 1, float(statistic)))


def pre_period_balance(triangle: Triangle) -> CheckRow:
    """Whether the variants were alike before exposure: one test over the averages of all series and treatments."""
    plan = triangle.plan
    if not plan.pre_weeks or not plan.series:
        return CheckRow(check="pre_period_balance", state="unknown", detail="there is no pre-period (pre_weeks: 0)")
    columns = np.array([triangle.layout.pre(series) for series in plan.series])
    everyone = tuple(range(plan.enrollment_weeks))
    arms = [triangle.moments(variant.key, everyone) for variant in (plan.control, *plan.treatments)]
    fewest = min(arm.n for arm in arms)
    if fewest < MIN_UNITS_FOR_INTERVAL:
        detail = f"fewer than {MIN_UNITS_FOR_INTERVAL} units in a variant"
        return CheckRow(check="pre_period_balance", state="unknown", detail=detail)
    away, covariance = _differences([arm.pick(columns) for arm in arms])
    p_value = hotelling(away, covariance, fewest - 1)
    if p_value is None:
        detail = "nothing varies before exposure, or there are too few units for so many values"
        return CheckRow(check="pre_period_balance", state="unknown", detail=detail)
    variances = np.diag(covariance)
    scores = np.divide(away, np.sqrt(variances), out=np.zeros_like(away), where=variances > 0)
    treatment, place = divmod(int(np.argmax(np.abs(scores))), len(columns))
    side = "above" if scores.max() == np.abs(scores).max() else "below"
    detail = (
        f"furthest apart in the {plan.pre_weeks} weeks before exposure: {name_of(plan.series[place])}, "
        f"{plan.treatments[treatment].key} {side} {plan.control.key} by {np.abs(scores).max():.1f} standard errors"
    )
    alarm = p_value < LEVEL
    advice = "; the variants were not alike from the start, so check how units were assigned" if alarm else ""
    return CheckRow(
        check="pre_period_balance", state="alarm" if alarm else "ok", p_value=p_value, detail=detail + advice
    )  # fmt: skip


def _differences(arms: Sequence[Moments]) -> tuple[Array, Array]:
    """Means of each treatment less those of control, shape (treatments * D,), and their covariance."""
    control, *treatments = arms
    away = np.concatenate([arm.mean - control.mean for arm in treatments])
    # Every treatment is compared with the same control, so all share its variance.
    covariance = np.asarray(np.kron(np.ones((len(treatments),) * 2), control.covariance / control.n), dtype=np.float64)
    for place, arm in enumerate(treatments):
        inside = slice(place * len(arm.sums), (place + 1) * len(arm.sums))
        covariance[inside, inside] += arm.covariance / arm.n
    return away, covariance


def hotelling(away: Array, covariance: Array, freedom: int) -> float | None:
    """Return the p value of ``away`` being zero, by Hotelling's T squared with an F distribution.

    ``freedom`` is that of the covariance: with the smallest group's, a little too careful with few units, and the
    chi-square with many. Directions in which nothing varies (one value is made of others) are left out; None where
    there is no other, or too little freedom for so many.
    """
    scale = np.sqrt(np.where(np.diag(covariance) > 0, np.diag(covariance), 1.0))
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    kept = values > SINGULAR * max(float(values[-1]), 0.0)
    rank = int(kept.sum())
    if not rank or freedom <= rank:
        return None
    along = vectors[:, kept].T @ (away / scale)
    statistic = float((along**2 / values[kept]).sum())
    rest = freedom - rank + 1
    return float(special.fdtrc(rank, rest, statistic * rest / (rank * freedom)))


def freshness(triangle: Triangle) -> CheckRow:
    """Whether facts reach up to as_of: weeks without data would be read as weeks without activity."""
    end = windows.read_until(triangle.plan, triangle.as_of)
    last = triangle.data.last
    if last is None:
        return CheckRow(check="freshness", state="unknown", detail=f"no facts before {end}")
    silent = (end - last).days - 1
    if silent >= STALE_DAYS:
        detail = f"the last fact is of {last}; the {silent} days after it are read as days without activity"
        return CheckRow(check="freshness", state="alarm", detail=detail)
    return CheckRow(check="freshness", state="ok", detail=f"facts up to {last}")
