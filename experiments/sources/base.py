"""What every data source offers, and how it says that data cannot be used."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from analysis.past import Past
from analysis.plan import Plan
from analysis.triangle import Triangle


@dataclass(frozen=True)
class Columns:
    """Names of the columns that a source's tables use for what every experiment needs."""

    unit: str = "unit_id"
    variant: str = "variant"
    exposed_at: str = "exposed_at"
    at: str = "at"
    left_at: str | None = None


#: The connection to Holdfast's own database: what was sent to it is read there, from two tables with these names.
OWN = "holdfast"
OWN_TABLES = ("experiments_exposureevent", "experiments_factevent")


@dataclass(frozen=True)
class SourceSpec:
    """Where an experiment's exposures and facts are.

    ``exposures`` and ``facts`` are paths (globs allowed) relative to ``folder`` for kind ``files``; for kind
    ``postgres`` tables or views in ``schema`` of the database that the connection called ``dsn`` leads to. Files of a
    ``confined`` source have to lie in ``folder``, wherever links lead. ``testers`` are units that were given a variant:
    they are left out of the experiment that is read, whatever the exposures say.
    """

    kind: str
    exposures: str
    facts: str
    folder: Path = field(default_factory=Path)
    columns: Columns = field(default_factory=Columns)
    name: str | None = None
    dsn: str = ""
    schema: str = ""
    confined: bool = False
    testers: tuple[str, ...] = ()

    def told(self, problem: object) -> str:
        """What is said of the data, on pages too: the files of a confined source go by their names in its folder."""
        said = str(problem)
        for folder in {self.folder, self.folder.resolve()} if self.confined else ():
            said = said.replace(f"{folder}/", "")
        return said


class SourceProblem(Exception):
    """Data that cannot be used. The message names the file, the column, what was found and what is allowed."""


class HistoryTooShort(SourceProblem):
    """Facts that can be used, but hold no past to plan on."""


@dataclass(frozen=True)
class Inspection:
    """What a look needs to know of the data before it reads them.

    Attributes:
        last: the last day in exposures and facts.
        fingerprint: of the data when the inspection began, see ``Source.fingerprint``.
        partitions: hash partitions of units in which the data are read, so that memory stays bounded.
    """

    last: date
    fingerprint: str
    partitions: int


@dataclass(frozen=True, eq=False)
class UnitDays:
    """Some units of a source with a variant and the first day in it; all arrays have the shape (rows,).

    Attributes:
        units: fingerprints, the same for the same id in every source (``Dialect.fingerprint``).
        variants: places in the plan's variants.
        days: days from the plan's start_date, negative before it.
    """

    units: NDArray[np.uint64]
    variants: NDArray[np.int32]
    days: NDArray[np.int32]


class Source(Protocol):
    """A data source opened for one plan. ``today`` is the last day that data may carry."""

    def inspect(self, plan: Plan) -> Inspection:
        """Check what can be checked cheaply: files, columns, types, dates. Raises SourceProblem."""
        ...

    def fingerprint(self, plan: Plan) -> str:
        """Return what changes when the data that the plan can read change. Cheap beside reading them.

        Of files it is as they are now; of a database, of the one state of it that an open source reads. Raises
        SourceProblem.
        """
        ...

    def read_tallies(self, plan: Plan, as_of: date) -> Triangle:
        """Check every row before as_of and return their counts as a triangle without cells. Raises SourceProblem."""
        ...

    def read_partition(self, plan: Plan, as_of: date, partition: int, partitions: int) -> Triangle:
        """Return the triangle of the units in one of ``partitions`` hash partitions."""
        ...

    def read(self, plan: Plan, as_of: date) -> Triangle:
        """Return the whole triangle: tallies and all partitions added up."""
        ...

    def unit_days(self, plan: Plan, as_of: date, *, counted: bool) -> Iterator[UnitDays]:
        """Stream which units were exposed to which variant before as_of, and since when.

        ``counted``: the units that count, each once. Otherwise every variant of the plan that a unit was exposed to.
        Raises SourceProblem.
        """
        ...

    def entered(self, plan: Plan) -> list[str]:
        """Return the units that were exposed to a variant of the plan since its start, as text, testers left out.

        Those of today are among them. Raises SourceProblem.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release files and memory."""
        ...


class HistorySource(Source, Protocol):
    """A source of facts alone, opened for a plan whose exposures are still to come.

    Before anything else ``enroll`` makes the exposures; then it is read like any source, with the plan and as of the
    day that were returned.
    """

    def enroll(self, plan: Plan) -> Past:
        """Enroll the units of the past, see ``analysis.past``. Raises SourceProblem, HistoryTooShort."""
        ...


def listed(values: Sequence[str]) -> str:
    """Join names for a message: ``a, b, c``."""
    return ", ".join(values)
