"""Every command of the containers, run outside of one in the order of the compose file: a look is taken at the end."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.docker.files import FOLDER, compose, copied, instructions
from tests.experiments import small_data
from tests.experiments.brokers import Redis, free_port
from tests.experiments.databases import empty_database
from tests.experiments.small_data import SmallData

CHECKOUT = FOLDER.parent
HOST = "holdfast.example.com"
TOKEN = "a token for the test of the containers"
PATIENCE = 60.0

#: What the compose file says for a variable that docker/.env does not.
DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}")


@pytest.fixture
def database() -> Iterator[str]:
    with empty_database("containers") as address:
        yield address


class Machine:
    """Stands in for the containers: the files of the image, the secrets, the variables, and the commands."""

    def __init__(self, folder: Path, database: str, broker: str) -> None:
        self.folder, self.port = folder, free_port()
        self.app = folder / "app"
        for source in copied():
            target = self.app / source
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (CHECKOUT / source).is_dir() else shutil.copy2)(CHECKOUT / source, target)
        self.file = compose()
        secrets = {
            "secret_key": "k9" * 20 + "-a long random text",
            "database_password": "unused",
            "metrics_token": TOKEN,
        }
        assert set(secrets) == set(self.file.secrets)
        for name, value in secrets.items():
            (folder / name).write_text(f"{value}\n")
        self.replaced = {
            "HOLDFAST_ALLOWED_HOSTS": HOST,
            "DATABASE_URL": database,
            "CELERY_BROKER_URL": broker,
            "TMPDIR": str(folder),
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def variables(self, service: str | None) -> dict[str, str]:
        """What a container of the service sees, or a step of the build."""
        image = dict(part.split("=", 1) for word, rest in instructions() if word == "ENV" for part in shlex.split(rest))
        given = {**image, **(self.file.services[service].environment if service else {})}
        for name, value in given.items():
            plain = DEFAULT.sub(r"\1", value.replace("/run/secrets", str(self.folder)))
            given[name] = self.replaced.get(name, plain)
        given["HOLDFAST_HOME"] = str(self.folder / "home")
        given["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        given["HOME"] = str(self.folder)
        given["PYTHONWARNINGS"] = "ignore:You're running the worker with superuser privileges"  # as tests may
        return given

    def command(self, words: list[str]) -> list[str]:
        return [f"127.0.0.1:{self.port}" if word == "0.0.0.0:8000" else word for word in words]

    def run(self, service: str | None, words: list[str]) -> str:
        """Run a command to its end in a container of this service, or as a step of the build; its stdout."""
        done = subprocess.run(
            self.command(words), cwd=self.app, env=self.variables(service), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def start(self, service: str) -> None:
        with (self.folder / f"{service}.log").open("wb") as log:
            self.running[service] = subprocess.Popen(
                self.command(self.file.services[service].command),
                cwd=self.app, env=self.variables(service), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def healthy(self, service: str) -> None:
        """The health check of a service, repeated as Docker does until it passes."""
        kind, *words = self.file.services[service].healthcheck.test
        assert kind == "CMD"
        more = ["--port", str(self.port)] if service == "web" else []
        deadline = time.monotonic() + PATIENCE
        while subprocess.run(
            [*words, *more], cwd=self.app, env=self.variables(service), capture_output=True, check=False
        ).returncode:
            assert self.running[service].poll() is None, self.log(service)
            assert time.monotonic() < deadline, self.log(service)
            time.sleep(0.5)

    def log(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text()

    def end(self) -> dict[str, int]:
        """SIGTERM for all, as `docker compose stop` does; their exit codes."""
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(timeout=60) for name, process in self.running.items()}

    def ask(self, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        opener = urllib.request.build_opener(_NoRedirects)
        try:
            with opener.open(request, timeout=30) as answer:
                return answer.status, dict(answer.headers), answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, dict(answer.headers), answer.read().decode()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


@pytest.fixture
def machine(tmp_path: Path, database: str) -> Iterator[Machine]:
    redis = Redis(tmp_path, compose().services["redis"].command)
    machine = Machine(tmp_path, database, redis.url)
    try:
        yield machine
    finally:
        for process in machine.running.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        redis.stop()


def test_the_commands_of_the_containers_take_a_look(machine: Machine) -> None:
    (built,) = [rest for word, rest in instructions() if word == "RUN" and "build_static" in rest]
    machine.run(
        None, ["sh", "-ec", built.replace("/opt/holdfast/venv/bin/", "").replace("/opt/holdfast", str(machine.folder))]
    )
    machine.run("migrate", machine.file.services["migrate"].command)
    for service in ("web", "worker", "beat"):
        machine.start(service)
    for service in ("web", "worker", "beat"):
        machine.healthy(service)
    look_at_the_web(machine)
    take_a_look(machine)
    look_at_the_counts(machine)
    assert machine.end() == {"web": 0, "worker": 0, "beat": 0}, machine.log("web")
    for service in ("web", "worker", "beat"):
        read_the_log(machine.log(service))


def look_at_the_web(machine: Machine) -> None:
    assert machine.ask("/readyz")[::2] == (200, '{"ready": true, "problems": []}')
    status, headers, _ = machine.ask("/login/", Host=HOST)
    assert (status, headers["Location"]) == (301, f"https://{HOST}/login/")
    behind_the_proxy = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    status, headers, page = machine.ask("/login/", **behind_the_proxy)
    assert status == 200
    assert "Sign in" in page
    assert headers["Strict-Transport-Security"].startswith("max-age=31536000")
    style = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
    assert machine.ask(style, **behind_the_proxy)[0] == 200
    assert machine.ask("/login/", Host="elsewhere.example.com", **{"X-Forwarded-Proto": "https"})[0] == 400


def take_a_look(machine: Machine) -> None:
    path = SmallData(machine.folder / "data").write()
    machine.run("web", ["python", "manage.py", "apply", str(path)])
    machine.run("web", ["python", "manage.py", "refresh", "small", "--wait"])
    with psycopg.connect(machine.replaced["DATABASE_URL"]) as connection:
        (row,) = connection.execute("SELECT count(*) FROM experiments_effectrow WHERE lift IS NOT NULL").fetchall()
    assert row[0] >= len(small_data.definition()["metrics"])


def look_at_the_counts(machine: Machine) -> None:
    assert machine.ask("/-/metrics")[0] == 401
    status, _, text = machine.ask("/-/metrics", Authorization=f"Bearer {TOKEN}")
    assert status == 200
    assert 'holdfast_looks{state="done"} 1.0' in text
    assert "holdfast_look_seconds_count 1.0" in text
    assert "holdfast_queue_up 1.0" in text


def read_the_log(log: str) -> None:
    farewell = "\nworker: Warm shutdown (MainProcess)\n"  # Celery's own, past all logging
    for line in log.replace(farewell, "").splitlines():
        event = json.loads(line)
        assert event["level"] in ("info", "warning"), line
        assert event["timestamp"]
        assert event["event"]
