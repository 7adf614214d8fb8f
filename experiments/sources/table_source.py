"""What sources of two tables share, whichever database reads them: checks, tallies, and the moments of a partition."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import date, timedelta
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from analysis import windows
from analysis.moments import Array
from analysis.plan import Plan
from analysis.triangle import FactCount, FactWeek, Triangle, combine
from experiments.sources import fact_tallies, matrix
from experiments.sources.base import Inspection, SourceProblem, SourceSpec, UnitDays, listed
from experiments.sources.tables import (
    Connection,
    Dialect,
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
from experiments.sources.units import Exposures, ExposureTimes, seen, unit_days

#: Size of the dense matrix of one hash partition of units.
PARTITION_BYTES = 320 * 2**20


class TableSource(ABC):
    """A source of exposures and facts in two tables that answer to SQL. Close it, or use it in ``with``."""

    dialect: Dialect

    #: What the data are called in messages: a folder, a database.
    place: str

    #: Size that is aimed at, see ``PARTITION_BYTES``.
    partition_bytes = PARTITION_BYTES

    def __init__(self, spec: SourceSpec, today: date) -> None:
        self._spec = spec
        self._today = today
        self._buffer = matrix.Buffer()
        self._exposures: Table
        self._facts: Table

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Release files, connections and memory."""

    @abstractmethod
    def fingerprint(self, plan: Plan) -> str:
        """See ``Source.fingerprint``."""

    @abstractmethod
    def asked(self) -> Connection:
        """Return what queries are asked of."""

    @abstractmethod
    def pass_over(
        self, plan: Plan, as_of: date, times: ExposureTimes, partition: tuple[int, int]
    ) -> tuple[Exposures, Array, dict[FactWeek, FactCount], Array | None]:
        """Resolve the exposures of (partition, partitions) and join the facts to them.

        Returns them, matrix and fact counts as ``matrix.fill`` does, and the covariates of the counted units, shape
        (units, covariates), where the plan has any.
        """

    @abstractmethod
    def stream(self, query: str) -> Iterator[list[NDArray[Any]]]:
        """Yield the rows of a query of (64-bit number, 32-bit number, 32-bit number) without nulls, some at a time."""

    def bind(self, plan: Plan) -> None:  # noqa: B027 - most sources have the same tables for every plan
        """Get ready to read for a plan. Called before anything else is done with it."""

    def inspect(self, plan: Plan) -> Inspection:
        """See ``Source.inspect``."""
        self.bind(plan)
        # Taken first: what changes while the data are inspected is noticed by whoever compares it later.
        fingerprint = self.fingerprint(plan)
        try:
            self._check_columns(plan)
            last = max(
                self._last_day(self._facts, self._spec.columns.at, plan),
                self._last_day(self._exposures, self._spec.columns.exposed_at, plan),
            )
            self._check_variants(plan)
            partitions = matrix.partitions(self.asked(), self._exposures, plan, self.partition_bytes)
        except self.dialect.errors as error:
            raise self._unreadable(error) from error
        return Inspection(last, fingerprint, partitions)

    def _unreadable(self, error: Exception) -> SourceProblem:
        return SourceProblem(f"{self.place}: the data cannot be read: {first_line(error)}")

    def _last_day(self, table: Table, column: str, plan: Plan) -> date:
        return check_days(self.asked(), table, column, time_sql(table, column, plan.timezone), self._today)

    def _check_columns(self, plan: Plan) -> None:
        columns, connection = self._spec.columns, self.asked()
        kinds = {}
        for table in (self._exposures, self._facts):
            kinds[table.label] = self._id_family(table)
        if len(set(kinds.values())) > 1:
            found = " and ".join(f"{family} in {label}" for label, family in kinds.items())
            raise SourceProblem(f"column `{columns.unit}`: unit ids are {found}; both tables need the same type")
        self._exposures.need(columns.variant, "it holds the variants")
        if columns.left_at is not None:
            left = time_sql(self._exposures, columns.left_at, plan.timezone)
            check_left(connection, self._exposures, columns.left_at, left)
        for column in plan.segments:
            check_segment(connection, self._exposures, column)
        for metric in plan.metrics:
            for column in metric.columns:
                check_number(connection, self._facts, column, f"metric `{metric.key}`")
            for column in metric.adjust:
                check_covariate(connection, self._exposures, column, f"metric `{metric.key}`, which adjusts for it,")

    def _id_family(self, table: Table) -> str:
        column = self._spec.columns.unit
        kind = table.need(column, "it holds the unit ids")
        family = id_family(kind)
        if family is None:
            raise table.problem(column, f"is of type {kind}; unit ids are integers, text or uuids")
        return family

    def _check_named(self) -> None:
        """Refuse exposures with rows that name no unit."""
        table, column = self._exposures, self._spec.columns.unit
        found = self.asked().execute(f"SELECT count(*) FROM {table.view} WHERE {quoted(column)} IS NULL").fetchall()
        if found[0][0]:
            raise table.problem(column, f"{found[0][0]:,} rows have no unit id; every row needs one")

    def _check_variants(self, plan: Plan) -> None:
        """Refuse exposures without units in every variant of the plan, or with rows that name no unit."""
        self._check_named()
        name = quoted(self._spec.columns.variant)
        table, connection = self._exposures, self.asked()
        keys = listed([literal(variant.key) for variant in plan.variants])
        counted = f"SELECT {table.dialect.as_text(name)} AS value, count(*) AS number FROM {table.view} GROUP BY 1"
        rows = connection.execute(
            f"SELECT value, number FROM ({counted}) v ORDER BY coalesce(value IN ({keys}), false) DESC, number DESC, "
            f"value LIMIT {len(plan.variants) + 8}"
        ).fetchall()
        present = {value for value, _ in rows}
        missing = [variant.key for variant in plan.variants if variant.key not in present]
        if missing:
            wanted = listed(missing)
            largest = sorted(rows, key=lambda row: -row[1])[:8]
            found = listed([f"{value} ({count:,} rows)" for value, count in largest])
            raise table.problem(self._spec.columns.variant, f"no unit is in variant {wanted}; found {found}")

    def read_tallies(self, plan: Plan, as_of: date) -> Triangle:
        """See ``Source.read_tallies``."""
        self.bind(plan)
        time = time_sql(self._facts, self._spec.columns.at, plan.timezone)
        try:
            first, tallies = fact_tallies.tallies(self.asked(), self._facts, time.day, plan, as_of)
        except self.dialect.errors as error:
            raise self._unreadable(error) from error
        return Triangle(plan, as_of, {}, tallies, {}, first)

    def read_partition(self, plan: Plan, as_of: date, partition: int, partitions: int) -> Triangle:
        """See ``Source.read_partition``."""
        self.bind(plan)
        times = self._times(plan)
        try:
            exposures, filled, facts, found = self.pass_over(plan, as_of, times, (partition, partitions))
        except self.dialect.errors as error:
            raise self._unreadable(error) from error
        total = matrix.summed(plan, filled, exposures.groups)
        rows = None if found is None else matrix.unit_rows(plan, filled, exposures.groups, found)
        return Triangle(plan, as_of, total.cells, exposures.tallies, facts, None, exposures.left, total.events, rows)

    def unit_days(self, plan: Plan, as_of: date, *, counted: bool) -> Iterator[UnitDays]:
        """See ``Source.unit_days``. Checks the exposures first, so that no row is passed over unseen."""
        self.bind(plan)
        columns, table = self._spec.columns, self._exposures
        try:
            self._id_family(table)
            table.need(columns.variant, "it holds the variants")
            self._check_named()
            self._last_day(table, columns.exposed_at, plan)
            times = ExposureTimes(time_sql(table, columns.exposed_at, plan.timezone), testers=self._spec.testers)
            end = windows.read_until(plan, as_of)
            for units, variants, days in self.stream(unit_days(plan, end, columns, times, table, counted=counted)):
                # PostgreSQL gives the same bits as a number with a sign.
                yield UnitDays(units.view(np.uint64), variants, days)
        except self.dialect.errors as error:
            raise self._unreadable(error) from error

    def _times(self, plan: Plan) -> ExposureTimes:
        columns = self._spec.columns
        return ExposureTimes(
            time_sql(self._exposures, columns.exposed_at, plan.timezone),
            None if columns.left_at is None else time_sql(self._exposures, columns.left_at, plan.timezone),
            self._spec.testers,
        )

    def entered(self, plan: Plan) -> list[str]:
        """See ``Source.entered``."""
        self.inspect(plan)
        rows = seen(plan, self._today + timedelta(days=1), self._spec.columns, self._times(plan), self._exposures, "")
        unit = self.dialect.as_text("unit")
        query = f"SELECT DISTINCT {unit} AS unit FROM ({rows}) s WHERE code >= 0 AND day >= 0 ORDER BY 1"
        try:
            return [str(found) for (found,) in self.asked().execute(query).fetchall()]
        except self.dialect.errors as error:
            raise self._unreadable(error) from error

    def read(self, plan: Plan, as_of: date) -> Triangle:
        """See ``Source.read``. Checks the data first, so that one call is enough."""
        partitions = self.inspect(plan).partitions
        parts = [self.read_tallies(plan, as_of)]
        parts += [self.read_partition(plan, as_of, number, partitions) for number in range(partitions)]
        return combine(parts)
