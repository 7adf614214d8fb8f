"""The adapters that are put through the same contract tests: how each gets a world's rows, and how it is opened.

An adapter that joins this list runs every test that is parametrized over it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd
import psycopg.sql

from experiments.sources.base import HistorySource, Source, SourceSpec
from experiments.sources.registry import open_history, open_source
from tests.sources import in_postgres, worlds
from tests.sources.worlds import World


@dataclass(frozen=True)
class Adapter:
    """``load`` puts a world's rows where the adapter finds them; the folder is the world's own.

    ``write`` replaces the table of a spec (exposures, facts) by a frame, ``remove_exposures`` takes one of them away.
    """

    name: str
    load: Callable[[World, Path], SourceSpec]
    write: Callable[[SourceSpec, str, pd.DataFrame, str, bool], None]
    remove_exposures: Callable[[SourceSpec], None]

    def __str__(self) -> str:
        return self.name

    def open(self, world: World, folder: Path, today: date = worlds.TODAY) -> Source:
        return open_source(self.load(world, folder), today)

    def open_history(self, world: World, folder: Path, today: date = worlds.TODAY) -> HistorySource:
        """Open the facts alone: the exposures are not there."""
        spec = self.load(world, folder)
        self.remove_exposures(spec)
        return open_history(spec, today)

    def reopen_history(self, spec: SourceSpec, today: date = worlds.TODAY) -> HistorySource:
        return open_history(spec, today)

    def reopen(self, spec: SourceSpec, today: date = worlds.TODAY) -> Source:
        """Open what was loaded before."""
        return open_source(spec, today)


def _write_file(spec: SourceSpec, table: str, frame: pd.DataFrame, ids: str, nan_as_null: bool) -> None:
    path = spec.folder / getattr(spec, table)
    worlds.write_table(path, frame, ids, spec.columns.unit, nan_as_null)


def _remove_files(spec: SourceSpec) -> None:
    for file in spec.folder.glob("exposures-*"):
        file.unlink()


def _drop_table(spec: SourceSpec) -> None:
    table = psycopg.sql.Identifier(spec.schema, "exposures")
    in_postgres.database().execute(psycopg.sql.SQL("DROP TABLE {}").format(table))


FILES = Adapter("files", worlds.write, _write_file, _remove_files)
POSTGRES = Adapter("postgres", in_postgres.load, in_postgres.write, _drop_table)
ADAPTERS = (FILES, POSTGRES)
