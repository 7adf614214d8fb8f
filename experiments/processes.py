"""Child processes of one command: a web server, a worker. They end with their parent, by process id. Django-free."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, Self

CHECKOUT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 15.0


class ProcessProblem(Exception):
    """A child process could not start or ended by itself. The message says which and what to do."""


class _Terminated(BaseException):
    """SIGTERM, as an exception, so that children are stopped on the way out."""


@dataclass(frozen=True)
class Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path | None


class Children:
    """A context manager: whatever was started in it has ended when it is left."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(
        self, name: str, command: Sequence[str], log: Path | None = None, variables: Mapping[str, str] | None = None
    ) -> Child:
        """Start a command in the checkout. With `log`, its output goes there and not to our stderr.

        ``variables`` are added to its environment, and to no other child's.
        """
        if log:
            log.parent.mkdir(parents=True, exist_ok=True)
        output = log.open("wb") if log else None
        try:
            process = subprocess.Popen(
                [*_dies_with_parent(), *command],
                cwd=CHECKOUT,
                env={**_environment(os.environ), **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=output or sys.stderr.fileno(),
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us alone, and we end the children in order
            )
        finally:
            if output:
                output.close()
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def check(self) -> None:
        """Raise ProcessProblem if a child has ended."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                where = f" Its last words: {_tail(child.log)}" if child.log else ""
                raise ProcessProblem(f"The {child.name} ended by itself (exit code {code}).{where}")

    def wait(self) -> None:
        """Return on Ctrl-C or SIGTERM; raise ProcessProblem if a child ends before."""
        before = signal.signal(signal.SIGTERM, _terminate)
        try:
            while True:
                self.check()
                time.sleep(0.2)
        except (KeyboardInterrupt, _Terminated):
            return
        finally:
            signal.signal(signal.SIGTERM, before)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask all children to end, youngest first; those still there after `seconds` are killed."""
        for child in reversed(self._children):
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + seconds
        for child in reversed(self._children):
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _kill_session(child.process.pid)
                child.process.wait()
        self._children.clear()


def web_command(host: str, port: int) -> list[str]:
    """gunicorn, serving the pages."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    options = ["--config", "python:experiments.webserver", "--bind", address]
    return [sys.executable, "-m", "gunicorn", *options, "experiments.wsgi:application"]


def worker_command(concurrency: int | None = None) -> list[str]:
    """A Celery worker with as many processes as there are cores, unless told otherwise."""
    processes = concurrency or os.cpu_count() or 1
    options = ["--loglevel", "WARNING", "--concurrency", str(processes)]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [sys.executable, "-m", "celery", "--quiet", "-A", "experiments", "worker", *options, *quiet]


def beat_command() -> list[str]:
    """Celery beat, which asks every few minutes which looks are due. Two of them at a time do no harm."""
    return [sys.executable, "-m", "celery", "--quiet", "-A", "experiments", "beat", "--loglevel", "WARNING"]


def check_port_is_free(host: str, port: int) -> None:
    """Raise ProcessProblem if nothing could listen on this address."""
    if not 1 <= port <= 65535:
        raise ProcessProblem(f"Nothing can listen on {host}, port {port}: ports go from 1 to 65535.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ProcessProblem(_port_problem(error, host, port)) from None


def wait_until_listening(children: Children, host: str, port: int, seconds: float = 30.0) -> None:
    """Return once the address answers; raise ProcessProblem if a child ends first or the time is up."""
    deadline = time.monotonic() + seconds
    while True:
        children.check()
        try:
            socket.create_connection((host, port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise ProcessProblem(
                    f"The web server did not answer on {host}:{port} within {seconds:.0f} seconds."
                ) from None
        time.sleep(0.1)


def _port_problem(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken by another program. Choose another one with --port."
    if error.errno == errno.EACCES:
        return f"Port {port} may only be used by root. Choose one above 1023 with --port."
    return f"Nothing can listen on {host}, port {port}: {error.strerror}."


def _dies_with_parent() -> list[str]:
    """Linux can end a child when its parent is killed with kill -9 and cannot clean up."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def _environment(base: Mapping[str, str]) -> dict[str, str]:
    # One thread for linear algebra in each process: more of them slow each other down. Celery's warning about root
    # is about pickled messages, which are not accepted here.
    quiet = "ignore:You're running the worker with superuser privileges"
    return {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": quiet, "PYTHONUNBUFFERED": "1", **base}


def _kill_session(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # a session of its own: its leader's id is the group's id


def _tail(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"{lines[-1]} (all of them: {log})" if lines else f"none ({log})"


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated
