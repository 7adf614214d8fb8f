"""Exposures resolved: each unit's first exposure, its variant and cohort, and the units that are left out.

A unit's first exposure wins, with its segments and covariates. It is left out, once and for the first of these reasons
that holds: first exposed before start, first exposed after enrollment, first exposed in an unknown variant, later seen
in another variant. It has left on the first of the days its rows name, or on the row's own day if that is later.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Self

import duckdb
import numpy as np

from analysis.moments import Array
from analysis.plan import Plan
from analysis.triangle import Cell, Departure, Tally
from experiments.sources.base import Columns
from experiments.sources.duckdb_tables import Moment, literal, quoted

_REASONS = {1: "exposed_before_start", 2: "exposed_after_enrollment", 3: "unknown_variant"}

#: The value of a segment where the exposure has none.
NO_SEGMENT = "(none)"


@dataclass(frozen=True)
class ExposureTimes:
    """SQL of the days in the exposures: of the exposure, and of leaving where that is known."""

    exposed: Moment
    left: Moment | None = None


@dataclass(frozen=True)
class Group:
    """Counted units that follow each other: those of a cell with the same value in every segment."""

    cell: Cell
    units: int
    segments: tuple[str, ...] = ()

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells these units belong to: that of all segments, and one for each ``column=value``."""
        return (self.cell, *(self.cell._replace(segment=segment) for segment in self.segments))


@dataclass(frozen=True)
class Exposures:
    """The temporary table ``units`` (unit, row, day, cohort, week) of one hash partition, and what is in it.

    ``row`` numbers the counted units by group, -1 where the unit is left out; ``day`` is days from start_date to the
    first exposure; ``week`` its calendar week, -1 before start.

    Attributes:
        groups: the counted units, in the order of the rows.
        tallies: units left out, by calendar week and reason.
        left: units that have left, None where the source does not know.
    """

    groups: tuple[Group, ...]
    tallies: dict[int, Tally]
    left: dict[Departure, int] | None

    @property
    def units(self) -> int:
        return sum(group.units for group in self.groups)

    @classmethod
    def resolve(
        cls,
        connection: duckdb.DuckDBPyConnection,
        plan: Plan,
        end: date,
        columns: Columns,
        times: ExposureTimes,
        partition: tuple[int, int],
    ) -> Self:
        """Create the table from the view ``exposures``, rows before day ``end``, units of (partition, partitions)."""
        seen = _seen(plan, end, columns, times, partition)
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE first_seen AS SELECT unit, min(day) AS day, min(code) AS code, "
            f"min(code) <> max(code) AS crossed{_first_values(plan, times)} FROM ({seen}) GROUP BY unit"
        )
        crossed = connection.execute("SELECT count(*) FROM first_seen WHERE crossed").fetchall()[0][0]
        connection.execute(_crossing(seen) if crossed else _NO_CROSSING)
        connection.execute(_units(plan, times, end))
        left = None if times.left is None else dict(_left(connection, plan))
        return cls(_groups(connection, plan), _tallies(connection), left)


def _segment_names(plan: Plan) -> list[str]:
    return [f"segment_{place}" for place, _ in enumerate(plan.segments)]


def _covariate_names(plan: Plan) -> list[str]:
    return [f"covariate_{place}" for place, _ in enumerate(plan.covariates)]


def _listed(names: list[str], prefix: str = "") -> str:
    """SQL of further columns in a list: with a comma before each."""
    return "".join(f", {prefix}{name}" for name in names)


def _seen(plan: Plan, end: date, columns: Columns, times: ExposureTimes, partition: tuple[int, int]) -> str:
    """Query of the exposure rows before ``end``: unit, code of the variant (-1: unknown), instant, day from start."""
    variant = f"CAST({quoted(columns.variant)} AS VARCHAR)"
    codes = " ".join(f"WHEN {literal(item.key)} THEN {code}" for code, item in enumerate(plan.variants))
    unit = quoted(columns.unit)
    number, parts = partition
    share = f"AND hash({unit}) % {parts} = {number}" if parts > 1 else ""
    values = [f"coalesce(CAST({quoted(name)} AS VARCHAR), {literal(NO_SEGMENT)})" for name in plan.segments]
    values += [f"CAST({quoted(name)} AS DOUBLE)" for name in plan.covariates]
    names = _segment_names(plan) + _covariate_names(plan)
    further = "".join(f", {value} AS {name}" for value, name in zip(values, names, strict=True))
    day = days_sql(times.exposed.day, plan)
    if times.left is not None:
        # Known from the row's own day on, so that a look before it is rebuilt as it was.
        left = days_sql(times.left.day, plan)
        further += f", CASE WHEN {left} IS NOT NULL THEN greatest({left}, {day}) END AS left_day"
    return (
        f"SELECT {unit} AS unit, CASE {variant} {codes} ELSE -1 END AS code, {times.exposed.instant} AS instant, "
        f"{day} AS day{further} FROM exposures "
        f"WHERE {times.exposed.day} < {literal(end.isoformat())}::DATE {share}"
    )


def _first_values(plan: Plan, times: ExposureTimes) -> str:
    """SQL of what a unit's rows say beside its variant: all values of the first one, and the first day of leaving."""
    names = _segment_names(plan) + _covariate_names(plan)
    packed = ", ".join(f"{name} := {name}" for name in names)
    # Of rows at the same instant the smallest is taken, so that the result repeats.
    row = f", arg_min(struct_pack({packed}), (instant{_listed(names)})) AS first_row" if names else ""
    return row + ("" if times.left is None else ", min(left_day) AS left_day")


#: The table of units in two variants where there are none: a left join to it costs nothing.
_NO_CROSSING = "CREATE OR REPLACE TEMP TABLE crossing AS SELECT unit, code, day FROM first_seen LIMIT 0"


def _crossing(seen: str) -> str:
    """Statement that finds the first variant of units in two variants, and the day on which the other was seen."""
    return (
        f"CREATE OR REPLACE TEMP TABLE crossing AS WITH rows AS (SELECT s.* FROM ({seen}) s "
        "JOIN first_seen f ON s.unit = f.unit AND f.crossed), "
        # Of variants seen at the same instant the first in the plan is taken, so that the result repeats.
        "first AS (SELECT unit, arg_min(code, (instant, code)) AS code FROM rows GROUP BY unit) "
        "SELECT rows.unit, any_value(first.code) AS code, min(rows.day) AS day "
        "FROM rows JOIN first ON rows.unit = first.unit WHERE rows.code <> first.code GROUP BY rows.unit"
    )


def _units(plan: Plan, times: ExposureTimes, end: date) -> str:
    """Statement that settles every unit's reason, cohort and group, and numbers the counted units by group."""
    cohort = week_sql("f.day")
    code = "coalesce(c.code, f.code)"
    reason = (
        f"CASE WHEN f.day < 0 THEN 1 WHEN {cohort} >= {plan.enrollment_weeks} THEN 2 WHEN {code} < 0 THEN 3 ELSE 0 END"
    )
    names = _segment_names(plan) + _covariate_names(plan)
    values = "".join(f", f.first_row.{name} AS {name}" for name in names)
    left = ""
    if times.left is not None:
        read = f"f.left_day < {(end - plan.start_date).days}"
        left = f", CASE WHEN {read} THEN {week_sql('f.left_day')} END AS left_week"
    return (
        "CREATE OR REPLACE TEMP TABLE units AS SELECT * EXCLUDE (cohort), cohort, greatest(cohort, -1) AS week, "
        "CAST(CASE WHEN reason = 0 THEN row_number() OVER () - 1 ELSE -1 END AS INTEGER) AS row FROM ("
        f"SELECT f.unit, f.day, {cohort} AS cohort, {reason} AS reason, {code} AS code{values}{left}, "
        f"{week_sql('c.day')} AS crossed_week FROM first_seen f LEFT JOIN crossing c ON f.unit = c.unit "
        f"ORDER BY {reason}, {code} * {plan.enrollment_weeks} + {cohort}, crossed_week NULLS FIRST"
        f"{_listed(_segment_names(plan))}, f.unit)"
    )


def _groups(connection: duckdb.DuckDBPyConnection, plan: Plan) -> tuple[Group, ...]:
    """Return the groups in the order of their rows. The rows of a group must follow each other; this is checked."""
    names = _listed(_segment_names(plan))
    found = connection.execute(
        f"SELECT code, cohort, crossed_week, count(*), min(row), max(row){names} FROM units WHERE reason = 0 "
        f"GROUP BY code, cohort, crossed_week{names} ORDER BY min(row)"
    ).fetchall()
    if any(last - first + 1 != count for _, _, _, count, first, last, *_ in found):
        raise RuntimeError("the units of a group do not follow each other: DuckDB did not keep the order asked for")
    return tuple(
        Group(
            Cell(plan.variants[code].key, cohort, crossed), count,
            tuple(f"{name}={value}" for name, value in zip(plan.segments, values, strict=True)),
        )
        for code, cohort, crossed, count, _, _, *values in found
    )  # fmt: skip


def _left(connection: duckdb.DuckDBPyConnection, plan: Plan) -> Iterator[tuple[Departure, int]]:
    rows = connection.execute(
        "SELECT code, cohort, crossed_week, left_week, count(*) FROM units "
        "WHERE reason = 0 AND left_week IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
    ).fetchall()
    for code, cohort, crossed, week, count in rows:
        yield Departure(Cell(plan.variants[code].key, cohort, crossed), week), count


def covariates(connection: duckdb.DuckDBPyConnection, plan: Plan) -> Array:
    """Return the covariates of the counted units, shape (units, c), in the order of their rows; NaN for null."""
    names = ", ".join(f"coalesce({name}, 'nan'::DOUBLE) AS {name}" for name in _covariate_names(plan))
    columns = connection.execute(f"SELECT {names} FROM units WHERE reason = 0 ORDER BY row").fetchnumpy()
    return np.column_stack([np.asarray(columns[name], dtype=np.float64) for name in _covariate_names(plan)])


def days_sql(day: str, plan: Plan) -> str:
    """SQL of the days from start_date to a date, as a narrow integer: what follows from it is much faster so."""
    return f"CAST({day} - {literal(plan.start_date.isoformat())}::DATE AS INTEGER)"


def week_sql(days: str) -> str:
    """SQL of the calendar week of a number of days from start_date; rounds down before start_date too."""
    # DuckDB's // rounds toward zero: the days are made positive first, by more weeks than there are years in dates.
    return f"(({days} + {7 * 1_000_000}) // 7 - {1_000_000})"


def _tallies(connection: duckdb.DuckDBPyConnection) -> dict[int, Tally]:
    """Count units left out by the week in which the reason was seen."""
    rows = connection.execute(
        "SELECT reason, cohort AS week, count(*) FROM units WHERE reason > 0 GROUP BY ALL "
        "UNION ALL SELECT 0, crossed_week, count(*) FROM units WHERE reason = 0 AND crossed_week IS NOT NULL "
        "GROUP BY ALL"
    ).fetchall()
    tallies: dict[int, Tally] = {}
    for reason, week, count in rows:
        name = _REASONS.get(reason, "two_variants")
        tallies[week] = tallies.get(week, Tally()) + Tally(excluded={name: count})
    return tallies
