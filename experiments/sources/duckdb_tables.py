"""How DuckDB's SQL differs, and how it is told which files it may read."""

import re
from collections.abc import Sequence
from pathlib import Path

import duckdb

from experiments.sources.tables import ISO_CLOCK, ISO_DAY, ISO_ZONED, Dialect, literal


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


class DuckDBDialect(Dialect):
    """See ``Dialect``."""

    errors = duckdb.Error
    whole = "//"

    def is_no_number(self, name: str) -> str:
        return f"TRY_CAST({name} AS DOUBLE) IS NULL"

    def is_infinite(self, name: str) -> str:
        return f"isinf({name})"

    def is_unusable(self, name: str, largest: float) -> str:
        return f"NOT isfinite({name}) OR abs({name}) > {largest:g}"

    def as_double(self, name: str, kind: str) -> str:
        return f"CAST({name} AS DOUBLE)"

    def as_text(self, name: str) -> str:
        return f"CAST({name} AS VARCHAR)"

    def as_unit(self, name: str, kind: str) -> str:
        return name

    def fingerprint(self, name: str) -> str:
        return f"CAST('0x' || substr(sha256({self.as_text(name)}), 1, 16) AS UBIGINT)"

    def text_time(self, name: str, timezone: str) -> str:
        is_local = f"regexp_full_match({name}, {literal(f'{ISO_DAY}|{ISO_CLOCK}')})"
        is_zoned = f"regexp_full_match({name}, {literal(ISO_ZONED)})"
        zoned = f"TRY_CAST({name} AS TIMESTAMPTZ) AT TIME ZONE {literal(timezone)}"
        return f"CASE WHEN {is_local} THEN TRY_CAST({name} AS TIMESTAMP) WHEN {is_zoned} THEN {zoned} END"


DUCKDB = DuckDBDialect()
