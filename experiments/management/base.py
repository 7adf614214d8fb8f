"""What all commands of Holdfast share: errors in one plain line, the exit codes of the contract, tables that are there.

Exit codes: 0 done, 1 failure, 2 wrong usage, 130 interrupted. Results go to stdout, progress and errors to stderr.
"""

from __future__ import annotations

import getpass
import os
import sys
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection, connections
from django.db.migrations.executor import MigrationExecutor

from experiments import embedded
from experiments.embedded import ServerProblem

MIGRATION_LOCK = 4_685_352_367  # any fixed number: it keeps two processes from migrating at the same time


class HoldfastCommand(BaseCommand):
    """Subclasses raise CommandError with a sentence that says what is wrong and what to do."""

    needs_tables = True
    migrates = False  # True: migrate a database named by DATABASE_URL too, not only Holdfast's own

    def run_from_argv(self, argv: list[str]) -> None:
        self._called_from_command_line = True  # wrong usage prints and exits with 2, as in any command
        parser = self.create_parser(argv[0], argv[1])
        options = vars(parser.parse_args(argv[2:]))
        arguments = options.pop("args", ())
        try:
            self.execute(*arguments, **options)
            sys.stdout.flush()  # so that a closed pipe shows here and not at exit
        except KeyboardInterrupt:
            self._fail("Stopped.", 130)
        except BrokenPipeError:  # the reader of our output (head, less) has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except Exception as error:
            if options["traceback"]:
                raise
            self._fail(*self._describe(error))
        finally:
            connections.close_all()

    def execute(self, *args: Any, **options: Any) -> str | None:
        if self.needs_tables:
            ensure_tables(migrate=self.migrates or settings.HOLDFAST_EMBEDDED)
        return super().execute(*args, **options)

    def _fail(self, message: str, code: int) -> None:
        self.stderr.write(message)
        sys.exit(code)

    @staticmethod
    def _describe(error: Exception) -> tuple[str, int]:
        if isinstance(error, CommandError):
            return f"Error: {error}", error.returncode
        if isinstance(error, ServerProblem):
            return f"Error: {error}", 1
        if isinstance(error, OperationalError):
            return f"Error: the database cannot be used: {str(error).strip()}", 1
        kind = type(error).__name__
        return f"Error: this should not happen ({kind}: {error}). Add --traceback to see where.", 1


def command_line() -> str:
    """Who runs this command, as the audit log has it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        user = str(os.getuid())
    return f"command line ({user})"


def why_no_database() -> str | None:
    """Reach the database from a command that can do without one. None if it is ready, otherwise why it is not."""
    try:
        if settings.HOLDFAST_EMBEDDED:
            embedded.acquire(settings.HOLDFAST_HOME)
        ensure_tables(migrate=settings.HOLDFAST_EMBEDDED)
    except (ServerProblem, OperationalError, CommandError) as problem:
        return " ".join(str(problem).split()).removesuffix(".")
    return None


def ensure_tables(*, migrate: bool) -> None:
    """Apply missing migrations, or say that they are missing."""
    if not _missing_migrations():
        return
    if not migrate:
        raise CommandError(
            f"{_missing_migrations()} migrations are not applied to the database of DATABASE_URL. "
            "Run `manage.py migrate` first."
        )
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        try:
            call_command("migrate", verbosity=0, interactive=False)
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])


def _missing_migrations() -> int:
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
