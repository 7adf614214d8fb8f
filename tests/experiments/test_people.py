"""Accounts: how they are made and changed, how one signs in, and what keeps others out."""

import re
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.contrib.sessions.models import Session
from django.core import mail
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from experiments.models import AuditEntry, Person
from experiments.services import people
from experiments.services.people import CannotChangePerson
from tests.experiments.looks import NOW, at_once
from tests.experiments.pages import words
from tests.people import PASSWORD, login, person, signed_in

pytestmark = pytest.mark.django_db

WRONG = "The email address and/or password you specified are not correct."
#: So many wrong passwords are allowed; the next answer is a locked door.
LIMIT = 5


# --- signing in -------------------------------------------------------------------------------------------------------
def test_one_signs_in_with_an_address_in_whatever_case_and_out_again() -> None:
    person("viewer")
    browser = Client()
    assert login(" Viewer@Example.com ", browser=browser)[0] == 302
    assert browser.get("/").status_code == 200
    assert browser.post("/logout/").headers["Location"] == "/login/"
    assert browser.get("/").status_code == 302


def test_the_session_is_a_new_one_for_scripts_to_see_nowhere() -> None:
    person("viewer")
    browser = Client()
    browser.get("/login/")
    before = browser.cookies.get("holdfast_session")
    login("viewer@example.com", browser=browser)
    cookie = browser.cookies["holdfast_session"]
    assert before is None or cookie.value != before.value
    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", 12 * 60 * 60)
    assert browser.cookies["holdfast_csrf"]["httponly"]


def test_a_wrong_password_an_unknown_and_a_closed_account_look_the_same() -> None:
    person("viewer")
    Person.objects.create(email="closed@example.com", is_active=False, created_at=NOW, role="viewer",
                          password=person("viewer").password)  # fmt: skip
    Person.objects.create(email="demo@example.com", demo_run="another run", created_at=NOW, role="viewer",
                          password=person("viewer").password)  # fmt: skip
    for email, password in (
        ("viewer@example.com", "wrong"), ("unknown@example.com", PASSWORD), ("closed@example.com", PASSWORD),
        ("demo@example.com", PASSWORD),
    ):  # fmt: skip
        status, page = login(email, password)
        assert status == 200
        assert WRONG in page, email


@pytest.mark.parametrize("name", ["viewer", "demo"])
def test_an_account_of_the_demo_is_good_in_its_own_run_alone(settings: Settings, name: str) -> None:
    Person.objects.create(email="demo@example.com", demo_run="this run", created_at=NOW, role="viewer",
                          password=person("viewer").password)  # fmt: skip
    for run_served, welcome in ((None, False), ("another run", False), ("this run", True)):
        settings.HOLDFAST_DEMO_RUN = run_served
        assert (login(f"{name}@example.com")[0] == 302) is (welcome or name == "viewer")


def test_a_session_of_the_demo_ends_with_it(settings: Settings) -> None:
    Person.objects.create(email="demo@example.com", demo_run="this run", created_at=NOW, role="viewer",
                          password=person("viewer").password)  # fmt: skip
    settings.HOLDFAST_DEMO_RUN = "this run"
    browser = Client()
    login("demo@example.com", browser=browser)
    assert browser.get("/").status_code == 200
    settings.HOLDFAST_DEMO_RUN = None
    assert browser.get("/").status_code == 302


@pytest.mark.parametrize(
    ("target", "landed"),
    [
        ("/decisions/", "/decisions/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("http:///evil.example", "/"),
    ],
)
def test_one_comes_back_to_where_one_was_and_to_no_other_site(target: str, landed: str) -> None:
    person("viewer")
    credentials = {"login": "viewer@example.com", "password": PASSWORD, "next": target}
    assert Client().post("/login/", credentials).headers["Location"] == landed


def test_an_address_that_needs_a_login_comes_back_after_it() -> None:
    where = Client().get("/experiments/honeymoon/?as_of=2017-09-04").headers["Location"]
    assert where == "/login/?next=%2Fexperiments%2Fhoneymoon%2F%3Fas_of%3D2017-09-04"
    assert 'name="next" value="/experiments/honeymoon/?as_of=2017-09-04"' in Client().get(where).content.decode()


@pytest.mark.parametrize(
    ("came", "back"),
    [
        ("http://testserver/drafts/3/basics/?a=1", "/drafts/3/basics/?a=1"),
        ("http://evil.example/drafts/3/basics/", "/"),
        ("", "/"),
    ],
)
def test_a_form_that_was_sent_after_the_session_ended_is_found_again_after_the_login(came: str, back: str) -> None:
    where = Client(headers={"Referer": came}).post("/drafts/3/basics/").headers["Location"]
    assert where == f"/login/?{urlencode({'next': back})}"


def test_an_address_for_forms_says_so_to_those_who_come_without_one() -> None:
    response = signed_in("owner").get("/experiments/honeymoon/refresh/")
    assert (response.status_code, "only takes what a form sends" in words(response)) == (405, True)


def test_nobody_signs_up() -> None:
    for address in ("/signup/", "/accounts/signup/", "/account/signup/"):
        assert Client().get(address).status_code == 404


# --- guessing ---------------------------------------------------------------------------------------------------------
def test_too_many_wrong_passwords_lock_the_account_for_whoever_guesses_and_for_nobody_else() -> None:
    person("viewer"), person("editor")
    for number in range(LIMIT):
        status, page = login("VIEWER@example.com" if number % 2 else "viewer@example.com", "guess")
        assert (status, WRONG in page) == ((200, True) if number < LIMIT - 1 else (429, False))
    status, page = login("viewer@example.com")
    assert status == 429
    assert "Too many wrong passwords" in page
    assert login("editor@example.com")[0] == 302
    assert login("viewer@example.com", REMOTE_ADDR="10.1.2.3")[0] == 302


def test_a_right_password_in_between_forgets_the_wrong_ones() -> None:
    person("viewer")
    for _ in range(3):
        for _ in range(LIMIT - 1):
            assert login("viewer@example.com", "guess")[0] == 200
        assert login("viewer@example.com")[0] == 302


# --- one-time passwords -----------------------------------------------------------------------------------------------
def test_a_changed_password_ends_the_other_sessions() -> None:
    here, there = signed_in("viewer"), signed_in("viewer")
    changed = {"oldpassword": PASSWORD, "password1": "another long phrase", "password2": "another long phrase"}
    assert here.post("/password/", changed).status_code == 302
    assert here.get("/").status_code == 200
    assert there.get("/").status_code == 302


def test_passwords_are_all_different_and_long() -> None:
    made = {people.one_time_password() for _ in range(1000)}
    assert len(made) == 1000
    assert {len(password) for password in made} == {23}


# --- by e-mail --------------------------------------------------------------------------------------------------------
def test_without_e_mail_no_password_is_reset_by_it() -> None:
    assert "Forgot your password?" not in Client().get("/login/").content.decode()
    response = Client().get("/password/reset/")
    assert response.status_code == 404
    assert "an admin gives a new one" in response.content.decode()


def test_with_e_mail_a_link_lets_one_choose_a_new_password(settings: Settings) -> None:
    settings.HOLDFAST_EMAIL = True
    person("viewer")
    browser = Client()
    assert "Forgot your password?" in browser.get("/login/").content.decode()
    assert browser.get("/password/reset/").status_code == 200
    for email in ("unknown@example.com", "viewer@example.com"):
        done = browser.post("/password/reset/", {"email": email}, follow=True)
        assert "Look into your mail" in done.content.decode()
    (letter,) = mail.outbox
    assert letter.to == ["viewer@example.com"]
    link = re.search(r"http://testserver(/password/reset/\S+)", str(letter.body))
    assert link
    page = browser.get(link[1], follow=True)
    new = {"password1": "another long phrase", "password2": "another long phrase"}
    done = browser.post(page.request["PATH_INFO"], new, follow=True)
    assert "The password is changed" in done.content.decode()
    assert login("viewer@example.com", "another long phrase")[0] == 302
    assert AuditEntry.objects.latest("pk").verb == "password chosen"
    assert "This link is used up" in browser.get(link[1], follow=True).content.decode()


@pytest.mark.django_db(transaction=True)
def test_two_admins_who_remove_each_other_at_once_leave_one() -> None:
    both = [person("admin"), Person.objects.create(email="other@example.com", role="admin", created_at=NOW)]
    turns = iter(both)

    def remove() -> object:
        try:
            people.set_active(next(turns), active=False, by="the other", now=NOW)
        except CannotChangePerson as refusal:
            return str(refusal)
        return None

    said = at_once(remove, times=2)
    assert sorted(map(bool, said)) == [False, True]
    assert Person.objects.filter(is_active=True, role="admin").count() == 1


# --- the page for admins ----------------------------------------------------------------------------------------------
def test_the_page_lists_people_and_changes_them() -> None:
    admin, other = signed_in("admin"), person("viewer")
    Person.objects.create(email="demo@example.com", demo_run="a run", created_at=NOW)
    page = admin.get("/people/").content.decode()
    assert "viewer@example.com" in page
    assert "demo@example.com" not in page
    admin.post(f"/people/{other.pk}/role/", {"role": "none"})
    admin.post(f"/people/{other.pk}/active/", {"active": "no"})
    other.refresh_from_db()
    assert (other.role, other.is_active) == (None, False)
    assert AuditEntry.objects.latest("pk").actor == "admin@example.com"
    assert "Enable" in admin.get("/people/").content.decode()


@pytest.mark.parametrize(
    ("address", "data", "status", "said"),
    [
        (lambda one: f"/people/{one.pk}/role/", {"role": "king"}, 422, "Choose one of the roles"),
        (lambda one: f"/people/{one.pk}/active/", {"active": "maybe"}, 422, "Say whether the account"),
        (lambda one: f"/people/{one.pk}/active/", {"active": "no"}, 409, "is the last admin"),
        (lambda one: f"/people/{one.pk}/role/", {"role": "owner"}, 409, "is the last admin"),
        (lambda one: "/people/0/role/", {"role": "owner"}, 404, "no such person"),
    ],
)
def test_the_page_refuses_what_cannot_be(
    address: Callable[[Person], str], data: dict[str, str], status: int, said: str
) -> None:
    admin = signed_in("admin")
    response = admin.post(address(person("admin")), data)
    assert response.status_code == status
    assert said in response.content.decode()


def test_sessions_that_have_ended_are_forgotten() -> None:
    signed_in("viewer")
    ended = signed_in("editor").session.session_key
    Session.objects.filter(pk=ended).update(expire_date=timezone.now() - timedelta(hours=1))
    people.forget_old_sessions(timezone.now())
    assert Session.objects.count() == 1
