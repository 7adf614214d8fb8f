"""A real beat and a real worker take what is due; both and the broker are taken away, and what was due is caught up."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from experiments import queue
from experiments.definitions import load
from experiments.models import Experiment, Look, LookCell
from experiments.services.apply import apply
from tests.experiments.looks import AS_OF, NOW
from tests.experiments.nursery import Nursery, own_home
from tests.experiments.small_data import SmallData

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 60.0

#: Long enough for a busy machine: no lease runs out, so a second attempt would be a mistake.
LEASE_SECONDS = 60


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_home(tmp_path / "home", monkeypatch)


@pytest.fixture
def nursery(home: Path) -> Iterator[Nursery]:
    opened = Nursery(home, lease_seconds=LEASE_SECONDS)
    yield opened
    opened.close()


def experiment(data: SmallData, key: str) -> str:
    """One more experiment, long over: its last look is due."""
    data.definition["experiment"] = key
    data.path.write_text(yaml.safe_dump(data.definition))
    apply([load(data.path)], NOW)
    return key


def wait_until(reached: Callable[[], bool], what: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


def is_done(key: str) -> bool:
    return Look.objects.filter(plan__experiment__key=key, state="done").exists()


def test_what_was_due_while_beat_worker_and_broker_were_away_is_taken_once(
    tmp_path: Path, home: Path, nursery: Nursery
) -> None:
    data = SmallData(tmp_path / "data")
    data.write()
    messages = home / "queue" / "messages"
    experiment(data, "first")
    worker, beat = nursery.worker(), nursery.beat()
    wait_until(lambda: is_done("first"), nursery.log.read_text)
    nursery.kill(beat)
    nursery.kill(worker)
    experiment(data, "second")  # due, and nobody is there to ask or to answer
    beat = nursery.beat()
    wait_until(lambda: any(messages.glob("*.msg")), nursery.log.read_text)
    nursery.kill(beat)
    for message in messages.glob("*.msg"):  # the broker has lost what it had
        message.unlink()
    assert not Look.objects.filter(plan__experiment__key="second").exists()
    worker, beat = nursery.worker(), nursery.beat()
    wait_until(lambda: is_done("second"), nursery.log.read_text)
    nursery.finish(beat)
    for _ in range(3):  # and the question once more, several times
        queue.enqueue("take_due_looks")
    wait_until(lambda: not any(messages.glob("*.msg")), nursery.log.read_text)
    nursery.finish(worker)
    looks = Look.objects.values_list("plan__experiment__key", "as_of", "state")
    assert sorted(looks) == [("first", AS_OF, "done"), ("second", AS_OF, "done")]
    assert set(LookCell.objects.values_list("attempts", flat=True)) == {1}
    assert set(Experiment.objects.values_list("state", flat=True)) == {"enrollment_closed"}
    assert (home / "beat-schedule").exists() or any(home.glob("beat-schedule*"))
