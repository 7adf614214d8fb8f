"""Tokens of the API: shown once, kept as a hash, counted, and never worth more than the person behind them."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from pytest_django import Settings

from experiments.models import ApiToken, AuditEntry, Person
from experiments.services import people, tokens
from experiments.services.access import NotAllowed
from experiments.services.tokens import BadToken, CannotMakeToken, NewToken, NoSuchToken, TooManyRequests
from tests.experiments.commands import run
from tests.experiments.looks import NOW, at_once
from tests.experiments.pages import words
from tests.people import person, signed_in

pytestmark = pytest.mark.django_db

SECRET = re.compile(r"hf_[A-Za-z0-9_-]{43}")


def made(name: str = "editor", *scopes: str, days: int | None = 90) -> NewToken:
    return tokens.create(person(name), "notebooks", scopes or ("read",), days, by=f"{name}@example.com", now=NOW)


# --- the secret -------------------------------------------------------------------------------------------------------
def test_a_token_opens_with_its_secret_of_which_only_a_hash_is_kept() -> None:
    new = made()
    assert SECRET.fullmatch(new.secret)
    assert tokens.opened(new.secret, NOW) == new.token
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(t)::text FROM experiments_apitoken t")
        row = cursor.fetchone()[0]
        cursor.execute("SELECT string_agg(row_to_json(e)::text, '') FROM experiments_auditentry e")
        log = cursor.fetchone()[0]
    hidden = new.secret[tokens.SHOWN :]
    assert hidden not in row
    assert hidden not in log
    assert new.token.prefix == new.secret[: tokens.SHOWN]


@pytest.mark.parametrize("wrong", ["", "hf_", "x" * 46, "hf_" + "A" * 43, "\x00", "hf_ü", "a" * 100_000])
def test_anything_else_opens_nothing(wrong: str) -> None:
    made()
    with pytest.raises(BadToken, match="not known here"):
        tokens.opened(wrong, NOW)


def test_an_expired_and_a_revoked_token_open_nothing() -> None:
    new = made(days=1)
    tokens.opened(new.secret, NOW + timedelta(hours=23))
    with pytest.raises(BadToken, match="expired"):
        tokens.opened(new.secret, NOW + timedelta(days=1))
    tokens.revoke(new.token.pk, by=person("editor"), now=NOW)
    with pytest.raises(BadToken, match="revoked"):
        tokens.opened(new.secret, NOW)


def test_a_token_of_a_closed_account_or_of_another_demo_opens_nothing(settings: Settings) -> None:
    new = made()
    Person.objects.update(is_active=False)
    with pytest.raises(BadToken, match="account of this token is closed"):
        tokens.opened(new.secret, NOW)
    Person.objects.update(is_active=True, demo_run="one run")
    with pytest.raises(BadToken, match="account of this token is closed"):
        tokens.opened(new.secret, NOW)
    settings.HOLDFAST_DEMO_RUN = "one run"
    tokens.opened(new.secret, NOW)


def test_a_new_one_time_password_revokes_all_tokens() -> None:
    new = made()
    people.renew_password(person("editor"), by="admin@example.com", now=NOW)
    with pytest.raises(BadToken, match="revoked"):
        tokens.opened(new.secret, NOW)
    verbs = set(AuditEntry.objects.values_list("verb", "actor"))
    assert ("token revoked", "admin@example.com") in verbs


# --- what it may do ---------------------------------------------------------------------------------------------------
def test_a_token_does_what_its_scopes_name_and_its_owner_may() -> None:
    token = made("editor", "read", "apply").token
    tokens.require(token, "read")
    tokens.require(token, "apply")
    with pytest.raises(NotAllowed, match="has the scope read, apply; to ask for looks takes refresh"):
        tokens.require(token, "refresh")


def test_a_lost_role_is_lost_to_all_tokens_at_once() -> None:
    new = made("editor", "read", "apply")
    Person.objects.update(role="viewer")
    token = tokens.opened(new.secret, NOW)
    tokens.require(token, "read")
    with pytest.raises(NotAllowed, match="your role is viewer"):
        tokens.require(token, "apply")
    Person.objects.update(role=None)
    with pytest.raises(NotAllowed, match="no role yet"):
        tokens.require(tokens.opened(new.secret, NOW), "read")


@pytest.mark.parametrize("scope", ["apply", "refresh", "events"])
def test_nobody_makes_a_token_for_what_they_may_not_do(scope: str) -> None:
    with pytest.raises(NotAllowed, match="your role is viewer"):
        made("viewer", "read", scope)
    assert not ApiToken.objects.exists()


# --- how often --------------------------------------------------------------------------------------------------------
def test_a_token_is_used_so_many_times_a_minute_and_again_in_the_next(settings: Settings) -> None:
    settings.HOLDFAST_API_REQUESTS_PER_MINUTE = 3
    new, other, late = made(), made(), NOW.replace(second=48)
    for _ in range(3):
        tokens.opened(new.secret, late)
    with pytest.raises(TooManyRequests, match="3 times a minute") as refused:
        tokens.opened(new.secret, late)
    assert refused.value.retry_after == 12
    tokens.opened(other.secret, late)
    tokens.opened(new.secret, late + timedelta(seconds=12))
    stored = ApiToken.objects.get(pk=new.token.pk)
    assert (stored.used, stored.last_used_at) == (1, late + timedelta(seconds=12))


def test_a_clock_that_is_behind_gives_nobody_a_new_minute(settings: Settings) -> None:
    settings.HOLDFAST_API_REQUESTS_PER_MINUTE = 1
    new = made()
    tokens.opened(new.secret, NOW)
    with pytest.raises(TooManyRequests):
        tokens.opened(new.secret, NOW - timedelta(minutes=2))


@pytest.mark.django_db(transaction=True)
def test_of_many_requests_at_once_none_slips_through(settings: Settings) -> None:
    settings.HOLDFAST_API_REQUESTS_PER_MINUTE = 2
    new = made()

    def use() -> bool:
        try:
            return tokens.opened(new.secret, NOW) is not None
        except TooManyRequests:
            return False

    assert sorted(at_once(use, 4), key=bool) == [False, False, True, True]


# --- how it is made ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "scopes", "days", "why"),
    [
        ("", ["read"], 1, "name is ''; it must have 1 to 100 letters"),
        ("two\nlines", ["read"], 1, "on one line"),
        ("a" * 101, ["read"], 1, "1 to 100 letters"),
        ("n", [], 1, "there is no scope; choose from read, apply, refresh, events"),
        ("n", ["read", "all"], 1, "scope is 'all'; choose from"),
        ("n", ["read"], 0, "days is 0; it must be from 1 to 3660"),
        ("n", ["read"], 3661, "days is 3661"),
    ],
)
def test_what_is_asked_for_wrongly_is_not_made(name: str, scopes: list[str], days: int, why: str) -> None:
    with pytest.raises(CannotMakeToken, match=re.escape(why)):
        tokens.create(person("editor"), name, scopes, days, by="x", now=NOW)


def test_a_person_has_only_so_many_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST_TOKENS", 2)
    first, _ = made(), made()
    with pytest.raises(CannotMakeToken, match="has 2 tokens; revoke one first"):
        made()
    tokens.revoke(first.token.pk, by=person("editor"), now=NOW)
    made()


# --- the page ---------------------------------------------------------------------------------------------------------
def test_the_page_shows_the_secret_once() -> None:
    browser = signed_in("editor")
    page = browser.post("/tokens/", {"name": "CI", "scopes": ["read", "apply"], "days": "30"})
    secret = SECRET.search(page.content.decode())
    assert secret is not None
    assert tokens.opened(secret[0], ApiToken.objects.get().created_at).scopes == ["read", "apply"]
    assert "no-store" in page.headers["Cache-Control"]
    again = browser.get("/tokens/")
    assert not SECRET.search(again.content.decode())
    assert "CI hf_" in words(again)
    entry = AuditEntry.objects.get(verb="token made")
    assert (entry.actor, entry.object_key, entry.after["scopes"]) == (*["editor@example.com"] * 2, "read, apply")


def test_the_page_says_what_is_wrong_and_makes_nothing() -> None:
    browser = signed_in("viewer")
    for data, why in (
        ({"scopes": ["read"], "days": "30"}, "Say what the token is for."),
        ({"name": "n", "days": "30"}, "Choose what it may be used for."),
        ({"name": "n", "scopes": ["all"], "days": "30"}, "all is not one of the available choices"),
        ({"name": "n", "scopes": ["read"], "days": "31"}, "31 is not one of the available choices"),
        ({"name": "n", "scopes": ["apply"], "days": "30"}, "Not made: your role is viewer"),
    ):
        page = browser.post("/tokens/", data)
        assert (page.status_code, why in words(page)) == (422, True), words(page)
    assert not ApiToken.objects.exists()


def test_one_sees_and_revokes_ones_own_tokens_and_an_admin_everybodys() -> None:
    mine, theirs = made("editor").token, made("owner").token
    browser = signed_in("editor")
    assert "owner@example.com" not in words(browser.get("/tokens/"))
    assert browser.post(f"/tokens/{theirs.pk}/revoke/").status_code == 404
    assert "Revoke the token" in words(browser.get(f"/tokens/{mine.pk}/revoke/"))
    assert mine.state(NOW) == "active"
    assert browser.post(f"/tokens/{mine.pk}/revoke/").status_code == 302
    admin = signed_in("admin")
    assert "owner@example.com" in words(admin.get("/tokens/"))
    admin.post(f"/tokens/{theirs.pk}/revoke/")
    assert [token.state(NOW) for token in ApiToken.objects.all()] == ["revoked", "revoked"]
    assert AuditEntry.objects.filter(verb="token revoked").values_list("actor", flat=True)[1] == "admin@example.com"


# --- the command ------------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_the_command_makes_lists_and_revokes() -> None:
    assert "There are no tokens yet" in run("token").out
    person("editor")
    done = run("token", "Editor@example.com", "--name", "CI", "--scope", "read", "--scope", "refresh")
    secret = SECRET.search(done.out)
    assert secret is not None, done.err
    token = ApiToken.objects.get()
    assert token.expires_at is not None
    assert (token.expires_at - token.created_at, token.scopes) == (timedelta(days=90), ["read", "refresh"])
    listed = run("token").out
    assert f"{token.prefix}… editor@example.com" in listed
    assert secret[0] not in listed
    assert run("token", "--revoke", token.prefix).out == f"{token.prefix}… of editor@example.com: revoked\n"
    assert "revoked" in run("token").out
    assert AuditEntry.objects.get(verb="token revoked").actor.startswith("command line (")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["nobody@example.com", "--name", "n", "--scope", "read"], 1, "there is no account for nobody@example.com"),
        (["viewer@example.com", "--name", "n"], 1, "there is no scope"),
        (["viewer@example.com", "--name", "n", "--scope", "apply"], 1, "your role is viewer"),
        (["--revoke", "hf_"], 1, "no token begins with 'hf_'"),
        (["--name", "n"], 2, "whose token?"),
        (["viewer@example.com", "--revoke", "hf_x"], 2, "not both"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], code: int, why: str) -> None:
    person("viewer")
    done = run("token", *arguments)
    assert (done.code, why in done.err) == (code, True), done.err


def test_a_prefix_of_several_tokens_names_none() -> None:
    made(), made()
    with pytest.raises(NoSuchToken, match="several tokens begin"):
        tokens.find("hf_")
