"""Moments: the count, sums and cross products of a vector over units. Enough for every estimate, and they add.

Rules of validity:
    - Every exposed unit of the cell counts once in ``n``, with zeros where it did nothing.
    - Second moments are kept about a fixed shift, one number a column. Raw sums of squares are wrong: at mean/sd of
      1e8 they give negative variances. With a shift near the mean nothing is lost.
    - Moments over disjoint sets of units add with ``merge``; the same unit must never be in two of them.
    - A column is meaningful only where its week is known; the cohort triangle (``analysis.triangle``) sees to that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Self

import numpy as np
from numpy.typing import NDArray

from analysis.plan import Metric, Plan, Series, Window

Array = NDArray[np.float64]
Positions = NDArray[np.intp]

#: Relative to the shift: a smaller mean is what rounding leaves of zero (some hundred times the last digit).
_ROUNDING_OF_MEAN = 1e-13

#: Relative to the squared distance of mean and shift: a smaller variance is what rounding leaves of none. Sums of a
#: million rows lose four of sixteen digits at the worst.
_ROUNDING_OF_VARIANCE = 1e-12


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of D columns over n units.

    Attributes:
        n: number of units.
        sums: shape (D,), sum over units of (value - shift).
        products: shape (D, D), symmetric, sum over units of (value - shift)(value - shift)'.
        shift: shape (D,), the fixed origin, in the columns' own units.
    """

    n: int
    sums: Array
    products: Array
    shift: Array

    @classmethod
    def of(cls, rows: Array, shift: Array | None = None) -> Self:
        """Compute the moments of ``rows``, shape (n, D); the shift defaults to the columns' means."""
        origin = (rows.mean(axis=0) if len(rows) else np.zeros(rows.shape[1])) if shift is None else shift
        centered = rows - origin
        return cls(len(rows), centered.sum(axis=0), centered.T @ centered, origin)

    @classmethod
    def from_parts(cls, n: int, mean: Array, scatter: Array) -> Self:
        """Build moments from a mean, shape (D,), and the scatter about it, shape (D, D): sum of (x-mean)(x-mean)'."""
        return cls(n, np.zeros_like(mean), scatter, mean)

    @cached_property
    def mean(self) -> Array:
        """Means, shape (D,), not to be written to. Raises ZeroDivisionError without units."""
        if not self.n:
            raise ZeroDivisionError("moments of no units have no mean")
        mean = self.shift + self.sums / self.n
        # A mean of zero about a shift that is not zero leaves rounding, which must not pass for a mean.
        return np.where(np.abs(mean) <= _ROUNDING_OF_MEAN * np.abs(self.shift), 0.0, mean)

    @cached_property
    def scatter(self) -> Array:
        """Sum over units of (x - mean)(x - mean)', shape (D, D), not to be written to; of at least one unit."""
        return self.products - self.sums[:, None] * self.sums / self.n

    @cached_property
    def covariance(self) -> Array:
        """Sample covariance between units, shape (D, D), with n - 1 below, not to be written to.

        Raises ZeroDivisionError below two units.
        """
        if self.n < 2:
            raise ZeroDivisionError("a covariance needs at least two units")
        covariance = self.scatter / (self.n - 1)
        # A column without variation leaves the rounding of its distance from the shift: that is no variance.
        still = np.diag(covariance) <= _ROUNDING_OF_VARIANCE * (self.sums / self.n) ** 2
        covariance[still, :] = 0
        covariance[:, still] = 0
        return covariance

    def about(self, shift: Array) -> "Moments":
        """Return the same moments about another shift (exact in real arithmetic)."""
        if np.array_equal(shift, self.shift):
            return self
        move = self.shift - shift
        cross = self.sums[:, None] * move
        products = self.products + (cross + cross.T) + self.n * (move[:, None] * move)
        return Moments(self.n, self.sums + self.n * move, products, shift)

    def __add__(self, other: "Moments") -> "Moments":
        if not self.n:
            return other
        right = other.about(self.shift)
        return Moments(self.n + right.n, self.sums + right.sums, self.products + right.products, self.shift)

    def pick(self, columns: Positions) -> "Moments":
        """Return the moments of some columns, given by their positions; -1 stands for a column of zeros."""
        known = columns >= 0
        products = np.where(known[:, None] & known, self.products[np.ix_(columns, columns)], 0.0)
        sums, shift = np.where(known, self.sums[columns], 0.0), np.where(known, self.shift[columns], 0.0)
        return Moments(self.n, sums, products, shift)

    def linear(self, weights: Array) -> "Moments":
        """Return the moments of ``weights @ x``. ``weights`` has shape (m, D); the result has m columns."""
        return Moments(self.n, weights @ self.sums, weights @ self.products @ weights.T, weights @ self.shift)


def merge(parts: Iterable[Moments], columns: int) -> Moments:
    """Add moments over disjoint sets of units; of no parts, the moments of no units over ``columns`` columns."""
    nothing = Moments(0, np.zeros(columns), np.zeros((columns, columns)), np.zeros(columns))
    return reduce(lambda left, right: left + right, parts, nothing)


@dataclass(frozen=True)
class Layout:
    """Where each series and week stands in the vector: per series one pre-period average, then the horizon's weeks."""

    series: tuple[Series, ...]
    horizon_weeks: int

    @classmethod
    def of(cls, plan: Plan) -> Self:
        return cls(plan.series, plan.horizon_weeks)

    @property
    def columns(self) -> int:
        """Length D of the vector."""
        return len(self.series) * (1 + self.horizon_weeks)

    def pre(self, series: Series) -> int:
        """Column of the series' weekly average over the pre-period."""
        return self.series.index(series) * (1 + self.horizon_weeks)

    def week(self, series: Series, week: int) -> int:
        """Column of the series' value in ``week`` since exposure."""
        if not 0 <= week < self.horizon_weeks:
            raise IndexError(f"week {week} is outside the horizon of {self.horizon_weeks} weeks")
        return self.pre(series) + 1 + week

    def positions(self, series: Sequence[Series]) -> Positions:
        """Return the columns of some series in this layout, in the order of ``Layout(series, horizon_weeks)``."""
        block = np.arange(1 + self.horizon_weeks)
        return np.concatenate([self.pre(one) + block for one in series]).astype(np.intp)

    def window_weights(self, metric: Metric, windows: Sequence[Window]) -> Array:
        """Rows that turn the vector into weekly averages: shape (s (1 + w), D) for s series and w windows.

        Per series of the metric: first its pre-period average, then its average over each window's weeks.
        """
        rows = np.zeros((len(metric.series) * (1 + len(windows)), self.columns))
        row = 0
        for series in metric.series:
            rows[row, self.pre(series)] = 1
            for step, window in enumerate(windows, start=1):
                first = self.week(series, window.start_week)
                rows[row + step, first : self.week(series, window.end_week - 1) + 1] = 1 / window.weeks
            row += 1 + len(windows)
        return rows
