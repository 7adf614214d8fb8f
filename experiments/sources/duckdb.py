"""Parquet and CSV files read by an embedded DuckDB: exposures resolved, facts joined, moments from a dense matrix.

The pass: DuckDB joins facts to resolved exposures and streams Arrow batches; each batch is scattered into a dense
(units x weekly values) matrix ordered by cell; one BLAS product per cell gives the moments. Units are taken in hash
partitions, so that the matrix has a bounded size whatever the number of units.
"""

import hashlib
import shutil
import tempfile
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import duckdb

from analysis import windows
from analysis.plan import Plan
from analysis.triangle import Triangle, combine
from experiments.sources import duckdb_pass
from experiments.sources.base import Inspection, SourceProblem, SourceSpec, listed
from experiments.sources.duckdb_files import open_table, spec_files
from experiments.sources.duckdb_locked import locked_connection
from experiments.sources.duckdb_tables import (
    Table,
    check_covariate,
    check_days,
    check_left,
    check_number,
    check_segment,
    first_line,
    id_family,
    literal,
    quoted,
    time_sql,
)
from experiments.sources.exposures import Exposures, ExposureTimes, covariates

#: Size of the dense matrix of one hash partition of units.
PARTITION_BYTES = 320 * 2**20


class DuckDBSource:
    """Exposures and facts in files. ``today`` is the last day that data may carry. Close it, or use it in ``with``."""

    #: The tables of the spec that are read.
    fields: ClassVar[tuple[str, ...]] = ("exposures", "facts")

    def __init__(self, spec: SourceSpec, today: date) -> None:
        self._spec = spec
        self._today = today
        self._files = self._find_files()
        self._spill = tempfile.mkdtemp(prefix="holdfast-duckdb-")
        self._buffer = duckdb_pass.Buffer()
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()
        shutil.rmtree(self._spill, ignore_errors=True)

    def inspect(self, plan: Plan) -> Inspection:
        """See ``Source.inspect``."""
        # Taken first: what changes while the data are inspected is noticed by whoever compares it later.
        fingerprint = self.fingerprint()
        try:
            self._check_columns(plan)
            last = max(
                self._last_day(self._facts, self._spec.columns.at, plan),
                self._last_day(self._exposures, self._spec.columns.exposed_at, plan),
            )
            self._check_variants(plan)
            partitions = duckdb_pass.partitions(self._connection, plan, PARTITION_BYTES)
        except duckdb.Error as error:
            raise self._unreadable(error) from error
        return Inspection(last, fingerprint, partitions)

    def _unreadable(self, error: duckdb.Error) -> SourceProblem:
        return SourceProblem(f"{self._spec.folder}: the data cannot be read: {first_line(error)}")

    def _last_day(self, table: Table, column: str, plan: Plan) -> date:
        return check_days(self._connection, table, column, time_sql(table, column, plan.timezone), self._today)

    def _check_columns(self, plan: Plan) -> None:
        columns = self._spec.columns
        kinds = {}
        for table in (self._exposures, self._facts):
            kind = table.need(columns.unit, "it holds the unit ids")
            family = id_family(kind)
            if family is None:
                raise table.problem(columns.unit, f"is of type {kind}; unit ids are integers, text or uuids")
            kinds[table.label] = family
        if len(set(kinds.values())) > 1:
            found = " and ".join(f"{family} in {label}" for label, family in kinds.items())
            raise SourceProblem(f"column `{columns.unit}`: unit ids are {found}; both tables need the same type")
        self._exposures.need(columns.variant, "it holds the variants")
        if columns.left_at is not None:
            left = time_sql(self._exposures, columns.left_at, plan.timezone)
            check_left(self._connection, self._exposures, columns.left_at, left)
        for column in plan.segments:
            check_segment(self._connection, self._exposures, column)
        for metric in plan.metrics:
            for column in metric.columns:
                check_number(self._connection, self._facts, column, f"metric `{metric.key}`")
            for column in metric.adjust:
                check_covariate(
                    self._connection, self._exposures, column, f"metric `{metric.key}`, which adjusts for it,"
                )

    def _check_variants(self, plan: Plan) -> None:
        """Refuse exposures without units in every variant of the plan, or with rows that name no unit."""
        name = quoted(self._spec.columns.variant)
        unit = quoted(self._spec.columns.unit)
        table = self._exposures
        nameless = self._connection.execute(f"SELECT count(*) FROM exposures WHERE {unit} IS NULL").fetchall()[0][0]
        if nameless:
            raise table.problem(self._spec.columns.unit, f"{nameless:,} rows have no unit id; every row needs one")
        keys = listed([literal(variant.key) for variant in plan.variants])
        as_text = f"CAST({name} AS VARCHAR)"
        # By number, not by a name of ours, which may be a column's.
        rows = self._connection.execute(
            f"SELECT {as_text}, count(*) FROM exposures GROUP BY 1 "
            f"ORDER BY coalesce({as_text} IN ({keys}), false) DESC, 2 DESC, 1 LIMIT {len(plan.variants) + 8}"
        ).fetchall()
        present = {value for value, _ in rows}
        missing = [variant.key for variant in plan.variants if variant.key not in present]
        if missing:
            wanted = listed(missing)
            largest = sorted(rows, key=lambda row: -row[1])[:8]
            found = listed([f"{value} ({count:,} rows)" for value, count in largest])
            raise table.problem(self._spec.columns.variant, f"no unit is in variant {wanted}; found {found}")

    def fingerprint(self) -> str:
        """See ``Source.fingerprint``. Made of the names, sizes and times of change of the files.

        They are the files that were opened and those that the paths name now, so that a file that is new is noticed.
        """
        lines = []
        for field, files in self._find_files().items():
            for file in sorted({*files, *self._files[field]}):
                try:
                    stat = file.stat()
                except OSError as error:
                    raise SourceProblem(f"{file}: cannot be read any more: {error.strerror}") from error
                lines.append(f"{file} {stat.st_size} {stat.st_mtime_ns}")
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def read_tallies(self, plan: Plan, as_of: date) -> Triangle:
        """See ``Source.read_tallies``."""
        time = time_sql(self._facts, self._spec.columns.at, plan.timezone)
        try:
            first, tallies = duckdb_pass.tallies(self._connection, self._facts, time.day, plan, as_of)
        except duckdb.Error as error:
            raise self._unreadable(error) from error
        return Triangle(plan, as_of, {}, tallies, {}, first)

    def read_partition(self, plan: Plan, as_of: date, partition: int, partitions: int) -> Triangle:
        """See ``Source.read_partition``."""
        columns = self._spec.columns
        times = ExposureTimes(
            time_sql(self._exposures, columns.exposed_at, plan.timezone),
            None if columns.left_at is None else time_sql(self._exposures, columns.left_at, plan.timezone),
        )
        at = time_sql(self._facts, columns.at, plan.timezone)
        try:
            exposures = Exposures.resolve(
                self._connection, plan, windows.read_until(plan, as_of), columns, times, (partition, partitions)
            )
            matrix, facts = duckdb_pass.fill(
                self._connection, plan, as_of, columns.unit, at.day, exposures, self._buffer
            )
            found = covariates(self._connection, plan) if plan.covariates else None
        except duckdb.Error as error:
            raise self._unreadable(error) from error
        total = duckdb_pass.summed(plan, matrix, exposures.groups)
        rows = None if found is None else duckdb_pass.unit_rows(plan, matrix, exposures.groups, found)
        return Triangle(plan, as_of, total.cells, exposures.tallies, facts, None, exposures.left, total.events, rows)

    def read(self, plan: Plan, as_of: date) -> Triangle:
        """See ``Source.read``. Checks the data first, so that one call is enough."""
        partitions = self.inspect(plan).partitions
        parts = [self.read_tallies(plan, as_of)]
        parts += [self.read_partition(plan, as_of, number, partitions) for number in range(partitions)]
        return combine(parts)


def open_files(spec: SourceSpec, today: date) -> DuckDBSource:
    """Open a source of kind ``files``. Raises SourceProblem."""
    check_folder(spec)
    return DuckDBSource(spec, today)


def check_folder(spec: SourceSpec) -> None:
    """Raise SourceProblem where the folder of a source is not there."""
    if not Path(spec.folder).is_dir():
        raise SourceProblem(f"{spec.folder}: there is no such folder")
