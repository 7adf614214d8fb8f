"""Real workers and a real beat on the test's database, each a process that can be killed with kill -9."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.conf import settings

from experiments import queue
from experiments.processes import CHECKOUT, beat_command, worker_command
from tests.experiments.crowd import database_address

#: Beat asks this often.
SCHEDULE_SECONDS = 1

#: Starting Python and importing everything takes longer than a look, so one process does it, and is forked: each child
#: is a whole Celery worker with a pool, or beat, in a process group of its own. The parent never touches database or
#: queue.
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
        app.start(rest)
        os._exit(0)
    print(child, flush=True)
"""


class Nursery:
    """Starts workers on the test's database and a queue of their own: in files, or the ``broker`` at an address."""

    def __init__(self, home: Path, lease_seconds: int, broker: str = "") -> None:
        self.log = home / "worker.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", NURSERY],
                cwd=CHECKOUT,
                env={
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": "experiments.settings",
                    "DATABASE_URL": database_address(),
                    "HOLDFAST_HOME": str(home),
                    "HOLDFAST_LEASE_SECONDS": str(lease_seconds),
                    "HOLDFAST_SCHEDULE_SECONDS": str(SCHEDULE_SECONDS),
                    "CELERY_BROKER_URL": broker,
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
        return self._start("worker", worker_command(2))

    def beat(self) -> int:
        """Start beat and return its process id."""
        return self._start("beat", beat_command())

    def kill(self, child: int) -> None:
        """kill -9 for a child and its children, as if the machine had gone out."""
        os.killpg(child, signal.SIGKILL)
        self._wait_for(child)

    def finish(self, child: int) -> None:
        """Let a child end the work in hand, and stop."""
        os.kill(child, signal.SIGTERM)
        self._wait_for(child)

    def close(self) -> None:
        for child in list(self.alive):
            self.kill(child)
        self.process.communicate()

    def _start(self, kind: str, command: list[str]) -> int:
        pid = int(self._ask("start", *command[command.index(kind) :]))
        self.alive.add(pid)
        return pid

    def _wait_for(self, child: int) -> None:
        assert self._ask("await", str(child)) == "ended"
        self.alive.remove(child)

    def _ask(self, *words: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        print(*words, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline().strip()
        assert answer, self.log.read_text()
        return answer


def own_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a queue of its own, to which this process sends too."""
    options: dict[str, Any] = {**settings.CELERY_BROKER_TRANSPORT_OPTIONS}
    for key, value in options.items():
        if "folder" in key:
            options[key] = str(folder / "queue" / Path(value).name)
            Path(options[key]).mkdir(parents=True, exist_ok=True)
    app = Celery("sender", broker=settings.CELERY_BROKER_URL)
    app.conf.update(broker_transport_options=options, task_default_queue=settings.CELERY_TASK_DEFAULT_QUEUE)
    monkeypatch.setattr(queue, "app", app)
    return folder
