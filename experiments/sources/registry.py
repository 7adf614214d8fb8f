"""Which adapter opens which kind of source."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import TypeVar

from analysis.plan import Plan
from experiments.sources.base import HistorySource, Source, SourceProblem, SourceSpec
from experiments.sources.duckdb import open_files
from experiments.sources.duckdb_check import check_files
from experiments.sources.duckdb_history import open_past_files
from experiments.sources.findings import Finding, OnStep
from experiments.sources.postgres_events import open_past_tables, open_tables

_ADAPTERS: Mapping[str, Callable[[SourceSpec, date], Source]] = {"files": open_files, "postgres": open_tables}
_HISTORIES: Mapping[str, Callable[[SourceSpec, date], HistorySource]] = {
    "files": open_past_files,
    "postgres": open_past_tables,
}
_CHECKS = {"files": check_files}

Opener = TypeVar("Opener")


def open_source(spec: SourceSpec, today: date) -> Source:
    """Open a source, for use in ``with``. ``today`` is the last day that data may carry. Raises SourceProblem."""
    return _adapter(spec, _ADAPTERS)(spec, today)


def open_history(spec: SourceSpec, today: date) -> HistorySource:
    """Open a source's facts alone; its exposures need not be there yet. Otherwise like ``open_source``."""
    return _adapter(spec, _HISTORIES)(spec, today)


def check_source(
    spec: SourceSpec, today: date, timezone: str, plans: Sequence[Plan], on_step: OnStep
) -> tuple[Finding, ...]:
    """Return everything that is wrong in a source, by itself and for the plans that read it.

    Raises SourceProblem, also for kinds of sources that are not checked.
    """
    if spec.kind in _ADAPTERS and spec.kind not in _CHECKS:
        raise SourceProblem(
            f"a source of kind {spec.kind} cannot be checked from end to end; allowed is {', '.join(_CHECKS)}. "
            "Looks check what they read, and say what is wrong"
        )
    return _adapter(spec, _CHECKS)(spec, today, timezone, plans, on_step)


def _adapter(spec: SourceSpec, adapters: Mapping[str, Opener]) -> Opener:
    if spec.name is not None:
        raise SourceProblem(f"source.name: no source is registered as `{spec.name}`; give kind: files and paths")
    if spec.kind not in adapters:
        raise SourceProblem(f"source.kind: `{spec.kind}` is not supported yet; allowed is {', '.join(adapters)}")
    return adapters[spec.kind]
