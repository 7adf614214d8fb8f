"""The demo: what it says, in which order, and that nothing of it outlives it. CI runs the real one besides."""

import re
import socket
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Self

import pytest
from django.test import Client
from pytest_django import Settings

from experiments.examples import build as examples
from experiments.examples import winter
from experiments.management.commands import demo
from experiments.models import Person
from experiments.processes import ProcessProblem
from experiments.services.refresh import PlannedLook
from experiments.services.results import LookStatus
from tests.experiments import cards
from tests.experiments.commands import run
from tests.experiments.small_data import SmallData
from tests.people import person

pytestmark = pytest.mark.django_db(transaction=True)


class QuietChildren:
    """Stands for the children of the demo; remembers what was started and whether all of it was ended."""

    started: list[str]
    variables: dict[str, str]
    ended: bool
    problem: ProcessProblem | None

    def __init__(self) -> None:
        type(self).started, type(self).variables, type(self).ended = [], {}, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *what: object) -> None:
        type(self).ended = True

    def start(
        self, name: str, command: list[str], log: Path | None = None, variables: Mapping[str, str] | None = None
    ) -> None:
        self.started.append(name)
        self.variables.update(variables or {})

    def check(self) -> None:
        if self.problem:
            raise self.problem

    def wait(self) -> None:
        self.started.append("waited")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., type[QuietChildren]]:
    """Small data and looks that are planned, half done and done, in turn."""

    def prepare(states: tuple[str, ...] = ("planned", "running", "done"), error: str = "") -> type[QuietChildren]:
        turns = iter(states)
        path = SmallData(tmp_path / "small").write()

        def status(look_id: int) -> LookStatus:
            state = next(turns, states[-1])
            return LookStatus("small", date(2024, 2, 26), 8, 8, state, 1, 2, "reading the data", error)

        def planned(key: str, as_of: date | None, now: object) -> PlannedLook:
            return PlannedLook(1, key, date(2024, 2, 26), "planned")

        def build(folder: Path, progress: Callable[[str], None]) -> list[Path]:
            progress("small: up to date")
            return [path]

        class Staged(QuietChildren):
            problem = None

        for name, value in {
            "Children": Staged, "status_of": status, "plan_look": planned, "POLL_SECONDS": 0.0,
            "wake": lambda look_id: 0, "stored_scorecard": lambda key: cards.honeymoon(),
            "wait_until_listening": lambda children, host, port: None,
        }.items():  # fmt: skip
            monkeypatch.setattr(demo, name, value)
        monkeypatch.setattr(examples, "build", build)
        monkeypatch.setattr(winter, "build", lambda folder, progress: [])
        return Staged

    return prepare


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_without_serving_it_prints_the_scorecards_and_ends(stage: Callable[..., type[QuietChildren]]) -> None:
    children = stage()
    done = run("demo", "--no-serve")
    assert done.code == 0, done.err
    assert children.started == ["worker"]
    assert children.ended
    assert done.out.startswith("=" * 80 + "\nEngagement-first ranker (honeymoon)\n")
    assert "EARLY WIN, LATER LOSS on lines" in done.out
    said = ["Building the data", "small: up to date", "Applied small: created", "The look of small as of 2024-02-26 is"]
    places = [done.err.index(text) for text in said]
    assert places == sorted(places)


def test_a_second_demo_finds_what_the_first_one_made(stage: Callable[..., type[QuietChildren]]) -> None:
    stage()
    assert run("demo", "--no-serve").code == 0
    second = run("demo", "--no-serve")
    assert second.code == 0
    assert "Applied small: unchanged" in second.err


def test_serving_starts_the_pages_and_waits(stage: Callable[..., type[QuietChildren]]) -> None:
    children = stage()
    port = free_port()
    done = run("demo", "--port", port)
    assert done.code == 0, done.err
    assert children.started == ["worker", "web server", "waited"]
    assert children.ended
    assert f"http://127.0.0.1:{port}/ (Ctrl-C ends)" in done.err


def test_the_demo_prints_accounts_that_are_good_in_its_own_run_alone(
    stage: Callable[..., type[QuietChildren]], settings: Settings
) -> None:
    children = stage()
    first = run("demo", "--port", free_port())
    passwords = dict(re.findall(r"^  (\w+@example\.com) +(\S+) ", first.err, re.MULTILINE))
    assert list(passwords) == [f"{name}@example.com" for name in ("owner", "editor", "viewer", "outsider")]
    assert len(set(passwords.values())) == 4
    credentials = {"login": "owner@example.com", "password": passwords["owner@example.com"]}
    assert "not correct" in Client().post("/login/", credentials).content.decode()
    settings.HOLDFAST_DEMO_RUN = children.variables["HOLDFAST_DEMO_RUN"]
    browser = Client()
    assert browser.post("/login/", credentials).status_code == 302
    assert browser.get("/").status_code == 200
    settings.HOLDFAST_DEMO_RUN = None  # the same database, served by `manage.py up`
    assert browser.get("/").status_code == 302
    stage()
    assert run("demo", "--port", free_port()).code == 0  # the next demo has new passwords and another name
    settings.HOLDFAST_DEMO_RUN = children.variables["HOLDFAST_DEMO_RUN"]
    assert "not correct" in Client().post("/login/", credentials).content.decode()


def test_the_demo_takes_nobodys_account(stage: Callable[..., type[QuietChildren]]) -> None:
    stage()
    person("owner")
    done = run("demo", "--port", free_port())
    assert done.code == 1
    assert "owner@example.com is the account of a person here" in done.err
    assert not Person.objects.filter(demo_run__isnull=False).exists()


def test_a_taken_port_is_said_before_anything_is_done(stage: Callable[..., type[QuietChildren]]) -> None:
    children = stage()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("demo", "--port", port)
    assert (done.code, done.out) == (1, "")
    assert f"Port {port} on 127.0.0.1 is taken" in done.err
    assert "Building" not in done.err
    assert children.started == []


def test_a_worker_that_ends_by_itself_ends_the_demo_with_its_last_words(
    stage: Callable[..., type[QuietChildren]],
) -> None:
    children = stage()
    children.problem = ProcessProblem("The worker ended by itself (exit code 1). Its last words: no broker")
    done = run("demo", "--no-serve")
    assert (done.code, done.out) == (1, "")
    assert "The worker ended by itself" in done.err
    assert children.ended


def test_a_look_that_fails_says_why(stage: Callable[..., type[QuietChildren]]) -> None:
    children = stage(("planned", "failed"), error="facts.parquet: cannot be read")
    done = run("demo", "--no-serve")
    assert done.code == 1
    assert "the look of small as of 2024-02-26 failed: facts.parquet: cannot be read" in done.err
    assert children.ended


def test_work_that_stands_still_is_sent_again(
    stage: Callable[..., type[QuietChildren]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(("planned", "planned", "planned", "done"))
    sent: list[Any] = []
    monkeypatch.setattr(demo, "PUSH_SECONDS", 0.0)
    monkeypatch.setattr(demo, "wake", sent.append)
    assert run("demo", "--no-serve").code == 0
    assert set(sent) == {1}


def test_an_interrupt_ends_the_children(
    stage: Callable[..., type[QuietChildren]], monkeypatch: pytest.MonkeyPatch
) -> None:
    children = stage()

    def interrupted(look_id: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "status_of", interrupted)
    done = run("demo", "--no-serve")
    assert (done.code, done.err.splitlines()[-1]) == (130, "Stopped.")
    assert children.ended
