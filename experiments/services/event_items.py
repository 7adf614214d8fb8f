"""What an event has to look like. Each event of a batch is judged by itself: the others need not wait for it."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

#: Events of one batch.
MOST_EVENTS = 5_000

#: Values of a fact, or attributes of an exposure.
MOST_FIELDS = 50

#: Larger values are refused by every source: their squares leave the range of numbers.
LARGEST = 1e100

#: Clocks of clients may be ahead by so much; and events may be late by so much (it bounds the number of partitions).
AHEAD, LATE = timedelta(minutes=10), timedelta(days=1830)

KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\Z")

#: Columns that every source of events has, and those that every table of PostgreSQL has.
RESERVED = frozenset(
    ("unit_id", "variant", "exposed_at", "at", "xmin", "xmax", "cmin", "cmax", "ctid", "tableoid")
)  # fmt: skip

_LONGEST = {"id": 100, "unit": 200}
_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "exposure": ({"type", "id", "unit", "at", "experiment", "variant"}, {"attributes"}),
    "fact": ({"type", "id", "unit", "at", "values"}, set()),
}


@dataclass(frozen=True)
class Refused:
    """One thing that is wrong with an event: its place in the batch, the field, and how to put it right."""

    index: int
    id: str | None
    field: str
    message: str


@dataclass(frozen=True)
class Event:
    """An event that can be stored: ``payload`` holds the values of a fact or the attributes of an exposure."""

    index: int
    type: Literal["exposure", "fact"]
    id: str
    unit: str
    at: datetime
    experiment: str = ""
    variant: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)


def read(items: Sequence[Any], now: datetime) -> tuple[list[Event], list[Refused]]:
    """Return the events of a batch that can be stored, and everything that is wrong with the others."""
    events, refused = [], []
    for index, item in enumerate(items):
        wrong = [Refused(index, _id_of(item), place, message) for place, message in _violations(item, now)]
        refused += wrong
        if not wrong:
            events.append(_event(index, item))
    return events, refused


def _id_of(item: Any) -> str | None:
    found = item.get("id") if isinstance(item, dict) else None
    return found[: _LONGEST["id"]] if isinstance(found, str) else None


def _event(index: int, item: dict[str, Any]) -> Event:
    payload = item["values"] if item["type"] == "fact" else item.get("attributes") or {}
    return Event(
        index, item["type"], item["id"], item["unit"], datetime.fromisoformat(item["at"]),
        item.get("experiment", ""), item.get("variant", ""), {name: value for name, value in payload.items()
                                                              if value is not None},
    )  # fmt: skip


def _violations(item: Any, now: datetime) -> Iterator[tuple[str, str]]:
    if not isinstance(item, dict):
        yield "", f"an event is an object with the key `type`; found {_shown(item)}"
        return
    kind = item.get("type")
    if kind not in ("exposure", "fact"):
        yield "type", f"must be exposure or fact; found {_shown(kind)}"
        return
    needed, optional = _KEYS[kind]
    for key in sorted(needed - item.keys()):
        yield key, f"is missing; an event of type {kind} has {', '.join(sorted(needed))}"
    for key in sorted(item.keys() - needed - optional):
        yield key[:100], f"is not a key of an event of type {kind}; allowed are {', '.join(sorted(needed | optional))}"
    for key in ("id", "unit"):
        if key in item:
            yield from _text(key, item[key])
    if "at" in item:
        yield from _time(item["at"], now)
    for key in ("experiment", "variant") if kind == "exposure" else ():
        if key in item and not (isinstance(item[key], str) and KEY.match(item[key])):
            yield key, f"must be a key of a-z, 0-9, dot, underscore and dash, at most 63; found {_shown(item[key])}"
    yield from _values(item) if kind == "fact" else _attributes(item)


def _text(key: str, value: Any) -> Iterator[tuple[str, str]]:
    longest = _LONGEST[key]
    if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.isprintable():
        yield key, f"must be text of 1 to {longest} printable characters; found {_shown(value)}"


def _time(value: Any, now: datetime) -> Iterator[tuple[str, str]]:
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        yield "at", f"must be a time such as 2026-03-31T12:00:00Z; found {_shown(value)}"
        return
    if at.tzinfo is None:
        yield "at", f"has no time zone; add Z or an offset such as +02:00; found {_shown(value)}"
    elif at > now + AHEAD:
        yield "at", f"is in the future (now it is {now.isoformat()}); set the sender's clock; found {_shown(value)}"
    elif at < now - LATE:
        yield "at", f"is more than {LATE.days} days ago; events are taken for five years; found {_shown(value)}"


def _values(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "values" not in item:
        return
    yield from _names("values", item["values"])
    if not isinstance(item["values"], dict):
        return
    if not any(value is not None for value in item["values"].values()):
        yield "values", 'has no value; give at least one, such as {"orders": 1}'
    for name, value in item["values"].items():
        if value is not None and not _is_number(value):
            yield f"values.{name[:63]}", f"must be a finite number below {LARGEST:g} or null; found {_shown(value)}"


def _attributes(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if item.get("attributes") is None:
        return
    yield from _names("attributes", item["attributes"])
    if not isinstance(item["attributes"], dict):
        return
    for name, value in item["attributes"].items():
        if not (value is None or isinstance(value, bool) or _is_number(value) or _is_label(value)):
            allowed = "text of at most 200 printable characters, a finite number, true, false or null"
            yield f"attributes.{name[:63]}", f"must be {allowed}; found {_shown(value)}"


def _names(key: str, found: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(found, dict):
        yield key, f"must be an object of names and values; found {_shown(found)}"
        return
    if len(found) > MOST_FIELDS:
        yield key, f"has {len(found)} names; at most {MOST_FIELDS} are taken"
    for name in found:
        if not NAME.match(name):
            yield key, f"{_shown(name)} is no name of 1 to 63 of A-Z, a-z, 0-9 and underscore, not beginning with 0-9"
        elif name in RESERVED:
            yield key, f"`{name}` is a name with a meaning of its own; use another one"


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= LARGEST if isinstance(value, int) else math.isfinite(value) and abs(value) <= LARGEST


def _is_label(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 200 and value.isprintable()


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
