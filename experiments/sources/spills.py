"""Folders for what does not fit into memory. They go with who made them; those of killed processes are swept."""

import contextlib
import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

PREFIX = "holdfast-spill-"

#: Nobody works on one cell, check or backup for as long as this without writing.
ABANDONED_AFTER = timedelta(hours=24)


def make() -> str:
    """Make a folder that whoever asked for it removes."""
    return tempfile.mkdtemp(prefix=PREFIX)


def opened() -> tempfile.TemporaryDirectory[str]:
    """A folder for a ``with`` block."""
    return tempfile.TemporaryDirectory(prefix=PREFIX)


def sweep(now: datetime) -> int:
    """Remove folders in which nothing has been written for ``ABANDONED_AFTER``; return how many."""
    before, swept = (now - ABANDONED_AFTER).timestamp(), 0
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # somebody was quicker, or it is another user's
            if max(path.lstat().st_mtime for path in (folder, *folder.rglob("*"))) < before:
                shutil.rmtree(folder)
                swept += 1
    return swept
