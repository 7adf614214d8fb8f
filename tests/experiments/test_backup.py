"""Backup and restore on real databases: what was backed up is back to the last byte, or nothing has changed."""

import gzip
import hashlib
import io
import json
import os
import pty
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from experiments.models import AuditEntry, Person, Source
from experiments.services import backup
from experiments.services.backup import BackupProblem
from experiments.sources.base import Columns, SourceSpec
from tests.experiments import cards
from tests.experiments.commands import CHECKOUT, run, run_apart
from tests.experiments.databases import empty_database
from tests.experiments.stored import decide, stored
from tests.people import person

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def other() -> Iterator[str]:
    """The address of an empty database."""
    with empty_database("restored") as address:
        yield address


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A backup of a decided experiment."""
    person("owner")
    decide(stored(cards.honeymoon()), "roll_back")
    backup.make(tmp_path / "holdfast.backup", NOW)
    return tmp_path / "holdfast.backup"


@pytest.fixture
def elsewhere(other: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The service works on the other database."""
    copied = connection.copy()
    copied.settings_dict["NAME"] = psycopg.conninfo.conninfo_to_dict(other)["dbname"]
    monkeypatch.setattr(backup, "connection", copied)
    yield copied
    copied.close()


def contents(address: str) -> dict[str, list[Any]]:
    """Every row of every table as text, in order."""
    with psycopg.connect(address) as opened:
        tables = opened.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
        return {
            name: opened.execute(f'SELECT t::text FROM "{name}" t ORDER BY 1'.encode()).fetchall() for (name,) in tables
        }


def test_what_was_backed_up_is_back_in_an_empty_database_with_the_same_scorecard(
    tmp_path: Path, other: str, file: Path
) -> None:
    here = connection.settings_dict
    address = f"host='{here['HOST']}' port='{here['PORT']}' user='{here['USER']}' dbname='{here['NAME']}'"
    before, scorecard = contents(address), run("scorecard", "honeymoon", "--format", "json").json
    done = run_apart("restore", file, DATABASE_URL=other)
    assert done.code == 0, done.err
    assert "are back from" in done.out
    assert contents(other) == before
    assert run_apart("scorecard", "honeymoon", "--format", "json", DATABASE_URL=other).json == scorecard
    with psycopg.connect(other) as opened, pytest.raises(psycopg.errors.CheckViolation):
        opened.execute("DELETE FROM experiments_auditentry")  # triggers are back too


def test_whoever_restores_is_told_which_uploaded_files_are_not_there(tmp_path: Path, other: str) -> None:
    here, gone = tmp_path / "here", tmp_path / "gone"
    here.mkdir()
    for name in ("exposures.csv", "facts.csv"):
        (here / name).write_text("unit_id")
    for key, folder, uploaded in (("kept", here, True), ("lost", gone, True), ("named", gone, False)):
        spec = SourceSpec("files", "exposures.csv", "facts.csv", folder, Columns(), confined=True)
        source = Source(key=key, uploaded=uploaded)
        source.spec = spec
        source.save()
    backup.make(tmp_path / "holdfast.backup", NOW)
    done = run_apart("restore", tmp_path / "holdfast.backup", DATABASE_URL=other)
    assert done.code == 0
    assert done.err == (
        "The files of the source lost were uploaded, and are no part of a backup: bring back "
        f"{gone}, or give the source its data again on its page.\n"
    )


def test_the_command_says_what_is_in_the_file_and_never_writes_over_one(tmp_path: Path) -> None:
    stored(cards.placebo())
    path = tmp_path / "one.backup"
    done = run("backup", path)
    assert done.code == 0, done.err
    assert f"tables are in {path}" in done.out
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["one.backup"]
    bytes_before = path.read_bytes()
    again = run("backup", path)
    assert (again.code, again.out) == (1, "")
    assert "is there already" in again.err
    assert path.read_bytes() == bytes_before
    assert "is not a folder" in run("backup", tmp_path / "no" / "folder.backup").err


def test_a_backup_goes_through_pipes(tmp_path: Path, other: str, file: Path) -> None:
    """As out of and into containers, which have no folder in common with their host."""
    with file.open("rb") as sent:
        back = piped("restore", "-", stdin=sent, DATABASE_URL=other)
    assert back.returncode == 0, back.stderr
    assert b"are back from stdin" in back.stdout
    before = contents(other)
    out = piped("backup", "-", DATABASE_URL=other)
    assert (out.returncode, out.stderr) == (0, b"")
    (tmp_path / "piped").write_bytes(out.stdout)
    with (tmp_path / "piped").open("rb") as sent:
        assert piped("restore", "-", "--force", stdin=sent, DATABASE_URL=other).returncode == 0
    assert contents(other) == before


def piped(
    *words: str, stdin: Any = subprocess.DEVNULL, stdout: Any = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "manage.py", *words], stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, check=False,
        cwd=CHECKOUT, env={**os.environ, **environment},
    )  # fmt: skip


def test_a_terminal_gets_no_backup() -> None:
    ours, theirs = pty.openpty()
    try:
        done = piped("backup", "-", stdout=theirs)
        assert done.returncode == 1
        assert b"is no text for a terminal" in done.stderr
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_backup_is_one_moment_of_the_database(tmp_path: Path, elsewhere: Any, other: str) -> None:
    """Rows that are committed while the dump is written are not in it, nor in the counts of its manifest."""
    stored(cards.placebo())
    honest = backup.run_tool

    def slow(program: str, arguments: list[str], words: dict[str, str]) -> None:
        if program == "pg_dump":
            with psycopg.connect(**words, autocommit=True) as opened:
                opened.execute("INSERT INTO late VALUES (2)")
        honest(program, arguments, words)

    with psycopg.connect(other, autocommit=True) as opened:
        opened.execute("CREATE TABLE late (n integer); INSERT INTO late VALUES (1)")
        opened.execute("CREATE TABLE django_migrations (app text, name text)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup, "run_tool", slow)
        manifest = backup.make(tmp_path / "one.backup", NOW)
    assert manifest.rows["late"] == 1
    backup.restore(tmp_path / "one.backup", force=True)
    assert contents(other)["late"] == [("(1)",)]


def test_data_are_not_replaced_unless_it_is_asked_for(file: Path, elsewhere: Any, other: str) -> None:
    with psycopg.connect(other, autocommit=True) as opened:
        opened.execute("CREATE TABLE mine AS SELECT 7 AS n")
    with pytest.raises(BackupProblem, match=r"is not empty: it has mine \(1 rows\); --force replaces"):
        backup.restore(file, force=False)
    assert contents(other) == {"mine": [("(7)",)]}
    manifest = backup.restore(file, force=True)
    found = contents(other)
    assert "mine" not in found
    assert {table: len(rows) for table, rows in found.items()} == manifest.rows


def repacked(file: Path, change: Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]) -> None:
    """The same backup with another manifest or dump, as somebody might make by hand."""
    with tarfile.open(file) as archive:
        parts = [archive.extractfile(name) for name in (backup.MANIFEST, backup.DUMP)]
        manifest, dump = (part.read() for part in parts if part)
    described, dump = change(json.loads(manifest), dump)
    with tarfile.open(file, "w:gz") as archive:
        for name, content in ((backup.MANIFEST, json.dumps(described).encode()), (backup.DUMP, dump)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def flipped(file: Path, where: float) -> None:
    content = bytearray(file.read_bytes())
    content[int(where * len(content))] ^= 0x10
    file.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (lambda file: file.write_bytes(file.read_bytes()[:-2000]), "damaged"),
    "cut to half": (lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]), "damaged"),
    "empty": (lambda file: file.write_bytes(b""), "is no backup"),
    "a bit in the middle": (lambda file: flipped(file, 0.5), "damaged"),
    "a bit near the end": (lambda file: flipped(file, 0.97), "damaged"),
    "another file": (lambda file: file.write_bytes(b"hello " * 1000), "is no backup"),
    "another archive": (lambda file: file.write_bytes(gzip.compress(b"hello " * 1000)), "is no backup"),
    "one letter of the dump": (
        lambda file: repacked(file, lambda it, dump: (it, dump.replace(b"honeymoon", b"honeymoom", 1))), "damaged"),
    "a longer dump": (lambda file: repacked(file, lambda it, dump: (it, dump + b"DROP TABLE x;")), "damaged"),
    "a later format": (lambda file: repacked(file, lambda it, dump: ({**it, "format": 2}, dump)), "format 2"),
    "no manifest": (lambda file: repacked(file, lambda it, dump: ({"kind": "x"}, dump)), "manifest cannot be read"),
    "a newer Holdfast": (
        lambda file: repacked(file, lambda it, dump: (
            {**it, "migrations": [*it["migrations"], ["experiments", "9999_later"]]}, dump)),
        "newer Holdfast"),
    "gone": (lambda file: file.unlink(), "there is no file"),
    "a folder": (lambda file: (file.unlink(), file.mkdir()), "cannot be read: Is a directory"),
}  # fmt: skip


def test_a_damaged_file_changes_nothing(file: Path, elsewhere: Any, other: str) -> None:
    whole = file.read_bytes()
    with psycopg.connect(other, autocommit=True) as opened:
        opened.execute("CREATE TABLE mine AS SELECT 7 AS n")
    for name, (damage, message) in DAMAGES.items():
        file.write_bytes(whole)
        damage(file)
        with pytest.raises(BackupProblem, match=message):
            backup.restore(file, force=True)
        assert contents(other) == {"mine": [("(7)",)]}, name


def test_a_dump_that_the_server_refuses_changes_nothing(file: Path, elsewhere: Any, other: str) -> None:
    def broken(it: dict[str, Any], dump: bytes) -> tuple[dict[str, Any], bytes]:
        dump += b"\nSELECT 1 / 0;\n"
        return {**it, "size": len(dump), "sha256": hashlib.sha256(dump).hexdigest()}, dump

    repacked(file, broken)
    with psycopg.connect(other, autocommit=True) as opened:
        opened.execute("CREATE TABLE mine AS SELECT 7 AS n")
    with pytest.raises(BackupProblem, match=r"nothing was restored: psql failed: .*division by zero"):
        backup.restore(file, force=True)
    assert contents(other) == {"mine": [("(7)",)]}


def test_a_server_that_is_away_is_said(file: Path, elsewhere: Any) -> None:
    assert AuditEntry.objects.exists()
    assert Person.objects.exists()
    with pytest.raises(backup.ServerProblem, match=r"pg_dump failed: .*nowhere"):
        backup.run_tool("pg_dump", [], {**backup._libpq(), "host": "/nowhere"})
