"""One look from a definition file and its data alone: no database, no broker, nothing stored. Django-free.

The same steps as a stored look: inspect, count, read every hash partition, add up, estimate.
"""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from analysis import scorecard
from analysis.plan import Plan
from analysis.results import Scorecard
from analysis.triangle import Triangle, combine
from experiments import definitions
from experiments.definitions import Catalog, Definition, DefinitionProblem
from experiments.definitions.errors import Violation
from experiments.sources.base import Source
from experiments.sources.registry import open_source

#: Called before each step with the steps done, the steps in all, and what comes next in words.
OnStep = Callable[[int, int, str], None]


class CannotAnalyze(Exception):
    """An as_of that the definition or the data rule out. The message names the file and both dates."""


def analyze(
    path: Path, as_of: date | None, today: Callable[[Plan], date], on_step: OnStep = lambda done, steps, words: None
) -> Scorecard:
    """Return the scorecard of a definition file as of a day, by default the day after the last one in the data.

    ``today`` gives the current day in a plan's time zone: later days in the data, or as ``as_of``, are refused.
    Raises DefinitionProblem, SourceProblem, CannotAnalyze.
    """
    definition = load_with_files(path, "analyze")
    plan, source_spec = definition.plan, definition.source
    now = today(plan)
    if as_of is not None:
        _check_as_of(definition, as_of, now)
    on_step(0, 4, "checking files and columns")
    with open_source(source_spec, now) as source:
        found = source.inspect(plan)
        chosen = as_of or day_after_data(definition, found.last)
        triangle = read_triangle(source, plan, chosen, found.partitions, on_step)
    return scorecard.build(triangle)


def load_with_files(path: Path, command: str, catalog: Catalog | None = None) -> Definition:
    """Load a definition that says itself where its data are. Raises DefinitionProblem."""
    definition = definitions.load(path, catalog)
    name = definition.source.name
    if name is not None:
        message = f"names a registered source, which is kept in the database; {command} needs `exposures` and `facts`"
        raise DefinitionProblem(definition.file, [Violation("source.name", f"`{name}` {message}")])
    return definition


def read_triangle(source: Source, plan: Plan, as_of: date, partitions: int, on_step: OnStep) -> Triangle:
    """Count rows and read every partition of an inspected source, step by step. Raises SourceProblem."""
    steps = partitions + 3
    on_step(1, steps, "counting rows")
    parts = [source.read_tallies(plan, as_of)]
    for number in range(partitions):
        on_step(2 + number, steps, f"reading part {number + 1} of {partitions}")
        parts.append(source.read_partition(plan, as_of, number, partitions))
    on_step(steps - 1, steps, "estimating")
    return combine(parts)


def _check_as_of(definition: Definition, as_of: date, today: date) -> None:
    start_date, tomorrow = definition.plan.start_date, today + timedelta(days=1)
    if as_of < start_date:
        raise CannotAnalyze(f"{definition.file}: as_of {as_of} is before start_date {start_date}; nothing has happened")
    if as_of > tomorrow:
        raise CannotAnalyze(f"{definition.file}: as_of {as_of} is in the future; at most it is tomorrow, {tomorrow}")


def day_after_data(definition: Definition, last: date) -> date:
    """Return the as_of that reads all data. Raises CannotAnalyze where that is before start_date."""
    start_date, as_of = definition.plan.start_date, last + timedelta(days=1)
    if as_of < start_date:
        raise CannotAnalyze(
            f"{definition.file}: the data end on {last}, so as_of would be {as_of}, "
            f"which is before start_date {start_date}"
        )
    return as_of
