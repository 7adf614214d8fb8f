"""The command that takes looks, and the queue behind it."""

from typing import Any

import pytest

from experiments import queue
from experiments.management import waiting
from experiments.models import (
    Look,
)
from experiments.sources.base import SourceProblem
from tests.experiments.commands import run
from tests.experiments.looks import Mailbox

pytestmark = pytest.mark.django_db(transaction=True)


def deliver_in_the_background(box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command's pauses do the work that a worker would do."""
    monkeypatch.setattr(waiting.time, "sleep", lambda seconds: box.waiting and box.deliver())


def test_the_command_plans_a_look_and_says_where_to_see_it(key: str, box: Mailbox) -> None:
    done = run("refresh", key)
    assert done.code == 0
    assert done.out.startswith("the look of small as of 2024-02-26 is planned; a worker does it.")
    assert "is in work already" in run("refresh", key).out
    box.deliver_all()
    assert "is done already, on the same data and plan; nothing was computed" in run("refresh", key, "--wait").out


def test_the_command_waits_for_the_look_to_be_done(key: str, box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver_in_the_background(box, monkeypatch)
    done = run("refresh", key, "--as-of", "2024-02-26", "--wait")
    assert done.code == 0, done.err
    assert done.out == (
        "the look of small as of 2024-02-26 is done. See it with: python manage.py scorecard small --as-of 2024-02-26\n"
    )
    assert Look.objects.get().state == "done"


def test_the_command_ends_with_exit_code_1_and_the_reason_when_the_look_fails(
    key: str, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise SourceProblem("facts.parquet: 3 values are not numbers")

    monkeypatch.setattr("experiments.sources.duckdb.DuckDBSource.read_tallies", refuse)
    deliver_in_the_background(box, monkeypatch)
    done = run("refresh", key, "--wait")
    assert done.code == 1
    assert "the look of small as of 2024-02-26 failed: facts.parquet: 3 values are not numbers" in done.err
    assert "Traceback" not in done.err


def test_without_a_worker_the_command_says_how_to_start_one_and_pushes_lost_work(
    key: str, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 3))
    monkeypatch.setattr(waiting.time, "monotonic", lambda: float(next(clock)))
    pauses = iter(range(10_000))
    lost = iter([True] * 5)

    def sleep(seconds: float) -> None:
        if next(pauses) < 8:
            return
        if next(lost, False):
            box.waiting.clear()
        elif box.waiting:
            box.deliver()

    monkeypatch.setattr(waiting.time, "sleep", sleep)
    done = run("refresh", key, "--wait")
    assert done.code == 0, done.err
    assert "start one with: python manage.py up" in " ".join(done.err.split())


def test_the_command_explains_an_unknown_key_and_a_broken_queue(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "did you mean `small`?" in run("refresh", "smal").err

    def broken(task: str, ids: dict[str, int]) -> None:
        raise queue.QueueProblem("the queue at redis:6379 cannot be used: connection refused")

    monkeypatch.setattr(queue, "_send", broken)
    done = run("refresh", key)
    assert done.code == 1
    assert "cannot be used: connection refused. What was planned is kept" in done.err
    assert run("refresh", key, "--as-of", "2024-2-26").code == 2


def test_a_broker_that_cannot_be_reached_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.undo()
    settings.CELERY_BROKER_URL = "redis://:secret@broker.example.com:6379/0"

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError("connection refused")

    monkeypatch.setattr(queue.app, "send_task", refuse)
    with pytest.raises(queue.QueueProblem, match=r"the queue at broker\.example\.com:6379/0 cannot be used") as told:
        queue.enqueue("run_cell", cell_id=1)
    assert "secret" not in str(told.value)
