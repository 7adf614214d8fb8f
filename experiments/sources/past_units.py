"""Units of the past: exposures are made of first facts, and read in the same pass as any."""

from abc import abstractmethod
from dataclasses import replace

from analysis.past import Past, TooShort, past_of
from analysis.plan import Plan
from experiments.sources.base import HistoryTooShort, SourceSpec
from experiments.sources.table_source import TableSource
from experiments.sources.tables import Dialect, Table, id_family, literal, quoted, time_sql
from experiments.sources.units import days_sql


def no_exposures(dialect: Dialect) -> Table:
    """Return what stands for exposures until they are made: without a column, so that reading it is refused."""
    return Table("exposures", "exposures made of facts", {}, dialect)


def without_leaving(spec: SourceSpec) -> SourceSpec:
    """Return the spec less the column of leaving: the exposures made here have no more columns than they need."""
    return replace(spec, columns=replace(spec.columns, left_at=None))


class PastUnits(TableSource):
    """Facts, and exposures that ``enroll`` makes of them; see ``HistorySource``."""

    @abstractmethod
    def keep(self, query: str) -> Table:
        """Return the table of exposures that a query of them gives."""

    def enroll(self, plan: Plan) -> Past:
        """See ``HistorySource.enroll``."""
        self.bind(plan)
        at = self._spec.columns.at
        try:
            last = self._last_day(self._facts, at, plan)
            day = time_sql(self._facts, at, plan.timezone).day
            first = self.asked().execute(f"SELECT min({day}) FROM {self._facts.view}").fetchall()[0][0]
            found = past_of(plan, first, last)
            self._make_exposures(found.plan, day)
        except TooShort as problem:
            raise HistoryTooShort(f"{self._facts.label}: the history is too short: {problem}") from problem
        except self.dialect.errors as error:
            raise self._unreadable(error) from error
        return found

    def _make_exposures(self, plan: Plan, day: str) -> None:
        """Make every unit with a fact in the enrollment an exposure on the day of the first."""
        columns = self._spec.columns
        kind = self._facts.need(columns.unit, "it holds the unit ids")
        if id_family(kind) is None:
            raise self._facts.problem(columns.unit, f"is of type {kind}; unit ids are integers, text or uuids")
        unit = quoted(columns.unit)
        enrolled = f"{days_sql(day, plan)} BETWEEN 0 AND {7 * plan.enrollment_weeks - 1}"
        table = self.keep(
            f"SELECT unit AS {unit}, {literal(plan.control.key)} AS {quoted(columns.variant)}, "
            f"day AS {quoted(columns.exposed_at)} FROM (SELECT {unit} AS unit, min({day}) AS day "
            f"FROM {self._facts.view} WHERE {unit} IS NOT NULL AND {enrolled} GROUP BY {unit}) f"
        )
        if not self.asked().execute(f"SELECT count(*) FROM {table.view}").fetchall()[0][0]:
            weeks = f"{plan.enrollment_weeks} weeks from {plan.start_date} on"
            raise HistoryTooShort(
                f"{self._facts.label}: no unit has a fact in the {weeks}, on which it would be planned"
            )
        self._exposures = table
