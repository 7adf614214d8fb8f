"""Triangles and arrays as bytes, so that a worker's part of a look can be put down and picked up by another one.

Floats are kept bit by bit (little-endian float64). Of a matrix of cross products, which is symmetric, only the upper
triangle is kept; where rounding has made the two halves differ in the last bit, the upper half counts.
"""

import json
import struct
from datetime import date
from typing import Any

import numpy as np

from analysis.moments import Array, Moments
from analysis.plan import Plan
from analysis.triangle import Cell, FactCount, FactWeek, Tally, Triangle

_MAGIC = b"HFT1"
_HEAD = struct.Struct("<4sI")


def pack_array(values: Array) -> bytes:
    return np.ascontiguousarray(values, dtype="<f8").tobytes()


def unpack_array(packed: bytes | memoryview) -> Array:
    return np.frombuffer(packed, dtype="<f8").astype(np.float64)


def pack_symmetric(matrix: Array) -> bytes:
    """The upper triangle, row by row, of a matrix of shape (D, D)."""
    return pack_array(matrix[np.triu_indices(len(matrix))])


def unpack_symmetric(packed: bytes | memoryview, columns: int) -> Array:
    matrix = np.zeros((columns, columns))
    upper = np.triu_indices(columns)
    matrix[upper] = unpack_array(packed)
    matrix.T[upper] = matrix[upper]
    return matrix


def pack_triangle(triangle: Triangle) -> bytes:
    """Everything a triangle holds but its plan and its day, which the look knows."""
    head = {
        "cells": [[*cell, part.n] for cell, part in triangle.cells.items()],
        "tallies": [[week, *_tally_values(tally)] for week, tally in triangle.tallies.items()],
        "facts": [[*key, *count] for key, count in triangle.facts.items()],
        "first_fact": _text(triangle.first_fact),
    }
    text = json.dumps(head, separators=(",", ":"), default=int).encode()  # counts may be integers of numpy
    arrays = [
        packed
        for part in triangle.cells.values()
        for packed in (pack_array(part.shift), pack_array(part.sums), pack_symmetric(part.products))
    ]
    return b"".join([_HEAD.pack(_MAGIC, len(text)), text, *arrays])


def unpack_triangle(packed: bytes | memoryview, plan: Plan, as_of: date) -> Triangle:
    """Return the triangle that ``pack_triangle`` wrote. Raises ValueError for anything else."""
    view = memoryview(packed)
    magic, length = _HEAD.unpack(view[: _HEAD.size])
    if magic != _MAGIC:
        raise ValueError("these bytes are not a packed triangle")
    head = json.loads(bytes(view[_HEAD.size : _HEAD.size + length]))
    return Triangle(
        plan, as_of,
        cells=_cells(head["cells"], view[_HEAD.size + length :]),
        tallies={week: _tally(*values) for week, *values in head["tallies"]},
        facts={FactWeek(*row[:2]): FactCount(*row[2:]) for row in head["facts"]},
        first_fact=_day(head["first_fact"]),
    )  # fmt: skip


def _cells(rows: list[list[Any]], body: memoryview) -> dict[Cell, Moments]:
    """Cut ``body`` into equal parts, one a cell: shift, sums and the upper triangle of the products."""
    if not rows:
        return {}
    size = len(body) // len(rows)
    # A cell has D + D + D (D + 1) / 2 numbers.
    columns = round((-5 + (25 + 8 * (size // 8)) ** 0.5) / 2)
    if size * len(rows) != len(body) or size != 8 * (2 * columns + columns * (columns + 1) // 2):
        raise ValueError("these bytes are cut short")
    cells = {}
    for number, (*cell, n) in enumerate(rows):
        part = body[number * size : (number + 1) * size]
        shift, sums = unpack_array(part[: 8 * columns]), unpack_array(part[8 * columns : 16 * columns])
        products = unpack_symmetric(part[16 * columns :], columns)
        cells[Cell(*cell)] = Moments(n, sums, products, shift)
    return cells


def _tally_values(tally: Tally) -> tuple[int, str | None, int, dict[str, int]]:
    return tally.rows, _text(tally.last), tally.nulls, dict(tally.excluded)


def _tally(rows: int, last: str | None, nulls: int, excluded: dict[str, int]) -> Tally:
    return Tally(rows, _day(last), nulls, excluded)


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
