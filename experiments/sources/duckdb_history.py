"""Units of the past from files of facts alone."""

from datetime import date
from typing import ClassVar

from experiments.sources.base import SourceSpec
from experiments.sources.duckdb import DuckDBSource, check_folder
from experiments.sources.duckdb_tables import DUCKDB
from experiments.sources.past_units import PastUnits, no_exposures, without_leaving
from experiments.sources.tables import Table


class DuckDBHistory(PastUnits, DuckDBSource):
    """Facts in files, and exposures made of them."""

    fields: ClassVar[tuple[str, ...]] = ("facts",)

    def __init__(self, spec: SourceSpec, today: date) -> None:
        super().__init__(without_leaving(spec), today)

    def _open_exposures(self) -> Table:
        return no_exposures(DUCKDB)

    def keep(self, query: str) -> Table:
        """See ``PastUnits.keep``."""
        self._connection.execute(f"CREATE OR REPLACE TABLE exposures AS {query}")
        described = self._connection.execute("DESCRIBE exposures").fetchall()
        table = no_exposures(DUCKDB)
        return Table(table.view, table.label, {name: str(kind) for name, kind, *_ in described}, DUCKDB)


def open_past_files(spec: SourceSpec, today: date) -> DuckDBHistory:
    """Open the facts of a source of kind ``files``. Raises SourceProblem."""
    check_folder(spec)
    return DuckDBHistory(spec, today)
