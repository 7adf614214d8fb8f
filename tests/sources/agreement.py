"""When two ways to the same moments agree: the comparisons that the tests of sources share."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from analysis import windows
from analysis.plan import Plan
from analysis.triangle import Triangle
from tests.sources import brute_force

#: A few roundings of a double.
ROUNDING = 8 * np.finfo(float).eps


@dataclass(frozen=True, eq=False)
class CellMoments:
    """Units, means, shape (D,), and scatter about the means, shape (D, D), in the triangle's layout."""

    n: int
    mean: np.ndarray
    scatter: np.ndarray


Cells = Mapping[tuple[str, int], CellMoments]


def of_triangle(triangle: Triangle) -> Cells:
    """The moments of the units that count, by (variant, cohort)."""
    plan = triangle.plan
    keys = [(variant.key, cohort) for variant in plan.variants for cohort in range(plan.enrollment_weeks)]
    parts = {key: triangle.moments(key[0], (key[1],)) for key in keys}
    return {
        key: CellMoments(part.n, part.mean, part.products - np.outer(part.sums, part.sums) / part.n)
        for key, part in parts.items()
        if part.n
    }


def of_rows(found: brute_force.Look) -> Cells:
    """The moments of rows, one a unit, by (variant, cohort)."""
    columns = [
        (series, week) for series in found.plan.series for week in (brute_force.PRE, *range(found.plan.horizon_weeks))
    ]
    cells = {}
    for (variant, cohort), frame in found.rows.groupby(["variant", "cohort"]):
        values = np.column_stack([frame[column].to_numpy() for column in columns])
        centered = values - values.mean(axis=0)
        cells[variant, cohort] = CellMoments(len(values), values.mean(axis=0), centered.T @ centered)
    return cells


def known_columns(plan: Plan, lived: int) -> np.ndarray:
    """The columns of the layout that hold whole weeks: each series' pre-period and the weeks lived."""
    block = [True] + [week < lived for week in range(plan.horizon_weeks)]
    return np.flatnonzero(block * len(plan.series))


def assert_same_cells(actual: Cells, expected: Cells, plan: Plan, lived: Mapping[int, int], tolerance: float) -> None:
    """The same cells, units, means and scatter in the weeks lived.

    Means are compared relative to the column's size, scatter relative to the spread of its two columns. To both comes
    the rounding of doubles of the column's size in any cell: moments are kept about one shift for all cells.
    """
    assert set(actual) == set(expected)
    if not expected:
        return
    largest = np.max([_size(cell) for cell in expected.values()], axis=0)
    for key, wanted in expected.items():
        found = actual[key]
        assert found.n == wanted.n, key
        kept = known_columns(plan, lived[key[1]])
        size = largest[kept]
        off = np.abs(found.mean - wanted.mean)[kept]
        assert (off <= tolerance * size).all(), (key, "means", _worst(off, size))
        spread = np.sqrt(np.maximum(wanted.scatter.diagonal()[kept], 0))
        rounding = ROUNDING * np.sqrt(wanted.n) * size
        scale = np.outer(spread, spread)
        allowed = tolerance * scale + np.outer(rounding, spread) + np.outer(spread, rounding)
        allowed += np.outer(rounding, size) * wanted.n
        off = np.abs(found.scatter - wanted.scatter)[np.ix_(kept, kept)]
        assert (off <= allowed).all(), (key, "scatter", _worst(off, allowed))


def _size(cell: CellMoments) -> np.ndarray:
    """Root mean square of each column."""
    return np.sqrt(cell.mean**2 + np.maximum(cell.scatter.diagonal(), 0) / cell.n)


def _worst(off: np.ndarray, scale: np.ndarray) -> str:
    relative = np.divide(off, scale, out=np.zeros_like(off), where=scale > 0)
    relative[(scale == 0) & (off > 0)] = np.inf
    return f"{relative.max():.3g} times what is allowed at {np.unravel_index(relative.argmax(), relative.shape)}"


def lived(plan: Plan, as_of: date) -> dict[int, int]:
    """Whole weeks each cohort has lived, as the code under test says."""
    return {cohort: windows.mature_weeks(plan, cohort, as_of) for cohort in range(plan.enrollment_weeks)}


def assert_same_triangle(actual: Triangle, expected: Triangle, tolerance: float) -> None:
    """Two readings say the same: exclusions and data exactly, moments within the tolerance."""
    assert actual.excluded == expected.excluded
    assert actual.data == expected.data
    weeks = lived(expected.plan, expected.as_of)
    assert_same_cells(of_triangle(actual), of_triangle(expected), expected.plan, weeks, tolerance)
