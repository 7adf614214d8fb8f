"""The first pages in a real browser, over real rows: a PM opens the portfolio and reads a scorecard."""

from datetime import timedelta

import pytest
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from experiments.models.look import DONE
from tests.experiments import cards
from tests.experiments.stored import NOW, new_look, renamed, stored
from tests.journeys.browser import DESKTOP, PHONE, Scheme, opened, overflow

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SIZES = pytest.mark.parametrize("width", [DESKTOP, PHONE])
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])
GROUND = {"light": "rgb(250, 250, 247)", "dark": "rgb(20, 21, 18)"}
LINE = {"light": "#24588f", "dark": "#8fbdf0"}
#: The line of a chart: the path of Vega's line mark. It has a segment for each of the 26 weeks.
WEEKS_DRAWN = """() => [...document.querySelectorAll('.mark-line path')].map(
    (path) => path.getAttribute('d').split(/[ML]/).length - 1)"""


@pytest.fixture
def site(live_server: LiveServer) -> str:
    stored(cards.honeymoon())
    stored(renamed(cards.placebo(), "placebo", "Placebo"))
    stored(renamed(cards.not_yet(), "fresh", "Just started"))
    return str(live_server.url)


@SIZES
@SCHEMES
def test_a_scorecard_shows_the_reversal_and_draws_its_chart(
    site: str, browser: Browser, width: int, scheme: Scheme
) -> None:
    with opened(browser, f"{site}/experiments/honeymoon/", width, scheme) as (page, account):
        banner = page.get_by_role("region", name="Early win, later loss: Lines")
        expect(banner).to_contain_text("Weeks 0-3")
        expect(banner).to_contain_text("+3.3")
        expect(banner).to_contain_text("Weeks 13-25")
        expect(banner).to_contain_text("−6.2")
        assert page.evaluate(WEEKS_DRAWN) == [26, 26]
        drawn = page.locator("[data-chart='chart-0-lines'] svg .mark-text.role-mark").all_text_contents()
        assert [text for text in drawn if text] == ["early", "+3.3 %", "late", "−6.2 %"]
        assert page.locator(".mark-line path").first.get_attribute("stroke") == LINE[scheme]
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == GROUND[scheme]
        assert overflow(page) <= 0
        assert account.of(page) == []


@SIZES
@SCHEMES
def test_the_portfolio_leads_to_the_scorecard(site: str, browser: Browser, width: int, scheme: Scheme) -> None:
    with opened(browser, site, width, scheme) as (page, account):
        first = page.get_by_role("listitem").first
        expect(first).to_contain_text("Early win, later loss")
        assert overflow(page) <= 0
        first.get_by_role("link", name="Engagement-first ranker").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Engagement-first ranker")
        assert account.of(page) == []


def test_cumulative_and_folded_charts_are_drawn_on_demand(site: str, browser: Browser) -> None:
    with opened(browser, f"{site}/experiments/honeymoon/", DESKTOP) as (page, account):
        figure = page.locator("[data-chart='chart-0-lines']")
        weekly = figure.locator(".mark-line path").get_attribute("d")
        figure.get_by_text("Cumulative").click()
        expect(figure.locator(".mark-line path")).not_to_have_attribute("d", weekly or "")
        page.get_by_text("Sales: a win turns into a loss").click()
        expect(page.locator("[data-chart='chart-0-sales'] svg")).to_be_visible()
        assert account.of(page) == []


def test_pointing_at_a_week_gives_its_numbers(site: str, browser: Browser) -> None:
    with opened(browser, f"{site}/experiments/honeymoon/", DESKTOP) as (page, account):
        page.locator("[data-chart='chart-0-lines'] .mark-rect path[opacity='0']").nth(5).hover()
        tooltip = page.locator("#vg-tooltip-element")
        expect(tooltip).to_be_visible()
        expect(tooltip).to_contain_text("19\u202f911 units")
        assert account.of(page) == []


def test_the_theme_is_the_readers_choice_and_stays(site: str, browser: Browser) -> None:
    with opened(browser, f"{site}/experiments/honeymoon/", DESKTOP, "light") as (page, account):
        page.get_by_role("button", name="Dark theme").click()
        expect(page.locator(".mark-line path").first).to_have_attribute("stroke", LINE["dark"])
        page.reload()
        expect(page.get_by_role("button", name="Light theme")).to_be_visible()
        expect(page.locator(".mark-line path").first).to_have_attribute("stroke", LINE["dark"])
        assert account.of(page) == []


def test_a_look_at_which_nothing_is_mature_is_readable(site: str, browser: Browser) -> None:
    with opened(browser, f"{site}/experiments/fresh/", PHONE) as (page, account):
        expect(page.get_by_text("The first week is readable from 2017-07-03").first).to_be_visible()
        assert page.locator(".mark-line").count() == 0
        assert account.of(page) == []


def test_a_running_look_moves_and_the_page_follows_when_it_is_done(site: str, browser: Browser) -> None:
    look = new_look("honeymoon", cards.AS_OF + timedelta(days=7), number=31)
    with opened(browser, f"{site}/experiments/honeymoon/", DESKTOP) as (page, account):
        expect(page.get_by_role("progressbar")).to_be_visible()
        look.state, look.finished_at = DONE, NOW
        look.save()
        expect(page.get_by_role("progressbar")).to_have_count(0)
        expect(page.get_by_text("Look 31 (30 planned)")).to_be_visible()
        assert account.of(page) == []
