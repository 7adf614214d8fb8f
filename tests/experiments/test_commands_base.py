"""What every command of ours does alike: exit codes, one line for an error, tables where they are needed."""

from __future__ import annotations

import io
import os
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import OperationalError

from experiments.embedded import ServerProblem
from experiments.management import base
from experiments.management.base import HoldfastCommand, ensure_tables


class Failing(HoldfastCommand):
    needs_tables = False
    requires_system_checks = ()
    error: BaseException = CommandError("no such experiment")

    def handle(self, *args: Any, **options: Any) -> None:
        raise self.error


def run(error: BaseException, *arguments: str) -> tuple[int, str]:
    """The exit code and what was written to stderr."""
    stderr = io.StringIO()
    command = Failing(stderr=stderr, no_color=True)
    command.error = error
    with pytest.raises(SystemExit) as exit_:
        command.run_from_argv(["manage.py", "failing", *arguments])
    assert isinstance(exit_.value.code, int)
    return exit_.value.code, stderr.getvalue()


def test_a_failure_is_one_line_and_exit_code_one() -> None:
    assert run(CommandError("no such experiment")) == (1, "Error: no such experiment\n")


def test_a_server_problem_is_a_failure_too() -> None:
    assert run(ServerProblem("the disk is full")) == (1, "Error: the disk is full\n")


def test_a_database_that_does_not_answer_is_a_failure_too() -> None:
    code, message = run(OperationalError("connection refused\n"))
    assert code == 1
    assert message == "Error: the database cannot be used: connection refused\n"


def test_an_interruption_is_calm() -> None:
    assert run(KeyboardInterrupt()) == (130, "Stopped.\n")


def test_what_should_not_happen_is_told_without_a_traceback() -> None:
    code, message = run(ZeroDivisionError("division by zero"))
    assert code == 1
    assert "ZeroDivisionError: division by zero" in message
    assert "--traceback" in message
    assert len(message.splitlines()) == 1


def test_a_traceback_is_there_for_the_asking() -> None:
    command = Failing()
    command.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        command.run_from_argv(["manage.py", "failing", "--traceback"])


def test_wrong_usage_is_exit_code_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(CommandError("unused"), "--no-such-option")[0] == 2
    assert "unrecognized arguments: --no-such-option" in capsys.readouterr().err


@pytest.mark.django_db
def test_tables_that_are_there_need_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "call_command", lambda *_, **__: pytest.fail("nothing to migrate"))
    ensure_tables(migrate=True)


@pytest.mark.django_db
def test_missing_migrations_of_a_named_database_are_not_applied_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_missing_migrations", lambda: 3)
    with pytest.raises(CommandError, match=r"3 migrations are not applied.*manage\.py migrate"):
        ensure_tables(migrate=False)


@pytest.mark.django_db
def test_missing_migrations_are_applied_one_process_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(base, "_missing_migrations", lambda: 3)
    monkeypatch.setattr(base, "call_command", lambda name, **_: calls.append(name))
    ensure_tables(migrate=True)
    assert calls == ["migrate"]


def test_a_user_without_a_name_is_a_number_in_the_audit_log(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    assert base.command_line().startswith("command line (")
    monkeypatch.setattr(base.getpass, "getuser", nameless)
    assert base.command_line() == f"command line ({os.getuid()})"
