"""Events into the database: COPY into a staging table, then each id once. What was answered is stored.

Clients send a batch again until they have an answer, so a batch may arrive twice, in parts, or while its twin is being
stored. An event's id is its identity: the first one that is stored stays, others are duplicates, whatever they say.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from experiments.models import EventName
from experiments.models.event import ATTRIBUTE, BOOLEAN, NUMBER, TEXT, VALUE
from experiments.services.event_items import AHEAD, LATE, Event, Refused

#: Batches that are stored at a time, in all processes together: more of them would only wait for each other.
SLOTS = 4

#: Seconds after which a client that was turned away may ask again; a batch takes less.
RETRY_SECONDS = 1

#: Names of values and attributes in all: they become columns, and what makes up names makes up thousands.
MOST_NAMES = 1_000

#: Ids that are forgotten in one transaction.
FORGOTTEN_AT_A_TIME = 50_000

#: First keys of advisory locks: one number is ours for the slots, one for making partitions.
_SLOT_LOCK, _PARTITION_LOCK = 0x486F6C64, 0x66617374

_TABLES = ("experiments_exposureevent", "experiments_factevent")

_STAGE = """
CREATE TEMP TABLE IF NOT EXISTS holdfast_stage (
    type text, id text COLLATE "C", unit text, at timestamptz, experiment text, variant text, payload jsonb
) ON COMMIT DELETE ROWS
"""

_STORE = """
WITH fresh AS (
    INSERT INTO experiments_eventkey (id, received_at)
    SELECT id, %(now)s FROM holdfast_stage ORDER BY id
    ON CONFLICT (id) DO NOTHING RETURNING id
), exposures AS (
    INSERT INTO experiments_exposureevent (id, experiment, unit, variant, at, attributes, received_at)
    SELECT id, experiment, unit, variant, at, payload, %(now)s FROM holdfast_stage JOIN fresh USING (id)
    WHERE type = 'exposure'
), facts AS (
    INSERT INTO experiments_factevent (id, unit, at, values, received_at)
    SELECT id, unit, at, payload, %(now)s FROM holdfast_stage JOIN fresh USING (id) WHERE type = 'fact'
)
SELECT count(*) FROM fresh
"""


_FORGET = """
DELETE FROM experiments_eventkey WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM experiments_eventkey WHERE received_at < %s LIMIT %s
))
"""


class Busy(Exception):
    """As many batches as may be are being stored; ask again after ``RETRY_SECONDS``."""


@dataclass(frozen=True)
class Stored:
    """What became of a batch: events stored now, events whose id was there already, and events that were refused."""

    stored: int
    duplicates: int
    refused: tuple[Refused, ...]


def store(events: Sequence[Event], now: datetime) -> Stored:
    """Store events in one transaction; once this returns they are kept. Raises Busy, and then nothing is stored."""
    months = {event.at.astimezone(UTC).date().replace(day=1) for event in events}
    make_partitions(months | {after(now.date())})
    # Outside of the transaction that stores: it is quick, and holds nobody up.
    refused = _register(events)
    out = {one.index for one in refused}
    wanted = {event.id: event for event in reversed(events) if event.index not in out}
    with transaction.atomic(), connection.cursor() as cursor:
        _take_slot(cursor)
        cursor.execute(_STAGE)
        cursor.execute("DELETE FROM holdfast_stage")  # a caller's transaction may hold several batches
        with cursor.copy("COPY holdfast_stage FROM STDIN") as copy:
            for event in wanted.values():
                copy.write_row((
                    event.type, event.id, event.unit, event.at, event.experiment, event.variant,
                    json.dumps(dict(event.payload)),
                ))  # fmt: skip
        cursor.execute(_STORE, {"now": now})
        stored = int(cursor.fetchone()[0])
    return Stored(stored, len(events) - len(out) - stored, tuple(refused))


def _take_slot(cursor: CursorWrapper) -> None:
    """Hold one of the slots until the transaction ends, however it ends. Raises Busy where none is free."""
    for number in range(SLOTS):
        slot = (os.getpid() + number) % SLOTS
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [_SLOT_LOCK, slot])
        if cursor.fetchone()[0]:
            return
    raise Busy


def _type_of(kind: str, value: object) -> str:
    if kind == VALUE:
        return NUMBER
    return BOOLEAN if isinstance(value, bool) else TEXT if isinstance(value, str) else NUMBER


def _register(events: Iterable[Event]) -> list[Refused]:
    """Make every new name a column of the source. Returns what is wrong: names that events use otherwise."""
    used: dict[tuple[str, str], str] = {}
    for event in events:
        kind = VALUE if event.type == "fact" else ATTRIBUTE
        for name, value in event.payload.items():
            used.setdefault((kind, name), _type_of(kind, value))
    known = _types()
    room = MOST_NAMES - len(known)
    fresh = [key for key in used if key not in known][: max(room, 0)]
    if fresh:
        rows = [EventName(kind=kind, name=name, type=used[kind, name]) for kind, name in sorted(fresh)]
        EventName.objects.bulk_create(rows, ignore_conflicts=True)
        known = _types()
    refused = []
    for event in events:
        kind, key = (VALUE, "values") if event.type == "fact" else (ATTRIBUTE, "attributes")
        for name, value in event.payload.items():
            found, wanted = _type_of(kind, value), known.get((kind, name))
            if wanted is None:
                message = f"is a new name, and there are {MOST_NAMES:,} already, which is the most; use one of them"
                refused.append(Refused(event.index, event.id, f"{key}.{name}", message))
            elif found != wanted:
                message = (
                    f"is a {wanted} in earlier events and cannot become a {found}; send a {wanted} or another name"
                )
                refused.append(Refused(event.index, event.id, f"{key}.{name}", message))
    return refused


def _types() -> dict[tuple[str, str], str]:
    return {(kind, name): found for kind, name, found in EventName.objects.values_list("kind", "name", "type")}


def after(day: date) -> date:
    """Return the first day of the month after that of a day."""
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def make_partitions(months: Iterable[date]) -> int:
    """Make the partitions of months (their first days) that are not there yet; return how many tables were made.

    Nobody who reads or stores events has to wait for it: a table is made first, and then attached.
    """
    names = {f"{table}_{month:%Y_%m}": (table, month) for table in _TABLES for month in sorted(set(months))}
    with connection.cursor() as cursor:
        missing = _missing(cursor, names)
    if not missing:
        return 0
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_PARTITION_LOCK])
        missing = _missing(cursor, names)
        for name in missing:
            table, month = names[name]
            part, whole = sql.Identifier(name), sql.Identifier(table)
            bounds = [sql.Literal(f"{day.isoformat()} 00:00:00+00") for day in (month, after(month))]
            cursor.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(part, whole))
            cursor.execute(
                sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(whole, part, *bounds)
            )
    return len(missing)


def _missing(cursor: CursorWrapper, names: Iterable[str]) -> list[str]:
    cursor.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = ANY(%s::regclass[])",
        [list(_TABLES)],
    )
    there = {name for (name,) in cursor.fetchall()}
    return [name for name in names if name not in there]


def forget_ids(now: datetime, at_a_time: int = FORGOTTEN_AT_A_TIME) -> int:
    """Forget the ids of events that would be refused if they were sent again, and return how many.

    An event is at most AHEAD of the moment in which it was stored, and is refused once it is more than LATE old. So
    after both of them its id keeps nothing out any more. Deleted in short transactions, so that nobody waits.
    """
    forgotten = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_FORGET, [now - LATE - AHEAD, at_a_time])
            gone = int(cursor.rowcount)
        forgotten += gone
        if gone < at_a_time:
            return forgotten


def make_partitions_ahead(now: datetime) -> int:
    """Make the partitions of this month and the next two; asked for once a day, so that no batch has to."""
    first = now.date().replace(day=1)
    return make_partitions([first, after(first), after(after(first))])
