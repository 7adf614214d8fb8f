"""Real message brokers on a port of their own, killed with kill -9 and started anew with what they kept."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.conftest import missing

PATIENCE = 60.0

#: Debian's /usr/sbin/rabbitmq-server is for the system's own server; this is the script that it calls.
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


class Redis:
    """redis-server, which writes every command down before it answers."""

    name = "redis"

    def __init__(self, folder: Path, command: list[str] | None = None) -> None:
        program = shutil.which("redis-server") or missing("redis-server")
        kept = command[1:] if command else ["--appendonly", "yes", "--appendfsync", "always"]
        self.port = free_port()
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        self.command = [str(program), *kept, *options]
        self.log = folder / "redis.log"
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        _wait_for(self.port, self.process, self.log)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.kill()


class RabbitMQ:
    """rabbitmq-server, as a user without rights and in folders of its own, with a name server of its own."""

    name = "rabbitmq"

    def __init__(self, folder: Path) -> None:
        self.program = Path(RABBITMQ)
        if not self.program.exists():
            missing("rabbitmq-server")
        self.folder = Path(tempfile.mkdtemp(prefix="hf-rabbit-"))  # where its user gets to: not under pytest's folders
        self.log = folder / "rabbitmq.log"
        self.port, names, nodes = free_port(), free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self.user = pwd.getpwnam("rabbitmq") if os.geteuid() == 0 else None
        if self.user:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        self.variables = {
            "PATH": "/usr/bin:/bin:/usr/sbin", "HOME": str(self.folder), "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(names), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"holdfast{self.port}@localhost", "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port), "RABBITMQ_DIST_PORT": str(nodes), "RABBITMQ_LOGS": "-",
            "RABBITMQ_LOG_BASE": str(self.folder), "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"), "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "none"), "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
        }  # fmt: skip
        self.names = self._run(["epmd"])
        self.start()

    def start(self) -> None:
        self.process = self._run([str(self.program)])
        _wait_for(self.port, self.process, self.log)

    def kill(self) -> None:
        """The shell and the server that it started; another one may start once the port is free."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        deadline = time.monotonic() + PATIENCE
        while _listens(self.port):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.kill()
        self.names.kill()
        self.names.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        user = self.user
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=self.variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, user=user.pw_uid if user else None, group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
            )  # fmt: skip


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        if _listens(port):
            return
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.05)
