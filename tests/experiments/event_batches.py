"""Events for tests: batches, a real server that can be killed with kill -9, and clients that send again."""

import json
import os
import signal
import socket
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from django.db import connection

from experiments.processes import CHECKOUT, web_command
from experiments.services import event_items, event_store, tokens
from tests.experiments.crowd import database_address
from tests.people import person

Headers = dict[str, str]

#: The days of events begin so long before now, and end before it.
DAYS = 80

#: A server that does not answer for so long never will.
PATIENCE = 60.0


def fact(number: int, now: datetime, **changes: Any) -> dict[str, Any]:
    """One fact of many: its id, unit, time and value follow from its number."""
    at = now - timedelta(days=1 + number % DAYS, seconds=number % 86_400)
    event = {"type": "fact", "id": f"fact-{number}", "unit": f"unit-{number % 997}", "at": at.isoformat(),
             "values": {"orders": number % 5, "amount": (number % 1013) / 8}}  # fmt: skip
    return {**event, **changes}


def exposure(number: int, now: datetime, **changes: Any) -> dict[str, Any]:
    at = now - timedelta(days=1 + number % DAYS)
    event = {"type": "exposure", "id": f"exposure-{number}", "unit": f"unit-{number}", "at": at.isoformat(),
             "experiment": "shop", "variant": ("control", "treatment")[number % 2], "attributes": {
                 "country": ("de", "fr")[number % 2], "age": number % 60, "vip": number % 3 == 0}}  # fmt: skip
    return {**event, **changes}


def stored(events: list[dict[str, Any]], now: datetime) -> None:
    for first in range(0, len(events), 5000):
        found, wrong = event_items.read(events[first : first + 5000], now)
        assert not wrong
        assert event_store.store(found, now).refused == ()


def empty_tables() -> None:
    """Take all events away, which no model does."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE experiments_eventkey, experiments_exposureevent, experiments_factevent")


def counted() -> dict[str, Any]:
    """What is stored: exact numbers, for there are only eighths in the amounts."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(DISTINCT id), sum((values->>'orders')::numeric), sum((values->>'amount')::numeric) "
            "FROM experiments_factevent"
        )
        facts = cursor.fetchone()
        cursor.execute("SELECT count(*), count(DISTINCT id) FROM experiments_exposureevent")
        exposures = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM experiments_eventkey")
        return {"facts": facts, "exposures": exposures, "keys": cursor.fetchone()[0]}


class Server:
    """gunicorn as `up` runs it, on the test's database; killed, it can be started again on the same port.

    Its workers are forked from one that has imported everything, which takes longer than a thousand batches.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api/v1/events"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*web_command("127.0.0.1", self.port), "--preload"],
                cwd=CHECKOUT, start_new_session=True, stdout=log, stderr=log,
                env={**os.environ, "DATABASE_URL": database_address(), "HOLDFAST_HOME": str(self.home),
                     "DJANGO_SETTINGS_MODULE": "experiments.settings"},
            )  # fmt: skip
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < give_up, (self.home / "server.log").read_text()
                time.sleep(0.05)

    def kill(self) -> None:
        """kill -9 for gunicorn and its workers, as if the machine had gone out."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def sender() -> Headers:
    """The headers of a program that may send events."""
    owner = person("editor")
    made = tokens.create(owner, "events", ["events"], None, by=owner.email, now=today())
    return {"Authorization": f"Bearer {made.secret}", "Content-Type": "application/json"}


def send(url: str, headers: Headers, events: list[dict[str, Any]]) -> dict[str, Any]:
    """Send a batch until it is answered, as any client has to; return the answer."""
    body = json.dumps({"events": events})
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            response = requests.post(url, data=body, headers=headers, timeout=PATIENCE)
        except requests.RequestException:  # not reached, or killed before or in the middle of its answer
            pause = 0.1
        else:
            if response.status_code == 200:
                answer: dict[str, Any] = response.json()
                return answer
            assert response.status_code in (429, 500, 503), response.text
            pause = float(response.headers.get("Retry-After", "0.1")) / 10
        assert time.monotonic() < give_up
        time.sleep(pause)


def today() -> datetime:
    return datetime.now(UTC)
