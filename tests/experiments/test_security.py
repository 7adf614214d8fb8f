"""The security table: each row is an attack on every address where it could be made, and what has to come of it.

Elsewhere: who may do what (test_permissions), SQL in names and paths (tests/sources/test_lockdown), forged answers of a
login provider (test_provider), guessing of passwords and the next page after a login (test_people).
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from analysis.results import Scorecard
from experiments.models import AuditEntry, Experiment, Look, Person
from experiments.models.look import FAILED
from tests.experiments import test_permissions
from tests.experiments.stored import decide, new_look, stored
from tests.experiments.test_permissions import KEY, TABLE, Case, Row
from tests.experiments.test_segments_page import card as segmented
from tests.people import PASSWORD, login, person, signed_in

pytestmark = pytest.mark.django_db

cases = test_permissions.cases

PROBES = {"alive", "ready", "counts"}
#: No cookie opens these, so none can be misused: a key is missing.
BY_KEY = {row.name for row in TABLE if row.admin == KEY}
WITHOUT_EMAIL = {row.name for row in TABLE if row.name.startswith("account_reset")}

# --- forms of other sites ---------------------------------------------------------------------------------------------
CHANGING = [row for row in TABLE if row.method == "post"]


def strict(name: str) -> Client:
    """A browser that sends no token unless it is told to, over https."""
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(person(name), backend="experiments.accounts.PersonBackend")
    return browser


def test_a_post_without_our_token_is_refused_at_every_address(cases: dict[str, Case]) -> None:
    browser, entries = strict("admin"), AuditEntry.objects.count()
    for row in CHANGING:
        response = browser.post(cases[row.name].address, cases[row.name].data)
        assert response.status_code == (405 if row.name in PROBES else KEY if row.name in BY_KEY else 403), row.name
    assert AuditEntry.objects.count() == entries
    assert browser.get("/").status_code == 200  # still signed in: nobody else ends a session either


def test_a_token_is_worth_nothing_from_another_site(cases: dict[str, Case]) -> None:
    browser = strict("admin")
    browser.get("/people/", secure=True)
    token = token_of(browser)
    case = cases["person-role"]
    for origin in ("https://evil.example", "http://testserver", "null"):
        response = browser.post(
            case.address, {**case.data, "csrfmiddlewaretoken": token}, secure=True, headers={"Origin": origin}
        )
        assert response.status_code == 403, origin
    response = browser.post(
        case.address, {**case.data, "csrfmiddlewaretoken": token}, secure=True, headers={"Origin": "https://testserver"}
    )
    assert response.status_code == 302


def token_of(browser: Client) -> str:
    page = browser.get("/people/", secure=True).content.decode()
    return page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]


def test_no_page_changes_anything_by_being_read(cases: dict[str, Case]) -> None:
    browser = signed_in("admin")
    before = state()
    for row in TABLE:
        if row.method == "get" and row.name != "account_logout":
            browser.get(cases[row.name].address, cases[row.name].data)
    assert state() == before


def state() -> list[Any]:
    return [
        AuditEntry.objects.count(),
        list(Experiment.objects.order_by("pk").values()),
        list(Person.objects.order_by("pk").values("email", "role", "is_active", "password")),
    ]


# --- headers ----------------------------------------------------------------------------------------------------------
def test_every_answer_has_the_headers_that_keep_browsers_in_bounds(cases: dict[str, Case]) -> None:
    for browser in (Client(), signed_in("admin")):
        for row in TABLE:
            if row.name in PROBES:
                continue
            response = getattr(browser, row.method)(cases[row.name].address, cases[row.name].data)
            check_headers(row, response.headers)


def check_headers(row: Row, headers: Any) -> None:
    assert headers["X-Content-Type-Options"] == "nosniff", row
    assert headers["X-Frame-Options"] == "DENY", row
    assert headers["Referrer-Policy"] == "same-origin", row
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin", row
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy, row
    assert "script-src 'self';" in f"{policy};", row
    assert "frame-ancestors 'none'" in policy, row
    assert "unsafe" not in policy, row


# --- hosts ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("host", ["evil.example", "testserver.evil.example", "testserver:80@evil.example", "", "a b"])
def test_another_host_name_is_refused(host: str) -> None:
    browser = signed_in("viewer")
    assert browser.get("/login/", headers={"Host": host}).status_code == 400
    assert browser.get("/", headers={"Host": host}).status_code == 400


def test_a_forwarded_host_is_nobodys_word() -> None:
    where = Client().get("/people/", headers={"X-Forwarded-Host": "evil.example"}).headers["Location"]
    assert where.startswith("/login/")


# --- sessions ---------------------------------------------------------------------------------------------------------
def test_a_session_that_was_planted_before_the_login_is_worth_nothing_after_it() -> None:
    person("viewer")
    planted = Client()
    planted.get("/login/")
    session = planted.session
    session["planted"] = True
    session.save()
    planted.cookies["holdfast_session"] = session.session_key or ""
    known = session.session_key
    assert login("viewer@example.com", browser=planted)[0] == 302
    assert planted.cookies["holdfast_session"].value != known
    thief = Client()
    thief.cookies["holdfast_session"] = known or ""
    assert thief.get("/").status_code == 302


def test_a_session_ends_at_the_logout_wherever_its_cookie_was_copied() -> None:
    browser = signed_in("viewer")
    thief = Client()
    thief.cookies["holdfast_session"] = browser.cookies["holdfast_session"].value
    assert thief.get("/").status_code == 200
    browser.post("/logout/")
    assert thief.get("/").status_code == 302


def test_a_session_ends_after_a_working_day(settings: Any) -> None:
    browser = signed_in("viewer")
    session = Session.objects.get()
    left = session.expire_date - datetime.now(UTC)
    assert timedelta(hours=11, minutes=55) < left <= timedelta(hours=12)
    session.expire_date = datetime.now(UTC) - timedelta(seconds=1)
    session.save()
    assert browser.get("/").status_code == 302


# --- guessing from behind a proxy -------------------------------------------------------------------------------------
def tries(times: int, **request: Any) -> int:
    for _ in range(times):
        status = login("viewer@example.com", "guess", **request)[0]
    return status


def test_who_guesses_does_not_get_more_tries_by_inventing_addresses(settings: Any) -> None:
    person("viewer")
    for number in range(4):
        tries(1, HTTP_X_FORWARDED_FOR=f"192.0.2.{number}")
    assert tries(1, HTTP_X_FORWARDED_FOR="192.0.2.99") == 429


def test_behind_a_proxy_the_address_is_what_the_proxy_saw(settings: Any) -> None:
    settings.HOLDFAST_PROXIES = 1
    person("viewer")
    for number in range(4):
        tries(1, HTTP_X_FORWARDED_FOR=f"192.0.2.{number}, 198.51.100.7")
    assert tries(1, HTTP_X_FORWARDED_FOR="203.0.113.1, 198.51.100.7") == 429
    assert login("viewer@example.com", HTTP_X_FORWARDED_FOR="198.51.100.8")[0] == 302
    assert login("viewer@example.com", HTTP_X_FORWARDED_FOR="not an address")[0] == 302


# --- bodies -----------------------------------------------------------------------------------------------------------
def test_a_body_that_is_too_large_or_has_too_many_fields_is_refused(settings: Any) -> None:
    browser = signed_in("admin")
    large = "x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    assert browser.post("/password/", f"oldpassword={large}", "application/x-www-form-urlencoded").status_code == 400
    many = "&".join(f"a{number}=1" for number in range(settings.DATA_UPLOAD_MAX_NUMBER_FIELDS + 1))
    assert browser.post("/password/", many, "application/x-www-form-urlencoded").status_code == 400


def test_text_with_a_null_in_it_is_no_traceback(cases: dict[str, Case]) -> None:
    browser = signed_in("admin")
    for row in TABLE:
        data = {**dict.fromkeys(cases[row.name].data, "\x00"), "q": "\x00", "next": "\x00", "as_of": "\x00"}
        assert getattr(browser, row.method)(cases[row.name].address, data).status_code < 500, row
    assert login("\x00viewer@example.com", "\x00")[0] < 500


# --- text that would be code ------------------------------------------------------------------------------------------
EVIL = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}{% debug %}<!--"
FORMULAS = ("=HYPERLINK(1)", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1")


class Page(HTMLParser):
    """What a browser would take for code."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.data: list[str] = []
        self._json = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._json = tag == "script" and given.get("type") == "application/json"
        if tag == "script" and not self._json and not (given.get("src") or "").startswith("/static/"):
            self.wrong.append(f"script {given}")
        if tag in ("img", "iframe", "object", "embed", "base") and not (given.get("src") or "").startswith("/static/"):
            self.wrong.append(f"{tag} {given}")
        for name, value in attrs:
            if name.startswith("on") or name == "style" or (value or "").strip().lower().startswith("javascript:"):
                self.wrong.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        if self._json:
            self.data.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._json = False


def evil_card() -> Scorecard:
    """The honeymoon with hostile text wherever a definition or the data may bring it."""
    made = segmented()
    plan = made.plan
    plan = replace(
        plan,
        name=f"Name {EVIL}",
        hypothesis=f"Hypothesis {EVIL}",
        unit=f"unit {EVIL}"[:60],
        owner="owner@example.com",
        metrics=tuple(replace(metric, column=f"Column {EVIL}") if metric.column else metric for metric in plan.metrics),
    )
    effects = tuple(
        replace(row, segment=f"country={row.segment}{EVIL}") if row.segment else row for row in made.effects
    )
    checks = tuple(replace(row, detail=f"{row.detail} {EVIL}") for row in made.checks)
    return replace(made, plan=plan, effects=effects, checks=checks)


@pytest.fixture
def evil() -> Iterator[str]:
    """The key of an experiment that was decided on, with a failed look, by people with such names."""
    key = stored(evil_card())
    Person.objects.filter(pk=person("owner").pk).update(name=f"Owner {EVIL}")
    decide(key, "launch", reason=f"Reason {EVIL}")
    failed = new_look(key, evil_card().as_of + timedelta(days=7), number=30)
    Look.objects.filter(pk=failed.pk).update(
        state=FAILED, fingerprint="broken", error=f"Error {EVIL}", finished_at=failed.planned_at
    )
    return key


def pages(key: str) -> list[str]:
    found = [reverse(name, args=[key]) for name in ("scorecard", "history", "progress")]
    found += [reverse(name) for name in ("portfolio", "decisions", "metrics", "sources", "people", "methods")]
    found += [reverse("decide", args=[key, "treatment"]), reverse("archive", args=[key])]
    found += [reverse("chart", args=[key, "treatment", metric.key]) for metric in evil_card().plan.metrics]
    return [*found, f"/?q={EVIL}", f"/decisions/?q={EVIL}", f"/experiments/{key}/?as_of={EVIL}", f"/{EVIL}/"]


def test_hostile_text_is_text_on_every_page_and_in_every_chart(evil: str) -> None:
    browser = signed_in("admin")
    told = 0
    for address in pages(evil):
        response = browser.get(address)
        assert response.status_code in (200, 404), address
        html = response.content.decode()
        page = Page(html)
        assert not page.wrong, (address, page.wrong)
        for data in page.data:
            for place, text in strings(json.loads(data)):
                assert "alert(1)" not in text or not RUNS & set(place), (address, place)
        assert "7*7" in html or "49" not in html.partition("Name ")[2][:400]
        told += "&lt;script&gt;alert(1)" in html
    assert told >= 6  # the name, the reason, the error and the metrics were on pages indeed


#: What Vega and Vega-Lite take for code or an address: no text of a definition or of the data may stand there.
RUNS = {"expr", "calculate", "filter", "test", "signal", "update", "url", "href"}


def strings(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from strings(each, (*place, key))
    elif isinstance(value, list):
        for each in value:
            yield from strings(each, place)


def test_json_is_json_and_not_a_page(evil: str) -> None:
    response = signed_in("viewer").get(f"/experiments/{evil}/scorecard.json")
    assert response.headers["Content-Type"].startswith("application/json")
    assert response.headers["Content-Disposition"].startswith("attachment")
    assert response.json()


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_of_a_csv_is_a_formula(formula: str) -> None:
    made = evil_card()
    effects = tuple(
        replace(row, segment=f"{formula}{row.segment}")
        if row.segment
        else replace(row, reason=formula)
        if row.reason
        else row
        for row in made.effects
    )
    key = stored(replace(made, effects=effects))
    text = signed_in("viewer").get(f"/experiments/{key}/scorecard.csv").content.decode()
    rows = list(csv.reader(io.StringIO(text)))
    assert any(formula.strip() in cell for row in rows for cell in row)
    for row in rows:
        assert len(row) == len(rows[0])
        for cell in row:
            assert not cell.startswith(("=", "@", "+", "\t", "\r")), cell
            assert not cell.startswith("-") or float(cell) < 0, cell


def test_the_name_of_a_download_cannot_end_its_header(evil: str) -> None:
    query = {"part": "trajectory", "metric": "lines", "variant": "treatment"}
    response = signed_in("viewer").get(f"/experiments/{evil}/chart.csv", query)
    assert response.headers["Content-Disposition"].count('"') == 2
    assert PASSWORD not in response.content.decode()
