"""What is logged: one line an event, with the ids of the request and the look, in JSON or to be read."""

import io
import json
import logging
import logging.config
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from experiments import celery, logs, tasks
from experiments.services import cells
from experiments.services.refresh import plan_look
from tests.experiments.looks import NOW, applied, mailbox
from tests.experiments.small_data import SmallData


class Sink:
    """Handles events as the real handler would, into memory."""

    def __init__(self, form: str) -> None:
        config = logs.config(form, "INFO")
        self.text = io.StringIO()
        self.handler = logging.StreamHandler(self.text)
        made = logging.config.DictConfigurator(config)  # type: ignore[attr-defined]
        self.handler.setFormatter(made.configure_formatter(config["formatters"]["events"]))

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.getvalue().splitlines()]


@pytest.fixture(params=["json"])
def sink(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sink]:
    opened = Sink(request.param)
    logger = logging.getLogger("experiments")
    logger.addHandler(opened.handler)
    monkeypatch.setattr(logger, "level", logging.INFO)
    logger.manager._clear_cache()  # type: ignore[attr-defined]
    yield opened
    logger.removeHandler(opened.handler)
    logger.manager._clear_cache()  # type: ignore[attr-defined]
    logs.begin()


def test_a_request_is_one_event_with_the_id_that_is_sent_back(sink: Sink) -> None:
    response = Client().get("/healthz?token=hush")
    (event,) = sink.events()
    assert {key: event[key] for key in ("event", "level", "route", "method", "status")} == {
        "event": "request", "level": "info", "route": "alive", "method": "GET", "status": 200
    }  # fmt: skip
    assert event["request_id"] == response.headers["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", event["request_id"])
    assert event["milliseconds"] >= 0
    assert "hush" not in sink.text.getvalue()


def test_the_callers_id_is_taken_if_it_is_fit_to_be_logged(sink: Sink) -> None:
    given = "trace-2024.01_ABC"
    assert Client().get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given
    assert sink.events()[0]["request_id"] == given


@pytest.mark.parametrize("given", ["short", "x" * 65, "with space", "a\\nline{}", '"},{"level"', "ä" * 10])
def test_another_id_is_replaced(given: str) -> None:
    answered = Client().get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", answered)


@pytest.mark.django_db
def test_no_address_of_a_page_is_logged_for_one_of_them_resets_a_password(sink: Sink) -> None:
    Client().get("/password/reset/1-hush/")
    assert sink.events()[0]["route"] == "account_reset_password_from_key"
    assert "hush" not in sink.text.getvalue()


@pytest.mark.django_db(transaction=True)
def test_everything_that_a_cell_logs_has_its_look_and_the_request_that_asked(
    sink: Sink, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        logging.getLogger("experiments.sources.somewhere").warning("reading row %s", 7)
        raise RuntimeError("out of luck\nand more")

    monkeypatch.setattr(cells, "_read", broken)
    with mailbox(monkeypatch) as box:
        planned = plan_look(applied(SmallData(tmp_path)), None, NOW)
        with logs.about(request_id="asked-by-this"):
            box.deliver()
    inside, failed = sink.events()[-2:]
    for event in (inside, failed):
        assert (event["look_id"], event["cell"], event["request_id"]) == (planned.look_id, "check 0", "asked-by-this")
    assert inside["event"] == "reading row 7"
    assert "RuntimeError: out of luck" in failed["exception"]


def test_a_message_carries_the_id_of_its_request_and_the_task_binds_it(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers: dict[str, Any] = {}
    with logs.about(request_id="asked-by-this"):
        celery.send_request_id(headers=headers)
    assert headers == {"request_id": "asked-by-this"}
    task = tasks.run_cell
    task.push_request(id="task-1", **headers)
    try:
        celery.bind_task(task_id="task-1", task=task)
        logging.getLogger("experiments.any").warning("at work")
    finally:
        task.pop_request()
        celery.unbind_task()
    logging.getLogger("experiments.any").warning("after it")
    during, after = sink.events()
    assert {key: during.get(key) for key in ("task", "task_id", "request_id")} == {
        "task": "run_cell", "task_id": "task-1", "request_id": "asked-by-this"
    }  # fmt: skip
    assert not {"task", "task_id", "request_id"} & after.keys()


@pytest.mark.parametrize("sink", ["lines"], indirect=True)
def test_lines_are_plain_and_a_traceback_stands_below(sink: Sink) -> None:
    with logs.about(look_id=7):
        try:
            raise ValueError("bad")
        except ValueError:
            logging.getLogger("experiments.any").exception("it broke")
    first, *rest = sink.text.getvalue().splitlines()
    assert re.fullmatch(r"\S+Z ERROR experiments\.any: it broke look_id=7", first)
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == "ValueError: bad"


def test_nothing_is_sent_where_nobody_asked() -> None:
    logs.begin()
    headers: dict[str, Any] = {}
    celery.send_request_id(headers=headers)
    assert headers == {}
