"""The console: what programs are told, with every step, without a trace in the database."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from experiments.assignment import bucket
from experiments.forms import attributes_of
from experiments.models import AuditEntry
from experiments.services import console, entry
from experiments.services.assignment import FLAGS, current_version, load
from tests.experiments.flag_programs import put_flags
from tests.experiments.pages import words
from tests.experiments.traffic_world import MONDAY, NEXT_MONDAY, NOW, experiment, holdout, put
from tests.people import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    FLAGS.forget()
    return signed_in("viewer")


def first(wanted: Callable[[str], bool]) -> str:
    return next(unit for unit in (f"user-{number}" for number in range(1_000)) if wanted(unit))


def test_without_a_flag_it_says_what_makes_one(client: Client) -> None:
    assert "There is no flag yet" in words(client.get("/console/"))


def test_the_page_says_what_programs_are_told_and_which_step_settled_it(client: Client) -> None:
    put_flags()
    unit = first(lambda one: bucket("winter", one) < 2_000)
    text = words(client.get("/console/", {"flag": "integer", "unit": unit}))
    assert f"Held out integer for {unit} on 2024-06-05" in text
    assert f"winter holds out buckets below 2,000, and the unit has {bucket('winter', unit):,}: held out" in text
    assert "Holdout settles it" in text
    assert "Variant not asked any more" in text
    assert "To be logged winter: held_out" in text
    assert f'SHA-256("winter:{unit}")' in text


@pytest.mark.parametrize("key", ["plain", "float", "object", "winter"])
def test_steps_and_answer_agree_on_every_unit(client: Client, key: str) -> None:
    put_flags()
    snapshot = load(current_version())
    for number in range(200):
        found = console.ask(snapshot, key, f"user-{number}", {}, NOW)
        assert found.evaluation == snapshot.evaluate(key, f"user-{number}", {}, NOW)
        last = found.steps[-1]
        assert (last.reason, last.variant or "held_out") == (
            found.evaluation.metadata["cause"], found.evaluation.variant
        )  # fmt: skip


def test_a_day_chooses_the_phase_and_the_holdouts_of_that_day(client: Client) -> None:
    put(
        holdout(fraction=0.2),
        experiment("a", holdout="winter", phases=[{"week": 0, "share": 0.1}, {"week": 1, "share": 1}]),
    )
    entry.release("winter", by="x", now=NOW, reason="over")
    snapshot = load(current_version())
    late = first(lambda one: bucket("entry/a", one) >= 1_000 and bucket("winter", one) >= 2_000)
    held = first(lambda one: bucket("entry/a", one) < 1_000 and bucket("winter", one) < 2_000)
    causes = {
        (unit, day): console.ask(snapshot, "a", unit, {}, NOW, day).evaluation.metadata["cause"]
        for unit in (late, held) for day in (MONDAY, NEXT_MONDAY)
    }  # fmt: skip
    assert causes == {
        (late, MONDAY): "outside_layer", (late, NEXT_MONDAY): "assigned",
        (held, MONDAY): "held_out", (held, NEXT_MONDAY): "assigned",
    }  # fmt: skip


def test_what_has_not_started_or_is_released_says_so(client: Client) -> None:
    put(holdout(), experiment("later", start_date=NEXT_MONDAY))
    entry.release("winter", by="x", now=NOW, reason="over")
    FLAGS.forget()
    assert "It has not started" in words(client.get("/console/", {"flag": "later", "unit": "u"}))
    tomorrow = (NOW + timedelta(days=1)).date().isoformat()
    text = words(client.get("/console/", {"flag": "winter", "unit": "u", "day": tomorrow}))
    assert "It holds nobody out on 2024-06-06" in text


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"flag": "unknown"}, "unknown is not one of the available choices"),
        ({"unit": ""}, "Name a unit"),
        ({"unit": "u" * 1_025}, "at most 1024 characters"),
        ({"day": "soon"}, "Enter a valid date"),
        ({"attributes": "country"}, "Line 1 is 'country'; write name=value"),
        ({"attributes": "{country: de}"}, "This is no JSON object"),
        ({"attributes": '{"a": "\\ud800"}'}, "Half a character"),
        ({"attributes": "x" * 8_001}, "at most 8000 characters"),
    ],
)
def test_what_is_asked_wrongly_is_named(client: Client, changes: dict[str, str], why: str) -> None:
    put(experiment("a"))
    response = client.get("/console/", {"flag": "a", "unit": "u", **changes})
    assert response.status_code == 422
    assert why in words(response)


def test_attributes_are_lines_or_json_and_types_are_those_of_json() -> None:
    assert attributes_of('country = de\nage=30\n\nvip=true\ncode="30"\nnone=null\nlist=[1]\nformula=a=b') == {
        "country": "de", "age": 30, "vip": True, "code": "30", "none": "null", "list": "[1]", "formula": "a=b",
    }  # fmt: skip
    assert attributes_of(' {"age": 30}') == {"age": 30}


def test_asking_writes_nothing_and_takes_the_same_queries_whatever_there_is(client: Client) -> None:
    put(experiment("a", targeting={"attribute": "country", "in": ["de"]}))
    entries, counts = AuditEntry.objects.count(), []
    for total in (0, 6):
        put(*(experiment(f"b{number}") for number in range(total)))
        entries = AuditEntry.objects.count()
        FLAGS.forget()
        with CaptureQueriesContext(connection) as queries:
            text = words(client.get("/console/", {"flag": "a", "unit": "u", "attributes": "country=us"}))
        assert "✗ not met country in 'de' (found 'us')" in text
        assert AuditEntry.objects.count() == entries
        assert all(query["sql"].startswith("SELECT") for query in queries)
        counts.append(len(queries))
    assert counts[0] == counts[1]
