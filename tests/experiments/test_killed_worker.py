"""A real worker is killed with kill -9 at ten points of a look; another one completes it, and the rows are the same."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery import Celery
from django.conf import settings
from django.db import connection, models

from experiments import queue
from experiments.definitions import load
from experiments.management import waiting
from experiments.models import (
    CheckRow,
    CurrentTriangle,
    EffectRow,
    FactCountRow,
    Look,
    LookCell,
    LookExclusion,
    LookUnits,
    MomentsCell,
    ReversalRow,
    TallyExclusion,
    TallyRow,
    TrajectoryRow,
)
from experiments.processes import CHECKOUT, worker_command
from experiments.services.apply import apply
from experiments.services.refresh import plan_look
from tests.experiments.commands import run
from tests.experiments.looks import NOW
from tests.experiments.small_data import SmallData

pytestmark = pytest.mark.django_db(transaction=True)

PARTITIONS = 3
LEASE_SECONDS = 1
PATIENCE = 60.0

RESULTS: tuple[type[models.Model], ...] = (EffectRow, TrajectoryRow, ReversalRow, CheckRow, LookUnits, LookExclusion)
MOMENTS: tuple[type[models.Model], ...] = (MomentsCell, TallyRow, TallyExclusion, FactCountRow)


@dataclass(frozen=True)
class Seen:
    """What the database says of a look at one moment."""

    look: str
    check: str
    moments: tuple[str, ...]
    finish: str

    @property
    def parts_done(self) -> int:
        return self.moments.count("done")


#: The points at which the worker is killed: as soon as this is seen, and then so many seconds more.
POINTS: dict[str, tuple[Callable[[Seen], bool], float]] = {
    "before anything is claimed": (lambda seen: True, 0),
    "while the rows are checked": (lambda seen: seen.check == "leased", 0),
    "later in the check": (lambda seen: seen.check == "leased", 0.03),
    "when the check is done": (lambda seen: seen.check == "done", 0),
    "while a part is read": (lambda seen: "leased" in seen.moments, 0),
    "when one part is done": (lambda seen: seen.parts_done >= 1, 0),
    "when all parts but one are done": (lambda seen: seen.parts_done >= PARTITIONS - 1, 0),
    "when all parts are done": (lambda seen: seen.parts_done == PARTITIONS, 0),
    "while the effects are estimated": (lambda seen: seen.finish == "leased", 0),
    "when the rows are about to be there": (lambda seen: seen.finish == "leased", 0.12),
    "when the look is done and the message is not": (lambda seen: seen.look == "done", 0),
}


#: Starting Python and importing everything takes longer than a look, so one process does it, and is forked: each child
#: is a whole Celery worker with a pool, in a process group of its own. The parent never touches database or queue.
NURSERY = """
import ctypes, os, signal, sys
from experiments.celery import app
import django
django.setup()
import experiments.tasks
for line in sys.stdin:
    verb, *rest = line.split()
    if verb == "await":
        os.waitpid(int(rest[0]), 0)
        print("ended", flush=True)
        continue
    child = os.fork()
    if not child:
        os.setsid()
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # ends with its parent, however that ends
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        app.worker_main(rest)
        os._exit(0)
    print(child, flush=True)
"""


class Nursery:
    """Starts workers on the test's database and a queue of their own."""

    def __init__(self, home: Path) -> None:
        database = connection.settings_dict
        names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "NAME"}
        address = " ".join(f"{key}='{database[name]}'" for key, name in names.items() if database[name])
        self.log = home / "worker.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", NURSERY],
                cwd=CHECKOUT,
                env={
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": "experiments.settings",
                    "DATABASE_URL": address,
                    "HOLDFAST_HOME": str(home),
                    "HOLDFAST_LEASE_SECONDS": str(LEASE_SECONDS),
                    "CELERY_BROKER_URL": "",
                    "OMP_NUM_THREADS": "1",
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.alive: set[int] = set()

    def worker(self) -> int:
        """Start a worker and return its process id."""
        command = worker_command(2)
        pid = int(self._ask("start", *command[command.index("worker") :]))
        self.alive.add(pid)
        return pid

    def kill(self, worker: int) -> None:
        """kill -9 for a worker and its children, as if the machine had gone out."""
        os.killpg(worker, signal.SIGKILL)
        self._wait_for(worker)

    def finish(self, worker: int) -> None:
        """Let a worker end the work in hand, and stop."""
        os.kill(worker, signal.SIGTERM)
        self._wait_for(worker)

    def close(self) -> None:
        for worker in list(self.alive):
            self.kill(worker)
        self.process.communicate()

    def _wait_for(self, worker: int) -> None:
        assert self._ask("await", str(worker)) == "ended"
        self.alive.remove(worker)

    def _ask(self, *words: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        print(*words, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline().strip()
        assert answer, self.log.read_text()
        return answer


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a queue of its own, to which this process sends too."""
    folder = tmp_path / "home"
    options: dict[str, Any] = {**settings.CELERY_BROKER_TRANSPORT_OPTIONS}
    for key, value in options.items():
        if "folder" in key:
            options[key] = str(folder / "queue" / Path(value).name)
            Path(options[key]).mkdir(parents=True, exist_ok=True)
    app = Celery("sender", broker=settings.CELERY_BROKER_URL)
    app.conf.update(broker_transport_options=options, task_default_queue=settings.CELERY_TASK_DEFAULT_QUEUE)
    monkeypatch.setattr(queue, "app", app)
    return folder


@pytest.fixture
def nursery(home: Path) -> Iterator[Nursery]:
    opened = Nursery(home)
    yield opened
    opened.close()


def seen(look_id: int) -> Seen:
    look = Look.objects.get(pk=look_id)
    states = LookCell.objects.filter(look=look_id).order_by("partition").values_list("kind", "state")
    by_kind: dict[str, list[str]] = {"check": [], "moments": [], "finish": []}
    for kind, state in states:
        by_kind[kind].append(state)
    return Seen(look.state, by_kind["check"][0], tuple(by_kind["moments"]), by_kind["finish"][0])


def wait_until(look_id: int, point: Callable[[Seen], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not point(seen(look_id)):
        assert time.monotonic() < deadline, seen(look_id)


def rows(look_id: int) -> dict[str, list[dict[str, Any]]]:
    """All results of a look and its stored moments, less the numbers of rows."""
    triangle = CurrentTriangle.objects.get(look=look_id)
    found = {model.__name__: list(model._default_manager.filter(look=look_id).values()) for model in RESULTS}
    found |= {model.__name__: list(model._default_manager.filter(triangle=triangle).values()) for model in MOMENTS}
    for table in found.values():
        assert table or table is found["TallyExclusion"]
        for row in table:
            for name in ("id", "look_id", "triangle_id"):
                row.pop(name, None)
    return {
        name: [{key: _plain(value) for key, value in row.items()} for row in table] for name, table in found.items()
    }


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def whole_numbers(folder: Path) -> SmallData:
    """Data without fractions: they add up to the same sum in any order, so rows can be compared to the last bit."""
    data = SmallData(folder)
    data.facts["sales"] = [round(value) for value in data.facts["sales"]]
    data.write()
    return data


def experiment(data: SmallData, key: str) -> str:
    """One more experiment on the same data."""
    data.definition["experiment"] = key
    data.path.write_text(yaml.safe_dump(data.definition))
    apply([load(data.path)], NOW)
    return key


def test_a_worker_killed_at_any_point_leaves_a_look_that_is_completed_with_the_same_rows(
    tmp_path: Path, home: Path, nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "HOLDFAST_MIN_PARTITIONS", PARTITIONS, raising=False)
    monkeypatch.setattr(waiting, "PUSH_SECONDS", 0.2)
    monkeypatch.setattr(waiting, "LONGEST_PUSH_SECONDS", 0.2)
    data = whole_numbers(tmp_path / "data")
    worker = nursery.worker()
    undisturbed = plan_look(experiment(data, "undisturbed"), None, NOW).look_id
    assert waiting.wait_for(undisturbed).state == "done", nursery.log.read_text()
    expected = rows(undisturbed)
    reached: dict[str, str] = {}
    killed = []
    for number, (name, (point, seconds)) in enumerate(POINTS.items()):
        key = experiment(data, f"killed-{number}")
        look_id = plan_look(key, None, NOW).look_id
        wait_until(look_id, point)
        time.sleep(seconds)
        nursery.kill(worker)
        reached[name] = Look.objects.get(pk=look_id).state
        killed.append(look_id)
        worker = nursery.worker()
        done = run("refresh", key, "--wait")
        assert done.code == 0, (name, done.err)
        assert rows(look_id) == expected, name
    # On a busy machine a look may have ended before the blow; most have not.
    assert list(reached.values()).count("done") <= 5, reached
    before = list(LookCell.objects.order_by("pk").values())
    _deliver_everything_again(home)
    nursery.finish(worker)
    assert list(LookCell.objects.order_by("pk").values()) == before
    for look_id in [undisturbed, *killed]:
        assert rows(look_id) == expected


def _deliver_everything_again(home: Path) -> None:
    """Send each cell's message once more, and wait until a worker has taken all of them."""
    for cell_id in LookCell.objects.values_list("pk", flat=True):
        queue.enqueue("run_cell", cell_id=cell_id)
    deadline = time.monotonic() + PATIENCE
    while any((home / "queue" / "messages").glob("*.msg")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
