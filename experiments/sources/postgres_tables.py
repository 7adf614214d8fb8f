"""PostgreSQL's dialect, its tables described in the words that all sources share, and rows streamed as arrays."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from experiments.sources.base import SourceProblem
from experiments.sources.tables import ISO_CLOCK, ISO_DAY, ISO_ZONED, Answer, Dialect, Table, literal

#: What the types of columns are called, see ``tables``. Decimals may be NaN here, so they are checked like floats.
_TYPES = {
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "double precision": "DOUBLE",
    "numeric": "DOUBLE",
    "boolean": "BOOLEAN",
    "text": "VARCHAR",
    "character varying": "VARCHAR",
    "uuid": "UUID",
    "date": "DATE",
    "timestamp without time zone": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMP WITH TIME ZONE",
}

#: Bytes before the first row of a binary COPY, and what stands after the last one.
_COPY_HEADER, _COPY_END = 19, b"\xff\xff"

#: Rows of one block of arrays: few enough to stay in the processor's cache.
_BLOCK_ROWS = 32_768

Reader = psycopg.Connection[tuple[Any, ...]]


class PostgresDialect(Dialect):
    """See ``Dialect``."""

    errors = psycopg.Error
    whole = "/"
    thing = "table"
    prunes = True

    def is_no_number(self, name: str) -> str:
        return f"NOT pg_input_is_valid({name}, 'double precision')"

    def is_infinite(self, name: str) -> str:
        return f"abs({name}) = 'infinity'"

    def is_unusable(self, name: str, largest: float) -> str:
        return f"NOT (abs({name}) <= {largest:g})"  # NaN is larger than every number here

    def as_double(self, name: str, kind: str) -> str:
        number = f"CAST({name} AS INTEGER)" if kind == "BOOLEAN" else name
        return f"CAST({number} AS DOUBLE PRECISION)"

    def as_text(self, name: str) -> str:
        return f'CAST({name} AS TEXT) COLLATE "C"'

    def as_unit(self, name: str, kind: str) -> str:
        if kind == "UUID":
            return name
        return self.as_text(name) if kind == "VARCHAR" else f"CAST({name} AS BIGINT)"

    def fingerprint(self, name: str) -> str:
        first = f"substring(sha256(convert_to(CAST({name} AS TEXT), 'UTF8')) FROM 1 FOR 8)"
        return f"CAST(CAST('x' || encode({first}, 'hex') AS BIT(64)) AS BIGINT)"  # whole numbers here have a sign

    def text_time(self, name: str, timezone: str) -> str:
        def read(pattern: str, kind: str, time: str) -> str:
            looks_so = f"{name} ~ {literal(f'^(?:{pattern})$')}"
            return f"WHEN {looks_so} THEN CASE WHEN pg_input_is_valid({name}, '{kind}') THEN {time} END"

        local = read(f"{ISO_DAY}|{ISO_CLOCK}", "timestamp", f"CAST({name} AS TIMESTAMP)")
        zoned = f"CAST({name} AS TIMESTAMPTZ) AT TIME ZONE {literal(timezone)}"
        return f"CASE {local} {read(ISO_ZONED, 'timestamptz', zoned)} END"


POSTGRES = PostgresDialect()


class Asked:
    """A connection that takes statements as text, see ``tables.Connection``."""

    def __init__(self, connection: Reader) -> None:
        self._connection = connection

    def execute(self, query: str) -> Answer:
        """Answer one statement; nothing in it is a placeholder."""
        return self._connection.execute(query.encode())


def find_table(connection: Reader, dsn: str, schema: str, name: str, field: str) -> Table:
    """Describe a table or view. Raises SourceProblem where it is not there, may not be read, or has no rows."""
    label = f"{dsn}: table {schema}.{name}"
    kinds = ("r", "p", "v", "m", "f")
    found = connection.execute(
        "SELECT c.oid, has_table_privilege(c.oid, 'SELECT'), has_schema_privilege(n.oid, 'USAGE') FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s AND c.relkind = ANY(%s)",
        (schema, name, list(kinds)),
    ).fetchone()
    if found is None:
        raise SourceProblem(f"{label}: there is no such table (source.{field}: {name}, source.schema: {schema})")
    if not (found[1] and found[2]):
        raise SourceProblem(
            f"{label}: the account of `{dsn}` may not read it; GRANT it SELECT (and USAGE of the schema)"
        )
    types = connection.execute(
        "SELECT a.attname, format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL) FROM pg_attribute a "
        "JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped "
        "ORDER BY a.attnum",
        (found[0],),
    ).fetchall()
    view = sql.Identifier(schema, name).as_string(connection)
    if not connection.execute(f"SELECT EXISTS (SELECT 1 FROM {view})".encode()).fetchall()[0][0]:
        raise SourceProblem(f"{label}: the table has columns but no rows")
    return Table(view, label, {str(column): _TYPES.get(kind, str(kind)) for column, kind in types}, POSTGRES)


def has_versions(connection: Reader, schema: str, name: str) -> bool:
    """Whether rows of a table carry the transaction that wrote them; those of views and foreign tables do not."""
    kinds = connection.execute(
        "SELECT c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = %s",
        (schema, name),
    ).fetchall()
    return bool(kinds) and kinds[0][0] in ("r", "p", "m")


def blocks(connection: Reader, query: str, types: Sequence[str]) -> Iterator[list[NDArray[Any]]]:
    """Stream the rows of a query without nulls as blocks of arrays, one a column, of numpy ``types`` i4, i8 and f8.

    By binary COPY: every row has the same size, so a block of them is one array of records.
    """
    record = [("fields", ">i2")]
    for place, kind in enumerate(types):
        record += [(f"size{place}", ">i4"), (f"value{place}", f">{kind}")]
    layout = np.dtype(record)
    head, parts, size = b"", [], 0
    with connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT binary)".encode()) as copy:
        for part in copy:
            parts.append(bytes(part))
            size += len(part)
            if size >= _BLOCK_ROWS * layout.itemsize:
                read, rest = _records(b"".join(parts), layout, len(head))
                head = head or b"read"
                yield read
                parts, size = [rest], len(rest)
    read, rest = _records(b"".join(parts), layout, len(head))
    if rest != _COPY_END:
        raise RuntimeError("rows from the database have another size than was asked for")
    if len(read[0]):
        yield read


def _records(data: bytes, layout: np.dtype[Any], began: int) -> tuple[list[NDArray[Any]], bytes]:
    """Cut whole records off the beginning of ``data``; return their columns and what is left."""
    first = 0 if began else _COPY_HEADER
    count = (len(data) - first) // layout.itemsize
    rows = np.frombuffer(data, layout, count, first)
    names = [name for name in layout.names or () if name.startswith("value")]
    if count and (rows["fields"] != len(names)).any():
        raise RuntimeError("rows from the database have other columns than were asked for")
    native = [rows[name].astype(rows[name].dtype.newbyteorder("=")) for name in names]
    return native, data[first + count * layout.itemsize :]
