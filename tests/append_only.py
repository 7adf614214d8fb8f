"""Append-only tables in a test database: only there may they be emptied."""

from django.db import connection

from experiments.migrations import _append_only


def allow_truncate() -> None:
    """Let the test database be emptied: the triggers that keep append-only tables from it are switched off."""
    with connection.cursor() as cursor:
        for table in _append_only.TABLES:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER holdfast_append_only_truncate")
