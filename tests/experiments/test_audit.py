"""The audit log: everything that people and Holdfast do is in it, once, and stays as it was written."""

from datetime import date
from pathlib import Path

import pytest
from django.db import IntegrityError, connection, models, transaction

from experiments.migrations import _append_only
from experiments.models import AuditEntry, Decision, Experiment
from experiments.services import audit, people
from experiments.services.apply import apply
from tests.experiments import cards
from tests.experiments.commands import run
from tests.experiments.looks import NOW, definition, mailbox, taken
from tests.experiments.small_data import SmallData
from tests.experiments.stored import decide, stored
from tests.people import person

pytestmark = pytest.mark.django_db

Told = tuple[str, str, str]


def told(key: str = "small") -> list[Told]:
    """Who did what, oldest first."""
    return [(entry.actor, entry.verb, entry.reason) for entry in reversed(audit.history(key))]


@pytest.mark.parametrize("model", [AuditEntry, Decision])
@pytest.mark.parametrize("verb", ["UPDATE", "DELETE", "TRUNCATE"])
def test_what_was_written_down_cannot_be_changed_even_by_sql(model: type[models.Model], verb: str) -> None:
    decide(stored(cards.honeymoon()), "roll_back")
    table = model._meta.db_table
    sql = {"UPDATE": f"UPDATE {table} SET id = id", "DELETE": f"DELETE FROM {table}", "TRUNCATE": f"TRUNCATE {table}"}
    before = list(model._default_manager.values())
    assert before
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        # switched off for the tests that end with a TRUNCATE of everything
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER holdfast_append_only_truncate")
    with (
        pytest.raises(IntegrityError, match=f"{table} is append-only: {verb} is refused"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql[verb])
    assert list(model._default_manager.values()) == before


def test_all_tables_that_promise_it_are_append_only() -> None:
    assert set(_append_only.TABLES) == {AuditEntry._meta.db_table, Decision._meta.db_table}


def test_definitions_are_logged_with_what_they_change(tmp_path: Path) -> None:
    apply([definition(tmp_path)], NOW, by="editor@example.com")
    apply([definition(tmp_path)], NOW, by="editor@example.com")  # changes nothing, and is not told
    apply([definition(tmp_path, name="Renamed")], NOW, by="editor@example.com")
    apply([definition(tmp_path, name="Renamed", horizon_weeks=8)], NOW, by="owner@example.com", amend="too short")
    apply([definition(tmp_path, name="Again")], NOW, by="editor@example.com", amend="never mind", dry_run=True)
    assert told() == [
        ("editor@example.com", "defined", ""),
        ("holdfast", "started", ""),
        ("editor@example.com", "redefined", ""),
        ("owner@example.com", "plan amended", "too short"),
    ]
    amended, renamed, started, defined = audit.history("small")
    assert amended.changes == [("horizon_weeks", 6, 8)]
    assert renamed.changes == [("name", "A small experiment", "Renamed")]
    assert defined.before == {}
    assert defined.after["start_date"] == "2024-01-01"
    assert started.changes == [("state", "draft", "running")]


def test_looks_are_logged_once_with_who_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apply([definition(tmp_path)], NOW, by="editor@example.com")
    SmallData(tmp_path).write()
    with mailbox(monkeypatch) as box:
        taken(box, "small", date(2024, 2, 26))
        taken(box, "small", date(2024, 2, 26))
    asked = [entry for entry in audit.history("small") if entry.verb == "look asked for"]
    assert [(entry.actor, entry.after) for entry in asked] == [("holdfast", {"as_of": "2024-02-26"})]


@pytest.mark.django_db(transaction=True)
def test_commands_are_logged_with_the_user_of_the_machine(tmp_path: Path) -> None:
    assert run("apply", SmallData(tmp_path).write()).code == 0
    assert next(entry.actor for entry in audit.history("small") if entry.verb == "defined").startswith("command line (")


def test_decisions_are_logged_with_their_reason() -> None:
    decide(stored(cards.honeymoon()), "launch", "as agreed")
    newest = audit.history("honeymoon")[0]
    assert (newest.actor, newest.verb, newest.reason) == ("owner@example.com", "decided", "as agreed")
    assert sorted(newest.changes, key=str) == [
        ("action", None, "launch"),
        ("state", "running", "launched"),
        ("variant", None, "treatment"),
    ]


def test_changes_of_accounts_are_logged() -> None:
    people.create("New@Example.com", "viewer", by="command line (root)", now=NOW)
    new = people.find("new@example.com")
    assert new is not None
    people.change_role(new, "editor", by="admin@example.com", now=NOW)
    people.change_role(new, "editor", by="admin@example.com", now=NOW)
    people.set_active(new, active=False, by="admin@example.com", now=NOW)
    people.set_active(new, active=True, by="admin@example.com", now=NOW)
    people.renew_password(new, by="admin@example.com", now=NOW)
    people.choose_password(new, "a pass phrase of mine", NOW)
    entries = [entry for entry in reversed(audit.about_people()) if entry.object_key == "new@example.com"]
    assert [(entry.actor, entry.verb) for entry in entries] == [
        ("command line (root)", "account made"),
        ("admin@example.com", "role changed"),
        ("admin@example.com", "account disabled"),
        ("admin@example.com", "account enabled"),
        ("admin@example.com", "one-time password given"),
        ("new@example.com", "password chosen"),
    ]
    assert entries[1].changes == [("role", "viewer", "editor")]
    assert not any("pass phrase" in str(entry.after) + str(entry.before) for entry in entries)


def test_owners_are_assigned_and_removed_once() -> None:
    stored(cards.honeymoon())
    experiment = Experiment.objects.get()
    for _ in range(2):
        people.assign(experiment, person("somebody"), by="admin@example.com", now=NOW)
    for _ in range(2):
        people.unassign(experiment, person("somebody"), by="admin@example.com", now=NOW)
    newest = [(entry.verb, entry.after) for entry in audit.history("honeymoon")[:2]]
    assert newest == [
        ("owner removed", {"owner": "somebody@example.com"}),
        ("owner assigned", {"owner": "somebody@example.com"}),
    ]
