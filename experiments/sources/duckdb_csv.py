"""CSV files as a DuckDB query: their headers are compared, and the types of columns are found from every value.

DuckDB's own detection is not used, because it guesses: a row whose first value begins with # may be taken for a
comment, a short first line for a note, and the order of day and month for the one that fits the data. Here the first
line is the header, every other line is a row, and a column has a type where all its values can be read in one way only.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from experiments.sources.base import SourceProblem, listed
from experiments.sources.duckdb_tables import file_names
from experiments.sources.tables import ISO_CLOCK, ISO_DAY, ISO_ZONED, first_line, literal, quoted

_DELIMITERS = (",", ";", "\t", "|")

#: Characters at the beginning of a file in which the header must end.
_LONGEST_HEADER = 2**16

#: Types that a column may be given, and what its text must look like. Numbers that begin with 0, such as the id 007,
#: are text: as numbers 007 and 7 would be the same.
_TYPES = (
    ("BIGINT", r"\s*(0|-?[1-9]\d*)\s*"),
    ("DOUBLE", r"\s*[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+|(?i:nan|inf|infinity))([eE][+-]?\d+)?\s*"),
    ("DATE", ISO_DAY),
    ("TIMESTAMP", ISO_CLOCK),
    ("TIMESTAMP WITH TIME ZONE", ISO_ZONED),
    ("BOOLEAN", r"(?i:true|false)"),
)

#: Type of a column from the forms of all its values, a bit for each of the types. Whole numbers among decimals are
#: decimals; any other mixture is text.
_KINDS = {1 << place: kind for place, (kind, _) in enumerate(_TYPES)} | {0b11: "DOUBLE"}


@dataclass(frozen=True)
class _Header:
    """The first line of a file. A name may be empty: such a column cannot be named, and is not read."""

    delimiter: str
    names: tuple[str, ...]


def csv_query(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> str:
    """Return the query of all rows of CSV files, with the columns of the first file.

    Raises SourceProblem for a file without a header, one that lacks a column of the first file, and duckdb.Error for a
    line that cannot be read.
    """
    expected = _header(files[0])
    names = [name for name in expected.names if name]
    same: dict[_Header, list[Path]] = {}
    for file in files:
        header = _header(file)
        missing = [name for name in names if name not in header.names]
        if missing:
            raise SourceProblem(
                f"{file}: column `{missing[0]}` is missing: the first line is {listed(header.names)}, but "
                f"{listed(expected.names)} in {files[0]}; every CSV file of a table begins with the same header"
            )
        same.setdefault(header, []).append(file)
    text = " UNION ALL ".join(_text_query(header, group, names) for header, group in same.items())
    kinds = _kinds(connection, text, names)
    shown = ", ".join(
        f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in zip(names, kinds, strict=True)
    )
    return f"SELECT {shown} FROM ({text})"


def _header(file: Path) -> _Header:
    opened = gzip.open if file.name.lower().endswith(".gz") else open
    try:
        # Bytes that are no UTF-8 are refused when the rows are read, with the line they are in.
        with opened(file, "rt", encoding="utf-8-sig", errors="replace", newline="") as lines:
            text = lines.read(_LONGEST_HEADER)
        unquoted = re.sub(r'"[^"]*"', "", re.split(r"[\r\n]", text, maxsplit=1)[0])
        delimiter = max(_DELIMITERS, key=unquoted.count)
        first = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), [])
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise SourceProblem(f"{file}: cannot be read: {first_line(error)}") from error
    names = tuple(name.strip() for name in first)
    if not any(names):
        raise SourceProblem(f"{file}: the first line is empty; it must be a header with the names of the columns")
    for place, name in enumerate(names):
        # DuckDB does not tell upper from lower case in names.
        if name and name.lower() in (other.lower() for other in names[:place]):
            raise SourceProblem(f"{file}: column `{name}` is in the header twice; every column needs its own name")
    return _Header(delimiter, names)


def _text_query(header: _Header, files: Sequence[Path], names: Sequence[str]) -> str:
    """Query of the named columns, all as text, of files that have the same header."""
    columns = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(len(header.names)))
    shown = ", ".join(f"c{header.names.index(name)} AS {quoted(name)}" for name in names)
    return (
        f"SELECT {shown} FROM read_csv({file_names(files)}, auto_detect = false, header = true, "
        f"""delim = {literal(header.delimiter)}, quote = '"', escape = '"', columns = {{{columns}}}, """
        "hive_partitioning = false)"
    )


def _kinds(connection: duckdb.DuckDBPyConnection, text: str, names: Sequence[str]) -> list[str]:
    """Return the type of each column of a query of text."""
    forms = ", ".join(f"bit_or({_form(quoted(name))})" for name in names)
    (found,) = connection.execute(f"SELECT {forms} FROM ({text})").fetchall()
    return [_KINDS.get(bits, "VARCHAR") for bits in found]


def _form(name: str) -> str:
    """SQL of the type that a text can be read as: a bit for each of the types, and one more for all other text."""
    cases = " ".join(
        f"WHEN regexp_full_match({name}, {literal(form)}) AND TRY_CAST({name} AS {kind}) IS NOT NULL THEN {1 << place}"
        for place, (kind, form) in enumerate(_TYPES)
    )
    return f"CASE WHEN {name} IS NULL THEN NULL {cases} ELSE {1 << len(_TYPES)} END"
