"""Read a source from end to end and say everything that is wrong in it, where a look stops at the first thing.

What holds for any plan is in ``duckdb_check_tables``; what depends on one (``duckdb_check_plan``) is asked for each
experiment that reads the source, by the very resolution of exposures that its looks use.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial

import duckdb

from analysis.plan import Plan
from experiments.sources import duckdb_check_tables, spills
from experiments.sources.base import SourceProblem, SourceSpec
from experiments.sources.duckdb import check_folder
from experiments.sources.duckdb_check_plan import plan_findings
from experiments.sources.duckdb_check_tables import NAMES, Checked, refusal
from experiments.sources.duckdb_files import open_table, spec_files
from experiments.sources.duckdb_locked import locked_connection
from experiments.sources.findings import Finding, OnStep, TableName
from experiments.sources.tables import Table, first_line


def check_files(
    spec: SourceSpec,
    today: date,
    timezone: str,
    plans: Sequence[Plan],
    on_step: OnStep = lambda done, steps, words: None,
) -> tuple[Finding, ...]:
    """Return all findings. ``today`` is the last day that data may carry; days begin in ``timezone``.

    Raises SourceProblem only where the folder is gone: whatever is wrong with a file is a finding.
    """
    check_folder(spec)
    with spills.opened() as spill:
        return tuple(_all_findings(spec, spill, today, timezone, plans, on_step))


def _all_findings(
    spec: SourceSpec, spill: str, today: date, timezone: str, plans: Sequence[Plan], on_step: OnStep
) -> Iterator[Finding]:
    steps = len(_STEPS) + len(plans) + 1
    on_step(0, steps, "opening the files")
    files, broken = {}, []
    for name in NAMES:
        try:
            files[name] = spec_files(spec, name)
        except (SourceProblem, OSError) as problem:
            broken.append(refusal(name, "unreadable", str(problem)))
    yield from broken
    if broken:
        return
    with locked_connection((file for each in files.values() for file in each), spill) as connection:
        tables: dict[TableName, Table] = {}
        for name in NAMES:
            try:
                tables[name] = open_table(connection, name, files[name])
            except SourceProblem as problem:
                yield refusal(name, "unreadable", str(problem))
        checked = Checked(connection, tables, spec.columns, today, timezone)
        if len(tables) == len(NAMES):
            yield from _in_steps(checked, plans, steps, on_step)


def _in_steps(checked: Checked, plans: Sequence[Plan], steps: int, on_step: OnStep) -> Iterator[Finding]:
    """All steps; those that rest on a column which was refused are left out."""
    refused: set[str] = set()
    for place, (words, needs, step) in enumerate(_STEPS, start=1):
        on_step(place, steps, words)
        if refused & needs:
            continue
        for finding in _safe(partial(step, checked), "facts" if "facts" in words else "exposures"):
            refused |= {finding.about} if finding.severity == "refused" else set()
            yield finding
    for place, plan in enumerate(plans, start=len(_STEPS) + 1):
        on_step(place, steps, f"reading as {plan.key} does")
        if not refused & _BASIS:
            found = partial(plan_findings, checked.connection, checked.tables, checked.columns, plan, checked.today)
            yield from _safe(found, "facts")


def _safe(step: Callable[[], Iterator[Finding]], table: TableName) -> Iterator[Finding]:
    """The findings of a step; data that stop it are a finding."""
    try:
        yield from step()
    except SourceProblem as problem:
        yield refusal(table, "columns", str(problem))
    except duckdb.Error as error:
        yield refusal(table, "unreadable", f"the {table} cannot be read: {first_line(error)}")


#: What plans cannot be read without.
_BASIS = frozenset({"ids", "exposures dates", "facts dates", "columns", "unreadable", "unknown_units", "left_at"})
_EXPOSED = frozenset({"ids", "exposures dates", "columns", "unreadable"})
_BOTH = _EXPOSED | {"facts dates"}

#: Steps in their order: words for the reader, what has to be sound before them, and the step.
_STEPS: tuple[tuple[str, frozenset[str], Callable[[Checked], Iterator[Finding]]], ...] = (
    ("looking at unit ids", frozenset(), duckdb_check_tables.ids),
    ("looking at days of exposure", frozenset(), duckdb_check_tables.dates("exposures", "exposed_at")),
    ("looking at days of facts", frozenset(), duckdb_check_tables.dates("facts", "at")),
    ("looking at variants", frozenset(), duckdb_check_tables.variants),
    ("looking for repeated units", _EXPOSED, duckdb_check_tables.repeated_exposures),
    ("looking at units that left", _EXPOSED, duckdb_check_tables.left),
    ("looking for facts without exposure", _EXPOSED, duckdb_check_tables.strangers),
    ("looking at facts before exposure", _BOTH, duckdb_check_tables.before),
    ("looking for days without facts", frozenset({"facts dates", "columns", "unreadable"}), duckdb_check_tables.days),
    ("looking for facts that are the same", frozenset(), duckdb_check_tables.same_rows),
    ("looking at the values of facts", frozenset(), duckdb_check_tables.values),
)
