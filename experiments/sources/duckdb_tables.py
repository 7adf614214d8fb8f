"""Tables as DuckDB views: how SQL names things, what the columns are, and the SQL of a day."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from experiments.sources.base import SourceProblem, listed

_INTEGERS = frozenset(
    ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
)
_FLOATS = frozenset(("FLOAT", "DOUBLE"))

#: Values of one segment: more would be tables that nobody reads, of groups too small to tell anything.
MOST_SEGMENT_VALUES = 50

#: Patterns of text that is a day, a time on the clock, and a time with a zone. There is one way to read each of them:
#: in 03/04/2024 the month would have to be guessed.
ISO_DAY = r"\s*\d{4}-\d\d-\d\d\s*"
ISO_CLOCK = r"\s*\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?\s*"
ISO_ZONED = r"\s*\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-](0\d|1[0-4])(:?\d\d)?)\s*"


def quoted(name: str) -> str:
    """Quote an identifier for SQL, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text value for SQL, whatever is in it."""
    return "'" + text.replace("'", "''") + "'"


def _as_pattern(file: Path) -> str:
    """Write a file's name as a pattern that matches this name alone."""
    return re.sub(r"([\[*?])", r"[\1]", str(file))


def file_names(files: Sequence[Path]) -> str:
    """SQL of the list of files that a reader is to read: DuckDB takes every name for a pattern."""
    return "[" + ", ".join(literal(_as_pattern(file)) for file in files) + "]"


def allowed_paths(files: Sequence[Path]) -> str:
    """SQL of the list of paths that make these files readable, and nothing else.

    DuckDB asks twice whether it may read a file: for the pattern it was given, and for the name that it found.
    """
    names = {name for file in files for name in (str(file), _as_pattern(file))}
    return "[" + ", ".join(literal(name) for name in sorted(names)) + "]"


@dataclass(frozen=True)
class Table:
    """One of a source's two tables: the view's name, how users know it, and the types of its columns."""

    view: str
    label: str
    types: dict[str, str]

    def problem(self, column: str, message: str) -> SourceProblem:
        return SourceProblem(f"{self.label}: column `{column}`: {message}")

    def need(self, column: str, why: str) -> str:
        """Return the type of a column. Raises SourceProblem naming the columns there are."""
        if column not in self.types:
            there = listed(list(self.types))
            raise SourceProblem(f"{self.label}: column `{column}` is missing ({why}); the file has {there}")
        return self.types[column]

    def is_float(self, column: str) -> bool:
        return self.types[column] in _FLOATS


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def id_family(kind: str) -> str | None:
    """Return what unit ids of a column type are compared as, None where a type cannot hold ids."""
    if kind in _INTEGERS:
        return "integers"
    return {"VARCHAR": "text", "UUID": "uuids"}.get(kind)


def is_number(kind: str) -> bool:
    """Whether a metric can be made of a column of this type."""
    return kind in _INTEGERS or kind in _FLOATS or kind == "BOOLEAN" or kind.startswith("DECIMAL")


def check_number(connection: duckdb.DuckDBPyConnection, table: Table, column: str, why: str) -> None:
    """Refuse a metric column that is not a number, with a count and an example."""
    kind = table.need(column, why)
    if is_number(kind):
        return
    if kind != "VARCHAR":
        raise table.problem(column, f"is of type {kind}; {why} needs numbers")
    name = quoted(column)
    wrong = f"{name} IS NOT NULL AND TRY_CAST({name} AS DOUBLE) IS NULL"
    count, example, least = connection.execute(
        f"SELECT count(*) FILTER ({wrong}), min({name}) FILTER ({wrong}), min({name}) FROM {table.view}"
    ).fetchall()[0]
    if count:
        found = f"{count:,} rows are not numbers, such as {example!r}"
    else:
        found = "no row has a value" if least is None else f"holds numbers written as text, such as {least!r}"
    raise table.problem(column, f"is text, and {why} needs numbers: {found}")


def check_segment(connection: duckdb.DuckDBPyConnection, table: Table, column: str) -> None:
    """Refuse a segment with so many values that none of them can be read."""
    table.need(column, "it is a declared segment")
    name = quoted(column)
    values, example = connection.execute(
        f"SELECT count(DISTINCT {name}), min(CAST({name} AS VARCHAR)) FROM {table.view}"
    ).fetchall()[0]
    if values > MOST_SEGMENT_VALUES:
        raise table.problem(
            column,
            f"has {values:,} values, such as {example!r}; a segment has at most {MOST_SEGMENT_VALUES}: "
            "group them into fewer before declaring it",
        )


def check_covariate(connection: duckdb.DuckDBPyConnection, table: Table, column: str, why: str) -> None:
    """Refuse a covariate that is not a number; nulls are allowed, and their units left out of the adjusted estimate."""
    check_number(connection, table, column, why)
    if table.is_float(column):
        name = quoted(column)
        count = connection.execute(f"SELECT count(*) FROM {table.view} WHERE isinf({name})").fetchall()[0][0]
        if count:
            raise table.problem(column, f"{count:,} rows are infinite; {why} needs finite numbers or nulls")


@dataclass(frozen=True)
class Moment:
    """SQL of a time column: its day in the plan's time zone, and a value that orders rows in time."""

    day: str
    instant: str


def time_sql(table: Table, column: str, timezone: str) -> Moment:
    """Return the SQL of a time column. Raises SourceProblem for a type that holds no time."""
    kind = table.need(column, "it says when")
    name = quoted(column)
    if kind == "DATE":
        return Moment(name, name)
    if kind == "TIMESTAMP WITH TIME ZONE":
        return Moment(f"CAST({name} AT TIME ZONE {literal(timezone)} AS DATE)", name)
    if kind.startswith("TIMESTAMP"):
        return Moment(f"CAST({name} AS DATE)", name)
    if kind == "VARCHAR":
        is_local = f"regexp_full_match({name}, {literal(f'{ISO_DAY}|{ISO_CLOCK}')})"
        is_zoned = f"regexp_full_match({name}, {literal(ISO_ZONED)})"
        zoned = f"TRY_CAST({name} AS TIMESTAMPTZ) AT TIME ZONE {literal(timezone)}"
        local = f"CASE WHEN {is_local} THEN TRY_CAST({name} AS TIMESTAMP) WHEN {is_zoned} THEN {zoned} END"
        return Moment(f"CAST({local} AS DATE)", local)
    raise table.problem(column, f"is of type {kind}; it must hold dates, timestamps, or text such as 2024-03-31")


def _refuse_unread(connection: duckdb.DuckDBPyConnection, table: Table, column: str, unread: str) -> None:
    """Refuse text that is no date; ``unread`` selects the rows that have none."""
    if table.types[column] != "VARCHAR":
        return
    name = quoted(column)
    count = connection.execute(f"SELECT count(*) {unread}").fetchall()[0][0]
    if count:
        example = connection.execute(f"SELECT {name} {unread} ORDER BY 1 LIMIT 1").fetchall()[0][0]
        raise table.problem(column, f"{count:,} rows are not dates, such as {example!r}; write 2024-03-31")


def check_left(connection: duckdb.DuckDBPyConnection, table: Table, column: str, time: Moment) -> None:
    """Refuse a column of days of leaving that holds text which is no date; a null has not left."""
    _refuse_unread(
        connection, table, column, f"FROM {table.view} WHERE {quoted(column)} IS NOT NULL AND {time.instant} IS NULL"
    )


def check_days(connection: duckdb.DuckDBPyConnection, table: Table, column: str, time: Moment, today: date) -> date:
    """Return the last day of a time column.

    Raises SourceProblem for rows without a day, text that is no date, and days after ``today``.
    """
    name = quoted(column)
    # Of a typed column this is answered from the file's statistics, without reading it.
    rows, dated = connection.execute(f"SELECT count(*), count({name}) FROM {table.view}").fetchall()[0]
    if dated < rows:
        raise table.problem(column, f"{rows - dated:,} rows have no date; every row needs one")
    unread = f"FROM {table.view} WHERE {time.instant} IS NULL"
    _refuse_unread(connection, table, column, unread)
    last = connection.execute(f"SELECT max({time.day}) FROM {table.view}").fetchall()[0][0]
    first = connection.execute(f"SELECT min({time.day}) FROM {table.view}").fetchall()[0][0]
    if not isinstance(first, date):
        raise table.problem(column, f"the first date, {first}, is not a date of the calendar")
    if not isinstance(last, date) or last.year < 2:
        raise table.problem(column, f"the last date, {last}, is not a date of the calendar")
    if last > today:
        late = f"{time.day} > {literal(today.isoformat())}::DATE"
        count = connection.execute(f"SELECT count(*) FROM {table.view} WHERE {late}").fetchall()[0][0]
        raise table.problem(column, f"{count:,} rows are dated after today ({today}), such as {last}")
    return last
