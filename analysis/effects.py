"""Effects from moments: means and their covariance after adjustment, differences, lifts, contrasts between windows.

Everything follows from one object, ``Means``: for a treatment and control, the mean of each of m values (windows or
weeks of one metric) with the joint covariance of all 2 m means. Assumptions: units are independent, exposure is
randomized with constant shares within what is merged, and n is large enough for the normal limit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.moments import Array, Layout, Moments
from analysis.numbers import MIN_UNITS_FOR_INTERVAL, critical, divide, p_two_sided, standard_error
from analysis.plan import Metric, Window
from analysis.results import Comparison
from analysis.triangle import Triangle

#: A logarithmic interval wider than this says nothing: the treatment's mean cannot be told from zero.
WIDEST_LOG = 50.0


@dataclass(frozen=True, eq=False)
class Means:
    """Means of m values in control and treatment.

    Attributes:
        n_control, n_treatment: units.
        control, treatment: shape (m,), estimated means (adjusted where ``adjusted``).
        covariance: shape (2 m, 2 m), of (control means, treatment means).
        raw_control, raw_treatment: shape (m,), plain means.
        raw_covariance: shape (2 m, 2 m), of the plain means.
        adjusted: whether CUPED adjustment was made.
        forms: per side (control, treatment), shape (1 + m, D): the linear maps from a unit's vector to its covariate
            and its m values, linearized where the metric is a ratio.
        slopes: shape (2, m), of the values on the covariate in control and treatment; zeros without adjustment.
    """

    n_control: int
    n_treatment: int
    control: Array
    treatment: Array
    covariance: Array
    raw_control: Array
    raw_treatment: Array
    raw_covariance: Array
    adjusted: bool
    forms: tuple[Array, Array]
    slopes: Array

    @property
    def values(self) -> int:
        return len(self.control)


@dataclass(frozen=True)
class Interval:
    """A lift with its interval: all None where the ratio cannot be estimated, and then ``reason`` says why."""

    lift: float | None
    low: float | None
    high: float | None
    reason: str | None = None


@dataclass(frozen=True)
class Contrast:
    """Late minus early: on the scale of the values, and as the log of the ratio of (1 + lift), -0.096 for -9.6 %."""

    effect: float | None
    effect_se: float | None
    p_value: float | None
    lift: float | None
    lift_low: float | None
    lift_high: float | None
    lift_p_value: float | None


def compare(
    control: Moments, treatment: Moments, layout: Layout, metric: Metric, windows: Sequence[Window], adjust: bool
) -> Means:
    """Estimate the means of a metric over windows for two variants, from moments in the triangle's layout.

    Ratios are linearized by the delta method at each variant's own raw ratio (Deng, Knoblich, Lu 2018); their
    covariate is numerator - R denominator over the pre-period, with R the ratio of both variants together, so that
    it is the same function of a unit in both. A window in which a denominator sums to zero gives NaN.
    Raises ZeroDivisionError below two units in a variant.
    """
    weights = layout.window_weights(metric, windows)
    sides = [control.linear(weights), treatment.linear(weights)]
    forms = [weights, weights]
    if metric.kind == "ratio":
        maps, means = _linearizations(sides, len(windows))
        sides = [side.linear(one) for side, one in zip(sides, maps, strict=True)]
        forms = [one @ weights for one in maps]
    else:
        means = [side.mean[1:] for side in sides]
    raw = _block_diagonal([side.covariance[1:, 1:] / side.n for side in sides])
    plain = Means(
        control.n, treatment.n, means[0], means[1], raw, means[0], means[1], raw, adjusted=False,
        forms=(forms[0], forms[1]), slopes=np.zeros((2, len(windows))),
    )  # fmt: skip
    return _adjusted(plain, sides) if adjust else plain


def _linearizations(sides: Sequence[Moments], values: int) -> tuple[list[Array], list[Array]]:
    """Return the maps from (numerators, denominators), each pre-period first, to (covariate, linear ratios).

    One per variant, shape (1 + values, 2 (1 + values)); also the raw ratios, shape (values,) per variant.
    """
    width = 1 + values
    total = (sides[0] + sides[1]).mean
    pooled = total[0] / total[width] if total[width] else 0.0
    rows = np.arange(values)
    maps, ratios = [], []
    for side in sides:
        below = np.where(side.mean[width + 1 :] == 0, np.nan, side.mean[width + 1 :])
        ratio = side.mean[1:width] / below
        weights = np.zeros((width, 2 * width))
        weights[0, 0], weights[0, width] = 1, -pooled
        weights[rows + 1, rows + 1] = 1 / below
        weights[rows + 1, rows + 1 + width] = -ratio / below
        maps.append(weights)
        ratios.append(ratio)
    return maps, ratios


def _block_diagonal(blocks: Sequence[Array]) -> Array:
    size = len(blocks[0])
    matrix = np.zeros((2 * size, 2 * size))
    matrix[:size, :size], matrix[size:, size:] = blocks
    return matrix


def _adjusted(plain: Means, sides: Sequence[Moments]) -> Means:
    """CUPED adjustment by Lin's estimator: one covariate, a slope per variant.

    Lin 2013 (Annals of Applied Statistics 7:295): each mean is moved along its own slope to the covariate's mean over
    both variants. That mean is estimated from n_T + n_C units, which adds slope slope' Var(x) / (n_T + n_C) to the
    covariances; without it a large effect's interval is too short. Without variation in the covariate nothing moves.
    """
    total = sides[0] + sides[1]
    spread = total.covariance[0, 0]
    variances = [side.covariance[0, 0] for side in sides]
    scale = max(abs(float(total.mean[0])), math.sqrt(max(float(spread), 0.0)))
    if any(standard_error(float(variance), scale) is None for variance in variances):
        return plain
    center = total.mean[0]
    means, residual, slopes = [], [], []
    for raw, side, variance in zip((plain.control, plain.treatment), sides, variances, strict=True):
        covariance = side.covariance
        slope = covariance[1:, 0] / variance
        means.append(raw - slope * (side.mean[0] - center))
        residual.append((covariance[1:, 1:] - slope[:, None] * slope * variance) / side.n)
        slopes.append(slope)
    slope = np.concatenate(slopes)
    joint = _block_diagonal(residual) + slope[:, None] * slope * (spread / total.n)
    return replace(
        plain, control=means[0], treatment=means[1], covariance=joint, adjusted=True, slopes=np.array(slopes)
    )


def lift_interval(control: float, treatment: float, covariance: Array, z: float | None = None) -> Interval:
    """Return the lift treatment / control - 1 with its interval by the log-delta method.

    ``covariance`` has shape (2, 2), of (control, treatment); ``z`` is the critical value, that of 95 % if it is not
    given. The log of the ratio is closer to normal than the ratio
    (Deng, Knoblich, Lu 2018, section 3). Without a control mean surely above zero, or without a positive treatment
    mean, there is no such interval: Fieller's (1954) is given where it is bounded, nothing else.
    """
    if control == 0:
        return Interval(None, None, None, "control's mean is zero, so there is no lift")
    lift = treatment / control - 1
    z = critical() if z is None else z
    variance_c, variance_t, between = float(covariance[0, 0]), float(covariance[1, 1]), float(covariance[0, 1])
    if control * control <= z * z * variance_c:
        return Interval(None, None, None, "control's mean is not surely different from zero: the lift is not estimable")
    if treatment / control > 0 and control * control > 25 * variance_c:
        relative = variance_t / treatment**2 + variance_c / control**2 - 2 * between / (treatment * control)
        half = z * math.sqrt(max(relative, 0.0))
        ratio = treatment / control
        if half < WIDEST_LOG:
            return Interval(lift, ratio * math.exp(-half) - 1, ratio * math.exp(half) - 1)
    return _fieller(lift, control, treatment, (variance_c, variance_t, between), z)


def _fieller(
    lift: float, control: float, treatment: float, variances: tuple[float, float, float], z: float
) -> Interval:
    """The set of r with (treatment - r control)^2 <= z^2 Var(treatment - r control), bounded here (Fieller 1954)."""
    variance_c, variance_t, between = variances
    a = control * control - z * z * variance_c
    b = treatment * control - z * z * between
    c = treatment * treatment - z * z * variance_t
    root = math.sqrt(max(b * b - a * c, 0.0))
    return Interval(lift, (b - root) / a - 1, (b + root) / a - 1)


def means_of(
    triangle: Triangle, metric: Metric, variant: str, windows: Sequence[Window], cohorts: tuple[int, ...]
) -> Means | None:
    """Estimate a metric over windows on the units of ``cohorts``; None below two units in either variant."""
    control = triangle.moments(triangle.plan.control.key, cohorts)
    treatment = triangle.moments(variant, cohorts)
    if min(control.n, treatment.n) < 2:
        return None
    return compare(control, treatment, triangle.layout, metric, windows, adjust=triangle.plan.pre_weeks > 0)


def effect_of(means: Means, value: int = 0) -> Comparison:
    """Return the comparison of one of the values: effect, interval, p value and lift.

    Intervals and p values use the normal distribution; below 30 units in a variant, or where units do not vary,
    they are left out and ``reason`` says so.
    """
    m = means.values
    pair = np.ix_((value, m + value), (value, m + value))
    covariance = means.covariance[pair]
    control, treatment = float(means.control[value]), float(means.treatment[value])
    effect = treatment - control
    if not math.isfinite(effect):
        return Comparison(
            n_control=means.n_control, n_treatment=means.n_treatment, state="too_few",
            reason="the denominator sums to zero, so there is no ratio",
        )  # fmt: skip
    scale = max(abs(control), abs(treatment))
    se = standard_error(_difference_variance(covariance), scale)
    raw_se = standard_error(_difference_variance(means.raw_covariance[pair]), scale)
    shown = Comparison(
        n_control=means.n_control,
        n_treatment=means.n_treatment,
        control_mean=float(means.raw_control[value]),
        treatment_mean=float(means.raw_treatment[value]),
        adjusted=means.adjusted,
        effect=effect,
        effect_se=se,
        lift=divide(treatment - control, control),
        unadjusted_effect=float(means.raw_treatment[value] - means.raw_control[value]),
        unadjusted_se=raw_se,
        state="too_few",
    )
    if _few(means):
        return _because(shown, f"fewer than {MIN_UNITS_FOR_INTERVAL} units in a variant: no interval yet")
    if se is None:
        return _because(shown, "the units do not vary, so nothing can be tested")
    lift = lift_interval(control, treatment, covariance)
    half = critical() * se
    return _with(
        shown, effect_low=effect - half, effect_high=effect + half, p_value=p_two_sided(effect / se),
        lift=lift.lift, lift_low=lift.low, lift_high=lift.high, state="ok", reason=lift.reason,
    )  # fmt: skip


def interval_of(means: Means, value: int, z: float) -> tuple[float, float, Interval]:
    """Return effect - z se, effect + z se, and the lift's interval at the critical value ``z``, for one of the values.

    The effect must have a standard error (``effect_of`` says ok).
    """
    m = means.values
    covariance = means.covariance[np.ix_((value, m + value), (value, m + value))]
    control, treatment = float(means.control[value]), float(means.treatment[value])
    half = z * math.sqrt(_difference_variance(covariance))
    effect = treatment - control
    return effect - half, effect + half, lift_interval(control, treatment, covariance, z)


def log_lift(means: Means, value: int) -> tuple[float, float] | None:
    """Return ln(treatment / control) of one of the values with its standard error (delta method).

    Of negative means (a loss in money) its negative, so that a treatment above control is positive everywhere. None
    where the means have no such ratio, do not vary, or stand on fewer than 30 units in a variant.
    """
    control, treatment = float(means.control[value]), float(means.treatment[value])
    if _few(means) or not control * treatment > 0:
        return None
    m = means.values
    gradient = np.array([-1 / abs(control), 1 / abs(treatment)])
    variance = gradient @ means.covariance[np.ix_((value, m + value), (value, m + value))] @ gradient
    se = standard_error(float(variance), 1.0)
    return None if se is None else (math.copysign(math.log(treatment / control), treatment - control), se)


@dataclass(frozen=True)
class Score:
    """One of the values as a standard normal statistic; ``log`` says on which scale it was tested."""

    z: float
    log: bool


def score(means: Means, value: int) -> Score | None:
    """Return the log lift over its standard error, or the effect over its own where means have no ratio.

    None where the units do not vary or are fewer than 30 in a variant.
    """
    lift = log_lift(means, value)
    if lift is not None:
        return Score(lift[0] / lift[1], log=True)
    m = means.values
    covariance = means.covariance[np.ix_((value, m + value), (value, m + value))]
    control, treatment = float(means.control[value]), float(means.treatment[value])
    if _few(means) or not math.isfinite(treatment - control):
        return None
    se = standard_error(_difference_variance(covariance), max(abs(control), abs(treatment)))
    return None if se is None else Score((treatment - control) / se, log=False)


def _few(means: Means) -> bool:
    return min(means.n_control, means.n_treatment) < MIN_UNITS_FOR_INTERVAL


def _difference_variance(covariance: Array) -> float:
    return float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])


def _because(shown: Comparison, reason: str) -> Comparison:
    return _with(shown, reason=reason)


def _with(shown: Comparison, **changes: object) -> Comparison:
    return Comparison(**{**vars(shown), **changes})


def contrast(means: Means, early: int, late: int) -> Contrast:
    """Return late minus early for two of the values, with the covariance between them.

    Both windows must have been estimated on the same units. On the log scale a constant lift has contrast zero even
    where activity changes with age; on the scale of the values it has not.
    """
    m = means.values
    # Order of the four means: control early, control late, treatment early, treatment late.
    picked = (early, late, m + early, m + late)
    covariance = means.covariance[np.ix_(picked, picked)]
    four = np.array([means.control[early], means.control[late], means.treatment[early], means.treatment[late]])
    signs = np.array([1.0, -1.0, -1.0, 1.0])
    effect = float(signs @ four)
    if not math.isfinite(effect):
        return Contrast(None, None, None, None, None, None, None)
    se = standard_error(float(signs @ covariance @ signs), float(np.abs(four).max()))
    p_value = p_two_sided(effect / se) if se else None
    if not (four > 0).all() and not (four < 0).all():
        return Contrast(effect, se, p_value, None, None, None, None)
    gradient = signs / four
    log_ratio = float(signs @ np.log(np.abs(four)))
    log_se = standard_error(float(gradient @ covariance @ gradient), 1.0)
    if log_se is None:
        return Contrast(effect, se, p_value, log_ratio, None, None, None)
    half = critical() * log_se
    return Contrast(effect, se, p_value, log_ratio, log_ratio - half, log_ratio + half, p_two_sided(log_ratio / log_se))
