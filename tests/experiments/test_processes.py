from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.processes import Children, ProcessProblem, check_port_is_free, wait_until_listening

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
# Ends only by force.
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition: object, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_children_end_with_the_block() -> None:
    with Children() as children:
        pids = [children.start(name, SLEEP).process.pid for name in ("one", "two")]
        children.check()
        assert all(is_running(pid) for pid in pids)
    assert not any(is_running(pid) for pid in pids)


def test_children_end_when_the_block_fails() -> None:
    children = Children()
    pid = children.start("one", SLEEP).process.pid

    def fail() -> None:
        with children:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not is_running(pid)


def test_a_child_that_ends_is_named_with_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "worker.log"
    with Children() as children:
        command = [sys.executable, "-c", "print('no broker'); raise SystemExit(3)"]
        children.start("worker", command, log=log).process.wait()
        with pytest.raises(ProcessProblem, match=r"The worker ended by itself \(exit code 3\).*no broker.*worker\.log"):
            children.wait()


def test_a_deaf_child_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "deaf.log"
    with Children() as children:
        pid = children.start("deaf", STUBBORN, log=log).process.pid
        wait_until(lambda: log.read_text().startswith("deaf"))
        children.stop(seconds=0.2)
        assert not is_running(pid)


def test_sigterm_ends_the_wait_calmly() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    with Children() as children:
        children.start("one", SLEEP)
        with subprocess.Popen([sys.executable, "-c", f"import os; os.kill({os.getpid()}, 15)"], start_new_session=True):
            children.wait()
    assert signal.getsignal(signal.SIGTERM) == handler


def test_children_end_when_their_parent_is_killed() -> None:
    program = (
        "import sys; from experiments.processes import Children; "
        f"c = Children(); print(c.start('one', {SLEEP!r}).process.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        wait_until(lambda: Path(f"/proc/{child}/cmdline").read_text().startswith(sys.executable))
        parent.kill()
        wait_until(lambda: not is_running(child))


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ProcessProblem, match=rf"Port {port} on 127\.0\.0\.1 is taken.*--port"):
            check_port_is_free("127.0.0.1", port)
    check_port_is_free("127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 8000), ("127.0.0.1", 99999), ("127.0.0.1", -1)])
def test_an_address_that_cannot_be_is_named(host: str, port: int) -> None:
    with pytest.raises(ProcessProblem, match=f"Nothing can listen on {host}, port {port}"):
        check_port_is_free(host, port)


def test_waiting_for_a_server_that_never_answers_ends() -> None:
    with socket.socket() as bound, Children() as children:
        bound.bind(("127.0.0.1", 0))  # bound but not listening: nobody else answers there
        port = bound.getsockname()[1]
        children.start("one", SLEEP)
        with pytest.raises(ProcessProblem, match=f"did not answer on 127.0.0.1:{port}"):
            wait_until_listening(children, "127.0.0.1", port, seconds=0.3)


def test_variables_are_one_childs_own(tmp_path: Path) -> None:
    show = [sys.executable, "-c", "import os; print(os.environ.get('HOLDFAST_DEMO_RUN'))"]
    with Children() as children:
        for name, variables in (("one", {"HOLDFAST_DEMO_RUN": "a run"}), ("other", None)):
            children.start(name, show, log=tmp_path / name, variables=variables).process.wait()
    assert [(tmp_path / name).read_text() for name in ("one", "other")] == ["a run\n", "None\n"]
