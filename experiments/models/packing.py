"""Triangles and arrays as bytes, so that a worker's part of a look can be put down and picked up by another one.

Floats are kept bit by bit (little-endian float64). Of a matrix of cross products, which is symmetric, only the upper
triangle is kept; where rounding has made the two halves differ in the last bit, the upper half counts.
"""

import json
import struct
from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np

from analysis.event_counts import EventCounts
from analysis.moments import Array, Moments
from analysis.plan import Event, Plan
from analysis.triangle import Cell, Departure, FactCount, FactWeek, Tally, Triangle, UnitRows

_MAGIC = b"HFT2"
_HEAD = struct.Struct("<4sI")


def pack_array(values: Array) -> bytes:
    return np.ascontiguousarray(values, dtype="<f8").tobytes()


def unpack_array(packed: bytes | memoryview) -> Array:
    return np.frombuffer(packed, dtype="<f8").astype(np.float64)


def pack_symmetric(matrix: Array) -> bytes:
    """The upper triangle, row by row, of a matrix of shape (D, D)."""
    return pack_array(matrix[np.triu_indices(len(matrix))])


def unpack_symmetric(packed: bytes | memoryview, columns: int) -> Array:
    return _symmetric(unpack_array(packed), columns)


def _symmetric(numbers: Array, columns: int) -> Array:
    matrix = np.zeros((columns, columns))
    upper = np.triu_indices(columns)
    matrix[upper] = numbers
    matrix.T[upper] = matrix[upper]
    return matrix


def pack_triangle(triangle: Triangle) -> bytes:
    """Everything a triangle holds but its plan and its day, which the look knows."""
    rows = triangle.rows
    head = {
        "columns": next((len(part.sums) for part in triangle.cells.values()), 0),
        "cells": [[*cell, part.n] for cell, part in triangle.cells.items()],
        "tallies": [[week, *_tally_values(tally)] for week, tally in triangle.tallies.items()],
        "facts": [[*key, *count] for key, count in triangle.facts.items()],
        "first_fact": _text(triangle.first_fact),
        "left": None if triangle.left is None else [[*key.cell, key.week, n] for key, n in triangle.left.items()],
        "events": [
            [
                event.type,
                event.column,
                event.gap_weeks,
                [[*cell, pack_counts(counts)] for cell, counts in cells.items()],
            ]
            for event, cells in triangle.events.items()
        ],
        "rows": None if rows is None else {"n": len(rows.variant), "events": [vars(event) for event in rows.events]},
    }
    text = json.dumps(head, separators=(",", ":"), default=int).encode()  # counts may be integers of numpy
    arrays = [
        packed
        for part in triangle.cells.values()
        for packed in (pack_array(part.shift), pack_array(part.sums), pack_symmetric(part.products))
    ]
    if rows is not None:
        columns = [rows.variant, rows.cohort, *rows.events.values(), *rows.covariates.T]
        arrays += [pack_array(column.astype(np.float64)) for column in columns]
    return b"".join([_HEAD.pack(_MAGIC, len(text)), text, *arrays])


def unpack_triangle(packed: bytes | memoryview, plan: Plan, as_of: date) -> Triangle:
    """Return the triangle that ``pack_triangle`` wrote. Raises ValueError for anything else."""
    view = memoryview(packed)
    magic, length = _HEAD.unpack(view[: _HEAD.size])
    if magic != _MAGIC:
        raise ValueError("these bytes are not a packed triangle")
    head = json.loads(bytes(view[_HEAD.size : _HEAD.size + length]))
    body = view[_HEAD.size + length :]
    if len(body) % 8:
        raise ValueError("these bytes are cut short")
    numbers = unpack_array(body)
    columns = head["columns"]
    size = len(head["cells"]) * (2 * columns + columns * (columns + 1) // 2)
    left = head["left"]
    return Triangle(
        plan, as_of,
        cells=_cells(head["cells"], numbers[:size], columns),
        tallies={week: _tally(*values) for week, *values in head["tallies"]},
        facts={FactWeek(*row[:2]): FactCount(*row[2:]) for row in head["facts"]},
        first_fact=_day(head["first_fact"]),
        left=None if left is None else {Departure(Cell(*cell), week): n for *cell, week, n in left},
        events={
            Event(*event): {Cell(*cell): unpack_counts(counts, plan) for *cell, counts in cells}
            for *event, cells in head["events"]
        },
        rows=_rows(head["rows"], numbers[size:], plan),
    )  # fmt: skip


def pack_counts(counts: EventCounts) -> dict[str, Any]:
    """Counts as JSON: of the square of weeks only what is not zero."""
    places = np.argwhere(counts.weeks)
    weeks = [[int(k), int(r), int(counts.weeks[k, r])] for k, r in places]
    return {"weeks": weeks, "pauses": counts.pauses.tolist()}


def unpack_counts(packed: Mapping[str, Any], plan: Plan) -> EventCounts:
    """Return the counts that ``pack_counts`` wrote. Raises IndexError for those of another plan."""
    counts = EventCounts.none(plan.horizon_weeks, plan.pre_weeks)
    for k, r, n in packed["weeks"]:
        counts.weeks[k, r] = n
    counts.pauses[:] = packed["pauses"]
    return counts


def _cells(rows: list[list[Any]], numbers: Array, columns: int) -> dict[Cell, Moments]:
    """Cut numbers into equal parts, one a cell: shift, sums and the upper triangle of the products."""
    size = 2 * columns + columns * (columns + 1) // 2
    if len(numbers) != size * len(rows):
        raise ValueError("these bytes are cut short")
    cells = {}
    for number, (*cell, n) in enumerate(rows):
        part = numbers[number * size : (number + 1) * size]
        products = _symmetric(part[2 * columns :], columns)
        cells[Cell(*cell)] = Moments(n, part[columns : 2 * columns], products, part[:columns])
    return cells


def _rows(head: Mapping[str, Any] | None, numbers: Array, plan: Plan) -> UnitRows | None:
    """Cut numbers into columns: variant, cohort, a week for each event, and the covariates."""
    if head is None:
        return None
    events = [Event(**event) for event in head["events"]]
    columns = numbers.reshape(2 + len(events) + len(plan.covariates), head["n"])
    whole = columns[: 2 + len(events)].astype(np.int64)
    return UnitRows(whole[0], whole[1], dict(zip(events, whole[2:], strict=True)), columns[len(whole) :].T)


def _tally_values(tally: Tally) -> tuple[int, str | None, int, dict[str, int]]:
    return tally.rows, _text(tally.last), tally.nulls, dict(tally.excluded)


def _tally(rows: int, last: str | None, nulls: int, excluded: dict[str, int]) -> Tally:
    return Tally(rows, _day(last), nulls, excluded)


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
