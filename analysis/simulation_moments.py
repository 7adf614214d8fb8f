"""Worlds drawn as moments: thousands of experiments a second, without any rows.

Every estimate of a scorecard follows from the count, the mean vector and the scatter matrix of units' vectors in each
(variant, cohort). Under a multivariate normal model these have a known joint distribution: the mean of n units is
normal with covariance Sigma / n, and independently of it the scatter about the mean is Wishart(n - 1, Sigma)
(T. W. Anderson, "An Introduction to Multivariate Statistical Analysis", 3rd ed. 2003, sections 3.3 and 7.2; drawn by
the triangular decomposition of M. S. Bartlett 1933). So one draw of a world costs a few small matrix products.

What it assumes: means and covariances are those of the recorded household weeks, exactly; only the shape beyond second
moments is normal instead of skewed. Means of thousands of units do not tell the difference; the scatter varies a little
less than that of skewed values would.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from analysis.simulation import DAYS_A_WEEK, Enrollment, Floats, Injection, Trajectories, Whole
from analysis.simulation_truth import CENTS, Pairs, enumerate_pairs, weekly_sums

Column = Literal["lines", "head_lines", "sales", "active"]

#: Directions with less variance than this share of the largest are rounding: the factor leaves them out.
_RANK_TOLERANCE = 1e-12


@dataclass(frozen=True)
class CohortMoments:
    """The true distribution of a unit's vector, by exposure cohort.

    The vector lists, for each column in turn, the average a week over the pre-period and the value of each week since
    exposure: p = columns * (1 + weeks) entries.

    columns:    the columns in order
    weeks:      weeks since exposure
    share:      (cohorts,), the probability that a unit belongs to the cohort; sums to 1
    mean:       (cohorts, p)
    covariance: (cohorts, p, p)
    """

    columns: tuple[Column, ...]
    weeks: int
    share: Floats
    mean: Floats
    covariance: Floats

    def position(self, column: Column, week: int | None = None) -> int:
        """Return where the vector holds ``column`` in ``week``, or over the pre-period if ``week`` is None."""
        return self.columns.index(column) * (1 + self.weeks) + (0 if week is None else 1 + week)


@dataclass(frozen=True)
class MomentWorlds:
    """Drawn worlds; the second axis is the variant (0 control, 1 treatment), the third the cohort.

    units: (worlds, 2, cohorts) · mean: (worlds, 2, cohorts, p) · scatter: (worlds, 2, cohorts, p, p), the sum of cross
    products of deviations from that mean.
    """

    units: Whole
    mean: Floats
    scatter: Floats


def cohort_moments(
    trajectories: Trajectories, enrollment: Enrollment, columns: tuple[Column, ...], weeks: int, pre_weeks: int
) -> CohortMoments:
    """Return the true moments without treatment, by enumeration of households and eligible days."""
    if pre_weeks < 1:
        raise ValueError("the covariate needs a pre-period of at least one week")
    pairs = enumerate_pairs(trajectories, enrollment)
    vectors = np.hstack([_vectors(trajectories, pairs, column, weeks, pre_weeks) for column in columns])
    cohort = (pairs.exposed_day - enrollment.start_day) // DAYS_A_WEEK
    shares, means, covariances = [], [], []
    for index in range(enrollment.weeks):
        chosen = cohort == index
        share = float(pairs.probability[chosen].sum())
        if share == 0:
            raise ValueError(f"nobody can be exposed in enrollment week {index}")
        weight = pairs.probability[chosen] / share
        mean = weight @ vectors[chosen]
        deviation = vectors[chosen] - mean
        shares.append(share)
        means.append(mean)
        covariances.append((deviation * weight[:, None]).T @ deviation)
    return CohortMoments(columns, weeks, np.array(shares), np.array(means), np.array(covariances))


def _vectors(trajectories: Trajectories, pairs: Pairs, column: Column, weeks: int, pre_weeks: int) -> Floats:
    """Return (pre-period average, week 0, ..) of one column; shape (pairs, 1 + weeks)."""
    if column not in get_args(Column):
        raise ValueError(f"unknown column {column!r}, allowed are {', '.join(get_args(Column))}")
    daily: Floats | Whole = trajectories.cents / CENTS if column == "sales" else trajectories.lines
    if column == "head_lines":
        daily = trajectories.head_lines
    values = weekly_sums(daily, pairs, -pre_weeks, weeks)
    if column == "active":
        values = (values > 0).astype(np.float64)
    return np.hstack([values[:, :pre_weeks].mean(axis=1, keepdims=True), values[:, pre_weeks:]])


def treated_moments(control: CohortMoments, injection: Injection) -> CohortMoments:
    """Return the moments of units under the injection, exactly, as if values need not be whole.

    A unit's value in week k becomes its expected value given the household (m(k) times lines and sales, head lines
    after conversion, active as recorded) if the unit is still there, else zero. Being there in weeks j and k has
    probability S(max(j, k)), whatever the household. Left out is the variance of rounding at random, and the few active
    weeks that a multiplier below 1 empties.
    """
    matrix = _linear_map(control, injection)
    stays = np.concatenate([[1.0], injection.survival(control.weeks)])
    alone = np.tile(stays, len(control.columns))
    both = np.minimum.outer(alone, alone)
    # The pre-period comes before the treatment: S = 1, and then the minimum is the survival of the later week.
    untreated_mean = control.mean @ matrix.T
    second = matrix @ (control.covariance + _outer(control.mean)) @ matrix.T
    mean = untreated_mean * alone
    return CohortMoments(control.columns, control.weeks, control.share, mean, second * both - _outer(mean))


def _linear_map(control: CohortMoments, injection: Injection) -> Floats:
    """Return the matrix that turns a recorded vector into its expectation under the injection; shape (p, p)."""
    matrix = np.eye(control.mean.shape[1])
    multipliers = injection.multipliers(control.weeks)
    conversions = injection.head_conversions(control.weeks)
    if "head_lines" in control.columns and "lines" not in control.columns and conversions.any():
        raise ValueError("head lines are converted from lines: list the column lines too")
    for column in control.columns:
        if column == "active":
            continue
        for week in range(control.weeks):
            row = control.position(column, week)
            matrix[row, row] = multipliers[week]
            if column == "head_lines" and conversions[week]:
                matrix[row, row] *= 1.0 - conversions[week]
                matrix[row, control.position("lines", week)] = multipliers[week] * conversions[week]
    return matrix


def _outer(mean: Floats) -> Floats:
    """Return the outer product of each row with itself; shape (rows, p, p)."""
    return np.asarray(mean[..., :, None] * mean[..., None, :])


def draw_moment_worlds(
    rng: np.random.Generator,
    control: CohortMoments,
    treatment: CohortMoments,
    units: int,
    worlds: int,
    treatment_share: float = 0.5,
) -> MomentWorlds:
    """Draw ``worlds`` experiments of ``units`` units: counts by (variant, cohort), then means and scatters.

    Memory is worlds * 2 * cohorts * p^2 * 8 bytes for the scatters and twice that while drawing: draw in batches.
    """
    chances = np.concatenate([(1.0 - treatment_share) * control.share, treatment_share * treatment.share])
    cohorts = len(control.share)
    counts = rng.multinomial(units, chances, size=worlds).reshape(worlds, 2, cohorts)
    size = control.mean.shape[1]
    mean = np.zeros((worlds, 2, cohorts, size))
    scatter = np.zeros((worlds, 2, cohorts, size, size))
    for variant, moments in enumerate((control, treatment)):
        for cohort in range(cohorts):
            mean[:, variant, cohort], scatter[:, variant, cohort] = draw_moments(
                rng, counts[:, variant, cohort], moments.mean[cohort], moments.covariance[cohort]
            )
    return MomentWorlds(counts.astype(np.int64), mean, scatter)


def draw_moments(rng: np.random.Generator, units: Whole, mean: Floats, covariance: Floats) -> tuple[Floats, Floats]:
    """Draw mean (draws, p) and scatter about it (draws, p, p) of ``units`` (draws,) multivariate normal units.

    No units give zeros, one unit gives a scatter of zero.
    """
    factor = _factor(covariance)
    rank = factor.shape[1]
    normal_mean = rng.standard_normal((len(units), rank)) / np.sqrt(np.maximum(units, 1))[:, None]
    triangle = np.zeros((len(units), rank, rank))
    lower = np.tril_indices(rank, -1)
    triangle[:, lower[0], lower[1]] = rng.standard_normal((len(units), len(lower[0])))
    freedom = units[:, None] - 1 - np.arange(rank)
    triangle[:, np.arange(rank), np.arange(rank)] = np.sqrt(rng.chisquare(np.maximum(freedom, 1)))
    root = factor @ triangle
    means = mean + normal_mean @ factor.T
    scatters = root @ root.transpose(0, 2, 1)
    # Bartlett's triangle needs n - 1 >= rank; the rare smaller samples are drawn unit by unit.
    for draw in np.flatnonzero(units - 1 < rank):
        means[draw], scatters[draw] = _draw_rows(rng, int(units[draw]), mean, factor)
    return means, scatters


def _draw_rows(rng: np.random.Generator, units: int, mean: Floats, factor: Floats) -> tuple[Floats, Floats]:
    """Draw ``units`` normal rows and return their mean (p,) and scatter (p, p)."""
    size = len(mean)
    if units == 0:
        return np.zeros(size), np.zeros((size, size))
    rows = mean + rng.standard_normal((units, factor.shape[1])) @ factor.T
    deviation = rows - rows.mean(axis=0)
    return rows.mean(axis=0), deviation.T @ deviation


def _factor(covariance: Floats) -> Floats:
    """Return F of shape (p, rank) with F F' = covariance, which may be singular but not indefinite."""
    values, vectors = np.linalg.eigh(covariance)
    floor = _RANK_TOLERANCE * max(float(values[-1]), 0.0)
    if values[0] < -1e3 * floor or not np.isfinite(values).all():
        raise ValueError("the covariance matrix is not positive semidefinite")
    kept = values > floor
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))
