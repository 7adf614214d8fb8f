"""Parquet and CSV files read by an embedded DuckDB: exposures resolved, facts joined, moments from a dense matrix.

The pass: DuckDB joins facts to resolved exposures and streams Arrow batches; each batch is scattered into a dense
(units x weekly values) matrix ordered by cell; one BLAS product per cell gives the moments. Units are taken in hash
partitions, so that the matrix has a bounded size whatever the number of units.
"""

import hashlib
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from analysis import windows
from analysis.moments import Array
from analysis.plan import Plan
from analysis.triangle import FactCount, FactWeek
from experiments.sources import matrix, spills
from experiments.sources.base import SourceProblem, SourceSpec
from experiments.sources.duckdb_files import open_table, spec_files
from experiments.sources.duckdb_locked import locked_connection
from experiments.sources.duckdb_pass import arrays, batches
from experiments.sources.duckdb_tables import DUCKDB
from experiments.sources.exposures import covariates, resolve
from experiments.sources.table_source import TableSource
from experiments.sources.tables import Connection, Table, time_sql
from experiments.sources.units import Exposures, ExposureTimes


class DuckDBSource(TableSource):
    """Exposures and facts in files. ``today`` is the last day that data may carry. Close it, or use it in ``with``."""

    dialect = DUCKDB

    #: The tables of the spec that are read.
    fields: ClassVar[tuple[str, ...]] = ("exposures", "facts")

    def __init__(self, spec: SourceSpec, today: date) -> None:
        super().__init__(spec, today)
        self.place = str(spec.folder)
        self._files = self._find_files()
        self._spill = spills.make()
        self._connection = locked_connection((file for files in self._files.values() for file in files), self._spill)
        try:
            self._exposures = self._open_exposures()
            self._facts = open_table(self._connection, "facts", self._files["facts"])
        except SourceProblem:
            self.close()
            raise

    def _open_exposures(self) -> Table:
        return open_table(self._connection, "exposures", self._files["exposures"])

    def _find_files(self) -> dict[str, list[Path]]:
        spec = self._spec
        return {field: spec_files(spec, field) for field in self.fields}

    def close(self) -> None:
        self._connection.close()
        shutil.rmtree(self._spill, ignore_errors=True)

    def asked(self) -> Connection:
        """See ``TableSource.asked``."""
        return self._connection

    def fingerprint(self, plan: Plan) -> str:
        """See ``Source.fingerprint``. Made of the names, sizes and times of change of the files.

        They are the files that were opened and those that the paths name now, so that a file that is new is noticed.
        """
        lines = list(self._spec.testers)
        for field, files in self._find_files().items():
            for file in sorted({*files, *self._files[field]}):
                try:
                    stat = file.stat()
                except OSError as error:
                    raise SourceProblem(f"{file}: cannot be read any more: {error.strerror}") from error
                lines.append(f"{file} {stat.st_size} {stat.st_mtime_ns}")
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def pass_over(
        self, plan: Plan, as_of: date, times: ExposureTimes, partition: tuple[int, int]
    ) -> tuple[Exposures, Array, dict[FactWeek, FactCount], Array | None]:
        """See ``TableSource.pass_over``."""
        columns, connection = self._spec.columns, self._connection
        end = windows.read_until(plan, as_of)
        exposures = resolve(connection, plan, end, columns, times, self._exposures, partition)
        codes = matrix.FactCodes(plan, as_of, DUCKDB)
        at = time_sql(self._facts, columns.at, plan.timezone)
        rows = batches(connection, plan, as_of, self._facts, columns.unit, at, codes, exposures.units)
        filled, facts = matrix.fill(rows, plan, codes, exposures.units, self._buffer)
        return exposures, filled, facts, covariates(connection, plan) if plan.covariates else None

    def stream(self, query: str) -> Iterator[list[NDArray[Any]]]:
        """See ``TableSource.stream``."""
        return arrays(self._connection, query)


def open_files(spec: SourceSpec, today: date) -> DuckDBSource:
    """Open a source of kind ``files``. Raises SourceProblem."""
    check_folder(spec)
    return DuckDBSource(spec, today)


def check_folder(spec: SourceSpec) -> None:
    """Raise SourceProblem where the folder of a source is not there, or cannot be reached."""
    try:
        there = Path(spec.folder).is_dir()
    except OSError as error:  # such as a folder above it that this process may not enter
        raise SourceProblem(f"{spec.folder}: cannot be read: {error.strerror}") from error
    if not there:
        raise SourceProblem(f"{spec.folder}: there is no such folder")
