"""One PostgreSQL server: set up, started, asked whether it answers, stopped. The caller holds the start lock."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import psycopg

from experiments.embedded.place import NAME, PORT, Place, copy_programs, make_private
from experiments.embedded.problems import DATA_BYTES, PROGRAM_BYTES, ServerProblem, disk_full, explain

ORPHAN_SECONDS = 10.0
# Small and safe: durable writes, few processes, little memory; shared memory in files because containers often
# have a tiny /dev/shm.
SERVER_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "50",
    "shared_buffers": "64MB",
    "dynamic_shared_memory_type": "mmap",
    "max_wal_size": "256MB",
    "max_parallel_workers_per_gather": "0",
    "io_method": "sync",
    "jit": "off",
    "log_min_messages": "warning",
    "timezone": "UTC",
}


def running_pid(place: Place) -> int | None:
    """The process id of the server on this data folder, or None. A number left behind by a dead server is not one."""
    try:
        pid = int((place.data / "postmaster.pid").read_text().splitlines()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    process = Path("/proc") / str(pid)
    try:
        if (process / "cwd").samefile(place.data):  # a postmaster works in its data folder, even a renamed one
            return pid
    except FileNotFoundError:
        return None
    except PermissionError:  # another user's process: its command line is readable all the same
        with contextlib.suppress(FileNotFoundError):
            if os.fsencode(_socket_setting(place)) in (process / "cmdline").read_bytes().split(b"\0"):
                return pid
    return None


def ensure_running(place: Place, wait_seconds: float) -> None:
    if _answers(place):
        return
    pid = running_pid(place)
    if pid is None:
        _start_server(place)
    deadline = time.monotonic() + wait_seconds
    while not _answers(place):
        if time.monotonic() > deadline:
            raise ServerProblem(
                f"The database server in {place.folder} (process {running_pid(place)}) runs but does not answer on its "
                f"socket. End it with `kill -INT {running_pid(place)}` and try again; its log is {place.log}."
            )
        time.sleep(0.1)


def ensure_database(place: Place) -> None:
    with _connect(place) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone() is None:
            connection.execute(f"CREATE DATABASE {NAME}")  # NAME is a constant of this project


def stop_server(place: Place) -> None:
    if running_pid(place) is not None:
        _run(place, "pg_ctl", "stop", "-m", "fast", "-w", "-t", "30")


def _answers(place: Place) -> bool:
    """Does our server answer on our socket? Another server on that socket is an error."""
    try:
        with _connect(place) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
    except psycopg.OperationalError:
        return False
    if row is None or Path(row[0]).resolve() != place.data.resolve():
        raise ServerProblem(
            f"Another database server uses the socket in {place.socket_folder}. Stop that server, or set HOLDFAST_HOME "
            "to another folder."
        )
    return True


def _connect(place: Place) -> psycopg.Connection[tuple[str, ...]]:
    return psycopg.connect(
        host=str(place.socket_folder), port=PORT, user=NAME, dbname="postgres", connect_timeout=5, autocommit=True
    )


def _start_server(place: Place) -> None:
    make_private(place.folder, place.account)
    make_private(place.socket_folder, place.account)
    _check_space(place)
    copy_programs(place)
    if not (place.data / "global" / "pg_control").exists():
        _initialize(place)
    _check_version(place)
    _drop_stale_locks(place)
    settings = [f"{key}={value}" for key, value in SERVER_SETTINGS.items()]
    options = " ".join(f"-c {shlex.quote(setting)}" for setting in [*settings, _socket_setting(place), f"port={PORT}"])
    # pg_ctl puts paths into a shell command between double quotes; so it gets none that could hold a quote or a dollar
    arguments = ["start", "-l", place.log.name, "-w", "-t", "60", "-o", options]
    deadline = time.monotonic() + ORPHAN_SECONDS
    while True:
        if place.log.exists():
            place.log.replace(place.log.with_suffix(".old.log"))  # so that what the log says is about this start
        done = _run(place, "pg_ctl", *arguments)
        if done.returncode == 0:
            return
        output = done.stdout + (place.log.read_text(errors="replace") if place.log.exists() else "")
        # the children of a killed server take a moment to notice and leave
        if "pre-existing shared memory" not in output or time.monotonic() > deadline:
            raise ServerProblem(explain(place.folder, "start", output))
        time.sleep(0.2)


def _check_space(place: Place) -> None:
    """Say so before a full disk does it half-way, in many words."""
    needed = 0 if place.programs.exists() else PROGRAM_BYTES
    needed += 0 if place.data.exists() else DATA_BYTES
    if shutil.disk_usage(place.folder).free < needed:
        raise ServerProblem(disk_full(place.folder, needed))


def _socket_setting(place: Place) -> str:
    return f"unix_socket_directories={place.socket_folder}"


def _drop_stale_locks(place: Place) -> None:
    """Remove locks that name a process which is there and is no server of ours: PostgreSQL would trust its number.

    Where no process has that number PostgreSQL clears up by itself, with more care than we could.
    """
    for lock in (place.data / "postmaster.pid", place.socket_folder / f".s.PGSQL.{PORT}.lock"):
        if not lock.exists():
            continue
        lines = lock.read_text(errors="replace").splitlines()
        pid, data = [*lines, "", ""][:2]
        ours = lock.parent == place.data or data == str(place.data)
        if ours and (not pid.isdecimal() or Path(f"/proc/{pid}").exists()):
            lock.unlink()


def _initialize(place: Place) -> None:
    """Make the data folder beside its final place and rename it, so that an interrupted run leaves no half of one."""
    for half in [place.data, *place.folder.glob("data.new*")]:
        if half.exists():
            shutil.rmtree(half)
    fresh = place.folder / f"data.new{os.getpid()}"
    locale = ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
    done = _run(place, "initdb", "-D", str(fresh), "-U", NAME, "--auth=trust", *locale)
    if done.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise ServerProblem(explain(place.folder, "be set up", done.stdout))
    fresh.rename(place.data)


def _check_version(place: Place) -> None:
    made_by = (place.data / "PG_VERSION").read_text().strip()
    installed = place.version.split(".")[0]
    if made_by != installed:
        raise ServerProblem(
            f"The database in {place.data} was made by PostgreSQL {made_by}, and PostgreSQL {installed} is installed. "
            f"Move that folder away to begin anew, or install version {made_by} and dump the data first."
        )


def _run(place: Place, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs as the server's user, deaf to this terminal's Ctrl-C."""
    account = place.account
    return subprocess.run(
        [str(place.programs / program), *arguments],
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        cwd=place.folder,  # a folder that the server's user can be in
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "PGDATA": str(place.data)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
        check=False,
    )
