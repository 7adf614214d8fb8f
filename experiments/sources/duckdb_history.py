"""Units of the past from files of facts alone: exposures are made of first facts, and read in the same pass."""

from dataclasses import replace
from datetime import date
from typing import ClassVar

import duckdb

from analysis.past import Past, TooShort, past_of
from analysis.plan import Plan
from experiments.sources.base import HistoryTooShort, SourceSpec
from experiments.sources.duckdb import DuckDBSource, check_folder
from experiments.sources.duckdb_tables import Table, id_family, literal, quoted, time_sql
from experiments.sources.exposures import days_sql


class DuckDBHistory(DuckDBSource):
    """Facts in files, and exposures that ``enroll`` makes of them; see ``HistorySource``."""

    fields: ClassVar[tuple[str, ...]] = ("facts",)

    def __init__(self, spec: SourceSpec, today: date) -> None:
        # The exposures made here have no more columns than they need.
        super().__init__(replace(spec, columns=replace(spec.columns, left_at=None)), today)

    def _open_exposures(self) -> Table:
        # Without a column until they are made: whoever reads earlier is refused.
        return Table("exposures", "exposures made of facts", {})

    def enroll(self, plan: Plan) -> Past:
        """See ``HistorySource.enroll``."""
        at = self._spec.columns.at
        try:
            last = self._last_day(self._facts, at, plan)
            day = time_sql(self._facts, at, plan.timezone).day
            first = self._connection.execute(f"SELECT min({day}) FROM facts").fetchall()[0][0]
            found = past_of(plan, first, last)
            self._make_exposures(found.plan, day)
        except TooShort as problem:
            raise HistoryTooShort(f"{self._facts.label}: the history is too short: {problem}") from problem
        except duckdb.Error as error:
            raise self._unreadable(error) from error
        return found

    def _make_exposures(self, plan: Plan, day: str) -> None:
        """Create the table ``exposures``: every unit with a fact in the enrollment, on the day of the first."""
        columns = self._spec.columns
        kind = self._facts.need(columns.unit, "it holds the unit ids")
        if id_family(kind) is None:
            raise self._facts.problem(columns.unit, f"is of type {kind}; unit ids are integers, text or uuids")
        unit = quoted(columns.unit)
        enrolled = f"{days_sql(day, plan)} BETWEEN 0 AND {7 * plan.enrollment_weeks - 1}"
        self._connection.execute(
            f"CREATE OR REPLACE TABLE exposures AS SELECT unit AS {unit}, {literal(plan.control.key)} AS "
            f"{quoted(columns.variant)}, day AS {quoted(columns.exposed_at)} FROM (SELECT {unit} AS unit, "
            f"min({day}) AS day FROM facts WHERE {unit} IS NOT NULL AND {enrolled} GROUP BY {unit})"
        )
        described = self._connection.execute("DESCRIBE exposures").fetchall()
        if not self._connection.execute("SELECT count(*) FROM exposures").fetchall()[0][0]:
            weeks = f"{plan.enrollment_weeks} weeks from {plan.start_date} on"
            raise HistoryTooShort(
                f"{self._facts.label}: no unit has a fact in the {weeks}, on which it would be planned"
            )
        self._exposures = replace(self._exposures, types={name: str(kind) for name, kind, *_ in described})


def open_past_files(spec: SourceSpec, today: date) -> DuckDBHistory:
    """Open the facts of a source of kind ``files``. Raises SourceProblem."""
    check_folder(spec)
    return DuckDBHistory(spec, today)
