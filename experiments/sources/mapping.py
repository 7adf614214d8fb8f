"""Which column is what: guesses from names and types, and what is wrong with an answer."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from experiments.sources.base import Columns, listed
from experiments.sources.examine import Column, Examined
from experiments.sources.tables import ISO_CLOCK, ISO_DAY, ISO_ZONED, id_family, is_number

#: Names that columns often have, the surest first.
_UNIT = (
    "unit_id", "unit", "user_id", "userid", "user", "household_id", "household", "household_key", "customer_id",
    "customer", "account_id", "account", "member_id", "visitor_id", "device_id", "client_id", "uid", "id",
)  # fmt: skip
_VARIANT = ("variant", "variation", "treatment_group", "group", "arm", "bucket", "condition", "cell", "assignment")
_EXPOSED_AT = (
    "exposed_at", "exposure_at", "exposure_date", "first_exposed_at", "assigned_at", "enrolled_at", "entered_at",
    "start_date", "date", "day", "at", "timestamp", "ts", "time",
)  # fmt: skip
_AT = ("at", "date", "day", "event_date", "event_at", "occurred_at", "week", "timestamp", "ts", "time", "created_at")
_LEFT_AT = ("left_at", "closed_at", "withdrawn_at", "churned_at", "ended_at", "deleted_at")

#: How text says a day or a time that looks read.
_WRITTEN = re.compile(f"{ISO_DAY}|{ISO_CLOCK}|{ISO_ZONED}")


@dataclass(frozen=True)
class Wrong:
    """A part of the mapping (the name of a field of ``Columns``), and what is wrong with it."""

    field: str
    message: str


def guess(exposures: Examined, facts: Examined) -> Columns:
    """Return the likely columns; a part for which no column will do is an empty text (left_at: None)."""
    shared = [column for column in exposures.columns if _shared(column, facts)]
    unit = _named(shared, _UNIT) or (shared[0].name if len(shared) == 1 else "")
    others = [column for column in exposures.columns if column.name != unit]
    times = [column for column in others if _holds_time(column)]
    left = _named(times, _LEFT_AT)
    exposed = _time(exposures, [column for column in times if column.name != left], _EXPOSED_AT)
    words = [column for column in others if column.kind in ("VARCHAR", "BOOLEAN") or id_family(column.kind)]
    words = [column for column in words if column.name not in (exposed, left)]
    at = _time(facts, [column for column in facts.columns if column.name != unit and _holds_time(column)], _AT)
    return Columns(unit, _named(words, _VARIANT), exposed, at, left or None)


def check(columns: Columns, exposures: Examined, facts: Examined) -> Iterator[Wrong]:
    """Yield what is wrong with a mapping of two examined tables."""
    yield from _check_unit(columns.unit, exposures, facts)
    yield from _missing("variant", columns.variant, exposures)
    yield from _check_time("exposed_at", columns.exposed_at, exposures)
    yield from _check_time("at", columns.at, facts)
    if columns.left_at is not None:
        yield from _check_time("left_at", columns.left_at, exposures)
    parts = [columns.unit, columns.variant, columns.exposed_at, columns.left_at]
    for field, name in zip(("variant", "exposed_at", "left_at"), parts[1:], strict=True):
        if name and parts.count(name) > 1:
            yield Wrong(field, f"column `{name}` is named for two parts; each needs a column of its own")


def values(facts: Examined, columns: Columns) -> tuple[str, ...]:
    """The columns of facts that metrics can use: numbers that are not the unit's id."""
    return tuple(column.name for column in facts.columns if column.name != columns.unit and is_number(column.kind))


def _shared(column: Column, facts: Examined) -> bool:
    other = facts.column(column.name)
    family = id_family(column.kind)
    return other is not None and family is not None and family == id_family(other.kind)


def _holds_time(column: Column) -> bool:
    return column.kind == "DATE" or column.kind.startswith("TIMESTAMP")


def _named(columns: Sequence[Column], names: Sequence[str]) -> str:
    """The column with the first of these names, whatever its case; empty if there is none."""
    known = {column.name.lower(): column.name for column in columns}
    return next((known[name] for name in names if name in known), "")


def _time(table: Examined, times: Sequence[Column], names: Sequence[str]) -> str:
    """A column of times by its name; else the only one, or a text that is named like one."""
    return (
        _named(times, names)
        or (times[0].name if len(times) == 1 else "")
        or _named([column for column in table.columns if column.kind == "VARCHAR"], names)
    )


def _missing(field: str, name: str, table: Examined) -> Iterator[Wrong]:
    if not name:
        yield Wrong(field, "choose a column")
    elif table.column(name) is None:
        yield Wrong(
            field, f"{table.label} has no column `{name}`; it has {listed([one.name for one in table.columns])}"
        )


def _check_unit(name: str, exposures: Examined, facts: Examined) -> Iterator[Wrong]:
    missing = [*_missing("unit", name, exposures), *(_missing("unit", name, facts) if name else ())]
    if missing:
        yield missing[0]
        return
    kinds = [(table, found.kind) for table in (exposures, facts) if (found := table.column(name)) is not None]
    for table, kind in kinds:
        if id_family(kind) is None:
            yield Wrong("unit", f"column `{name}` of {table.label} is of type {kind}; ids are integers, text or uuids")
            return
    families = [id_family(kind) for _, kind in kinds]
    if families[0] != families[1]:
        yield Wrong(
            "unit",
            f"column `{name}` has {families[0]} in {exposures.label} and {families[1]} in {facts.label}; "
            "both need the same type",
        )


def _check_time(field: str, name: str, table: Examined) -> Iterator[Wrong]:
    missing = list(_missing(field, name, table))
    column = table.column(name)
    if missing:
        yield from missing
    elif column is not None and not _holds_time(column) and column.kind != "VARCHAR":
        yield Wrong(field, f"column `{name}` of {table.label} is of type {column.kind}; it must hold dates or times")
    elif column is not None and column.kind == "VARCHAR":
        yield from _check_written(field, name, table)


def _check_written(field: str, name: str, table: Examined) -> Iterator[Wrong]:
    """Texts are dates if they are written in the one way that looks read; a check counts single ones that are not."""
    place = [column.name for column in table.columns].index(name)
    shown = [row[place] for row in table.preview if row[place] is not None]
    if shown and not any(_WRITTEN.fullmatch(str(value)) for value in shown):
        yield Wrong(
            field,
            f"column `{name}` of {table.label} holds texts such as {shown[0]}; write dates as 2024-03-31, and times as "
            "2024-03-31T18:30:00Z",
        )
