"""From weekly values to moments: a dense matrix of units, filled batch by batch, then added up by cell.

What the databases of all sources share: they differ only in how rows become batches.
"""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from analysis import windows
from analysis.event_counts import EventCounts, event_weeks
from analysis.moments import Array, Layout, Moments
from analysis.plan import Event, Plan, Series
from analysis.triangle import Cell, FactCount, FactWeek, UnitRows
from experiments.sources.tables import Connection, Dialect, Table
from experiments.sources.units import Group

#: Rows of one product: few enough to stay in the processor's cache, many enough to be worth a thread.
_PRODUCT_ROWS = 4_096


def pre_columns(plan: Plan) -> int:
    """Columns of a series before week 0: its pre-period weeks, at least one to hold their average."""
    return max(1, plan.pre_weeks)


def block_of(plan: Plan) -> int:
    """Columns of one series in the dense matrix."""
    return pre_columns(plan) + plan.horizon_weeks


def partitions(connection: Connection, exposures: Table, plan: Plan, target_bytes: int) -> int:
    """Return how many hash partitions keep the dense matrix near ``target_bytes``."""
    rows = connection.execute(f"SELECT count(*) FROM {exposures.view}").fetchall()[0][0]
    unit_bytes = 8 * len(plan.series) * block_of(plan)
    return max(1, -(-int(rows) * unit_bytes // target_bytes))


def oldest_week(plan: Plan) -> int:
    """All weeks before the pre-period of every unit count as this one."""
    return -plan.pre_weeks - 1


class Buffer:
    """Memory that the partitions' matrices share one after another: touching new memory costs more than the sums."""

    def __init__(self) -> None:
        self._memory = np.empty(0)

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """Return zeros of ``shape``; what was returned before must not be used any more."""
        size = math.prod(shape)
        if size > self._memory.size:
            self._memory = np.empty(size + size // 16)
        matrix = self._memory[:size]
        matrix.fill(0)
        return matrix.reshape(shape)


@dataclass(frozen=True)
class Batch:
    """Rows, or sums of rows, of known units: arrays of one length.

    Attributes:
        slots: the place of the row's unit and week in the first series of the flat matrix, -1 where it has none.
        codes: see ``FactCodes``.
        rows: how many fact rows each stands for; None where it is one.
        values: one array for each series, None for those that count rows: what is added for a sum; what is above zero
            if any row was, for activity.
    """

    slots: NDArray[np.int64]
    codes: NDArray[np.int64]
    rows: NDArray[np.int64] | None
    values: Sequence[Array | None]


def fill(
    batches: Iterable[Batch], plan: Plan, codes: "FactCodes", units: int, buffer: Buffer
) -> tuple[Array, dict[FactWeek, FactCount]]:
    """Scatter batches into a dense matrix.

    Returns the matrix, shape (units, series, pre-period weeks + horizon weeks), rows in the order of the cells, and
    the counts of fact rows of known units.
    """
    block = block_of(plan)
    matrix = buffer.zeros((units, len(plan.series), block))
    flat = matrix.reshape(-1)
    counts = np.zeros(codes.size, dtype=np.int64)
    for batch in batches:
        counts += np.bincount(batch.codes, batch.rows, codes.size).astype(np.int64)
        _scatter(batch, plan, flat, block)
    for number, series in enumerate(plan.series):
        if series.cap is not None:
            np.minimum(matrix[:, number], series.cap, out=matrix[:, number])
    return matrix, codes.counts(counts)


def _scatter(batch: Batch, plan: Plan, flat: Array, block: int) -> None:
    """Add a batch to the flat matrix; rows without a slot are left out."""
    slots, rows, values = batch.slots, batch.rows, batch.values
    inside = slots >= 0
    if not inside.all():
        slots = slots[inside]
        rows = None if rows is None else rows[inside]
        values = [None if value is None else value[inside] for value in values]
    places = slots.astype(np.intp)
    for number, (series, value) in enumerate(zip(plan.series, values, strict=True)):
        if number:
            places += block
        if value is None:
            np.add.at(flat, places, 1.0 if rows is None else rows.astype(np.float64))
        elif series.kind == "active":
            flat[places[value > 0]] = 1
        else:
            np.add.at(flat, places, value)


def value_columns(plan: Plan) -> tuple[str, ...]:
    """The fact columns that weekly values are made of, each once."""
    return tuple(dict.fromkeys(series.column for series in plan.series if series.column))


class FactCodes:
    """Numbers (fact week, exposure week, before the pre-period or not) as one integer, so that they are counted."""

    def __init__(self, plan: Plan, as_of: date, dialect: Dialect) -> None:
        self._whole = dialect.whole
        self.oldest = oldest_week(plan)
        last = (windows.read_until(plan, as_of) - plan.start_date).days // 7
        self.exposure_weeks = max(0, last) + 2
        self.size = (max(0, last) + 1 - self.oldest) * self.exposure_weeks * 2

    def sql(self, pre_weeks: int) -> str:
        """SQL of the code of a row with the columns row, week, exposed and since (weeks since exposure).

        ``week`` is counted from the oldest week, see ``week_sql``.
        """
        place = f"week * {self.exposure_weeks} + exposed + 1"
        return f"({place}) * 2 + CAST(row >= 0 AND since < {-pre_weeks} AS INTEGER)"

    def week_sql(self, days: str) -> str:
        """SQL of the weeks from the oldest one to a number of days from start_date."""
        return f"(greatest({days} - {7 * self.oldest}, 0) {self._whole} 7)"

    def counts(self, counted: NDArray[np.int64]) -> dict[FactWeek, FactCount]:
        found: dict[FactWeek, FactCount] = {}
        for code in np.flatnonzero(counted):
            row, before = divmod(int(code), 2)
            week, exposed = divmod(row, self.exposure_weeks)
            number = int(counted[code])
            key = FactWeek(week + self.oldest, exposed - 1)
            found[key] = found.get(key, FactCount(0, 0)).plus(FactCount(number, number * before))
        return found


@dataclass(frozen=True)
class Summed:
    """What one partition's matrix adds up to, by cell: moments, and units by the week of an event."""

    cells: dict[Cell, Moments]
    events: dict[Event, dict[Cell, EventCounts]]


def summed(plan: Plan, matrix: Array, groups: Sequence[Group]) -> Summed:
    """Add up each group and the cells it belongs to; ``matrix`` as ``fill`` returns it, rows in the order of groups.

    The matrix is changed. All cells share one shift, the means of the first rows, so that they add without rounding.
    """
    found = Summed({}, {event: {} for event in plan.events})
    if not len(matrix):
        return found
    pre, columns = pre_columns(plan), Layout.of(plan).columns

    def piece(rows: slice) -> tuple[Moments, list[EventCounts]]:
        part = matrix[rows]
        # Without a pre-period there is one column before week 0 all the same.
        counts = [
            EventCounts.of(
                part[:, plan.series.index(_activity(event)), pre - plan.pre_weeks :] > 0, plan.pre_weeks, event
            )
            for event in plan.events
        ]
        if plan.pre_weeks:
            # Overwritten in place: the average of the pre-period takes the place of its last week.
            part[:, :, pre - 1] = part[:, :, :pre].mean(axis=2)
        return Moments.of(part[:, :, pre - 1 :].reshape(-1, columns), shift), counts

    head = matrix[:_PRODUCT_ROWS].mean(axis=0)
    head[:, pre - 1] = head[:, :pre].mean(axis=1)
    shift = head[:, pre - 1 :].reshape(columns)
    pieces = [(group, rows) for group, span in _spans(groups) for rows in _cut(span)]
    # In threads of our own: small pieces stay in the processor's cache, which one large product does not. Those of the
    # linear algebra library would wait for each other at every piece.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as threads:
        for (group, _), (part, counts) in zip(pieces, threads.map(piece, [rows for _, rows in pieces]), strict=True):
            for cell in group.cells:
                _add(found.cells, cell, part)
                for event, own in zip(plan.events, counts, strict=True):
                    _add(found.events[event], cell, own)
    return found


def _add(total: dict[Cell, Any], cell: Cell, part: Any) -> None:
    known = total.get(cell)
    total[cell] = part if known is None else known + part


def _activity(event: Event) -> Series:
    return Series("active", event.column)


def _spans(groups: Sequence[Group]) -> Iterator[tuple[Group, range]]:
    """Yield each group with its rows."""
    first = 0
    for group in groups:
        yield group, range(first, first + group.units)
        first += group.units


def _cut(rows: range) -> Iterator[slice]:
    for low in range(rows.start, rows.stop, _PRODUCT_ROWS):
        yield slice(low, min(low + _PRODUCT_ROWS, rows.stop))


def unit_rows(plan: Plan, matrix: Array, groups: Sequence[Group], covariates: Array) -> UnitRows:
    """Return the counted units one by one, without those that were seen in a second variant."""
    pre = pre_columns(plan)
    keys = [variant.key for variant in plan.variants]
    sizes = [group.units for group in groups]
    kept = np.repeat([group.cell.crossed_week is None for group in groups], sizes)
    variant = np.repeat(np.array([keys.index(group.cell.variant) for group in groups], dtype=np.int64), sizes)
    cohort = np.repeat(np.array([group.cell.cohort for group in groups], dtype=np.int64), sizes)
    events = {
        event: event_weeks(matrix[:, plan.series.index(_activity(event)), pre:] > 0, event)[kept]
        for event in dict.fromkeys(metric.event for metric in plan.metrics if metric.event and metric.adjust)
    }
    return UnitRows(variant[kept], cohort[kept], events, covariates[kept])
