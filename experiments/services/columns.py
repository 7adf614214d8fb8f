"""What columns the data behind a draft are known to have: to suggest them, and to say which that are named are missing.

They are known of sources that were registered on a page, as of the day when their data were last looked at.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from experiments.definitions.errors import Violation
from experiments.models import Source
from experiments.services.suggest import did_you_mean
from experiments.sources import mapping

#: This denominator counts the rows of facts, and is no column.
_ROWS = ("denominator", "rows")

#: The keys of a metric that name a column of numbers in facts.
_OF_FACTS = ("column", "numerator", "denominator")


def usable(source: Source | None) -> dict[str, tuple[str, ...]]:
    """The columns that metrics (``facts``) and segments (``exposures``) can name; nothing where none are known."""
    tables = source.tables if source is not None else {}
    if source is None or not tables:
        return {}
    columns = source.spec.columns
    parts = (columns.unit, columns.variant, columns.exposed_at, columns.left_at)
    others = tuple(one.name for one in tables["exposures"].columns if one.name not in parts)
    return {"facts": mapping.values(tables["facts"], columns), "exposures": others}


def lacking(body: Mapping[str, Any], source: Source | None) -> tuple[Violation, ...]:
    """The columns that a definition names and its data do not have, each with its place in the definition."""
    known = usable(source)
    if not known:
        return ()
    return tuple(
        Violation(place, f"{table} have no column `{name}`{words}{did_you_mean(name, known[table])}")
        for place, name, table, words in _named(body)
        if name not in known[table]
    )


def _named(body: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Every column that is named: its place, its name, the table it has to be in, and as what."""
    metrics = body.get("metrics")
    for number, metric in enumerate(metrics if isinstance(metrics, list) else ()):
        if isinstance(metric, Mapping):
            yield from _of_metric(f"metrics[{number}]", metric)
    yield from ((place, name, "exposures", "") for place, name in _texts("segments", body.get("segments")))


def _of_metric(place: str, metric: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    event = metric.get("event")
    values = {f"{place}.{key}": metric.get(key) for key in _OF_FACTS if (key, metric.get(key)) != _ROWS}
    values |= {f"{place}.event.column": event.get("column")} if isinstance(event, Mapping) else {}
    for at, value in values.items():
        if isinstance(value, str) and value:
            yield at, value, "facts", " of numbers"
    yield from ((at, name, "exposures", "") for at, name in _texts(f"{place}.adjust", metric.get("adjust")))


def _texts(place: str, value: Any) -> Iterator[tuple[str, str]]:
    for name in value if isinstance(value, list) else ():
        if isinstance(name, str):
            yield place, name
