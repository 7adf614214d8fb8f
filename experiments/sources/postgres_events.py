"""The events that were sent to Holdfast, as a source: ``dsn: holdfast``. Names of their values are columns.

Only these two tables of our own database can be read. The exposures are those of the plan's own experiment.
"""

from datetime import date

from psycopg import sql

from analysis.plan import Plan
from experiments.sources.base import OWN, OWN_TABLES, SourceProblem, SourceSpec
from experiments.sources.past_units import no_exposures
from experiments.sources.postgres import PostgresHistory, PostgresSource
from experiments.sources.postgres_tables import POSTGRES
from experiments.sources.tables import Table, literal, quoted

_TYPES = {"number": "DOUBLE", "text": "VARCHAR", "boolean": "BOOLEAN"}
_CASTS = {"number": "double precision", "text": "text", "boolean": "boolean"}
_EXPOSURES, _FACTS = OWN_TABLES


class EventSource(PostgresSource):
    """Exposures and facts that were sent to Holdfast."""

    def _open(self) -> None:
        self.place = "events sent to Holdfast"
        found = self._connection.execute(
            "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = %s "
            "AND c.relkind = 'p' ORDER BY 1 LIMIT 1",
            (_FACTS,),
        ).fetchone()
        if found is None:
            raise SourceProblem(f"{self.place}: the tables are not there; run `manage.py migrate`")
        self._schema = str(found[0])
        names = sql.Identifier(self._schema, "experiments_eventname").as_string(self._connection)
        self._names = self._connection.execute(
            f"SELECT kind, name, type FROM {names} ORDER BY name".encode()
        ).fetchall()
        self._facts = self._described(_FACTS, "value", {"unit_id": "unit", "at": "at"}, "facts", "")
        if not self._any(self._facts):
            raise SourceProblem(f"{self.place}: no fact was sent yet")
        self._exposures = no_exposures(POSTGRES)

    def _described(self, table: str, kind: str, own: dict[str, str], what: str, condition: str) -> Table:
        """Describe a table of events: columns of its ``own`` (name: column), and one for each name of a kind."""
        payload = {"value": "values", "attribute": "attributes"}[kind]
        types = {"unit_id": "VARCHAR", "variant": "VARCHAR"} | {
            name: "TIMESTAMP WITH TIME ZONE" for name, column in own.items() if column == "at"
        }
        types = {name: types[name] for name in own}
        columns = [f"{quoted(column)} AS {quoted(name)}" for name, column in own.items()]
        for _, name, found in (row for row in self._names if row[0] == kind and row[1] not in own):
            types[str(name)] = _TYPES[str(found)]
            columns.append(f"CAST({payload} ->> {literal(str(name))} AS {_CASTS[str(found)]}) AS {quoted(str(name))}")
        where = sql.Identifier(self._schema, table).as_string(self._connection)
        view = f"(SELECT {', '.join(columns)}, xmin FROM {where}{condition})"
        return Table(view, f"{self.place}: {what}", types, POSTGRES)

    def _any(self, table: Table) -> bool:
        return bool(self._connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table.view})".encode()).fetchall()[0][0])

    def has_versions(self, field: str) -> bool:
        """See ``PostgresSource.has_versions``."""
        return True

    def bind(self, plan: Plan) -> None:
        """Read the exposures of the plan's experiment. Raises SourceProblem where none was sent."""
        own = {"unit_id": "unit", "variant": "variant", "exposed_at": "at"}
        condition = f" WHERE experiment = {literal(plan.key)}"
        what = f"exposures of {plan.key}"
        self._exposures = self._described(_EXPOSURES, "attribute", own, what, condition)
        if not self._any(self._exposures):
            raise SourceProblem(f"{self.place}: no exposure of `{plan.key}` was sent yet")


class EventHistory(PostgresHistory, EventSource):
    """Facts that were sent to Holdfast, and exposures made of them."""

    def _open(self) -> None:
        EventSource._open(self)

    def bind(self, plan: Plan) -> None:
        """See ``TableSource.bind``: the exposures are those that were made."""


def open_tables(spec: SourceSpec, today: date) -> PostgresSource:
    """Open a source of kind ``postgres``. Raises SourceProblem."""
    return EventSource(spec, today) if spec.dsn == OWN else PostgresSource(spec, today)


def open_past_tables(spec: SourceSpec, today: date) -> PostgresHistory:
    """Open the facts of a source of kind ``postgres``. Raises SourceProblem."""
    return EventHistory(spec, today) if spec.dsn == OWN else PostgresHistory(spec, today)
