"""Every operation of the API, by role and by scope: a table. An operation that is not in it fails the last test."""

import json
from typing import Any, NamedTuple

import pytest
from django.db import transaction
from django.test import Client

from experiments.api import v1
from experiments.models import AuditEntry, Person
from experiments.services.apply import apply
from experiments.services.submitted import parse
from tests.experiments import event_batches
from tests.experiments.api import SCOPES, AtOnce, as_yaml, ask, definition, program, registered, secret
from tests.experiments.event_batches import fact
from tests.experiments.looks import NOW
from tests.experiments.small_data import SmallData
from tests.experiments.stored import decide
from tests.people import person, signed_in

pytestmark = pytest.mark.django_db

ROLES = ("nobody", "outsider", "viewer", "editor", "somebody", "owner", "admin")
NO_TOKEN, NO, OK, GONE, ON_ITS_WAY = 401, 403, 200, 404, 202


class Row(NamedTuple):
    """The scope that an operation takes, and what each role gets with a token of all scopes, in the order of ROLES."""

    method: str
    path: str
    scope: str
    nobody: int
    outsider: int
    viewer: int
    editor: int
    somebody: int
    owner: int
    admin: int


def reading(path: str) -> Row:
    return Row("get", path, "read", NO_TOKEN, NO, OK, OK, OK, OK, OK)


ONE = "/api/v1/experiments/{key}"
TABLE = [
    reading("/api/v1/me"),
    reading("/api/v1/experiments"),
    *(reading(ONE + rest) for rest in ("", "/definition", "/looks", "/looks/{as_of}", "/scorecard", "/trajectories")),
    *(reading(ONE + rest) for rest in ("/survival", "/replay", "/chart")),
    reading("/api/v1/decisions"),
    reading("/api/v1/decisions/{number}"),
    reading("/api/v1/metrics"),
    reading("/api/v1/sources"),
    Row("put", f"{ONE}/definition", "apply", NO_TOKEN, NO, NO, OK, OK, OK, OK),
    Row("post", "/api/v1/events", "events", NO_TOKEN, NO, NO, OK, OK, OK, OK),
    Row("post", f"{ONE}/looks", "refresh", NO_TOKEN, NO, NO, ON_ITS_WAY, ON_ITS_WAY, ON_ITS_WAY, ON_ITS_WAY),
]  # fmt: skip


class World(NamedTuple):
    """What is there: an experiment that was read and decided on, and a draft."""

    filled: dict[str, str]
    draft: str
    started: str


@pytest.fixture
def world(at_once: AtOnce, tmp_path: Any) -> World:
    data = SmallData(tmp_path)
    data.write()
    registered(tmp_path)
    draft, started = as_yaml(definition(experiment="draft", start_date="2100-01-04")), as_yaml(definition())
    apply([parse(draft.encode()), parse(started.encode())], NOW)
    look = at_once("small")
    made = decide("small", "keep_running", "because")
    filled = {"key": "small", "as_of": look.as_of.isoformat(), "number": str(made.pk)}
    return World(filled, draft, started)


def token_of(name: str, *scopes: str) -> Client:
    """A program of somebody with all scopes, also with those that they could not ask for: they had the role once."""
    if name == "nobody":
        return Client()
    owner, role = person(name), person(name).role
    Person.objects.filter(pk=owner.pk).update(role="admin")
    client = Client(headers={"Authorization": f"Bearer {secret(name, *(scopes or SCOPES))}"})
    Person.objects.filter(pk=owner.pk).update(role=role)
    return client


def asked(program: Client, row: Row, world: World) -> int:
    """What comes back; where it is not allowed nothing is done and nothing told."""
    entries = AuditEntry.objects.count()
    if row.method == "get":
        query = {"metric": "lines"} if row.path.endswith("/chart") else {}
        response = program.get(row.path.format(**world.filled), query)
    elif row.method == "put":
        path = row.path.format(key="draft")
        response = program.put(path, world.draft.replace("user", "person"), content_type="application/yaml")
    elif row.path.endswith("/events"):
        events = [fact(1, event_batches.today())]
        response = program.post(row.path, {"events": events}, content_type="application/json")
    else:
        response = ask(program, f"{row.path.format(**world.filled)}?as_of=2024-02-05")
    if response.status_code in (NO_TOKEN, NO):
        assert AuditEntry.objects.count() == entries, row
        assert b"A small experiment" not in response.content, row
        assert set(response.json()) == {"status", "title", "detail", "fix", "errors"}
    return int(response.status_code)


def undone(program: Client, row: Row, world: World) -> int:
    with transaction.atomic():
        got = asked(program, row, world)
        transaction.set_rollback(True)
    return got


def test_every_role_gets_what_the_table_says(world: World) -> None:
    wrong = {}
    for role in ROLES:
        program = token_of(role)
        for row in TABLE:
            got = undone(program, row, world)
            if got != getattr(row, role):
                wrong[role, row.method, row.path] = f"{got} instead of {getattr(row, role)}"
    assert not wrong


def test_a_token_opens_the_operations_of_its_scope_alone(world: World) -> None:
    wrong = {}
    for scope in SCOPES:
        program = token_of("admin", scope)
        for row in TABLE:
            got = undone(program, row, world)
            if got != (row.admin if row.scope == scope else NO):
                wrong[scope, row.method, row.path] = got
    assert not wrong


def test_every_operation_is_in_the_table() -> None:
    there = {(method, path) for path, methods in v1.document()["paths"].items() for method in methods}
    assert {(row.method, row.path) for row in TABLE} == there


def test_every_operation_says_which_scope_it_takes() -> None:
    for row in TABLE:
        assert v1.document()["paths"][row.path][row.method]["security"] == [{"Token": [row.scope]}], row


def test_a_session_opens_nothing(world: World) -> None:
    browser = signed_in("admin")
    for row in TABLE:
        assert asked(browser, row, world) == NO_TOKEN, row


def test_what_has_started_is_changed_by_its_owners_alone(world: World) -> None:
    expected = {
        "viewer": "your role is viewer", "editor": "your role is editor",
        "somebody": "small belongs to owner@example.com", "owner": "", "admin": "",
    }  # fmt: skip
    for role, why in expected.items():
        for change in ({"name": "Another name"}, {"owner": f"{role}@example.com"}, {"horizon_weeks": 7}):
            address, body = "/api/v1/experiments/small/definition?amend=because", as_yaml(definition(**change))
            with transaction.atomic():
                got = token_of(role).put(address, body, content_type="application/yaml")
                transaction.set_rollback(True)
            assert (got.status_code, why in got.content.decode()) == (NO if why else OK, True), (role, got.content)


def test_a_day_that_has_come_starts_nothing_for_those_who_may_not_start(world: World) -> None:
    """A draft starts by itself on its day, so a definition with a day in the past is a start."""
    for role, allowed in {"editor": False, "somebody": False, "owner": True, "admin": True}.items():
        for key in ("draft", "fresh"):
            body = as_yaml(definition(experiment=key))
            with transaction.atomic():
                got = token_of(role).put(f"/api/v1/experiments/{key}/definition", body, content_type="application/yaml")
                transaction.set_rollback(True)
            assert got.status_code == (OK if allowed else NO), (role, key, got.content)


def test_a_draft_is_taken_over_by_nobody_but_its_owners(world: World) -> None:
    for role, allowed in {"editor": False, "somebody": False, "owner": True, "admin": True}.items():
        body = as_yaml(definition(experiment="draft", start_date="2100-01-04", owner="somebody@example.com"))
        with transaction.atomic():
            got = token_of(role).put("/api/v1/experiments/draft/definition", body, content_type="application/yaml")
            transaction.set_rollback(True)
        assert got.status_code == (OK if allowed else NO), (role, got.content)


def test_who_may_not_read_does_not_learn_what_there_is(world: World) -> None:
    outsider = token_of("outsider")
    there, missing = (outsider.get(f"/api/v1/experiments/{key}") for key in ("small", "nothing"))
    assert there.content == missing.content


def test_the_audit_log_names_the_person_and_the_token(world: World) -> None:
    client = program("editor")
    body = json.dumps({**definition(experiment="new"), "start_date": "2100-01-04"})
    assert client.put(
        "/api/v1/experiments/new/definition", body, content_type="application/json"
    ).status_code == OK  # fmt: skip
    actor = AuditEntry.objects.get(object_key="new").actor
    assert actor.startswith("editor@example.com (token hf_")
    assert actor.endswith("…)")
