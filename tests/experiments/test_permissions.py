"""Every address, every method, every role: a table. An address that is not in it fails the last test."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.cookies import SimpleCookie
from typing import Any, NamedTuple

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, reverse

from experiments import urls
from experiments.models import AuditEntry, Decision, Experiment, Person, SdkKey
from experiments.services import decisions, drafts, keys, tokens
from experiments.views.guard import A_KEY, AN_ACCOUNT, ANYBODY
from tests.experiments import cards
from tests.experiments.registered import drafted, registered
from tests.experiments.stored import applied, decide, new_look, renamed, stored
from tests.experiments.traffic_world import holdout, put
from tests.people import MADE_AT, person, signed_in

pytestmark = pytest.mark.django_db

#: Who asks. "somebody" has the role owner and owns nothing here; the experiment is owner@example.com's.
ROLES = ("nobody", "outsider", "viewer", "editor", "somebody", "owner", "admin")

#: The experiments start on 2017-05-29.
BEFORE = datetime(2017, 5, 1, 12, tzinfo=UTC)

LOGIN, NO, OK, DONE, METHOD, KEY = "login", 403, 200, 302, 405, 401

#: The key of the table is an experiment's.
NOT_A_HOLDOUT = 404


class Row(NamedTuple):
    """What each role gets of an address, in the order of ROLES."""

    name: str
    method: str
    nobody: Any
    outsider: int
    viewer: int
    editor: int
    somebody: int
    owner: int
    admin: int


def reading(name: str, found: int = OK) -> list[Row]:
    """A page, fragment or download for all who may read; nobody can post to it."""
    return [
        Row(name, "get", LOGIN, NO, found, found, found, found, found),
        Row(name, "post", LOGIN, NO, METHOD, METHOD, METHOD, METHOD, METHOD),
    ]


def by_key(name: str) -> list[Row]:
    """What programs ask for with a key: no session opens it, and what a key opens is in test_ofrep."""
    return [Row(name, method, KEY, KEY, KEY, KEY, KEY, KEY, KEY) for method in ("get", "post")]


def editing(name: str, posted: int = 422) -> list[Row]:
    """What editors do, owners, and admins; an empty form says what is missing."""
    return [
        Row(name, "get", LOGIN, NO, NO, OK, OK, OK, OK),
        Row(name, "post", LOGIN, NO, NO, posted, posted, posted, posted),
    ]


def owning(name: str, posted: int = DONE) -> list[Row]:
    """What the owners of the experiment do, and admins."""
    return [
        Row(name, "get", LOGIN, NO, NO, NO, NO, OK, OK),
        Row(name, "post", LOGIN, NO, NO, NO, NO, posted, posted),
    ]


TABLE = [
    *reading("portfolio"),
    *reading("scorecard"),
    *reading("progress"),
    *reading("scorecard-json"),
    *reading("scorecard-csv"),
    *reading("definition"),
    *reading("chart"),
    *reading("chart-csv"),
    *reading("holdouts"),
    *reading("holdout", NOT_A_HOLDOUT),
    *owning("holdout-release"),
    *reading("traffic"),
    *reading("experiment-traffic"),
    Row("testers", "get", LOGIN, NO, NO, METHOD, METHOD, METHOD, METHOD),
    Row("testers", "post", LOGIN, NO, NO, NO, NO, DONE, DONE),  # it has started, so it takes one of its owners
    *reading("console"),
    *reading("keys"),
    Row("key-add", "get", LOGIN, NO, NO, NO, NO, NO, OK),
    Row("key-add", "post", LOGIN, NO, NO, NO, NO, NO, OK),
    Row("key-revoke", "get", LOGIN, NO, NO, NO, NO, NO, OK),
    Row("key-revoke", "post", LOGIN, NO, NO, NO, NO, NO, DONE),
    *reading("metrics"),
    *editing("metric-add"),
    *reading("metric"),
    *editing("metric-edit"),
    Row("metric-publish", "get", LOGIN, NO, NO, METHOD, METHOD, METHOD, METHOD),
    Row("metric-publish", "post", LOGIN, NO, NO, DONE, DONE, DONE, DONE),
    *reading("sources"),
    *editing("source-add"),
    *editing("source-draft"),
    *reading("source"),
    *editing("source-data"),
    *editing("source-delete", DONE),
    *reading("source-progress"),
    Row("source-check", "get", LOGIN, NO, NO, METHOD, METHOD, METHOD, METHOD),
    Row("source-check", "post", LOGIN, NO, NO, DONE, DONE, DONE, DONE),
    *reading("methods"),
    *reading("methods-page"),
    *reading("history"),
    *reading("decisions"),
    *reading("evidence"),
    *by_key("ofrep-flag"),
    *by_key("ofrep-flags"),
    Row("refresh", "get", LOGIN, NO, NO, METHOD, METHOD, METHOD, METHOD),
    Row("refresh", "post", LOGIN, NO, NO, 409, 409, 409, 409),  # there are no data behind these experiments
    Row("submit", "get", LOGIN, NO, NO, OK, OK, OK, OK),
    Row("submit", "post", LOGIN, NO, NO, DONE, DONE, DONE, DONE),
    Row("withdraw", "get", LOGIN, NO, NO, OK, OK, OK, OK),
    Row("withdraw", "post", LOGIN, NO, NO, DONE, DONE, DONE, DONE),
    *owning("start"),
    *owning("archive"),
    *owning("decide"),
    Row("configure", "get", LOGIN, NO, NO, OK, OK, OK, OK),
    Row("configure", "post", LOGIN, NO, NO, DONE, DONE, DONE, DONE),
    Row("draft", "get", LOGIN, NO, NO, OK, OK, OK, OK),
    Row("draft", "post", LOGIN, NO, NO, DONE, DONE, DONE, DONE),
    Row("draft-check", "get", LOGIN, NO, NO, METHOD, METHOD, METHOD, METHOD),
    Row("draft-check", "post", LOGIN, NO, NO, OK, OK, OK, OK),
    Row("draft-apply", "get", LOGIN, NO, NO, METHOD, METHOD, METHOD, METHOD),
    Row("draft-apply", "post", LOGIN, NO, NO, DONE, DONE, DONE, DONE),
    Row("draft-discard", "get", LOGIN, NO, NO, OK, OK, OK, OK),
    Row("draft-discard", "post", LOGIN, NO, NO, DONE, DONE, DONE, DONE),
    Row("owners", "get", LOGIN, NO, NO, NO, NO, NO, METHOD),
    Row("owners", "post", LOGIN, NO, NO, NO, NO, NO, DONE),
    Row("people", "get", LOGIN, NO, NO, NO, NO, NO, OK),
    Row("people", "post", LOGIN, NO, NO, NO, NO, NO, METHOD),
    Row("person-role", "get", LOGIN, NO, NO, NO, NO, NO, METHOD),
    Row("person-role", "post", LOGIN, NO, NO, NO, NO, NO, DONE),
    Row("person-active", "get", LOGIN, NO, NO, NO, NO, NO, METHOD),
    Row("person-active", "post", LOGIN, NO, NO, NO, NO, NO, DONE),
    Row("tokens", "get", LOGIN, NO, OK, OK, OK, OK, OK),
    Row("tokens", "post", LOGIN, NO, OK, OK, OK, OK, OK),
    Row("token-revoke", "get", LOGIN, NO, 404, 404, 404, OK, OK),
    Row("token-revoke", "post", LOGIN, NO, 404, 404, 404, DONE, DONE),  # it is the owner's
    *reading("api-docs"),
    *(Row("api-openapi", way, *[got] * 7) for way, got in (("get", OK), ("post", METHOD))),
    *(
        Row(name, method, *[found if method == "get" else METHOD] * len(ROLES))
        for name, found in (("alive", OK), ("ready", OK), ("counts", 404))  # counts want a token, and there is none
        for method in ("get", "post")
    ),
    Row("account_login", "get", OK, DONE, DONE, DONE, DONE, DONE, DONE),
    Row("account_login", "post", OK, DONE, DONE, DONE, DONE, DONE, DONE),
    Row("account_logout", "get", DONE, OK, OK, OK, OK, OK, OK),
    Row("account_logout", "post", DONE, DONE, DONE, DONE, DONE, DONE, DONE),
    Row("account_change_password", "get", LOGIN, OK, OK, OK, OK, OK, OK),
    Row("account_change_password", "post", LOGIN, OK, OK, OK, OK, OK, OK),  # the form says what is missing
    *(  # there is no provider here
        Row(name, method, *[404 if method == "get" else METHOD] * len(ROLES))
        for name in ("openid_connect_login", "openid_connect_callback")
        for method in ("get", "post")
    ),
    *(
        Row(name, method, 404, 404, 404, 404, 404, 404, 404)  # there is no e-mail here
        for name in (
            "account_reset_password", "account_reset_password_done", "account_reset_password_from_key",
            "account_reset_password_from_key_done",
        )
        for method in ("get", "post")
    ),
]  # fmt: skip


class Case(NamedTuple):
    address: str
    data: dict[str, Any]


@pytest.fixture
def cases() -> dict[str, Case]:
    """An address for each name, with what a whole form would send, all of it fit to be done."""
    person("owner")
    key = stored(cards.honeymoon())
    decided = decide(stored(renamed(cards.honeymoon(), "ended", "Ended")), "roll_back")
    draft, review = draft_of("draft"), draft_of("review")
    review.submit(by="editor@example.com", now=BEFORE)
    look = decisions.situation(key, "treatment")
    running = applied(renamed(cards.placebo(), "running", "Running"))
    new_look(running, date(2017, 12, 31))
    made = drafts.begin_from("draft", person("editor"), BEFORE, copied=False)
    subject = Person.objects.create(email="subject@example.com", created_at=MADE_AT, role="owner")
    token = tokens.create(person("owner"), "theirs", ["read"], None, by="owner@example.com", now=MADE_AT).token
    decision = {
        "action": "roll_back", "reason": "", "confirmed": "on", "look": look.look_id,
        "revision": look.experiment.revision,
    }  # fmt: skip
    basics = {"revision": made.revision, "do": "go:review"}
    plain = {name: Case(reverse(name, args=[key]), {}) for name in (
        "scorecard", "scorecard-json", "scorecard-csv", "history", "refresh", "definition")}  # fmt: skip
    accounts = {row.name: Case(reverse(row.name), {}) for row in TABLE if row.name.startswith("account_")
                and row.name != "account_reset_password_from_key"}  # fmt: skip
    put(holdout())
    held = Experiment.objects.get(key="winter")
    kept = registered("shop")
    return {
        **plain,
        **accounts,
        "chart": Case(reverse("chart", args=[key, "treatment", "lines"]), {}),
        "chart-csv": Case(
            reverse("chart-csv", args=[key]), {"part": "trajectory", "metric": "lines", "variant": "treatment"}
        ),
        "ofrep-flag": Case(reverse("ofrep-flag", args=[key]), {}),
        "ofrep-flags": Case(reverse("ofrep-flags"), {}),
        "holdouts": Case(reverse("holdouts"), {}),
        "holdout": Case(reverse("holdout", args=[key]), {}),
        "holdout-release": Case(
            reverse("holdout-release", args=["winter"]), {"revision": held.revision, "reason": "over"}
        ),
        "traffic": Case(reverse("traffic"), {}),
        "experiment-traffic": Case(reverse("experiment-traffic", args=[key]), {}),
        "testers": Case(reverse("testers", args=[key]), {"unit": "user-1", "variant": "treatment"}),
        "console": Case(reverse("console"), {}),
        "keys": Case(reverse("keys"), {}),
        "key-add": Case(reverse("key-add"), {"name": "shop", "kind": "server"}),
        "key-revoke": Case(reverse("key-revoke", args=[sdk_key()]), {}),
        "metrics": Case(reverse("metrics"), {}),
        "metric-add": Case(reverse("metric-add"), {}),
        "metric": Case(reverse("metric", args=["lines"]), {}),
        "metric-edit": Case(reverse("metric-edit", args=["lines"]), {}),
        "metric-publish": Case(reverse("metric-publish", args=["lines", 1]), {}),
        "sources": Case(reverse("sources"), {}),
        "source-add": Case(reverse("source-add"), {}),
        "source-draft": Case(reverse("source-draft", args=[drafted().token]), {}),
        "source": Case(reverse("source", args=[kept.key]), {}),
        "source-check": Case(reverse("source-check", args=[kept.key]), {}),
        "source-delete": Case(reverse("source-delete", args=[kept.key]), {}),
        "source-progress": Case(reverse("source-progress", args=[kept.key]), {}),
        "source-data": Case(reverse("source-data", args=[kept.key]), {}),
        "methods": Case(reverse("methods"), {}),
        "methods-page": Case(reverse("methods-page", args=["effects"]), {}),
        "portfolio": Case(reverse("portfolio"), {}),
        "decisions": Case(reverse("decisions"), {}),
        "progress": Case(reverse("progress", args=[running]), {}),
        "evidence": Case(reverse("evidence", args=[decided.pk]), {}),
        "configure": Case(reverse("configure"), {}),
        "draft": Case(reverse("draft", args=[made.pk, "basics"]), basics),
        "draft-check": Case(reverse("draft-check", args=[made.pk, "basics"]), basics),
        "draft-apply": Case(reverse("draft-apply", args=[made.pk]), {"revision": made.revision}),
        "draft-discard": Case(reverse("draft-discard", args=[made.pk]), {}),
        "submit": Case(reverse("submit", args=["draft"]), {"revision": draft.revision}),
        "withdraw": Case(reverse("withdraw", args=["review"]), {"revision": review.revision}),
        "start": Case(reverse("start", args=["review"]), {"revision": review.revision}),
        "archive": Case(reverse("archive", args=["ended"]), {"revision": decided.revision}),
        "decide": Case(reverse("decide", args=[key, "treatment"]), decision),
        "owners": Case(reverse("owners", args=[key]), {"person": subject.pk, "assigned": "yes"}),
        **{name: Case(reverse(name, args=["sso"]), {}) for name in ("openid_connect_login", "openid_connect_callback")},
        **{name: Case(reverse(name), {}) for name in ("alive", "ready", "counts")},
        "people": Case(reverse("people"), {}),
        "person-role": Case(reverse("person-role", args=[subject.pk]), {"role": "viewer"}),
        "person-active": Case(reverse("person-active", args=[subject.pk]), {"active": "no"}),
        "api-docs": Case(reverse("api-docs"), {}),
        "api-openapi": Case(reverse("api-openapi"), {}),
        "tokens": Case(reverse("tokens"), {"name": "notebooks", "scopes": ["read"], "days": "90"}),
        "token-revoke": Case(reverse("token-revoke", args=[token.pk]), {}),
        "account_reset_password_from_key": Case(reverse("account_reset_password_from_key", args=["1", "x-y"]), {}),
    }


def sdk_key() -> int:
    """The number of a key of a program."""
    keys.create("theirs", "server", [], by="admin@example.com", now=MADE_AT)
    return SdkKey.objects.get(name="theirs").pk


def draft_of(key: str) -> Experiment:
    """An experiment that was applied before its day, and has not been looked at since."""
    applied(renamed(cards.placebo(), key, key), BEFORE)
    return Experiment.objects.get(key=key)


@pytest.mark.parametrize("role", ROLES)
def test_every_role_gets_what_the_table_says(cases: dict[str, Case], role: str) -> None:
    browser = Client() if role == "nobody" else signed_in(role)
    cookies = browser.cookies.output(header="")
    wrong = {}
    for row in TABLE:
        browser.cookies = SimpleCookie(cookies)  # as they were, whatever the last request did to them
        with transaction.atomic():
            got = asked(browser, row, cases[row.name])
            transaction.set_rollback(True)
        if got != getattr(row, role):
            wrong[row.method, row.name] = f"{got} instead of {getattr(row, role)}"
    assert not wrong


def asked(browser: Client, row: Row, case: Case) -> int | str:
    """What comes back; nothing may be done or told where it is not allowed."""
    entries = AuditEntry.objects.count()
    response = getattr(browser, row.method)(case.address, case.data)
    where = response.headers.get("Location", "")
    got = LOGIN if where.startswith("/login/?next=") else response.status_code
    if got in (LOGIN, NO, METHOD, KEY, 404):
        assert AuditEntry.objects.count() == entries, row
        assert b"Engagement-first ranker" not in response.content, row
    return got


def pages() -> Iterator[URLPattern]:
    for pattern in urls.urlpatterns:
        if isinstance(pattern, URLPattern):
            yield pattern
        else:  # the operations of the API have rows in test_api_permissions.py
            assert pattern.namespace == "api", "an included list of addresses needs rows of its own"


def routes() -> Iterator[str]:
    for pattern in pages():
        assert pattern.name, f"{pattern} has no name"
        yield pattern.name


def test_every_address_is_in_the_table_with_get_and_post() -> None:
    assert {(row.name, row.method) for row in TABLE} == {(name, way) for name in routes() for way in ("get", "post")}
    assert len(set(routes())) == len(list(routes()))


def test_every_view_says_what_it_needs() -> None:
    known = {"read", "edit", "refresh", "decide", "administer", ANYBODY, AN_ACCOUNT, A_KEY}
    for pattern in pages():
        assert getattr(pattern.callback, "needs", None) in known, pattern.name


@pytest.mark.parametrize("role", ["nobody", "outsider"])
def test_who_may_not_read_does_not_learn_what_there_is(role: str) -> None:
    browser = Client() if role == "nobody" else signed_in(role)
    stored(cards.honeymoon())
    for name in ("scorecard", "history", "scorecard-json"):
        there, missing = (browser.get(reverse(name, args=[key])) for key in ("honeymoon", "nothing"))
        assert there.status_code == missing.status_code
        assert b"honeymoon" not in missing.content


def test_a_fragment_that_may_not_be_read_has_the_whole_page_asked_for() -> None:
    stored(cards.honeymoon())
    response = Client().get("/experiments/honeymoon/progress/", headers={"HX-Request": "true"})
    assert (response.status_code, response.headers["HX-Refresh"], response.content) == (200, "true", b"")
    assert signed_in("outsider").get(
        "/experiments/honeymoon/progress/", headers={"HX-Request": "true"}
    ).status_code == 403  # fmt: skip


def test_a_person_who_loses_a_role_or_the_account_is_out_at_once() -> None:
    browser = signed_in("viewer")
    assert browser.get("/").status_code == 200
    Person.objects.update(role=None)
    assert browser.get("/").status_code == 403
    Person.objects.update(role="viewer", is_active=False)
    assert browser.get("/").status_code == 302


def test_forms_of_other_sites_are_refused() -> None:
    stored(cards.honeymoon())
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(person("owner"), backend="experiments.accounts.PersonBackend")
    response = browser.post("/experiments/honeymoon/decide/treatment/", {"action": "roll_back"})
    assert response.status_code == 403
    assert b"too old, or not ours" in response.content
    assert not Decision.objects.exists()


def test_pages_of_people_are_kept_by_no_browser() -> None:
    assert "no-store" in signed_in("viewer").get("/").headers["Cache-Control"]
