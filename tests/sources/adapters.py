"""The adapters that are put through the same contract tests: how each gets a world's rows, and how it is opened.

An adapter that joins this list runs every test that is parametrized over it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from experiments.sources.base import HistorySource, Source, SourceSpec
from experiments.sources.registry import open_history, open_source
from tests.sources import worlds
from tests.sources.worlds import World


@dataclass(frozen=True)
class Adapter:
    """``load`` puts a world's rows where the adapter finds them; the folder is the world's own."""

    name: str
    load: Callable[[World, Path], SourceSpec]

    def __str__(self) -> str:
        return self.name

    def open(self, world: World, folder: Path, today: date = worlds.TODAY) -> Source:
        return open_source(self.load(world, folder), today)

    def open_history(self, world: World, folder: Path, today: date = worlds.TODAY) -> HistorySource:
        """Open the facts alone: the exposures are not there, in files they are removed."""
        spec = self.load(world, folder)
        for file in folder.glob("exposures-*"):
            file.unlink()
        return open_history(spec, today)

    def reopen_history(self, spec: SourceSpec, today: date = worlds.TODAY) -> HistorySource:
        return open_history(spec, today)

    def reopen(self, spec: SourceSpec, today: date = worlds.TODAY) -> Source:
        """Open what was loaded before."""
        return open_source(spec, today)


ADAPTERS = (Adapter("files", worlds.write),)
