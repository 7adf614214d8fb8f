"""POST /api/v1/events: every event once, whatever is sent again; what is wrong is named; too much is put off."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.http import HttpResponse
from django.test import Client

from experiments import tasks
from experiments.models import EventName
from experiments.services import event_items, event_store, tokens
from tests.experiments import event_batches as batches
from tests.experiments.crowd import database_address
from tests.experiments.event_batches import Server, counted, exposure, fact, stored
from tests.people import person

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)

#: Events of the test with a killed server, in every run and in the slow one.
SOME, MANY = 30_000, 1_000_000


@pytest.fixture(autouse=True)
def tables() -> Iterator[None]:
    yield
    batches.empty_tables()


def post(events: Any, **headers: str) -> Any:
    return sent(json.dumps({"events": events}), **headers)


def sent(body: str | bytes, **headers: str) -> HttpResponse:
    given = {"Authorization": batches.sender()["Authorization"], **headers}
    return Client().post("/api/v1/events", body, content_type="application/json", headers=given)


# --- Once -------------------------------------------------------------------------------------------------------------
def test_events_are_stored_once_whatever_is_sent_again() -> None:
    now = batches.today()
    some = [fact(number, now) for number in range(20)] + [exposure(number, now) for number in range(5)]
    first, second = post(some), post([*some[10:], fact(99, now), fact(99, now)])
    assert (first.status_code, first.json()) == (200, {"stored": 25, "duplicates": 0, "refused": 0, "errors": []})
    assert (second.status_code, second.json()) == (200, {"stored": 1, "duplicates": 16, "refused": 0, "errors": []})
    found = counted()
    assert (found["facts"][:2], found["exposures"], found["keys"]) == ((21, 21), (5, 5), 26)


def test_an_id_is_an_event_for_good_in_any_month_and_of_any_type() -> None:
    now = batches.today()
    assert post([fact(1, now)]).json()["stored"] == 1
    later = (now - timedelta(days=200)).isoformat()
    again = [fact(1, now, at=later), fact(1, now, values={"orders": 99}), exposure(1, now, id="fact-1")]
    assert post(again).json() == {"stored": 0, "duplicates": 3, "refused": 0, "errors": []}
    assert counted()["facts"][:2] == (1, 1)


def test_batches_that_share_events_may_arrive_at_the_same_moment() -> None:
    now = batches.today()

    def store(seed: int) -> int:
        order = np.random.default_rng(seed).permutation(400)
        events, wrong = event_items.read([fact(int(number), now) for number in order], now)
        assert not wrong
        try:
            return event_store.store(events, now).stored
        except event_store.Busy:
            return store(seed)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(store, range(16))) == 400
    assert counted()["facts"][:2] == (400, 400)


@pytest.mark.parametrize("events", [SOME, pytest.param(MANY, marks=pytest.mark.slow)])
def test_no_event_is_lost_or_doubled_while_the_server_is_killed(events: int, tmp_path: Path) -> None:
    """Duplicates within and between batches, any order, and kill -9 in the middle; clients send until answered."""
    now, random = batches.today(), np.random.default_rng(events)
    exposures = events // 10
    numbers = random.permutation(events)
    cuts = np.array_split(numbers, events // 1000)
    again = [random.choice(numbers, len(cuts[0])) for _ in range(len(cuts) // 8)]
    work = [*cuts, *again, *cuts[: len(cuts) // 10]]
    work = [work[place] for place in random.permutation(len(work))]
    server, headers = Server(tmp_path), batches.sender()
    server.start()

    def make(number: int) -> dict[str, Any]:
        return exposure(number, now) if number < exposures else fact(number, now)

    def send(part: np.ndarray) -> int:
        return int(batches.send(server.url, headers, [make(int(number)) for number in part])["stored"])

    try:
        with ThreadPoolExecutor(4) as threads:
            answers = [threads.submit(send, part) for part in work]
            for _ in islice(as_completed(answers), len(work) // 3):
                pass
            server.kill()
            in_the_dark = counted()["keys"]
            server.start()
            told = sum(answer.result() for answer in answers)
    finally:
        server.kill()
    expected = {number: fact(number, now)["values"] for number in range(exposures, events)}
    found = counted()
    assert found["keys"] == events
    assert found["exposures"] == (exposures, exposures)
    assert found["facts"][:2] == (events - exposures, events - exposures)
    for place, name in ((2, "orders"), (3, "amount")):
        assert float(found["facts"][place]) == sum(values[name] for values in expected.values())
    # Who was killed had stored some of what it never answered.
    assert 0 < in_the_dark < events
    assert told <= events


# --- Refused ----------------------------------------------------------------------------------------------------------
#: Changes to a fact, the field that is named, and words that say what to do.
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "another type": ({"type": "click"}, "type", 'must be exposure or fact; found "click"'),
    "no text for an id": ({"id": 7}, "id", "must be text of 1 to 100 printable characters; found 7"),
    "an empty id": ({"id": ""}, "id", "must be text of 1 to 100"),
    "a long unit": ({"unit": "u" * 201}, "unit", "must be text of 1 to 200"),
    "a control character": ({"unit": "a\x00b"}, "unit", "printable"),
    "half a character": ({"unit": "\ud800"}, "unit", "printable"),
    "no time": ({"at": "yesterday"}, "at", 'must be a time such as 2026-03-31T12:00:00Z; found "yesterday"'),
    "no zone": ({"at": "2024-05-01T12:00:00"}, "at", "has no time zone; add Z"),
    "the future": ({"at": "2024-06-01T12:11:00Z"}, "at", "is in the future"),
    "the last moment of the calendar": ({"at": "9999-12-31T23:59:59-12:00"}, "at", "is in the future"),
    "long ago": ({"at": "2019-01-01T00:00:00Z"}, "at", "more than 1830 days ago"),
    "the first moment of the calendar": ({"at": "0001-01-01T00:00:00+12:00"}, "at", "more than 1830 days ago"),
    "no values": ({"values": {}}, "values", "has no value; give at least one"),
    "nulls only": ({"values": {"orders": None}}, "values", "has no value"),
    "a list of values": ({"values": [1]}, "values", "must be an object of names and values; found [1]"),
    "text for a value": ({"values": {"orders": "1"}}, "values.orders", "must be a finite number below 1e+100 or null"),
    "true for a value": ({"values": {"orders": True}}, "values.orders", "must be a finite number"),
    "a huge value": ({"values": {"orders": 1e101}}, "values.orders", "must be a finite number below 1e+100"),
    "a huge whole value": ({"values": {"orders": 10**101}}, "values.orders", "must be a finite number below 1e+100"),
    "a name that is SQL": ({"values": {"a' --": 1}}, "values", "is no name of 1 to 63"),
    "a name of our own": ({"values": {"xmin": 1}}, "values", "`xmin` is a name with a meaning of its own"),
    "many values": ({"values": {f"v{n}": 1 for n in range(51)}}, "values", "has 51 names; at most 50"),
    "an unknown key": ({"uint": "u"}, "uint", "is not a key of an event of type fact; allowed are at, id"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_event_that_is_wrong_is_named_with_index_field_and_what_is_allowed(case: str) -> None:
    changes, field, words = WRONG[case]
    events, refused = event_items.read([fact(1, NOW), fact(2, NOW, **changes)], NOW)
    assert [event.id for event in events] == ["fact-1"]
    assert [(one.index, one.field) for one in refused] == [(1, field)]
    assert words in refused[0].message
    assert refused[0].id == (
        changes["id"] if isinstance(changes.get("id"), str) else None if "id" in changes else "fact-2"
    )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"experiment": "Not a key"}, "experiment"), ({"variant": None}, "variant"),
        ({"attributes": "de"}, "attributes"),
        ({"attributes": {"country": ["de"]}}, "attributes.country"), ({"attributes": {"a b": 1}}, "attributes"),
        ({"attributes": {"country": "x" * 201}}, "attributes.country"), ({"values": {"orders": 1}}, "values"),
    ],
)  # fmt: skip
def test_an_exposure_that_is_wrong_is_named_too(changes: dict[str, Any], field: str) -> None:
    events, refused = event_items.read([exposure(1, NOW, **changes)], NOW)
    assert (events, [one.field for one in refused]) == ([], [field])


def test_all_that_is_missing_is_said_at_once() -> None:
    _, refused = event_items.read([{"type": "exposure"}, 7], NOW)
    assert [(one.index, one.field) for one in refused] == [
        (0, "at"), (0, "experiment"), (0, "id"), (0, "unit"), (0, "variant"), (1, ""),
    ]  # fmt: skip


def test_the_good_events_of_a_batch_are_stored_and_the_others_come_back() -> None:
    now = batches.today()
    response = post([fact(1, now), fact(2, now, unit=""), fact(3, now)])
    assert (response.status_code, response.json()) == (207, {
        "stored": 2, "duplicates": 0, "refused": 1, "errors": [
            {"index": 1, "id": "fact-2", "field": "unit",
             "message": 'must be text of 1 to 200 printable characters; found ""'}],
    })  # fmt: skip
    assert counted()["keys"] == 2
    corrected = post([fact(1, now), fact(2, now), fact(3, now)])
    assert corrected.json() == {"stored": 1, "duplicates": 2, "refused": 0, "errors": []}
    assert post([fact(4, now, unit="")] * 200).status_code == 422
    assert len(post([fact(4, now, unit="")] * 200).json()["errors"]) == 100


def test_a_name_keeps_the_type_it_was_first_sent_with() -> None:
    now = batches.today()
    assert post([exposure(1, now, attributes={"plan": "basic"})]).status_code == 200
    response = post([exposure(2, now, attributes={"plan": 3}), exposure(3, now, attributes={"plan": "gold"})])
    assert response.status_code == 207
    assert response.json()["errors"] == [{
        "index": 0, "id": "exposure-2", "field": "attributes.plan",
        "message": "is a text in earlier events and cannot become a number; send a text or another name",
    }]  # fmt: skip
    # Numbers that facts send and attributes of exposures are columns of different tables.
    assert post([fact(1, now, values={"plan": 3})]).status_code == 200
    assert set(EventName.objects.values_list("kind", "name", "type")) == {
        ("attribute", "plan", "text"), ("value", "plan", "number"),
    }  # fmt: skip


def test_names_do_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = batches.today()
    monkeypatch.setattr(event_store, "MOST_NAMES", 3)
    assert post([fact(1, now), fact(2, now, values={"third": 1})]).status_code == 200
    response = post([fact(3, now, values={"fourth": 1}), fact(4, now)])
    assert (response.status_code, response.json()["stored"]) == (207, 1)
    assert "is a new name, and there are 3 already" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"not json", 400, "the body is not JSON"),
        (b"\xff", 400, "the body is not JSON"),
        (b"[" * 100_000, 400, "the body is not JSON"),
        (b'{"events": [NaN]}', 400, "NaN is not a JSON number"),
        (b"[]", 400, "must be an object with a list"),
        (b'{"events": {}}', 400, "must be an object with a list"),
        (b'{"events": [], "more": 1}', 400, "has the key `more`"),
        (b'{"events": []}', 400, "a batch has 1 to 5,000 events; found 0"),
        (json.dumps({"events": [0] * 5001}).encode(), 400, "found 5,001"),
        (b" " * (4 * 2**20 + 1), 413, "at most 4,194,304 are read here"),
    ],
)
def test_a_request_without_a_batch_is_refused_whole(body: bytes, status: int, words: str) -> None:
    response = sent(body)
    assert response.status_code == status
    assert words in json.loads(response.content)["detail"]


def test_nobody_sends_events_without_a_token_for_it() -> None:
    event, secret = fact(1, batches.today()), batches.sender()["Authorization"].removeprefix("Bearer ")
    for given in ("", "Bearer ", "Bearer wrong", f"Basic {secret}", secret):
        response = post([event], Authorization=given)
        assert response.status_code == 401, given
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="Holdfast"'
    reader = tokens.create(person("viewer"), "reads", ["read"], None, by="viewer@example.com", now=NOW)
    assert post([event], Authorization=f"Bearer {reader.secret}").status_code == 403
    assert counted()["keys"] == 0


def test_batches_are_not_counted_by_the_minute(settings: Any) -> None:
    settings.HOLDFAST_API_REQUESTS_PER_MINUTE = 1
    headers, now = batches.sender(), batches.today()
    for number in range(3):
        assert post([fact(number, now)], Authorization=headers["Authorization"]).status_code == 200


# --- Too much ---------------------------------------------------------------------------------------------------------
def test_a_batch_too_many_is_told_when_to_come_again_and_nothing_of_it_is_stored() -> None:
    event = fact(1, batches.today())
    with psycopg.connect(database_address()) as other:
        for slot in range(event_store.SLOTS):
            other.execute("SELECT pg_advisory_xact_lock(%s, %s)", (event_store._SLOT_LOCK, slot))
        response = post([event])
        assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
        assert "send this one again in 1 s" in response.json()["detail"]
        assert counted()["keys"] == 0
    assert post([event]).json()["stored"] == 1


def test_a_database_that_goes_away_is_told_apart_from_a_wrong_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    store = event_store.make_partitions

    def and_then_no_more(months: Any) -> int:
        made = store(months)
        with psycopg.connect(database_address(), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (backend,))
        return made

    event = fact(1, batches.today())
    monkeypatch.setattr(event_store, "make_partitions", and_then_no_more)
    response = post([event])
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    monkeypatch.undo()
    connection.close()
    assert post([event]).json()["stored"] == 1


# --- Months -----------------------------------------------------------------------------------------------------------
def partitions() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'experiments_factevent'::regclass"
        )
        return {name.removeprefix("experiments_factevent_") for (name,) in cursor.fetchall()}


def test_tables_of_months_are_made_ahead_and_when_they_are_needed() -> None:
    event_store.make_partitions_ahead(datetime(2031, 11, 30, tzinfo=UTC))
    assert {"2031_11", "2031_12", "2032_01"} <= partitions()
    assert event_store.make_partitions_ahead(datetime(2031, 11, 1, tzinfo=UTC)) == 0
    late = [fact(1, NOW, at="2031-05-31T23:59:59-05:00"), fact(2, NOW, at="2031-06-01T00:00:00+05:00")]
    stored(late, datetime(2031, 7, 1, tzinfo=UTC))
    assert {"2031_05", "2031_06", "2031_08"} <= partitions()
    assert event_store.after(date(2031, 12, 1)) == date(2032, 1, 1)


def test_who_reads_events_does_not_hold_up_the_table_of_a_new_month() -> None:
    stored([fact(1, NOW)], NOW)
    with psycopg.connect(database_address()) as reader:
        reader.execute("SELECT count(*) FROM experiments_factevent")
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '2s'")
        try:
            assert event_store.make_partitions([date(2033, 1, 1)]) == 2
        finally:
            connection.close()


# --- Ids are not kept for ever ----------------------------------------------------------------------------------------
def test_an_id_is_forgotten_once_the_event_would_be_refused_and_not_before() -> None:
    newest = fact(0, NOW, at=(NOW + event_items.AHEAD).isoformat())  # as far ahead as an event may be
    batches.stored([newest, *(fact(number, NOW) for number in range(1, 8))], NOW)
    last = NOW + event_items.LATE + event_items.AHEAD
    assert event_store.forget_ids(last) == 0
    again, _ = event_items.read([newest], last)
    assert event_store.store(again, last).duplicates == 1
    batches.stored([fact(9, last)], last)
    after = last + timedelta(microseconds=1)
    assert "more than 1830 days ago" in event_items.read([newest], after)[1][0].message
    assert event_store.forget_ids(after, at_a_time=3) == 8
    assert counted()["keys"] == 1
    assert counted()["facts"][0] == 9  # the events stay


def test_ids_are_forgotten_every_day() -> None:
    tasks.forget_event_ids()
    assert "experiments.tasks.forget_event_ids" in {one["task"] for one in settings.CELERY_BEAT_SCHEDULE.values()}
