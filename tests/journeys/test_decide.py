"""In a real browser: an owner signs in, rolls back and finds it in the log; a viewer changes nothing; an outsider sees
nothing. Every page of it is checked by axe-core, in both themes."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from experiments.models import AuditEntry, Decision, Experiment
from tests.experiments import cards
from tests.experiments.stored import applied, decide, renamed, stored
from tests.journeys.browser import DESKTOP, PHONE, Scheme, opened, overflow
from tests.people import PASSWORD, person

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

#: A phone in every run; the other three pairs in the slow one.
SCREENS = pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (PHONE, "light"),
        pytest.param(DESKTOP, "dark", marks=pytest.mark.slow),
        pytest.param(DESKTOP, "light", marks=pytest.mark.slow),
        pytest.param(PHONE, "dark", marks=pytest.mark.slow),
    ],
)
SIZES = pytest.mark.parametrize("width", [DESKTOP, PHONE])
EARLY = date(2017, 9, 4)
BEFORE_THE_START = datetime(2017, 5, 1, 12, tzinfo=UTC)
REASON = "The late loss is real: active units are down nine percent."


@pytest.fixture
def site(live_server: LiveServer) -> str:
    person("owner")
    stored(cards.honeymoon(EARLY))
    stored(cards.honeymoon())
    return str(live_server.url)


def sign_in(page: Page, email: str, password: str) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


@SIZES
def test_an_owner_signs_in_rolls_back_with_a_reason_and_finds_it_in_the_log(
    site: str, browser: Browser, width: int
) -> None:
    with opened(browser, f"{site}/experiments/honeymoon/", width, who="") as (page, account):
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
        sign_in(page, "owner@example.com", PASSWORD)
        expect(page.get_by_role("heading", level=1)).to_have_text("Engagement-first ranker")
        page.get_by_role("link", name="Record a decision").click()
        expect(page.get_by_role("region", name="Recommendation")).to_contain_text("Roll back")
        expect(page.get_by_role("region", name="Rollback criteria")).to_contain_text("met")
        page.get_by_role("button", name="Record the decision").click()
        expect(page.get_by_text("Choose what is decided.")).to_be_visible()
        expect(page.get_by_text("Confirm that you have read the evidence.")).to_be_visible()
        page.get_by_role("radio", name="Roll back").check()
        page.get_by_label("Why?").fill(REASON)
        page.get_by_role("checkbox").check()
        assert overflow(page) <= 0
        page.get_by_role("button", name="Record the decision").click()
        expect(page.get_by_text("rolled back", exact=True)).to_be_visible()
        page.get_by_role("link", name="Decisions", exact=True).click()
        entry = page.get_by_role("article")
        expect(entry).to_contain_text("Roll back")
        expect(entry).to_contain_text(REASON)
        expect(entry).to_contain_text("owner@example.com")
        entry.get_by_text("Evidence, as it was").click()
        expect(entry.get_by_role("region", name="Estimates of the evidence")).to_be_visible()
        assert overflow(page) <= 0
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
        page.goto(f"{site}/decisions/")
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
        # a form that is not whole is answered with 422, and the console notes every such answer
        noted = [problem for problem in account.of(page) if "422 (Unprocessable" not in problem]
        assert noted == []
    assert Decision.objects.get().reason == REASON
    assert Experiment.objects.get().outcome == "rolled_back"


def test_a_viewer_reads_everything_and_can_change_nothing(site: str, browser: Browser) -> None:
    decide("honeymoon", "launch", "as agreed")
    entries = AuditEntry.objects.count()
    with opened(browser, f"{site}/experiments/honeymoon/", DESKTOP, who="viewer") as (page, account):
        for address in ("experiments/honeymoon/", "experiments/honeymoon/history/", "decisions/", ""):
            page.goto(f"{site}/{address}")
            content = page.locator("main")
            expect(content.get_by_role("heading", level=1)).to_be_visible()
            changing = content.locator("form[method=post], form:not([method=get]) button[type=submit], a.button")
            assert changing.count() == 0, address
            expect(page.get_by_role("link", name="People")).to_have_count(0)
        assert account.of(page) == []
        token = page.context.cookies()[-1]["value"]
        for address in ("decide/treatment/", "archive/", "refresh/", "submit/", "owners/"):
            where = f"{site}/experiments/honeymoon/{address}"
            sent = page.request.post(where, form={"action": "roll_back", "csrfmiddlewaretoken": token})
            assert sent.status == 403, address
        page.goto(f"{site}/experiments/honeymoon/decide/treatment/")
        expect(page.get_by_role("heading", level=1)).to_have_text("This is not open to you")
        expect(page.get_by_text("Your role is viewer")).to_be_visible()
    assert AuditEntry.objects.count() == entries


@SIZES
def test_an_outsider_sees_nothing(site: str, browser: Browser, width: int) -> None:
    for address in ("", "experiments/honeymoon/", "experiments/honeymoon/history/", "decisions/", "people/"):
        with opened(browser, f"{site}/{address}", width, who="outsider") as (page, _):
            expect(page.get_by_role("heading", level=1)).to_have_text("This is not open to you")
            expect(page.get_by_text("An admin of this Holdfast can give you a role.")).to_be_visible()
            expect(page.get_by_role("navigation")).to_have_count(0)
            assert "ranker" not in page.content()
            assert overflow(page) <= 0


def test_a_new_person_has_to_choose_a_password_first(site: str, browser: Browser) -> None:
    someone = person("viewer")
    someone.must_change_password = True
    someone.save()
    with opened(browser, f"{site}/decisions/", PHONE, who="") as (page, account):
        sign_in(page, "viewer@example.com", PASSWORD)
        expect(page.get_by_role("heading", level=1)).to_have_text("Choose your own password")
        page.get_by_label("Present password").fill(PASSWORD)
        page.get_by_label("New password", exact=True).fill("another long phrase")
        page.get_by_label("New password, once more").fill("another long phrase")
        page.get_by_role("button", name="Change the password").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Decisions")
        assert account.of(page) == []


def test_an_admin_disables_somebody_after_being_asked(site: str, browser: Browser) -> None:
    person("viewer")
    with opened(browser, f"{site}/people/", DESKTOP, who="admin") as (page, account):
        row = page.get_by_role("listitem").filter(has_text="viewer@example.com")
        expect(row.get_by_role("button", name="Disable this account")).to_be_hidden()
        row.get_by_text("Disable…").click()
        row.get_by_role("button", name="Disable this account").click()
        expect(row).to_contain_text("disabled")
        assert account.of(page) == []
    assert not person("viewer").is_active


def pages() -> Iterator[tuple[str, str]]:
    """Who opens which page."""
    for address in ("/login/", "/nothing/"):
        yield "", address
    yield "outsider", "/"
    for address in ("/experiments/honeymoon/decide/treatment/", "/experiments/honeymoon/archive/",
                    "/experiments/draft/start/", "/password/", "/logout/"):  # fmt: skip
        yield "owner", address
    for address in ("/experiments/honeymoon/history/", "/experiments/draft/history/", "/decisions/", "/people/",
                    "/experiments/honeymoon/"):  # fmt: skip
        yield "admin", address


@SCREENS
def test_axe_finds_nothing_to_complain_of(site: str, browser: Browser, width: int, scheme: Scheme) -> None:
    applied(renamed(cards.placebo(), "draft", "A draft"), BEFORE_THE_START)
    person("viewer"), person("somebody")
    decide("honeymoon", "launch", "as agreed")
    found = {}
    for who, address in pages():
        with opened(browser, f"{site}{address}", width, scheme, who=who) as (page, _):
            page.evaluate("document.querySelectorAll('main details').forEach((folded) => { folded.open = true; })")
            result = Axe().run(page)
            if result.violations_count:
                found[who, address] = re.sub(r"\s+", " ", result.generate_report())
            if overflow(page) > 0:
                found[who, address, "overflow"] = str(overflow(page))
    assert not found
