"""`manage.py up` as a user runs it: a real web server and a real worker on a home of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from experiments import embedded

CHECKOUT = Path(__file__).resolve().parents[2]

#: What is not up, or down, after so many seconds never will be; beside other tests a minute is not enough.
PATIENCE = 240


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "home"
        embedded.remove(Path(folder) / "home")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


#: What a shell runs in the background ignores Ctrl-C, and so does all that it starts: tests, too, may be run like that.
LISTENING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"


@contextmanager
def running_up(home: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("HOLDFAST_", "DATABASE_", "CELERY_"))
    }
    with subprocess.Popen(
        [sys.executable, "-c", LISTENING, sys.executable, "manage.py", "up", "--port", str(port)],
        cwd=CHECKOUT,
        env={**kept, "HOLDFAST_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as up:
        try:
            yield up
        finally:
            up.terminate()
            up.wait(timeout=PATIENCE)


def wait_for_page(port: int) -> int:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
                return int(response.status)
        except urllib.error.HTTPError as answer:
            return answer.code
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_up_serves_pages_and_ends_calmly_with_all_it_started(home: Path, number: signal.Signals) -> None:
    port = free_port()
    with running_up(home, port) as up:
        assert wait_for_page(port) < 500
        up.send_signal(number)
        output, errors = up.communicate(timeout=PATIENCE)

    assert up.returncode == 0, errors
    assert output == ""
    assert f"Web, worker and schedule are up: http://127.0.0.1:{port}/" in errors
    assert "Nobody has an account yet. Make one with: manage.py person EMAIL --role admin" in errors
    assert errors.endswith("Stopped.\n")
    assert "Traceback" not in errors
    assert embedded.stop(home) is False  # the server went with its last user
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@pytest.mark.slow  # the demo asks the same question in every run
def test_up_names_a_taken_port(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running_up(home, port) as up:
            output, errors = up.communicate(timeout=PATIENCE)
    assert output == ""
    assert errors == f"Error: Port {port} on 127.0.0.1 is taken by another program. Choose another one with --port.\n"
