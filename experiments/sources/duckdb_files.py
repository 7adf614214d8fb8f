"""Which files a path names, and how they are opened as DuckDB views."""

import glob
import re
from collections.abc import Sequence
from pathlib import Path

import duckdb

from experiments.sources.base import SourceProblem, SourceSpec
from experiments.sources.duckdb_csv import csv_query
from experiments.sources.duckdb_tables import DUCKDB, file_names
from experiments.sources.tables import Table, first_line

_PARQUET = (".parquet", ".pq")
_CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz")

#: What DuckDB says of a CSV file after the words on what is wrong: hints on its own options.
_HINTS = re.compile(r"\n(?:This can happen|Possible )")

#: Longer words of DuckDB are cut: they repeat the line of the file. So are lines that are shown as examples.
_LONGEST_WORDS, _LONGEST_LINE = 300, 80

#: What DuckDB says of a line of a CSV file that it cannot read, and what to say of it to whoever made the file.
_LINES = (
    (
        r"Expected Number of Columns: (\d+) Found: (\d+)",
        "has another number of columns than the header, {1} instead of {0}",
    ),
    (r"unterminated quote", "has a quotation mark that nothing closes"),
    (r"not utf-8 encoded", "is not UTF-8 text; save the file as UTF-8"),
    (r"Maximum line size of (\d+) bytes exceeded", "is longer than {0} bytes"),
)


def _matches(folder: Path, pattern: str) -> list[str]:
    """Files that a pattern names; the folder before it is taken as it is written, whatever characters it has."""
    base = "" if Path(pattern).is_absolute() else glob.escape(str(folder)) + "/"
    return glob.glob(base + pattern, recursive=True)  # noqa: PTH207 - the pattern may be absolute


def find_files(folder: Path, pattern: str, field: str) -> list[Path]:
    """Return the files that ``pattern`` (a path or a glob, relative to ``folder``) names, sorted.

    Raises SourceProblem where there are none, or one is a folder, empty, of a kind that is not read, or out of reach.
    """
    path = folder / pattern
    try:
        return _find_files(path, folder, pattern, field)
    except OSError as error:
        raise SourceProblem(f"{path}: cannot be read: {error.strerror} (source.{field}: {pattern})") from error


def _find_files(path: Path, folder: Path, pattern: str, field: str) -> list[Path]:
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


def spec_files(spec: SourceSpec, field: str) -> list[Path]:
    """Return the files of a source's ``exposures`` or ``facts``, see ``find_files``.

    Raises SourceProblem where a confined source names a file that lies elsewhere, by a link or by dots.
    """
    pattern = getattr(spec, field)
    if not spec.confined:
        return find_files(spec.folder, pattern, field)
    check_pattern(pattern, field)
    inside = spec.folder.resolve()
    found = find_files(spec.folder, pattern, field)
    for file in found:
        if not file.is_relative_to(inside):
            raise SourceProblem(f"source.{field}: {pattern} leads out of {spec.folder}; its files must lie in there")
    return found


def check_pattern(pattern: str, field: str) -> None:
    """Refuse a path or glob that is not simply relative. Raises SourceProblem."""
    if not pattern.isprintable() or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise SourceProblem(
            f"source.{field}: {pattern!r} is not a path within the folder, such as facts.parquet or facts/*.parquet"
        )


def open_table(connection: duckdb.DuckDBPyConnection, view: str, files: Sequence[Path]) -> Table:
    """Create a view over files of one kind and return its description.

    Raises SourceProblem where kinds are mixed, files do not agree in their columns, one cannot be read, or no file has
    a row.
    """
    label = str(files[0]) if len(files) == 1 else f"{files[0].parent}/ ({len(files)} files)"
    is_parquet = {file.name.lower().endswith(_PARQUET) for file in files}
    if len(is_parquet) > 1:
        raise SourceProblem(f"{label}: Parquet and CSV files are mixed; use one kind for a table")
    try:
        query = _parquet_query(connection, files) if is_parquet == {True} else csv_query(connection, files)
        connection.execute(f"CREATE VIEW {view} AS {query}")
        described = connection.execute(f"DESCRIBE {view}").fetchall()
        rows = connection.execute(f"SELECT count(*) FROM {view}").fetchall()[0][0]
    except duckdb.Error as error:
        raise _unreadable(label, error) from error
    if not rows:
        raise SourceProblem(f"{label}: the file has columns but no rows")
    return Table(view, label, {name: str(kind) for name, kind, *_ in described}, DUCKDB)


def _unreadable(label: str, error: duckdb.Error) -> SourceProblem:
    """What DuckDB says of a file, which it names itself where it is one of several."""
    named = re.search(r"^\s*file = (.+)$", str(error), re.MULTILINE)
    if named is None:
        return SourceProblem(f"{label}: cannot be read: {first_line(error)}")
    line = _of_a_line(str(error))
    if line is not None:
        return SourceProblem(f"{named[1]}: {line}")
    said = "; ".join(line for line in _HINTS.split(str(error))[0].splitlines() if line.strip())
    return SourceProblem(f"{named[1]}: cannot be read: {said[:_LONGEST_WORDS]}")


def _of_a_line(said: str) -> str | None:
    """What is wrong with which line of a CSV file, None where DuckDB says something else."""
    where = re.match(r".*CSV Error on Line: (\d+)\nOriginal Line: (.*)", said)
    for pattern, words in _LINES:
        found = re.search(pattern, said)
        if where is not None and found is not None:
            shown = "".join(letter if letter.isprintable() else "?" for letter in where[2][:_LONGEST_LINE])
            more = "..." if len(where[2]) > _LONGEST_LINE else ""
            return f"line {int(where[1]):,} {words.format(*found.groups())}: {shown}{more}"
    return None


def _parquet_query(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> str:
    """Return the query of all rows. Refuses files whose shared columns differ in type: DuckDB would convert them."""
    if len(files) > 1:
        _check_same_types(connection, files)
    return f"SELECT * FROM read_parquet({file_names(files)})"


def _check_same_types(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    known: dict[str, tuple[str, Path]] = {}
    for file in files:
        try:
            described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet({file_names([file])})").fetchall()
        except duckdb.Error as error:
            raise _unreadable(str(file), error) from error
        for name, kind, *_ in described:
            first, where = known.setdefault(name, (str(kind), file))
            if first != str(kind):
                raise SourceProblem(f"{file}: column `{name}`: is of type {kind}, but {first} in {where}")
