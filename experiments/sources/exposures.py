"""Exposures resolved in DuckDB: each unit's first exposure, its variant and cohort, and the units that are left out."""

from collections.abc import Iterator
from datetime import date

import duckdb
import numpy as np

from analysis.moments import Array
from analysis.plan import Plan
from analysis.triangle import Cell, Departure, Tally
from experiments.sources.base import Columns
from experiments.sources.duckdb_tables import DUCKDB
from experiments.sources.tables import Table, quoted
from experiments.sources.units import (
    TESTER,
    Exposures,
    ExposureTimes,
    Group,
    covariate_names,
    listed,
    seen,
    segment_names,
    tallies_of,
    week_sql,
)


def resolve(
    connection: duckdb.DuckDBPyConnection,
    plan: Plan,
    end: date,
    columns: Columns,
    times: ExposureTimes,
    table: Table,
    partition: tuple[int, int],
) -> Exposures:
    """Create the temporary table ``units`` from exposure rows before day ``end``, units of (partition, partitions)."""
    number, parts = partition
    share = f"hash({quoted(columns.unit)}) % {parts} = {number}" if parts > 1 else ""
    rows = seen(plan, end, columns, times, table, share)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE first_seen AS SELECT unit, min(day) AS day, min(code) AS code, "
        f"min(code) <> max(code) AS crossed{_first_values(plan, times)} FROM ({rows}) GROUP BY unit"
    )
    crossed = connection.execute("SELECT count(*) FROM first_seen WHERE crossed").fetchall()[0][0]
    connection.execute(_crossing(rows) if crossed else _NO_CROSSING)
    connection.execute(_units(plan, times, end))
    left = None if times.left is None else dict(_left(connection, plan))
    return Exposures(_groups(connection, plan), _tallies(connection), left)


def _first_values(plan: Plan, times: ExposureTimes) -> str:
    """SQL of what a unit's rows say beside its variant: all values of the first one, and the first day of leaving."""
    names = segment_names(plan) + covariate_names(plan)
    packed = ", ".join(f"{name} := {name}" for name in names)
    # Of rows at the same instant the smallest is taken, so that the result repeats.
    row = f", arg_min(struct_pack({packed}), (instant{listed(names)})) AS first_row" if names else ""
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
    cohort = week_sql("f.day", DUCKDB)
    code = "coalesce(c.code, f.code)"
    reason = (
        f"CASE WHEN {code} = {TESTER} THEN 4 WHEN f.day < 0 THEN 1 WHEN {cohort} >= {plan.enrollment_weeks} THEN 2 "
        f"WHEN {code} < 0 THEN 3 ELSE 0 END"
    )
    names = segment_names(plan) + covariate_names(plan)
    values = "".join(f", f.first_row.{name} AS {name}" for name in names)
    left = ""
    if times.left is not None:
        read = f"f.left_day < {(end - plan.start_date).days}"
        left = f", CASE WHEN {read} THEN {week_sql('f.left_day', DUCKDB)} END AS left_week"
    return (
        "CREATE OR REPLACE TEMP TABLE units AS SELECT * EXCLUDE (cohort), cohort, greatest(cohort, -1) AS week, "
        "CAST(CASE WHEN reason = 0 THEN row_number() OVER () - 1 ELSE -1 END AS INTEGER) AS row FROM ("
        f"SELECT f.unit, f.day, {cohort} AS cohort, {reason} AS reason, {code} AS code{values}{left}, "
        f"{week_sql('c.day', DUCKDB)} AS crossed_week FROM first_seen f LEFT JOIN crossing c ON f.unit = c.unit "
        f"ORDER BY {reason}, {code} * {plan.enrollment_weeks} + {cohort}, crossed_week NULLS FIRST"
        f"{listed(segment_names(plan))}, f.unit)"
    )


def _groups(connection: duckdb.DuckDBPyConnection, plan: Plan) -> tuple[Group, ...]:
    """Return the groups in the order of their rows. The rows of a group must follow each other; this is checked."""
    names = listed(segment_names(plan))
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
    names = ", ".join(f"coalesce({name}, 'nan'::DOUBLE) AS {name}" for name in covariate_names(plan))
    columns = connection.execute(f"SELECT {names} FROM units WHERE reason = 0 ORDER BY row").fetchnumpy()
    return np.column_stack([np.asarray(columns[name], dtype=np.float64) for name in covariate_names(plan)])


def _tallies(connection: duckdb.DuckDBPyConnection) -> dict[int, Tally]:
    """Count units left out by the week in which the reason was seen."""
    rows = connection.execute(
        "SELECT reason, cohort AS week, count(*) FROM units WHERE reason > 0 GROUP BY ALL "
        "UNION ALL SELECT 0, crossed_week, count(*) FROM units WHERE reason = 0 AND crossed_week IS NOT NULL "
        "GROUP BY ALL"
    ).fetchall()
    return tallies_of(rows)
