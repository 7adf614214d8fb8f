"""The health checks of containers, asked of what is not well: the well ones are in tests/docker/test_run.py."""

import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from experiments import queue
from tests.experiments.brokers import Redis, free_port
from tests.experiments.commands import run


def refused(*arguments: object) -> str:
    done = run("healthy", *arguments)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Error: ")
    return done.err


def test_a_web_server_that_is_not_there_is_not_well() -> None:
    assert "does not answer" in refused("web", "--port", free_port())


def test_something_else_on_the_port_is_not_the_web_server() -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"alive": "no"}')

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.handle_request, daemon=True).start()
        assert "something else answers" in refused("web", "--port", other.server_port)


def test_no_worker_answers_on_an_empty_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    redis = Redis(tmp_path)
    try:
        settings.CELERY_WORKER_ENABLE_REMOTE_CONTROL = True
        monkeypatch.setattr(queue, "app", Celery("asking", broker=redis.url))
        monkeypatch.setattr("experiments.management.commands.healthy.ANSWER_SECONDS", 0.3)
        assert "no worker holdfast@worker answered" in refused("worker", "--name", "holdfast@worker")
        redis.stop()
        assert "cannot be used" in refused("worker")
    finally:
        redis.stop()


def test_workers_on_the_file_queue_cannot_be_asked() -> None:
    assert "set CELERY_BROKER_URL" in refused("worker")


def test_a_beat_is_known_by_the_mark_it_leaves(tmp_path: Path, settings: Any) -> None:
    settings.HOLDFAST_BEAT_MARK = mark = tmp_path / "beat-alive"
    assert "left no mark" in refused("beat")
    mark.touch()
    assert run("healthy", "beat").out == "The beat is well.\n"
    long_ago = mark.stat().st_mtime - 1000
    os.utime(mark, (long_ago, long_ago))
    assert "left its last mark 1" in refused("beat")
