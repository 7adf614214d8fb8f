"""A table looked at before it is used: its columns, types, rows and nulls, and its first rows as text.

Files of strangers are examined by a process of their own (``apart``), with limits on memory and time: whatever such a
file does to the libraries that read it, it does it there.
"""

import json
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from experiments.sources.base import SourceProblem
from experiments.sources.content import PARQUET, check_content
from experiments.sources.duckdb_files import open_table
from experiments.sources.duckdb_locked import locked_connection
from experiments.sources.duckdb_tables import file_names
from experiments.sources.tables import Table, first_line, quoted

PREVIEW_ROWS = 8

#: A longer value is cut where it is shown.
LONGEST_VALUE = 120

MOST_COLUMNS = 1_000
MOST_ROWS = 2_000_000_000

#: A column within a column within a column: tables are flat, and readers of deep ones call themselves.
DEEPEST_COLUMN = 4

#: What the pages of a sent Parquet file may hold once they are unpacked, as a multiple of the file: real tables have
#: up to some hundred, a bomb has many thousand.
MOST_EXPANSION = 1_000

#: Below this size nothing is a bomb.
HARMLESS_BYTES = 2**30

ADDRESS_SPACE = 6 * 2**30


@dataclass(frozen=True)
class Column:
    """A column with its type as DuckDB has it, and the rows in which it has no value."""

    name: str
    kind: str
    nulls: int


@dataclass(frozen=True)
class Examined:
    """A table. ``preview`` holds its first rows, a value for each column, None for null."""

    label: str
    rows: int
    columns: tuple[Column, ...]
    preview: tuple[tuple[str | None, ...], ...]

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)


def to_json(table: Examined) -> dict[str, Any]:
    return asdict(table)


def from_json(value: Mapping[str, Any]) -> Examined:
    """Return what ``to_json`` wrote. The one reader of examined tables."""
    columns = tuple(Column(one["name"], one["kind"], one["nulls"]) for one in value["columns"])
    return Examined(value["label"], value["rows"], columns, tuple(tuple(row) for row in value["preview"]))


def examine(files: Sequence[Path], label: str, spill: str, *, sent: bool) -> Examined:
    """Look at the table in ``files`` and read every value of it once; messages call it ``label``.

    ``sent``: a stranger's file, whose content is checked before a library sees it. Raises SourceProblem.
    """
    try:
        if sent:
            for file in files:
                check_content(file, label)
        with locked_connection(files, spill) as connection:
            if sent:
                _check_size(connection, files, label)
            return _described(connection, open_table(connection, "examined", files), label)
    except SourceProblem as problem:
        raise SourceProblem(_renamed(str(problem), files, label)) from problem
    except (duckdb.Error, UnicodeDecodeError, OSError, MemoryError, RecursionError) as error:
        raise SourceProblem(_renamed(f"{label}: cannot be read: {first_line(error)}", files, label)) from error


def _renamed(message: str, files: Sequence[Path], label: str) -> str:
    """What is said of a file by the name that its owner knows."""
    for file in files:
        message = message.replace(str(file), label if len(files) == 1 else file.name)
    return message.replace("\x00", "�")


def _check_size(connection: duckdb.DuckDBPyConnection, files: Sequence[Path], label: str) -> None:
    """Refuse a Parquet file whose own description says that it unpacks to far more than it is, or is nested deeply."""
    for file in (file for file in files if file.suffix == f".{PARQUET}"):
        names = file_names([file])
        rows, groups = connection.execute(f"SELECT num_rows, num_row_groups FROM parquet_file_metadata({names})")\
            .fetchall()[0]  # fmt: skip
        if not 0 <= rows <= MOST_ROWS:
            raise SourceProblem(f"{label}: has {rows:,} rows; at most {MOST_ROWS:,} are read")
        elements = connection.execute(f"SELECT coalesce(num_children, 0) FROM parquet_schema({names})").fetchall()
        _check_schema([children for (children,) in elements], label)
        (unpacked,) = connection.execute(
            f"SELECT coalesce(sum(abs(total_uncompressed_size)), 0) FROM parquet_metadata({names})"
        ).fetchall()[0]
        size = file.stat().st_size
        if groups and unpacked > max(HARMLESS_BYTES, MOST_EXPANSION * size):
            raise SourceProblem(
                f"{label}: {size:,} bytes unpack to {int(unpacked):,}, more than {MOST_EXPANSION:,} times as much; "
                "write it anew from the data themselves"
            )


def _check_schema(children: Sequence[int], label: str) -> None:
    """Refuse a schema, in depth-first order by numbers of children, that is deep or has too many columns."""
    open_levels: list[int] = []
    for place, count in enumerate(children):
        while open_levels and open_levels[-1] == 0:
            open_levels.pop()
        if open_levels:
            open_levels[-1] -= 1
        if len(open_levels) > DEEPEST_COLUMN:
            raise SourceProblem(f"{label}: a column is nested deeper than {DEEPEST_COLUMN} levels; columns are flat")
        if place > 4 * MOST_COLUMNS:
            raise SourceProblem(f"{label}: has more than {MOST_COLUMNS:,} columns")
        open_levels.append(count)


def _described(connection: duckdb.DuckDBPyConnection, table: Table, label: str) -> Examined:
    names = list(table.types)
    if len(names) > MOST_COLUMNS:
        raise SourceProblem(f"{label}: has {len(names):,} columns; at most {MOST_COLUMNS:,} are read")
    # The hashes have every value decoded: a damaged page shows now, and not at a look weeks later.
    parts = ", ".join(f"count({quoted(name)}), bit_xor(hash({quoted(name)}))" for name in names)
    rows, *found = connection.execute(f"SELECT count(*), {parts} FROM {table.view}").fetchall()[0]
    shown = ", ".join(f"CAST({quoted(name)} AS VARCHAR)" for name in names)
    first = connection.execute(f"SELECT {shown} FROM {table.view} LIMIT {PREVIEW_ROWS}").fetchall()
    columns = [
        Column(name, table.types[name], rows - there) for name, there in zip(names, found[::2], strict=True)
    ]  # fmt: skip
    return Examined(label, rows, tuple(columns), tuple(tuple(_cut(value) for value in row) for row in first))


def _cut(value: str | None) -> str | None:
    if value is None:
        return None
    text = value.replace("\x00", "�")
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def main() -> None:
    """Examine what stdin names, in JSON, and answer on stdout. The limits hold for this process alone."""
    asked = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        found = examine([Path(file) for file in asked["files"]], asked["label"], asked["spill"], sent=asked["sent"])
    except SourceProblem as problem:
        json.dump({"problem": str(problem)}, sys.stdout)
    else:
        json.dump({"table": to_json(found)}, sys.stdout)


if __name__ == "__main__":
    main()
