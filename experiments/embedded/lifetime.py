"""Who uses the server, and when it is started and stopped."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from experiments.embedded.place import NAME, PORT, Place, make_home, place_of
from experiments.embedded.problems import ServerProblem, explain_os_error
from experiments.embedded.server import ensure_database, ensure_running, running_pid, stop_server

START_SECONDS = 60.0


@dataclass(frozen=True)
class _Hold:
    place: Place
    users_fd: int


_holds: dict[Path, _Hold] = {}


def conninfo(home: Path) -> dict[str, str]:
    """Django's DATABASES entry for the server of this home. Starts nothing and writes nothing."""
    place = place_of(home)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": NAME,
        "USER": NAME,
        "PASSWORD": "",
        "HOST": str(place.socket_folder),
        "PORT": PORT,
    }


def acquire(home: Path, wait_seconds: float = START_SECONDS) -> None:
    """Make sure the server of this home runs, and keep it running until this process ends or calls release()."""
    home = home.absolute()
    if home in _holds:
        return
    try:
        _acquire(home, wait_seconds)
    except OSError as error:
        raise ServerProblem(explain_os_error(error, home)) from error


def release(home: Path | None = None) -> None:
    """Let go of the server of one home, or of all; the last user stops it."""
    for held in [home.absolute()] if home else list(_holds):
        hold = _holds.pop(held, None)
        if hold is None:
            continue
        try:
            with _start_lock(hold.place, wait_seconds=10), contextlib.suppress(BlockingIOError):
                fcntl.flock(hold.users_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stop_server(hold.place)
        except (ServerProblem, OSError):
            pass  # another process is starting it, or the home folder is gone: there is nothing left to turn off
        finally:
            os.close(hold.users_fd)


def stop(home: Path) -> bool:
    """Stop the server of this home unless it is in use. True if one was running."""
    place = place_of(home)
    if not place.home.exists() or running_pid(place) is None:
        return False
    with _start_lock(place, START_SECONDS):
        users = _open_lock(place.home / "users.lock")
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stop_server(place)
        except BlockingIOError:
            raise ServerProblem(
                f"The database in {place.folder} is in use by another Holdfast process (up, demo, a worker or a test "
                "run). End that process first."
            ) from None
        finally:
            os.close(users)
    return True


def remove(home: Path) -> None:
    """Stop the server of this home and delete its files, wherever they are."""
    stop(home)
    place = place_of(home)
    for folder in (place.folder, place.socket_folder):
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)


def _acquire(home: Path, wait_seconds: float) -> None:
    place = place_of(home)
    make_home(home)
    with _start_lock(place, wait_seconds):
        users = _open_lock(place.home / "users.lock")
        try:
            fcntl.flock(users, fcntl.LOCK_SH)
            ensure_running(place, wait_seconds)
            ensure_database(place)
        except BaseException:
            os.close(users)
            raise
    _holds[home] = _Hold(place, users)


@contextlib.contextmanager
def _start_lock(place: Place, wait_seconds: float) -> Iterator[None]:
    """Only one process at a time starts or stops the server of a home."""
    path = place.home / "start.lock"
    lock = _open_lock(path)
    deadline = time.monotonic() + wait_seconds
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ServerProblem(_other_starter(path, wait_seconds)) from None
                time.sleep(0.05)
        with contextlib.suppress(OSError):  # a courtesy for messages only; a full disk is reported elsewhere
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(lock)


def _other_starter(path: Path, wait_seconds: float) -> str:
    owner = path.read_text().strip() or "unknown"
    return (
        f"Another Holdfast process (number {owner}) has been starting or stopping the database for "
        f"{wait_seconds:.0f} seconds. Wait for it, or end it, and try again. The lock is {path}."
    )


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError:
        raise ServerProblem(
            f"{path} belongs to another user, who set Holdfast up here. Run as that user, or set HOLDFAST_HOME to a "
            "folder of your own."
        ) from None


def _forget_in_child() -> None:
    """A forked child is not a user of its own: it must neither stop the server nor hold the lock for its parent."""
    for hold in _holds.values():
        os.close(hold.users_fd)
    _holds.clear()


os.register_at_fork(after_in_child=_forget_in_child)
atexit.register(release)
