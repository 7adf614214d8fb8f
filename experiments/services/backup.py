"""Everything that the database holds, in one file, and back from it: whole, or not at all.

The file is a tar archive of two members: ``manifest.json``, and ``database.sql``, the text of ``pg_dump`` in one
consistent snapshot. Restoring checks the whole file first, and then replaces everything in one transaction. Data files
that definitions name are not part of it: they are read where they are.
"""

import hashlib
import io
import json
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from psycopg import IsolationLevel
from psycopg.sql import SQL, Composed, Identifier

from experiments import __version__
from experiments.embedded import ServerProblem, run_tool
from experiments.sources import spills

MANIFEST, DUMP = "manifest.json", "database.sql"
FORMAT = 1
KIND = "holdfast backup"

#: Tables that a database without any data has rows in.
BOOKKEEPING = frozenset({"django_migrations", "django_content_type", "auth_permission"})

#: Characters of a manifest; ours has some thousands.
LONGEST_MANIFEST = 1_000_000

BLOCK = 1 << 20


class BackupProblem(Exception):
    """A backup cannot be made, or not be restored. The message says why; nothing was changed."""


@dataclass(frozen=True)
class Manifest:
    """What stands beside the dump. ``rows`` are those of each table, ``migrations`` the ones that were applied."""

    kind: str
    format: int
    made_at: str
    holdfast: str
    size: int
    sha256: str
    rows: dict[str, int]
    migrations: list[list[str]]


def make(path: Path, now: datetime) -> Manifest:
    """Write the database to ``path``, whole or not at all. Raises BackupProblem."""
    if path.exists():
        raise BackupProblem(f"{path} is there already; a backup is never written over")
    if not path.parent.is_dir():
        raise BackupProblem(f"{path.parent} is not a folder")
    try:
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=path.parent) as folder:
            dump = Path(folder) / DUMP
            with _snapshot() as (snapshot, rows):
                what = ["--schema=public", "--extension=*", "--no-owner", "--no-privileges", "--no-comments"]
                run_tool("pg_dump", [*what, f"--snapshot={snapshot}", "--file", str(dump)], _libpq())
            manifest = Manifest(
                kind=KIND, format=FORMAT, made_at=now.isoformat(), holdfast=__version__, size=dump.stat().st_size,
                sha256=_digest(dump), rows=rows, migrations=sorted(list(pair) for pair in _applied()),
            )  # fmt: skip
            draft = Path(folder) / "draft"
            _pack(draft, dump, manifest)
            os.link(draft, path)  # unlike a rename, this fails where somebody else was quicker
    except OSError as error:
        raise BackupProblem(f"{path} cannot be written: {error.strerror}") from None
    except ServerProblem as problem:
        raise BackupProblem(str(problem)) from None
    return manifest


def restore(path: Path, *, force: bool) -> Manifest:
    """Replace everything in the database by what is in ``path``. Raises BackupProblem, and then nothing has changed.

    Without ``force`` the database has to be empty.
    """
    with psycopg.connect(**_libpq()) as opened:
        held = {table: count for table, count in _rows(opened).items() if count and table not in BOOKKEEPING}
    if held and not force:
        most = ", ".join(f"{table} ({count} rows)" for table, count in sorted(held.items())[:3])
        raise BackupProblem(f"this database is not empty: it has {most}; --force replaces all that it holds")
    with spills.opened() as folder:
        script = Path(folder) / "restore.sql"
        manifest = _unpack(path, script)
        connection.close()
        try:
            run_tool("psql", ["-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-f", str(script)], _libpq())
        except ServerProblem as problem:
            raise BackupProblem(f"nothing was restored: {problem}") from None
    return manifest


@contextmanager
def _snapshot() -> Iterator[tuple[str, dict[str, int]]]:
    """A moment of the database that pg_dump sees too, and the rows of each table in it."""
    with psycopg.connect(**_libpq()) as opened:
        opened.isolation_level, opened.read_only = IsolationLevel.REPEATABLE_READ, True
        (name,) = _one(opened, SQL("SELECT pg_export_snapshot()"))
        yield name, _rows(opened)


def _rows(opened: psycopg.Connection[Any]) -> dict[str, int]:
    tables = opened.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename").fetchall()
    count = SQL("SELECT count(*) FROM public.{}")
    return {table: _one(opened, count.format(Identifier(table)))[0] for (table,) in tables}


def _one(opened: psycopg.Connection[Any], query: SQL | Composed) -> tuple[Any, ...]:
    found: tuple[Any, ...] | None = opened.execute(query).fetchone()
    assert found is not None
    return found


def _applied() -> set[tuple[str, str]]:
    return set(MigrationRecorder(connection).applied_migrations())


def _libpq() -> dict[str, Any]:
    """The words by which libpq finds the database that Django uses."""
    return {
        key: str(value) for key, value in connection.get_connection_params().items() if isinstance(value, str | int)
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pack(draft: Path, dump: Path, manifest: Manifest) -> None:
    described = json.dumps(asdict(manifest), indent=1).encode()
    with draft.open("xb") as file:
        draft.chmod(0o600)  # password hashes are in it
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as archive:
            member = tarfile.TarInfo(MANIFEST)
            member.size = len(described)
            archive.addfile(member, io.BytesIO(described))
            archive.add(dump, DUMP, filter=_plain)
        file.flush()
        os.fsync(file.fileno())


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _unpack(path: Path, script: Path) -> Manifest:
    """Check the whole file, and write what is to be run. Raises BackupProblem."""
    try:
        with tarfile.open(path, mode="r:gz") as archive:
            manifest = _manifest(path, archive)
            _check_version(path, manifest)
            found = _write(archive, manifest, script)
    except FileNotFoundError:
        raise BackupProblem(f"there is no file {path}") from None
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        if isinstance(error, OSError) and error.strerror:  # the errors of gzip have none
            raise BackupProblem(f"{path} cannot be read: {error.strerror}") from None
        raise BackupProblem(f"{path} is no backup, or is damaged: {error}") from None
    if found != manifest.sha256:
        raise BackupProblem(f"{path} is damaged: {DUMP} is not what its manifest says")
    return manifest


def _check_version(path: Path, manifest: Manifest) -> None:
    newer = {(app, name) for app, name in manifest.migrations} - set(MigrationLoader(None).disk_migrations)
    if newer:
        raise BackupProblem(
            f"{path} was made by a newer Holdfast than this one ({manifest.holdfast}, this is {__version__}): it has "
            f"{len(newer)} migrations that are unknown here"
        )


def _write(archive: tarfile.TarFile, manifest: Manifest, script: Path) -> str:
    """Write the dump behind what makes room for it; return the dump's checksum, "" if it is not as announced."""
    member = archive.next()
    if member is None or member.name != DUMP or not member.isfile() or member.size != manifest.size:
        return ""
    source = archive.extractfile(member)
    assert source is not None
    digest = hashlib.sha256()
    with script.open("xb") as target:
        script.chmod(0o600)
        target.write(b"DROP SCHEMA IF EXISTS public CASCADE;\n")
        while block := source.read(BLOCK):
            digest.update(block)
            target.write(block)
    return digest.hexdigest() if archive.next() is None else ""


def _manifest(path: Path, archive: tarfile.TarFile) -> Manifest:
    member = archive.next()
    if member is None or member.name != MANIFEST or member.size > LONGEST_MANIFEST:
        raise BackupProblem(f"{path} is no backup of Holdfast: it does not begin with {MANIFEST}")
    source = archive.extractfile(member)
    try:
        body: dict[str, Any] = json.loads(source.read() if source else b"")
        found = Manifest(**body)
    except (ValueError, TypeError):
        raise BackupProblem(f"{path} is damaged: its manifest cannot be read") from None
    if found.kind != KIND or found.format != FORMAT:
        raise BackupProblem(f"{path} is no backup that this Holdfast reads (format {found.format!r})")
    return found
