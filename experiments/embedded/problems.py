"""What goes wrong with Holdfast's own PostgreSQL, in the words of somebody who does not run databases."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

DATA_BYTES = 60_000_000  # a new database takes 40 MB
PROGRAM_BYTES = 45_000_000  # a copy of the binaries


class ServerProblem(Exception):
    """Holdfast's own database cannot be used. The message says what is wrong and what to do."""


def disk_full(folder: Path, needed: int = DATA_BYTES) -> str:
    free = shutil.disk_usage(folder).free
    return (
        f"The disk that holds {folder} is full ({free / 1e6:.0f} MB free; Holdfast's database needs about "
        f"{needed / 1e6:.0f} MB). Free some space, or set HOLDFAST_HOME to a folder with more room."
    )


def explain(folder: Path, action: str, output: str) -> str:
    """What PostgreSQL's own words mean for somebody who does not run databases."""
    full = any(words in output for words in ("No space left", "quota exceeded", "wrote only"))
    if full or shutil.disk_usage(folder).free < 1_000_000:  # a full disk often leaves no words at all
        return disk_full(folder)
    if "already in use" in output or "lock file" in output:
        return (
            f"The socket or data folder in {folder} is in use by another server. Stop that server, or set "
            f"HOLDFAST_HOME to another folder. PostgreSQL says: {_last_line(output)}"
        )
    return f"Holdfast's database in {folder} could not {action}. PostgreSQL says: {_last_line(output)}"


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "error" in line.lower()]
    return (telling or lines or ["nothing"])[-1]


def explain_os_error(error: OSError, home: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        existing = next(folder for folder in [home, *home.parents] if folder.exists())
        return disk_full(existing)
    return (
        f"Holdfast's database could not be set up under {home}: {error}. Set HOLDFAST_HOME to a folder that you can "
        "write to, or DATABASE_URL to a PostgreSQL server."
    )
