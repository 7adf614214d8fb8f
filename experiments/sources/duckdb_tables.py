"""Files as DuckDB views: which files a path names, what their columns are, and the SQL of a day."""

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from experiments.sources.base import SourceProblem, listed

_PARQUET = (".parquet", ".pq")
_CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_INTEGERS = frozenset(
    ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
)
_FLOATS = frozenset(("FLOAT", "DOUBLE"))

#: Text that ends in a zone, such as 2024-03-31T23:30:00+02:00 or ...Z.
_ZONED_TEXT = r":\d\d.*([zZ]|[+-]\d\d(:?\d\d)?)$"


def quoted(name: str) -> str:
    """Quote an identifier for SQL, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text value for SQL, whatever is in it."""
    return "'" + text.replace("'", "''") + "'"


def _matches(folder: Path, pattern: str) -> list[str]:
    """Files that a pattern names; the folder before it is taken as it is written, whatever characters it has."""
    base = "" if Path(pattern).is_absolute() else glob.escape(str(folder)) + "/"
    return glob.glob(base + pattern, recursive=True)  # noqa: PTH207 - the pattern may be absolute


def _no_glob(name: str) -> str:
    """Write a file's name so that DuckDB does not take it for a pattern."""
    return re.sub(r"([\[*?])", r"[\1]", name)


def find_files(folder: Path, pattern: str, field: str) -> list[Path]:
    """Return the files that ``pattern`` (a path or a glob, relative to ``folder``) names, sorted.

    Raises SourceProblem where there are none, or one is a folder, empty, or of a kind that is not read.
    """
    path = folder / pattern
    found = [path] if path.exists() else [Path(name) for name in sorted(_matches(folder, pattern))]
    if not found:
        raise SourceProblem(f"{path}: there is no such file (source.{field}: {pattern})")
    for file in found:
        if file.is_dir():
            raise SourceProblem(f"{file}: is a folder; source.{field} names files, such as {pattern}/*.parquet")
        if not file.name.lower().endswith(_PARQUET + _CSV):
            raise SourceProblem(f"{file}: is not a kind of file that is read; allowed are .parquet, .csv and .tsv")
        if file.stat().st_size == 0:
            raise SourceProblem(f"{file}: the file is empty (0 bytes)")
    return [file.resolve() for file in found]


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


def open_table(connection: duckdb.DuckDBPyConnection, view: str, files: Sequence[Path]) -> Table:
    """Create a view over files of one kind and return its description. Raises SourceProblem."""
    label = str(files[0]) if len(files) == 1 else f"{files[0].parent}/ ({len(files)} files)"
    names = "[" + ", ".join(literal(_no_glob(str(file))) for file in files) + "]"
    is_parquet = {file.name.lower().endswith(_PARQUET) for file in files}
    if len(is_parquet) > 1:
        raise SourceProblem(f"{label}: Parquet and CSV files are mixed; use one kind for a table")
    # The whole CSV is sampled: a type guessed from the first rows would fail on a later one, in the midst of a look.
    csv = f"""read_csv({names}, sample_size = -1, quote = '"', escape = '"')"""
    reader = f"read_parquet({names})" if is_parquet == {True} else csv
    if is_parquet == {True} and len(files) > 1:
        _check_same_types(connection, files)
    try:
        connection.execute(f"CREATE VIEW {view} AS SELECT * FROM {reader}")
        described = connection.execute(f"DESCRIBE {view}").fetchall()
        rows = connection.execute(f"SELECT count(*) FROM {view}").fetchall()[0][0]
    except duckdb.Error as error:
        raise SourceProblem(f"{label}: cannot be read: {first_line(error)}") from error
    if not rows:
        raise SourceProblem(f"{label}: the file has columns but no rows")
    return Table(view, label, {name: str(kind) for name, kind, *_ in described})


def _check_same_types(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    """Refuse Parquet files of one table whose shared columns differ in type: DuckDB would convert them silently."""
    known: dict[str, tuple[str, Path]] = {}
    for file in files:
        source = f"read_parquet({literal(_no_glob(str(file)))})"
        try:
            described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        except duckdb.Error as error:
            raise SourceProblem(f"{file}: cannot be read: {first_line(error)}") from error
        for name, kind, *_ in described:
            first, where = known.setdefault(name, (str(kind), file))
            if first != str(kind):
                raise SourceProblem(f"{file}: column `{name}`: is of type {kind}, but {first} in {where}")


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def id_family(kind: str) -> str | None:
    """Return what unit ids of a column type are compared as, None where a type cannot hold ids."""
    if kind in _INTEGERS:
        return "integers"
    return {"VARCHAR": "text", "UUID": "uuids"}.get(kind)


def check_number(connection: duckdb.DuckDBPyConnection, table: Table, column: str, why: str) -> None:
    """Refuse a metric column that is not a number, with a count and an example."""
    kind = table.need(column, why)
    if kind in _INTEGERS or kind in _FLOATS or kind == "BOOLEAN" or kind.startswith("DECIMAL"):
        return
    if kind != "VARCHAR":
        raise table.problem(column, f"is of type {kind}; {why} needs numbers")
    name = quoted(column)
    count, example = connection.execute(
        f"SELECT count(*), any_value({name} ORDER BY {name}) FROM {table.view} "
        f"WHERE {name} IS NOT NULL AND TRY_CAST({name} AS DOUBLE) IS NULL"
    ).fetchall()[0]
    found = f"{count:,} rows are not numbers, such as {example!r}" if count else "holds numbers written as text"
    raise table.problem(column, f"is text, and {why} needs numbers: {found}")


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
        zoned = f"TRY_CAST({name} AS TIMESTAMPTZ) AT TIME ZONE {literal(timezone)}"
        is_zoned = f"regexp_matches({name}, {literal(_ZONED_TEXT)})"
        local = f"CASE WHEN {is_zoned} THEN {zoned} ELSE TRY_CAST({name} AS TIMESTAMP) END"
        return Moment(f"CAST({local} AS DATE)", local)
    raise table.problem(column, f"is of type {kind}; it must hold dates, timestamps, or text such as 2024-03-31")


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
    if table.types[column] == "VARCHAR":
        count = connection.execute(f"SELECT count(*) {unread}").fetchall()[0][0]
        if count:
            example = connection.execute(f"SELECT {name} {unread} ORDER BY 1 LIMIT 1").fetchall()[0][0]
            raise table.problem(column, f"{count:,} rows are not dates, such as {example!r}; write 2024-03-31")
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
