import json
import time
from argparse import ArgumentParser
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from experiments import queue
from experiments.management.base import HoldfastCommand

#: A beat leaves its mark at least every CELERY_BEAT_MAX_LOOP_INTERVAL; one that missed this many hangs.
MISSED_TURNS = 3

ANSWER_SECONDS = 5.0


class Command(HoldfastCommand):
    help = "Ask a running process of this machine whether it is well; for the health checks of containers."
    needs_tables = False
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("process", choices=("web", "worker", "beat"), help="which of them is asked")
        parser.add_argument("--port", type=int, default=8000, help="of the web server (default: %(default)s)")
        parser.add_argument("--name", help="the worker's name, as in `celery worker --hostname`; any worker without it")

    def handle(self, *args: Any, process: str, port: int, name: str | None, **options: Any) -> None:
        if process == "web":
            ask_web(port)
        elif process == "worker":
            ask_worker(name)
        else:
            look_at_beat(time.time())
        self.stdout.write(f"The {process} is well.")


def ask_web(port: int) -> None:
    """Raise CommandError unless the web server says that it is alive."""
    address = f"127.0.0.1:{port}"
    try:
        with closing(HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)) as web:
            web.request("GET", "/healthz")
            said = json.load(web.getresponse())
    except (OSError, HTTPException, ValueError) as error:
        raise CommandError(f"the web server does not answer at {address}: {error}") from None
    if said != {"alive": True}:
        raise CommandError(f"something else answers at {address}")


def ask_worker(name: str | None) -> None:
    """Raise CommandError unless the worker answers through the broker."""
    if not settings.CELERY_WORKER_ENABLE_REMOTE_CONTROL:
        raise CommandError("workers on the file queue cannot be asked; set CELERY_BROKER_URL")
    try:
        answers = queue.answering(name, ANSWER_SECONDS)
    except queue.QueueProblem as problem:
        raise CommandError(str(problem)) from None
    if not answers:
        raise CommandError(f"no worker{f' {name}' if name else ''} answered within {ANSWER_SECONDS:.0f} seconds")


def look_at_beat(now: float) -> None:
    """Raise CommandError unless beat left its mark lately. ``now`` is in seconds since 1970."""
    mark = settings.HOLDFAST_BEAT_MARK
    try:
        age = now - mark.stat().st_mtime
    except FileNotFoundError:
        raise CommandError(f"beat has left no mark at {mark}") from None
    if age > MISSED_TURNS * settings.CELERY_BEAT_MAX_LOOP_INTERVAL:
        raise CommandError(f"beat left its last mark {age:.0f} seconds ago")
