"""Tables of a PostgreSQL database: exposures resolved and facts summed by unit and week there, moments made here.

The database joins facts to units and adds them up, so that one row for each unit and week comes back, by binary COPY,
and is scattered into the same dense matrix as rows of files are. All of it in one transaction that can only read.
"""

import hashlib
from collections.abc import Iterator
from datetime import date
from typing import Any, ClassVar

import psycopg
from numpy.typing import NDArray

from analysis import windows
from analysis.moments import Array
from analysis.plan import Plan
from analysis.triangle import FactCount, FactWeek
from experiments.sources import matrix
from experiments.sources.base import SourceProblem, SourceSpec
from experiments.sources.past_units import PastUnits, no_exposures, without_leaving
from experiments.sources.postgres_connect import connect
from experiments.sources.postgres_tables import POSTGRES, Asked, Reader, blocks, find_table, has_versions
from experiments.sources.postgres_units import covariates, resolve, units_query
from experiments.sources.table_source import TableSource
from experiments.sources.tables import Connection, Moment, Table, first_line, quoted, time_sql
from experiments.sources.units import Exposures, ExposureTimes, days_sql, week_sql


class PostgresSource(TableSource):
    """Exposures and facts in two tables or views. What is read is the state of the data when it was opened."""

    dialect = POSTGRES

    #: The tables of the spec that are read.
    fields: ClassVar[tuple[str, ...]] = ("exposures", "facts")

    def __init__(self, spec: SourceSpec, today: date) -> None:
        super().__init__(spec, today)
        self.place = f"{spec.dsn}: schema {spec.schema}"
        self._connection: Reader = connect(spec.dsn)
        try:
            self._open()
        except psycopg.Error as error:
            self.close()
            raise SourceProblem(f"{self.place}: cannot be read: {first_line(error)}") from error
        except SourceProblem:
            self.close()
            raise

    def _open(self) -> None:
        self._exposures = self._found("exposures", self._spec.exposures)
        self._facts = self._found("facts", self._spec.facts)

    def _found(self, field: str, name: str) -> Table:
        return find_table(self._connection, self._spec.dsn, self._spec.schema, name, field)

    def close(self) -> None:
        self._connection.close()

    def asked(self) -> Connection:
        """See ``TableSource.asked``."""
        return Asked(self._connection)

    def fingerprint(self, plan: Plan) -> str:
        """See ``Source.fingerprint``. Made of the rows dated before today, which are all that a look can read.

        So rows may go on coming in. Every version of a row carries the transaction that wrote it: their number and sum
        change with any row that is added, changed or removed. Rows of views have none, so their texts are hashed.
        """
        self.bind(plan)
        columns, lines = self._spec.columns, list(self._spec.testers)
        tables = {"exposures": (self._exposures, columns.exposed_at), "facts": (self._facts, columns.at)}
        try:
            for field in self.fields:
                table, at = tables[field]
                before = time_sql(table, at, plan.timezone).before(self._today)
                versions = self._versions(table, field, before)
                lines.append(f"{table.label} {sorted(table.types.items())} {versions}")
        except psycopg.Error as error:
            raise self._unreadable(error) from error
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def has_versions(self, field: str) -> bool:
        """Whether rows of a table of the spec carry the transaction that wrote them, in the column xmin."""
        return has_versions(self._connection, self._spec.schema, getattr(self._spec, field))

    def _versions(self, table: Table, field: str, before: str) -> str:
        if self.has_versions(field):
            total = "sum(CAST(CAST(xmin AS TEXT) AS BIGINT))"
        else:
            total = "sum(CAST(hashtextextended(CAST(f AS TEXT), 0) AS NUMERIC))"
        query = f"SELECT count(*), {total} FROM {table.view} f WHERE {before}"
        count, summed = self._connection.execute(query.encode()).fetchall()[0]
        return f"{count} {summed}"

    def pass_over(
        self, plan: Plan, as_of: date, times: ExposureTimes, partition: tuple[int, int]
    ) -> tuple[Exposures, Array, dict[FactWeek, FactCount], Array | None]:
        """See ``TableSource.pass_over``."""
        end = windows.read_until(plan, as_of)
        units = units_query(plan, end, self._spec.columns, times, self._exposures, partition)
        exposures = resolve(self._connection, plan, units, times)
        codes = matrix.FactCodes(plan, as_of, POSTGRES)
        rows = self._batches(plan, end, units, codes)
        filled, facts = matrix.fill(rows, plan, codes, exposures.units, self._buffer)
        return exposures, filled, facts, covariates(self._connection, plan, units) if plan.covariates else None

    def stream(self, query: str) -> Iterator[list[NDArray[Any]]]:
        """See ``TableSource.stream``."""
        return blocks(self._connection, query, ["i8", "i4", "i4"])

    def _batches(self, plan: Plan, end: date, units: str, codes: matrix.FactCodes) -> Iterator[matrix.Batch]:
        at = time_sql(self._facts, self._spec.columns.at, plan.timezone)
        query = units + _sums(plan, end, self._facts, self._spec.columns.unit, at, codes)
        summed = [series for series in plan.series if series.column]
        for slots, code, rows, *values in blocks(self._connection, query, ["i8", "i4", "i8", *["f8"] * len(summed)]):
            by_series = dict(zip(summed, values, strict=True))
            yield matrix.Batch(slots, code, rows, [by_series.get(series) for series in plan.series])


def _sums(plan: Plan, end: date, facts: Table, unit: str, at: Moment, codes: matrix.FactCodes) -> str:
    """Query of (slot, code, fact rows, one value a series with a column), see ``matrix.Batch``; after ``units``."""
    pre, wide = matrix.pre_columns(plan), len(plan.series) * matrix.block_of(plan)
    columns = matrix.value_columns(plan)
    values = "".join(
        f", coalesce({POSTGRES.as_double(quoted(column), facts.types[column])}, 0) AS v{place}"
        for place, column in enumerate(columns)
    )
    shown = "".join(f", v{place}" for place, _ in enumerate(columns))
    added = "".join(
        f", {'max' if series.kind == 'active' else 'sum'}(v{columns.index(series.column)})"
        for series in plan.series
        if series.column
    )
    since = week_sql("f.day - u.day", POSTGRES) if plan.clock == "unit" else f"{week_sql('f.day', POSTGRES)} - u.cohort"
    id_sql = POSTGRES.as_unit(quoted(unit), facts.types[unit])
    return (
        f"SELECT slot, code, count(*){added} FROM ("
        f"SELECT CASE WHEN row >= 0 AND since >= {-plan.pre_weeks} AND since < {plan.horizon_weeks} "
        f"THEN CAST(row AS BIGINT) * {wide} + {pre} + since ELSE -1 END AS slot, "
        f"CAST({codes.sql(plan.pre_weeks)} AS INTEGER) AS code{shown} FROM ("
        f"SELECT u.row, u.week AS exposed, {since} AS since, {codes.week_sql('f.day')} AS week{shown} "
        f"FROM (SELECT {id_sql} AS unit, {days_sql(at.day, plan)} AS day{values} FROM {facts.view} "
        # OFFSET 0 keeps the weeks from being computed again wherever they are used.
        f"WHERE {at.before(end)}) f JOIN units u ON f.unit = u.unit OFFSET 0) j) s GROUP BY slot, code"
    )


class PostgresHistory(PastUnits, PostgresSource):
    """Facts in a table, and exposures made of them; see ``HistorySource``."""

    fields: ClassVar[tuple[str, ...]] = ("facts",)

    def __init__(self, spec: SourceSpec, today: date) -> None:
        super().__init__(without_leaving(spec), today)

    def _open(self) -> None:
        self._exposures = no_exposures(POSTGRES)
        self._facts = self._found("facts", self._spec.facts)

    def keep(self, query: str) -> Table:
        """See ``PastUnits.keep``. Nothing is written: the query stands where the table would."""
        columns, table = self._spec.columns, no_exposures(POSTGRES)
        types = {columns.unit: self._facts.types[columns.unit], columns.variant: "VARCHAR", columns.exposed_at: "DATE"}
        return Table(f"({query})", table.label, types, POSTGRES)
