"""The command that makes and changes accounts, and the one-time passwords that it prints."""

import re

import pytest
from django.test import Client

from experiments.models import Person
from tests.experiments.commands import Run, run
from tests.experiments.looks import NOW
from tests.people import PASSWORD, login, person, signed_in

pytestmark = pytest.mark.django_db(transaction=True)

ONE_TIME = re.compile(r"^one-time password: ([a-z2-9]{5}(?:-[a-z2-9]{5}){3})$", re.MULTILINE)
WRONG_PASSWORDS = 6  # one more than are allowed


def one_time(done: Run) -> str:
    found = ONE_TIME.search(done.out)
    assert found, (done.out, done.err)
    return found[1]


def test_a_one_time_password_is_good_for_choosing_ones_own() -> None:
    password = one_time(run("person", "New@Example.com", "--role", "viewer", "--name", "Nora"))
    browser = Client()
    assert login("new@example.com", password, browser)[0] == 302
    for address in ("/", "/decisions/"):
        assert browser.get(address).headers["Location"].startswith("/password/?next=")
    assert "Choose your own password" in browser.get("/password/").content.decode()
    weak = {"oldpassword": password, "password1": "short", "password2": "short"}
    page = browser.post("/password/", weak).content.decode()
    assert "This password is too short. It must contain at least 12 characters." in page
    strong = {"oldpassword": password, "password1": PASSWORD, "password2": PASSWORD, "next": "/decisions/"}
    assert browser.post("/password/", strong).headers["Location"] == "/decisions/"
    assert browser.get("/decisions/").status_code == 200  # this session goes on
    assert login("new@example.com", password)[0] == 200
    assert login("new@example.com")[0] == 302


def test_a_new_one_time_password_opens_a_locked_account_and_ends_its_sessions() -> None:
    browser = signed_in("viewer")
    for _ in range(WRONG_PASSWORDS):
        login("viewer@example.com", "guess")
    password = one_time(run("person", "viewer@example.com", "--new-password"))
    assert browser.get("/").status_code == 302
    assert login("viewer@example.com")[0] == 200
    assert login("viewer@example.com", password)[0] == 302


def test_the_command_makes_lists_and_changes_accounts() -> None:
    assert "Nobody has an account yet" in run("person").out
    made = run("person", "ann@example.com", "--role", "owner")
    assert made.code == 0
    assert made.out.startswith("ann@example.com: owner\n")
    assert run("person", "ann@example.com", "--role", "none").out == "ann@example.com: no role\n"
    assert run("person", "ann@example.com", "--disable").out == "ann@example.com: disabled\n"
    assert re.fullmatch(r"ann@example.com +no role +never signed in, disabled\n", run("person").out)
    assert run("person", "ann@example.com", "--enable").out == "ann@example.com: enabled\n"
    assert re.fullmatch(r"ann@example.com +no role +never signed in\n", run("person", "ann@example.com").out)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("ann",), 1, "'ann' is not an e-mail address"),
        (("ann@example.com",), 1, "there is no account for ann@example.com; say which --role a new one is to have"),
        (("ann@example.com", "--role", "king"), 2, "invalid choice: 'king'"),
        (("--disable",), 2, "whose account? Give an e-mail address"),
        (("ann@example.com", "--disable", "--enable"), 2, "not allowed with argument"),
        (("demo@example.com", "--role", "admin"), 1, "demo@example.com is an account of the demo"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: tuple[str, ...], code: int, said: str) -> None:
    Person.objects.create(email="demo@example.com", demo_run="a run", created_at=NOW)
    done = run("person", *arguments)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert Person.objects.count() == 1


@pytest.mark.parametrize("arguments", [("--role", "owner"), ("--disable",)])
def test_there_is_always_an_admin(arguments: tuple[str, ...]) -> None:
    person("admin")
    done = run("person", "admin@example.com", *arguments)
    assert done.code == 1
    assert "admin@example.com is the last admin; make somebody else one first" in done.err
    assert run("person", "other@example.com", "--role", "admin").code == 0
    assert run("person", "admin@example.com", *arguments).code == 0
