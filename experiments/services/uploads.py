"""Files that people send: streamed to a private place under names of our own, kept whole or not at all.

A file is written to ``incoming`` and goes to a folder of its own once it has been found to be a table. Nobody's name
for a file is ever part of a path.
"""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from experiments import embedded
from experiments.sources.base import SourceProblem
from experiments.sources.content import suffix_kind

#: What nobody has kept after this time is removed.
ABANDONED_AFTER = timedelta(hours=24)

#: An upload leaves this much of the disk to the database and the queue.
SPARE_BYTES = 256 * 2**20

_MEGABYTE = 2**20

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class CannotReceive(Exception):
    """A file is not taken. The message names it, and says what would be."""


class Incoming:
    """One file on its way in. Whatever happens, ``close`` removes it unless somebody has taken it."""

    def __init__(self, label: str, expected: int = 0) -> None:
        """``label`` is the sender's name for it, ``expected`` the bytes that are to come. Raises CannotReceive."""
        self.label = clean_label(label)
        self.size = 0
        self.path: Path | None = None
        try:
            kind = suffix_kind(self.label)
        except SourceProblem as problem:
            raise CannotReceive(str(problem)) from None
        try:
            folder = _folder("incoming")
            if shutil.disk_usage(folder).free < expected + SPARE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.path = folder / f"{secrets.token_hex(16)}.{kind}"
            self._file: BinaryIO = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        except OSError as error:
            raise self._not_written(error) from error

    def write(self, chunk: bytes) -> None:
        """Add a piece. Raises CannotReceive, and nothing is left of the file."""
        self.size += len(chunk)
        try:
            self._limit(self.size)
            self._file.write(chunk)
        except CannotReceive:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise self._not_written(error) from error

    def finish(self) -> None:
        """Say that all of it is there. Raises CannotReceive."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            self.close()
            raise self._not_written(error) from error

    def take(self, target: Path) -> None:
        """Move the whole file to ``target``, which is on the same disk."""
        assert self.path is not None
        self.path.replace(target)
        self.path = None

    def close(self) -> None:
        """Remove the file unless it was taken. May be called again."""
        opened = getattr(self, "_file", None)
        if opened is not None and not opened.closed:
            with contextlib.suppress(OSError):  # what could not be written is removed with the rest
                opened.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None

    def _limit(self, size: int) -> None:
        if size > settings.HOLDFAST_UPLOAD_BYTES:
            raise CannotReceive(
                f"{self.label}: has more than {settings.HOLDFAST_UPLOAD_BYTES / _MEGABYTE:,.0f} MB, the limit for a "
                "file; send Parquet with the columns that are needed, or have the file registered on the server"
            )

    def _not_written(self, error: OSError) -> CannotReceive:
        if error.errno in _FULL:
            return CannotReceive(
                f"{self.label}: the server's disk is full; nothing of it was kept. Tell who runs the server"
            )
        return CannotReceive(f"{self.label}: could not be written on the server ({error.strerror}); nothing was kept")


def clean_label(name: str) -> str:
    """A sender's name for a file, for messages alone: its last part, printable, and of bounded length."""
    last = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(letter if letter.isprintable() else "_" for letter in last).strip()
    stem, dot, ending = shown.rpartition(".")
    return f"{stem[:80]}{dot}{ending[:12]}" or "file"


def keep(files: Mapping[str, Incoming], token: str) -> dict[str, str]:
    """Move received files to the folder of a token, whole; return their names there by field. Raises CannotReceive."""
    target = folder_of(token)
    names = {field: f"{field}{file.path.suffix}" for field, file in files.items() if file.path is not None}
    try:
        _folder("incoming")
        target.mkdir(mode=0o700)
        for field, name in names.items():
            files[field].take(target / name)
    except OSError as error:
        remove(target)
        raise CannotReceive(f"the files could not be kept on the server ({error.strerror}); nothing was") from error
    return names


def folder_of(token: str) -> Path:
    return Path(settings.HOLDFAST_UPLOADS) / token


def remove(folder: Path) -> None:
    """Remove a folder of uploads; anything else is left alone."""
    if folder.parent == Path(settings.HOLDFAST_UPLOADS):
        shutil.rmtree(folder, ignore_errors=True)


def sweep(kept: Iterable[str], now: datetime) -> int:
    """Remove files and folders that have lain for ``ABANDONED_AFTER`` and are not ``kept``; return how many."""
    root = Path(settings.HOLDFAST_UPLOADS)
    known, before = set(kept), (now - ABANDONED_AFTER).timestamp()
    found = [path for folder in (root / "incoming", root) if folder.is_dir() for path in folder.iterdir()]
    swept = 0
    for path in found:
        if path == root / "incoming" or str(path) in known:
            continue
        try:
            if path.stat().st_mtime < before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                swept += 1
        except FileNotFoundError:
            continue  # somebody else was quicker
    return swept


def _folder(name: str) -> Path:
    """A private folder for uploads. Raises OSError."""
    embedded.make_home(settings.HOLDFAST_HOME)
    root = Path(settings.HOLDFAST_UPLOADS)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = root / name
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
