"""A check of a source by the queue: asked for on a page, done once, resumed by anybody; and from the command line."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client

from experiments import queue, tasks
from experiments.models import AuditEntry, Source, SourceCheck, SourceFinding
from experiments.services import source_checks
from experiments.sources import registry
from experiments.sources.base import SourceSpec
from tests.experiments.commands import run
from tests.experiments.looks import NOW
from tests.experiments.pages import words
from tests.experiments.small_data import START, SmallData
from tests.people import signed_in

pytestmark = pytest.mark.django_db

#: Commands close their connection at the end, and with it the transaction of a test.
COMMAND = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, int]]:
    """Messages that were sent, in place of a queue: the test delivers them."""
    box: list[dict[str, int]] = []
    monkeypatch.setattr(queue, "enqueue", lambda task, **ids: box.append(ids))
    return box


@pytest.fixture
def data(tmp_path: Path) -> SmallData:
    return SmallData(tmp_path)


@pytest.fixture
def source(data: SmallData) -> Source:
    data.exposures["variant"][4] = "Treatment"
    data.write()
    made = Source(key="shop", confined=True)
    made.spec = SourceSpec("files", "exposures.parquet", "facts.parquet", data.folder, confined=True)
    made.save()
    return made


def test_a_check_is_asked_for_on_a_page_and_its_findings_stand_there(
    source: Source, sent: list[dict[str, int]], client: Client
) -> None:
    editor = signed_in("editor")
    assert "Nobody has checked it yet" in words(client.get("/sources/shop/"))
    assert editor.post("/sources/shop/check/").headers["Location"] == "/sources/shop/#check"
    waiting = client.get("/sources/shop/progress/")
    assert "Waiting for a worker · step 0 of 1" in words(waiting)
    assert 'hx-get="/sources/shop/progress/"' in waiting.content.decode()
    tasks.check_source(**sent.pop())
    done = client.get("/sources/shop/progress/")
    assert "hx-get" not in done.content.decode()
    assert "Fine Exposures the variants are treatment (100 units), control (99 units), Treatment (1 units)." in words(
        done
    )
    assert "for editor@example.com" in words(client.get("/sources/shop/"))
    assert AuditEntry.objects.get().verb == "check asked for"


def test_a_database_is_not_checked_from_end_to_end(sent: list[dict[str, int]]) -> None:
    made = Source(key="live")
    made.spec = SourceSpec("postgres", "exposed", "orders", dsn="shop", schema="public")
    made.save()
    source_checks.run(source_checks.ask(made, by="a", now=NOW).pk, NOW)
    check = SourceCheck.objects.get()
    assert check.state == "failed"
    assert check.error.startswith("a source of kind postgres cannot be checked from end to end; allowed is files.")


def test_a_second_question_is_the_same_check(source: Source, sent: list[dict[str, int]]) -> None:
    first = source_checks.ask(source, by="a", now=NOW)
    assert source_checks.ask(source, by="b", now=NOW).pk == first.pk
    assert sent == [{"check_id": first.pk}] * 2
    source_checks.run(first.pk, NOW)
    assert source_checks.ask(source, by="b", now=NOW).pk != first.pk


def test_a_second_delivery_changes_nothing(source: Source, sent: list[dict[str, int]]) -> None:
    check = source_checks.ask(source, by="a", now=NOW)
    source_checks.run(check.pk, NOW)
    before = list(SourceFinding.objects.values_list("pk", flat=True))
    source_checks.run(check.pk, NOW)
    assert list(SourceFinding.objects.values_list("pk", flat=True)) == before


def test_a_check_whose_worker_is_gone_is_sent_again_and_done(source: Source, sent: list[dict[str, int]]) -> None:
    check = source_checks.ask(source, by="a", now=NOW)
    sent.clear()
    SourceCheck.objects.update(state="running", lease_until=Now() + timedelta(seconds=60))
    assert source_checks.resume() == 0
    SourceCheck.objects.update(lease_until=Now() - timedelta(seconds=1))
    tasks.resume_checks()
    tasks.check_source(**sent.pop())
    check.refresh_from_db()
    assert check.state == "done"


def test_what_cannot_be_read_at_all_fails_with_a_sentence(
    source: Source, sent: list[dict[str, int]], monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    source.kind = "oracle"
    source.save()
    source_checks.run(source_checks.ask(source, by="a", now=NOW).pk, NOW)
    assert "source.kind: `oracle` is not supported yet" in words(client.get("/sources/shop/"))

    def broken(*_: Any) -> None:
        raise RuntimeError("no\x00 idea")

    monkeypatch.setattr(registry, "check_source", broken)
    source_checks.run(source_checks.ask(source, by="a", now=NOW).pk, NOW)
    assert "Something unexpected happened (RuntimeError: no idea)" in words(client.get("/sources/shop/"))


def test_a_few_checks_are_kept(source: Source, sent: list[dict[str, int]]) -> None:
    for number in range(source_checks.KEPT + 2):
        source_checks.run(source_checks.ask(source, by=str(number), now=NOW + timedelta(days=number)).pk, NOW)
    assert source.checks.count() == source_checks.KEPT
    newest = source_checks.newest(source)
    assert newest is not None
    assert newest.asked_by == str(source_checks.KEPT + 1)


@COMMAND
def test_plans_that_read_a_source_are_checked_too(source: Source, data: SmallData, sent: list[dict[str, int]]) -> None:
    data.definition["source"] = {"name": "shop"}
    data.path.write_text(json.dumps(data.definition, default=str))
    assert run("apply", data.path).code == 0
    done = run("check_source", "shop", "--format", "json")
    found = {one["about"]: one for one in done.json["findings"]}
    assert found["unknown_variant"]["example"] == "user-0004 in 'Treatment'"
    assert found["unknown_variant"]["count"] == 1


@COMMAND
def test_the_command_prints_findings_the_worst_first_and_fails_where_looks_would_refuse(
    source: Source, data: SmallData
) -> None:
    done = run("check_source", "shop")
    assert (done.code, done.err) == (0, "")
    assert "fine      exposures: the variants are treatment (100 units), control (99 units)" in done.out
    data.facts["at"][3] = START + timedelta(days=20_000)
    data.write()
    refused = run("check_source", "shop")
    assert refused.code == 1
    assert refused.out.startswith("refused   facts: 1 rows are dated after today")
    assert refused.err == "Error: shop: looks would refuse these data for 1 reason\n"
    assert (
        run("check_source", "shp").err == "Error: there is no source `shp`, nor an experiment; did you mean `shop`?\n"
    )


@COMMAND
def test_the_data_of_one_experiment_are_checked_by_its_key(data: SmallData) -> None:
    assert run("apply", data.write()).code == 0
    assert "small: counts 100 in control, 100 in treatment" in run("check_source", "small").out
