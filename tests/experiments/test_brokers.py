"""Real brokers: a look whose worker or whose broker is killed with kill -9 half-way ends with the very same rows."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from django.conf import settings

from experiments import queue
from experiments.management import waiting
from experiments.models import Look
from experiments.queue import QueueProblem
from experiments.services.refresh import plan_look
from tests.experiments.brokers import RabbitMQ, Redis
from tests.experiments.commands import run
from tests.experiments.looks import NOW
from tests.experiments.nursery import Nursery
from tests.experiments.small_data import SmallData
from tests.experiments.test_killed_worker import PARTITIONS, Seen, experiment, rows, wait_until, whole_numbers

pytestmark = pytest.mark.django_db(transaction=True)

LEASE_SECONDS = 1

Broker = Redis | RabbitMQ


@pytest.fixture(params=[Redis, RabbitMQ], ids=lambda kind: kind.name)
def broker(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    """A broker of its own, to which this process sends too."""
    opened: Broker = request.param(tmp_path)
    app = Celery("sender", broker=opened.url)
    app.conf.update(task_default_queue=settings.CELERY_TASK_DEFAULT_QUEUE)
    monkeypatch.setattr(queue, "app", app)
    monkeypatch.setattr(settings, "CELERY_BROKER_URL", opened.url)
    monkeypatch.setattr(settings, "HOLDFAST_MIN_PARTITIONS", PARTITIONS, raising=False)
    monkeypatch.setattr(waiting, "PUSH_SECONDS", 0.2)
    monkeypatch.setattr(waiting, "LONGEST_PUSH_SECONDS", 0.2)
    yield opened
    app.close()
    opened.stop()


@pytest.fixture
def nursery(broker: Broker, tmp_path: Path) -> Iterator[Nursery]:
    (tmp_path / "home").mkdir()
    opened = Nursery(tmp_path / "home", LEASE_SECONDS, broker.url)
    yield opened
    opened.close()


def half_way(found: Seen) -> bool:
    return "leased" in found.moments or found.parts_done > 0


def test_a_look_survives_its_worker_and_its_broker(broker: Broker, nursery: Nursery, tmp_path: Path) -> None:
    data = whole_numbers(tmp_path / "data")
    worker = nursery.worker()
    undisturbed = plan_look(experiment(data, "undisturbed"), None, NOW).look_id
    assert waiting.wait_for(undisturbed).state == "done", nursery.log.read_text()
    expected = rows(undisturbed)

    look_id = plan_look(experiment(data, "worker-killed"), None, NOW).look_id
    wait_until(look_id, half_way)
    nursery.kill(worker)
    nursery.worker()
    completed("worker-killed", look_id)
    assert rows(look_id) == expected

    look_id = plan_look(experiment(data, "broker-killed"), None, NOW).look_id
    wait_until(look_id, half_way)
    broker.kill()
    asked_while_there_is_none(data)
    broker.start()
    completed("broker-killed", look_id)
    assert rows(look_id) == expected

    completed("asked-meanwhile", look_id := Look.objects.get(plan__experiment__key="asked-meanwhile").pk)
    assert rows(look_id) == expected


def asked_while_there_is_none(data: SmallData) -> None:
    """A look can be asked for without a broker: whoever asks is told, and the look is there for later."""
    with pytest.raises(QueueProblem, match="cannot be used"):
        plan_look(experiment(data, "asked-meanwhile"), None, NOW)
    with pytest.raises(QueueProblem, match="cannot be used"):
        queue.waiting()


def completed(key: str, look_id: int) -> None:
    done = run("refresh", key, "--wait")
    assert done.code == 0, done.err
    assert Look.objects.get(pk=look_id).state == "done"
