"""The health checks of containers, asked of what is not well: the well ones are in tests/docker/test_run.py."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from experiments import healthy, queue
from tests.experiments.brokers import Redis, free_port
from tests.experiments.commands import CHECKOUT


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def ask(*arguments: object) -> str:
        assert healthy.main([str(argument) for argument in arguments]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("Error: ")
        return said.err

    return ask


def test_a_web_server_that_is_not_there_is_not_well(refused: Callable[..., str]) -> None:
    assert "does not answer" in refused("web", "--port", free_port())


@pytest.mark.parametrize("process", ["web", "worker", "beat"])
def test_asking_loads_neither_the_statistics_nor_the_models(process: str) -> None:
    """A check that is run every half minute may not take seconds of a processor."""
    script = (
        "import sys\n"
        "from experiments import healthy\n"
        f"assert healthy.main(['{process}', '--port', '{free_port()}']) == 1\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, *(name for name in sys.modules if 'models' in name))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"scipy", "numpy", "duckdb", "analysis", "experiments.models"}
    assert process != "web" or "django" not in loaded


def test_something_else_on_the_port_is_not_the_web_server(refused: Callable[..., str]) -> None:
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


def test_no_worker_answers_on_an_empty_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any, refused: Callable[..., str]
) -> None:
    redis = Redis(tmp_path)
    try:
        settings.CELERY_WORKER_ENABLE_REMOTE_CONTROL = True
        monkeypatch.setattr(queue, "app", Celery("asking", broker=redis.url))
        monkeypatch.setattr("experiments.healthy.ANSWER_SECONDS", 0.3)
        assert "no worker holdfast@worker answered" in refused("worker", "--name", "holdfast@worker")
        redis.stop()
        assert "cannot be used" in refused("worker")
    finally:
        redis.stop()


def test_workers_on_the_file_queue_cannot_be_asked(refused: Callable[..., str]) -> None:
    assert "set CELERY_BROKER_URL" in refused("worker")


def test_a_beat_is_known_by_the_mark_it_leaves(
    tmp_path: Path, settings: Any, refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    settings.HOLDFAST_BEAT_MARK = mark = tmp_path / "beat-alive"
    assert "left no mark" in refused("beat")
    mark.touch()
    assert healthy.main(["beat"]) == 0
    assert capsys.readouterr().out == "The beat is well.\n"
    long_ago = mark.stat().st_mtime - 1000
    os.utime(mark, (long_ago, long_ago))
    assert "left its last mark 1" in refused("beat")
