"""The one pass over facts: counts by week, then a dense matrix of weekly values, then moments and events by cell."""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from analysis import windows
from analysis.event_counts import EventCounts, event_weeks
from analysis.moments import Array, Layout, Moments
from analysis.plan import Event, Plan, Series
from analysis.triangle import Cell, FactCount, FactWeek, Tally, UnitRows
from experiments.sources.base import SourceProblem
from experiments.sources.duckdb_tables import Table, literal, quoted
from experiments.sources.exposures import Exposures, Group, days_sql, week_sql

#: Small enough that a batch is scattered while it is still in the processor's cache.
_BATCH_ROWS = 61_440

#: Larger values are refused like infinities: their squares leave the range of numbers.
LARGEST = 1e100

#: Rows of one product: few enough to stay in the processor's cache, many enough to be worth a thread.
_PRODUCT_ROWS = 4_096


def _pre_columns(plan: Plan) -> int:
    """Columns of a series before week 0: its pre-period weeks, at least one to hold their average."""
    return max(1, plan.pre_weeks)


def _block(plan: Plan) -> int:
    """Columns of one series in the dense matrix."""
    return _pre_columns(plan) + plan.horizon_weeks


def partitions(connection: duckdb.DuckDBPyConnection, plan: Plan, target_bytes: int) -> int:
    """Return how many hash partitions keep the dense matrix near ``target_bytes``."""
    exposures = connection.execute("SELECT count(*) FROM exposures").fetchall()[0][0]
    unit_bytes = 8 * len(plan.series) * _block(plan)
    return max(1, -(-int(exposures) * unit_bytes // target_bytes))


def _oldest_week(plan: Plan) -> int:
    """All weeks before the pre-period of every unit count as this one."""
    return -plan.pre_weeks - 1


def tallies(
    connection: duckdb.DuckDBPyConnection, facts: Table, day: str, plan: Plan, as_of: date
) -> tuple[date | None, dict[int, Tally]]:
    """Check the values of all fact rows; return the first day and the counts by week of those before as_of.

    Raises SourceProblem for NaN and infinite values, and for weekly facts under the clock of the unit.
    """
    nulls = " + ".join(f"count(*) - count({quoted(column)})" for column in plan.columns) or "0"
    floats = [column for column in plan.columns if facts.is_float(column)]
    # One flag for all columns: a count by column costs as much again as reading them.
    broken = " OR ".join(_unusable(quoted(column)) for column in floats) or "false"
    # Grouped by day, not by week: the cheapest key, and every day is seen once.
    days = connection.execute(
        f"SELECT {day}, count(*), {nulls}, bool_or({broken}) FROM {facts.view} GROUP BY 1 ORDER BY 1"
    ).fetchall()
    if any(row[3] for row in days):
        raise _not_finite(connection, facts, floats)
    if plan.clock == "unit":
        _refuse_weekly(facts, [row[0] for row in days])
    end = windows.read_until(plan, as_of)
    counts: dict[int, Tally] = {}
    for found, rows, missing, *_ in (row for row in days if row[0] < end):
        week = max((found - plan.start_date).days // 7, _oldest_week(plan))
        counts[week] = counts.get(week, Tally()) + Tally(rows, found, int(missing))
    return next((row[0] for row in days if row[0] < end), None), counts


def _unusable(name: str) -> str:
    """SQL of "not a number that can be squared and summed"."""
    return f"NOT isfinite({name}) OR abs({name}) > {LARGEST:g}"


def _not_finite(connection: duckdb.DuckDBPyConnection, facts: Table, floats: Sequence[str]) -> SourceProblem:
    """Say of the first column with unusable values how many there are; one column must have some."""
    for column in floats:
        name = quoted(column)
        # Not a WHERE: DuckDB prunes by the file's statistics, which know nothing of NaN.
        query = f"SELECT count(*) FILTER (unusable), min(value) FILTER (unusable) FROM (SELECT {name} AS value, "
        query += f"{_unusable(name)} AS unusable FROM {facts.view})"
        count, example = connection.execute(query).fetchall()[0]
        if count:
            return facts.problem(column, f"{count:,} rows are not finite numbers below {LARGEST:g}, such as {example}")
    raise RuntimeError("values that are no finite numbers were seen, and are gone: the data changed while being read")


def _refuse_weekly(facts: Table, days: Sequence[date]) -> None:
    """Refuse facts that all fall on one weekday: under the unit's clock they would land in the wrong weeks."""
    weekdays = {day.weekday() for day in days}
    if len(days) > 1 and len(weekdays) == 1:
        raise SourceProblem(
            f"{facts.label}: all facts fall on a {days[0]:%A}, so they are by week; "
            "clock `unit` needs daily facts: use `clock: calendar`"
        )


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


def fill(
    connection: duckdb.DuckDBPyConnection,
    plan: Plan,
    as_of: date,
    unit: str,
    day: str,
    exposures: Exposures,
    buffer: Buffer,
) -> tuple[Array, dict[FactWeek, FactCount]]:
    """Join facts to the table ``units`` and scatter them.

    Returns the matrix, shape (units, series, pre-period weeks + horizon weeks), rows in the order of the cells, and
    the counts of fact rows of known units.
    """
    block = _block(plan)
    matrix = buffer.zeros((exposures.units, len(plan.series), block))
    flat = matrix.reshape(-1)
    codes = _FactCodes(plan, as_of)
    counts = np.zeros(codes.size, dtype=np.int64)
    for batch in _joined(connection, plan, as_of, unit, day, codes, exposures.units):
        counts += np.bincount(_integers(batch, 1), minlength=codes.size)
        _scatter(batch, plan, flat, block)
    for number, series in enumerate(plan.series):
        if series.cap is not None:
            np.minimum(matrix[:, number], series.cap, out=matrix[:, number])
    return matrix, codes.counts(counts)


def _scatter(batch: pa.RecordBatch, plan: Plan, flat: Array, block: int) -> None:
    """Add a batch of (slot, code, values) to the flat matrix; rows without a slot are left out."""
    slots = _integers(batch, 0)
    values = {column: _floats(batch, position) for position, column in enumerate(_value_columns(plan), start=2)}
    inside = slots >= 0
    if not inside.all():
        slots = slots[inside]
        values = {column: value[inside] for column, value in values.items()}
    places = slots.astype(np.intp)
    for number, series in enumerate(plan.series):
        if number:
            places += block
        if series.kind == "sum":
            np.add.at(flat, places, values[series.column])
        elif series.kind == "active":
            flat[places[values[series.column] > 0]] = 1
        else:
            np.add.at(flat, places, 1.0)


def _value_columns(plan: Plan) -> tuple[str, ...]:
    """The fact columns that weekly values are made of, each once."""
    return tuple(dict.fromkeys(series.column for series in plan.series if series.column))


def _integers(batch: pa.RecordBatch, column: int) -> NDArray[np.int64]:
    array: NDArray[np.int64] = batch.column(column).to_numpy(zero_copy_only=False)
    return array


def _floats(batch: pa.RecordBatch, column: int) -> Array:
    array: Array = batch.column(column).to_numpy(zero_copy_only=False)
    return array


class _FactCodes:
    """Numbers (fact week, exposure week, before the pre-period or not) as one integer, so that they are counted."""

    def __init__(self, plan: Plan, as_of: date) -> None:
        self.oldest = _oldest_week(plan)
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
        return f"(greatest({days} - {7 * self.oldest}, 0) // 7)"

    def counts(self, counted: NDArray[np.int64]) -> dict[FactWeek, FactCount]:
        found: dict[FactWeek, FactCount] = {}
        for code in np.flatnonzero(counted):
            row, before = divmod(int(code), 2)
            week, exposed = divmod(row, self.exposure_weeks)
            number = int(counted[code])
            key = FactWeek(week + self.oldest, exposed - 1)
            found[key] = found.get(key, FactCount(0, 0)).plus(FactCount(number, number * before))
        return found


def _joined(
    connection: duckdb.DuckDBPyConnection,
    plan: Plan,
    as_of: date,
    unit: str,
    day: str,
    codes: _FactCodes,
    units: int,
) -> Iterator[pa.RecordBatch]:
    """Stream (slot, code, one value a column) of the facts of known units before as_of.

    ``slot`` is the place of the row's unit and week in the first series of the flat matrix, -1 where it has none.
    """
    pre, wide = _pre_columns(plan), len(plan.series) * _block(plan)
    end = f"{literal(windows.read_until(plan, as_of).isoformat())}::DATE"
    names = [f"v{position}" for position, _ in enumerate(_value_columns(plan))]
    values = "".join(
        f", coalesce(CAST({quoted(column)} AS DOUBLE), 0) AS {name}"
        for name, column in zip(names, _value_columns(plan), strict=True)
    )
    shown = "".join(f", {name}" for name in names)
    since = week_sql("f.day - u.day") if plan.clock == "unit" else f"{week_sql('f.day')} - u.cohort"
    # A row number times the matrix's width passes 2^31 in large partitions only; narrow integers are much faster.
    size = "BIGINT" if units * wide >= 2**31 else "INTEGER"
    query = (
        f"SELECT CASE WHEN row >= 0 AND since >= {-plan.pre_weeks} AND since < {plan.horizon_weeks} "
        f"THEN row::{size} * {wide} + {pre} + since ELSE -1 END, {codes.sql(plan.pre_weeks)}{shown} FROM ("
        f"SELECT u.row, u.week AS exposed, {since} AS since, "
        f"{codes.week_sql('f.day')} AS week{shown} "
        f"FROM (SELECT {quoted(unit)} AS unit, {days_sql(day, plan)} AS day{values} FROM facts WHERE {day} < {end}) f "
        "JOIN units u ON f.unit = u.unit)"
    )
    yield from connection.sql(query).to_arrow_reader(_BATCH_ROWS)


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
    pre, columns = _pre_columns(plan), Layout.of(plan).columns

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
    pre = _pre_columns(plan)
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
