"""Exposures resolved: each unit's first exposure, its variant and cohort, and the units that are left out.

A unit's first exposure wins. It is left out, once and for the first of these reasons that holds: first exposed before
start, first exposed after enrollment, first exposed in an unknown variant, later seen in another variant.
"""

from dataclasses import dataclass
from datetime import date
from typing import Self

import duckdb

from analysis.plan import Plan
from analysis.triangle import Cell, Tally
from experiments.sources.base import Columns
from experiments.sources.duckdb_tables import Moment, literal, quoted

_REASONS = {1: "exposed_before_start", 2: "exposed_after_enrollment", 3: "unknown_variant"}


@dataclass(frozen=True)
class Exposures:
    """The temporary table ``units`` (unit, row, day, cohort, week) of one hash partition, and what is in it.

    ``row`` numbers the counted units by cell, -1 where the unit is left out; ``day`` is days from start_date to the
    first exposure; ``week`` its calendar week, -1 before start.

    Attributes:
        cells: the cells with their number of units, in the order of the rows.
        tallies: units left out, by calendar week and reason.
    """

    cells: tuple[tuple[Cell, int], ...]
    tallies: dict[int, Tally]

    @property
    def units(self) -> int:
        return sum(count for _, count in self.cells)

    @classmethod
    def resolve(
        cls,
        connection: duckdb.DuckDBPyConnection,
        plan: Plan,
        end: date,
        columns: Columns,
        time: Moment,
        partition: tuple[int, int],
    ) -> Self:
        """Create the table from the view ``exposures``, rows before day ``end``, units of (partition, partitions)."""
        seen = _seen(plan, end, columns, time, partition)
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE first_seen AS SELECT unit, min(day) AS day, min(code) AS code, "
            f"min(code) <> max(code) AS crossed FROM ({seen}) GROUP BY unit"
        )
        crossed = connection.execute("SELECT count(*) FROM first_seen WHERE crossed").fetchall()[0][0]
        connection.execute(_crossing(seen) if crossed else _NO_CROSSING)
        connection.execute(_units(plan))
        return cls(_cells(connection, plan), _tallies(connection))


def _seen(plan: Plan, end: date, columns: Columns, time: Moment, partition: tuple[int, int]) -> str:
    """Query of the exposure rows before ``end``: unit, code of the variant (-1: unknown), instant, day from start."""
    variant = f"CAST({quoted(columns.variant)} AS VARCHAR)"
    codes = " ".join(f"WHEN {literal(item.key)} THEN {code}" for code, item in enumerate(plan.variants))
    unit = quoted(columns.unit)
    number, parts = partition
    share = f"AND hash({unit}) % {parts} = {number}" if parts > 1 else ""
    return (
        f"SELECT {unit} AS unit, CASE {variant} {codes} ELSE -1 END AS code, {time.instant} AS instant, "
        f"{days_sql(time.day, plan)} AS day FROM exposures "
        f"WHERE {time.day} < {literal(end.isoformat())}::DATE {share}"
    )


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


def _units(plan: Plan) -> str:
    """Statement that settles every unit's reason, cohort and cell, and numbers the counted units by cell."""
    cohort = week_sql("f.day")
    code = "coalesce(c.code, f.code)"
    reason = (
        f"CASE WHEN f.day < 0 THEN 1 WHEN {cohort} >= {plan.enrollment_weeks} THEN 2 WHEN {code} < 0 THEN 3 ELSE 0 END"
    )
    return (
        "CREATE OR REPLACE TEMP TABLE units AS SELECT unit, day, cohort, greatest(cohort, -1) AS week, reason, code, "
        "crossed_week, CAST(CASE WHEN reason = 0 THEN row_number() OVER () - 1 ELSE -1 END AS INTEGER) AS row FROM ("
        f"SELECT f.unit, f.day, {cohort} AS cohort, {reason} AS reason, {code} AS code, "
        f"{week_sql('c.day')} AS crossed_week FROM first_seen f LEFT JOIN crossing c ON f.unit = c.unit "
        f"ORDER BY {reason}, {code} * {plan.enrollment_weeks} + {cohort}, crossed_week NULLS FIRST, f.unit)"
    )


def _cells(connection: duckdb.DuckDBPyConnection, plan: Plan) -> tuple[tuple[Cell, int], ...]:
    """Return the cells in the order of their rows. The rows of a cell must follow each other; this is checked."""
    found = connection.execute(
        "SELECT code, cohort, crossed_week, count(*), min(row), max(row) FROM units WHERE reason = 0 "
        "GROUP BY 1, 2, 3 ORDER BY 5"
    ).fetchall()
    if any(last - first + 1 != count for *_, count, first, last in found):
        raise RuntimeError("the units of a cell do not follow each other: DuckDB did not keep the order asked for")
    return tuple((Cell(plan.variants[code].key, cohort, crossed), count) for code, cohort, crossed, count, *_ in found)


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
