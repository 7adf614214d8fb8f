"""Append-only tables in a test database: only there may they be emptied."""

from collections.abc import Sequence
from typing import Any

from django.db import connection

from experiments.migrations import _append_only


def allow_truncate() -> None:
    """Let the test database be emptied: the triggers that keep append-only tables from it are switched off."""
    with connection.cursor() as cursor:
        for table in _append_only.TABLES:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER holdfast_append_only_truncate")


def empty_quickly() -> None:
    """Have tables emptied by DELETE after each test with transactions of its own, and commits not waited for.

    A TRUNCATE makes new files for every table and index, which takes far longer than most tests. Only a superuser may
    leave out the triggers, as the embedded server's user is; anybody else goes on with TRUNCATE.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('is_superuser'), current_database()")
        superuser, name = cursor.fetchone()
        cursor.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
        cursor.execute("SET synchronous_commit = off")
    if superuser == "on":
        connection.ops.sql_flush = _deletes  # type: ignore[method-assign]


def _deletes(style: Any, tables: Sequence[str], **options: Any) -> list[str]:
    """As ``sql_flush`` of Django; its statements run in one transaction."""
    return ["SET LOCAL session_replication_role = replica", *(f'DELETE FROM "{table}"' for table in tables)]
