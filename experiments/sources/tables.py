"""A source's two tables, whatever database reads them: names in SQL, checks of columns, and the SQL of a day.

Types are called what DuckDB calls them; what differs between databases is a ``Dialect``.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Protocol

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


class Answer(Protocol):
    """What a query was answered with."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows."""
        ...


class Connection(Protocol):
    """What queries are asked of: DuckDB's own connection, or one to a server."""

    def execute(self, query: str) -> Answer:
        """Answer one statement. Nothing in it is a placeholder."""
        ...


class Dialect(ABC):
    """Where the SQL of databases differs. ``name`` is a quoted column, or other SQL of a value."""

    #: What a statement that the database refuses is raised as.
    errors: type[Exception]
    #: Division of whole numbers; of positive ones, it rounds down.
    whole: str
    #: Whether rows are found by the values of a column of times (by partitions, say) where SQL compares it alone.
    prunes: bool = False
    #: What a table is, in messages.
    thing: str = "file"

    @abstractmethod
    def is_no_number(self, name: str) -> str:
        """SQL of "this text is not a number"."""

    @abstractmethod
    def is_infinite(self, name: str) -> str:
        """SQL of "this float is infinite"."""

    @abstractmethod
    def is_unusable(self, name: str, largest: float) -> str:
        """SQL of "not a finite number of at most ``largest``"."""

    @abstractmethod
    def as_double(self, name: str, kind: str) -> str:
        """SQL of a number of a type as a double."""

    @abstractmethod
    def as_text(self, name: str) -> str:
        """SQL of a value as text that is compared and ordered by its letters alone."""

    @abstractmethod
    def as_unit(self, name: str, kind: str) -> str:
        """SQL of a unit id of a type, as ids of both tables are compared."""

    @abstractmethod
    def fingerprint(self, name: str) -> str:
        """SQL of 64 bits that stand for a unit id in all sources, whatever its type; see ``assignment.fingerprint``."""

    @abstractmethod
    def text_time(self, name: str, timezone: str) -> str:
        """SQL of the time on the clock in ``timezone`` that ISO text says, null where it says none."""


@dataclass(frozen=True)
class Table:
    """One of a source's two tables: SQL that stands after FROM, how users know it, and the types of its columns."""

    view: str
    label: str
    types: dict[str, str]
    dialect: Dialect

    def problem(self, column: str, message: str) -> SourceProblem:
        return SourceProblem(f"{self.label}: column `{column}`: {message}")

    def need(self, column: str, why: str) -> str:
        """Return the type of a column. Raises SourceProblem naming the columns there are."""
        if column not in self.types:
            there = listed(list(self.types))
            message = f"column `{column}` is missing ({why}); the {self.dialect.thing} has {there}"
            raise SourceProblem(f"{self.label}: {message}")
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


def check_number(connection: Connection, table: Table, column: str, why: str) -> None:
    """Refuse a metric column that is not a number, with a count and an example."""
    kind = table.need(column, why)
    if is_number(kind):
        return
    if kind != "VARCHAR":
        raise table.problem(column, f"is of type {kind}; {why} needs numbers")
    name = quoted(column)
    wrong = f"{name} IS NOT NULL AND {table.dialect.is_no_number(name)}"
    count, example, least = connection.execute(
        f"SELECT count(*) FILTER (WHERE {wrong}), min({name}) FILTER (WHERE {wrong}), min({name}) FROM {table.view}"
    ).fetchall()[0]
    if count:
        found = f"{count:,} rows are not numbers, such as {example!r}"
    else:
        found = "no row has a value" if least is None else f"holds numbers written as text, such as {least!r}"
    raise table.problem(column, f"is text, and {why} needs numbers: {found}")


def check_segment(connection: Connection, table: Table, column: str) -> None:
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


def check_covariate(connection: Connection, table: Table, column: str, why: str) -> None:
    """Refuse a covariate that is not a number; nulls are allowed, and their units left out of the adjusted estimate."""
    check_number(connection, table, column, why)
    if table.is_float(column):
        infinite = table.dialect.is_infinite(quoted(column))
        count = connection.execute(f"SELECT count(*) FROM {table.view} WHERE {infinite}").fetchall()[0][0]
        if count:
            raise table.problem(column, f"{count:,} rows are infinite; {why} needs finite numbers or nulls")


@dataclass(frozen=True)
class Moment:
    """SQL of a time column: its day in the plan's time zone, and a value that orders rows in time."""

    day: str
    instant: str
    #: The column, where the database finds rows by its values without reading the others.
    column: str | None = None

    def before(self, end: date) -> str:
        """SQL of "on an earlier day than ``end``"."""
        exact = f"{self.day} < {literal(end.isoformat())}::DATE"
        if self.column is None:
            return exact
        # Two days later it is a later day in every time zone.
        return f"{self.column} < {literal((end + timedelta(days=2)).isoformat())} AND {exact}"


def time_sql(table: Table, column: str, timezone: str) -> Moment:
    """Return the SQL of a time column. Raises SourceProblem for a type that holds no time."""
    kind = table.need(column, "it says when")
    name = quoted(column)
    found = name if table.dialect.prunes else None
    if kind == "DATE":
        return Moment(name, name, found)
    if kind == "TIMESTAMP WITH TIME ZONE":
        return Moment(f"CAST({name} AT TIME ZONE {literal(timezone)} AS DATE)", name, found)
    if kind.startswith("TIMESTAMP"):
        return Moment(f"CAST({name} AS DATE)", name, found)
    if kind == "VARCHAR":
        local = table.dialect.text_time(name, timezone)
        return Moment(f"CAST({local} AS DATE)", local)
    raise table.problem(column, f"is of type {kind}; it must hold dates, timestamps, or text such as 2024-03-31")


def _refuse_unread(connection: Connection, table: Table, column: str, unread: str) -> None:
    """Refuse text that is no date; ``unread`` selects the rows that have none."""
    if table.types[column] != "VARCHAR":
        return
    name = quoted(column)
    count = connection.execute(f"SELECT count(*) {unread}").fetchall()[0][0]
    if count:
        example = connection.execute(f"SELECT {name} {unread} ORDER BY 1 LIMIT 1").fetchall()[0][0]
        raise table.problem(column, f"{count:,} rows are not dates, such as {example!r}; write 2024-03-31")


def check_left(connection: Connection, table: Table, column: str, time: Moment) -> None:
    """Refuse a column of days of leaving that holds text which is no date; a null has not left."""
    _refuse_unread(
        connection, table, column, f"FROM {table.view} WHERE {quoted(column)} IS NOT NULL AND {time.instant} IS NULL"
    )


def check_days(connection: Connection, table: Table, column: str, time: Moment, today: date) -> date:
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
    # As text: databases know more days than the calendar of Python.
    days = f"CAST(min({time.day}) AS VARCHAR), CAST(max({time.day}) AS VARCHAR)"
    lowest, highest = connection.execute(f"SELECT {days} FROM {table.view}").fetchall()[0]
    _calendar_day(table, column, "first", lowest)
    last = _calendar_day(table, column, "last", highest)
    if last > today:
        late = f"{time.day} > {literal(today.isoformat())}::DATE"
        count = connection.execute(f"SELECT count(*) FROM {table.view} WHERE {late}").fetchall()[0][0]
        raise table.problem(column, f"{count:,} rows are dated after today ({today}), such as {last}")
    return last


def _calendar_day(table: Table, column: str, which: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if day.year < 2:
        raise table.problem(column, f"the {which} date, {text}, is not a date of the calendar")
    return day
