"""What machines ask of the web server: alive, ready, and the counts. No host name, no session, nothing given away."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.conf import settings
from django.db import connection
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from experiments import queue
from experiments.models import Look, LookCell
from experiments.services import operations
from tests.experiments import cards
from tests.experiments.nursery import own_home
from tests.experiments.stored import decide, stored

TOKEN = "a token of the test"
CLOSED_PORT = "redis://somebody:hush@127.0.0.1:1/0"
NOW = datetime(2018, 6, 1, tzinfo=UTC)


def broker_is(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "app", Celery("another", broker=url))
    monkeypatch.setattr(settings, "CELERY_BROKER_URL", url)


@pytest.fixture
def token(settings: Any) -> str:
    settings.HOLDFAST_METRICS_TOKEN = TOKEN
    return TOKEN


def numbers(token: str) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels, which stand in the order of the labels' names."""
    response = Client().get("/-/metrics", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200
    families = text_string_to_metric_families(response.content.decode())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_a_process_that_answers_is_alive_whatever_host_it_is_called_by() -> None:
    response = Client().get("/healthz", headers={"Host": "10.0.0.7:8000"})
    assert (response.status_code, response.json()) == (200, {"alive": True})
    assert "no-store" in response.headers["Cache-Control"]
    assert not response.cookies


@pytest.mark.django_db
def test_a_whole_installation_is_ready() -> None:
    response = Client().get("/readyz", headers={"Host": "10.0.0.7:8000"})
    assert (response.status_code, response.json()) == (200, {"ready": True, "problems": []})


@pytest.mark.django_db
def test_missing_migrations_are_counted() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'experiments' AND name >= '0005'")
        deleted = cursor.rowcount
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert response.json()["problems"] == [
        f"{deleted} migrations are not applied to the database; run `manage.py migrate`"
    ]


@pytest.mark.django_db
def test_a_broker_that_is_away_is_said_without_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    broker_is(CLOSED_PORT, monkeypatch)
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert response.json()["problems"] == ["the queue cannot be reached, so no looks are taken"]
    with pytest.raises(queue.QueueProblem) as problem:
        queue.waiting()
    assert "hush" not in str(problem.value)


@pytest.mark.django_db
def test_a_database_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    away = connection.copy()
    away.settings_dict["NAME"] = "there_is_none_of_this_name"
    monkeypatch.setattr(operations, "connection", away)
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert response.json()["problems"] == ["the database cannot be reached"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/-/metrics"])
def test_probes_are_read_only(path: str) -> None:
    assert Client(enforce_csrf_checks=True).post(path).status_code == 405


def test_without_a_token_there_are_no_counts(settings: Any) -> None:
    assert settings.HOLDFAST_METRICS_TOKEN == ""
    for headers in ({}, {"Authorization": "Bearer "}):
        response = Client().get("/-/metrics", headers=headers)
        assert response.status_code == 404
        assert b"holdfast_" not in response.content


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN} ", f"bearer {TOKEN}é"]
)
def test_a_wrong_token_gets_nothing(token: str, given: str) -> None:
    response = Client().get("/-/metrics", headers={"Authorization": given})
    assert response.status_code == 401
    assert b"holdfast_" not in response.content


@pytest.mark.django_db
def test_requests_are_counted_by_route_and_never_by_address(token: str) -> None:
    before = numbers(token)
    for _ in range(3):
        assert Client().get("/experiments/secret-name/").status_code == 302
    Client().get("/there/is/nothing/here/")
    Client().generic("BREW", "/healthz")
    after = numbers(token)

    def more(*name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert more("holdfast_requests_total", "GET", "scorecard", "302") == 3
    assert more("holdfast_request_seconds_count", "scorecard") == 3
    assert more("holdfast_requests_total", "GET", "none", "404") == 1
    assert more("holdfast_requests_total", "other", "alive", "405") == 1
    assert not any("secret-name" in word for name in after for word in name)


@pytest.mark.django_db
def test_looks_cells_and_decisions_are_counted_as_the_database_has_them(token: str) -> None:
    key = stored(cards.honeymoon())
    decide(key, "roll_back")
    done = Look.objects.get()
    for seconds in (0.5, 7, 100_000):
        more = Look.objects.get(pk=done.pk)
        more.pk, more.fingerprint, more.planned_at = None, f"of {seconds}", NOW
        more.finished_at = NOW + timedelta(seconds=seconds)
        more.save()
    Look.objects.filter(pk=done.pk).update(planned_at=NOW, finished_at=NOW + timedelta(seconds=3))
    working = Look.objects.get(pk=done.pk)
    working.pk, working.fingerprint, working.state, working.finished_at = None, "open", "running", None
    working.save()
    LookCell.objects.bulk_create([
        LookCell(look=working, kind="moments", partition=number, state=state)
        for number, state in enumerate(["waiting", "waiting", "done"])
    ])  # fmt: skip
    found = numbers(token)
    assert found["holdfast_looks", "done"] == 4
    assert found["holdfast_looks", "running"] == 1
    assert found["holdfast_cells", "moments", "waiting"] == 2
    assert found["holdfast_cells", "moments", "done"] == 1
    assert found["holdfast_decisions_total", "roll_back"] == 1
    assert [found["holdfast_look_seconds_bucket", end] for end in ("1.0", "5.0", "10.0", "3600.0", "+Inf")] == [
        1,
        2,
        3,
        3,
        4,
    ]
    assert found["holdfast_look_seconds_sum",] == pytest.approx(100_010.5)
    assert found["holdfast_database_up",] == found["holdfast_queue_up",] == 1
    assert operations.amounts(NOW + timedelta(hours=1)).oldest_seconds == 3600


@pytest.mark.django_db
def test_counts_go_on_where_the_broker_is_away(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broker_is(CLOSED_PORT, monkeypatch)
    found = numbers(token)
    assert found["holdfast_queue_up",] == 0
    assert ("holdfast_queue_messages",) not in found
    assert found["holdfast_database_up",] == 1


@pytest.mark.django_db
def test_messages_that_wait_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_home(tmp_path, monkeypatch)
    assert queue.waiting() == 0
    for number in range(3):
        queue._send("run_cell", {"cell_id": number})
    assert queue.waiting() == 3
