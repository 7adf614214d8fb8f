"""Somebody reads: the look slider, pictures to take away, filters, help; by pointer, by keyboard, without scripts."""

from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from tests.experiments import cards, replay_rows
from tests.experiments.stored import renamed, stored
from tests.experiments.survival_cards import TAU, with_events
from tests.journeys.browser import DESKTOP, PHONE, Scheme, opened
from tests.people import session_cookie

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PNG = b"\x89PNG\r\n\x1a\n"
LOOK_14 = "2017-09-04"


@pytest.fixture
def site(live_server: LiveServer) -> str:
    stored(with_events(date(2017, 9, 4)), replay_rows.honeymoon(14))
    stored(with_events(), replay_rows.honeymoon())
    stored(renamed(cards.placebo(), "placebo", "Placebo"))
    return str(live_server.url)


def at_look(page: Page, name: str, day: str) -> None:
    """The page has come to rest at a look, and its charts are drawn."""
    expect(page.locator("[data-look-day]")).to_have_text(day)
    page.wait_for_function(
        "() => !document.querySelector('#content.htmx-request') && [...document.querySelectorAll("
        "'details[open] [data-drawing]')].every((place) => place.querySelector('svg'))"
    )
    expect(page.locator("[data-look-name]")).to_have_text(name)


def test_the_slider_says_what_looks_said_and_then_shows_the_scorecard_as_it_stood(site: str, browser: Browser) -> None:
    with opened(browser, f"{site}/experiments/honeymoon/", DESKTOP) as (page, account):
        slider = page.get_by_role("slider", name="Look")
        slider.focus()
        for _ in range(24):
            page.keyboard.press("ArrowLeft")
        expect(page.locator("[data-look-name]")).to_have_text("Look 6 of 30")
        expect(page.locator("[data-look-naive]")).to_have_text("A two-week test would have launched it by now")
        for _ in range(8):
            page.keyboard.press("ArrowRight")
        expect(page.locator("[data-look-words]")).to_have_text("Keep running")
        page.wait_for_url(f"**/?as_of={LOOK_14}")
        at_look(page, "Look 14 of 30", LOOK_14)
        expect(page.get_by_text("This is a past look.")).to_be_visible()
        expect(page.get_by_text("readable from 2017-12-25").first).to_be_visible()
        assert page.evaluate("document.activeElement.id") == "look-slider"
        page.go_back()
        at_look(page, "Look 30 of 30", "2017-12-31")
        assert account.of(page) == []


def test_every_look_is_a_link_too(site: str, browser: Browser) -> None:
    with opened(browser, f"{site}/experiments/honeymoon/", PHONE) as (page, account):
        page.get_by_text("Show every look").click()
        page.get_by_role("link", name="Look 14 of 30, 2017-09-04").click()
        page.wait_for_url(f"**/?as_of={LOOK_14}")
        at_look(page, "Look 14 of 30", LOOK_14)
        assert account.of(page) == []


def test_without_scripts_everything_but_the_drawings_is_there(site: str, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    name, value = session_cookie("viewer")
    context.add_cookies([{"name": name, "value": value, "url": site}])
    try:
        page = context.new_page()
        page.goto(f"{site}/experiments/honeymoon/")
        expect(page.get_by_role("slider")).to_have_count(0)
        page.get_by_text("Show every look").click()
        page.get_by_role("link", name="Look 14 of 30, 2017-09-04").click()
        expect(page.get_by_text("This is a past look.")).to_be_visible()
        page.goto(f"{site}/?q=placebo")
        expect(page.get_by_role("button", name="Filter")).to_be_visible()
        expect(page.get_by_role("listitem").filter(has=page.get_by_role("heading"))).to_have_count(1)
    finally:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_curves_and_their_difference_are_drawn_a_step_a_week(site: str, browser: Browser, scheme: Scheme) -> None:
    with opened(browser, f"{site}/experiments/honeymoon/", DESKTOP, scheme) as (page, account):
        steps = """(figure) => [...document.querySelectorAll(`[data-chart='${figure}'] .mark-line path`)].map(
            (path) => path.getAttribute('d').split(/[LHV]/).length - 1)"""
        assert page.evaluate(steps, "survival-0-churn") == [2 * TAU, 2 * TAU]
        assert page.evaluate(steps, "difference-0-churn") == [2 * TAU]
        expect(page.locator("[data-chart='objectives-plot'] svg")).to_be_visible()
        assert account.of(page) == []


def test_a_chart_can_be_taken_away_as_a_picture_and_as_numbers(site: str, browser: Browser, tmp_path: Path) -> None:
    with opened(browser, f"{site}/experiments/honeymoon/", DESKTOP, "dark") as (page, account):
        lines = page.locator("[data-chart='chart-0-lines']")
        lines.get_by_text("Cumulative").click()
        found = {}
        for kind in ("PNG", "SVG"):
            with page.expect_download() as download:
                lines.get_by_role("button", name=kind).click()
            found[kind] = tmp_path / download.value.suggested_filename
            download.value.save_as(found[kind])
        assert [file.name for file in found.values()] == [
            "honeymoon-lines-treatment-2017-12-31-cumulative.png",
            "honeymoon-lines-treatment-2017-12-31-cumulative.svg",
        ]
        assert found["PNG"].read_bytes().startswith(PNG)
        picture = found["SVG"].read_text()
        assert "Lines: a win turns into a loss in week 9" in picture
        assert "as of 2017-12-31" in picture
        assert '<rect width="' in picture
        assert 'fill="white"' in picture  # on paper, whatever the theme of the page
        with page.expect_download() as download:
            lines.get_by_role("link", name="CSV").click()
        assert download.value.suggested_filename == "honeymoon-lines-treatment-trajectory-2017-12-31.csv"
        assert account.of(page) == []


def test_filters_narrow_the_list_while_one_types_and_stay_in_the_address(site: str, browser: Browser) -> None:
    with opened(browser, site, DESKTOP) as (page, account):
        page.get_by_role("searchbox").fill("ranker")
        page.wait_for_url("**/?q=ranker*")
        names = page.locator("#portfolio h3")
        expect(names).to_have_text(["Engagement-first ranker"])
        page.get_by_role("searchbox").fill("")
        page.get_by_label("Flag").select_option("guardrail")
        page.wait_for_url("**flag=guardrail*")
        expect(names).to_have_text(["Engagement-first ranker"])
        page.reload()
        expect(page.get_by_label("Flag")).to_have_value("guardrail")
        assert account.of(page) == []


def test_a_column_leads_to_the_page_that_explains_it(site: str, browser: Browser) -> None:
    with opened(browser, f"{site}/experiments/honeymoon/", DESKTOP) as (page, account):
        page.get_by_role("columnheader", name="Early").get_by_role("link", name="Early", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Effects and lifts")
        page.get_by_role("navigation", name="On this page").get_by_role("link", name="Which p value").click()
        assert page.url.endswith("/methods/effects/#which-p-value")
        assert account.of(page) == []


def test_the_keyboard_alone_gets_through_a_scorecard(site: str, browser: Browser) -> None:
    with opened(browser, f"{site}/experiments/honeymoon/", DESKTOP) as (page, _):
        reached: list[str] = []
        for _step in range(120):
            page.keyboard.press("Tab")
            reached.append(page.evaluate(
                "() => { const e = document.activeElement;"
                " return (e.getAttribute('aria-label') || e.textContent.trim() || e.value || e.id).slice(0, 60); }"
            ))  # fmt: skip
            if reached[-1] == "How the numbers are made":
                break
        for name in ("Skip to content", "Look", "Show what was checked", "Metric", "CSV", "Show the numbers", "weekly",
                     "Sales: a win turns into a loss in week 9", "curves", "Show every look"):  # fmt: skip
            assert any(name in one for one in reached) or name == "curves", f"{name} is not among {reached}"
        assert reached[-1] == "How the numbers are made"


def test_a_printed_scorecard_leaves_out_what_paper_cannot_do(site: str, browser: Browser) -> None:
    with opened(browser, f"{site}/experiments/honeymoon/", DESKTOP, "dark") as (page, account):
        page.emulate_media(media="print")
        for hidden in (".main", ".slider", ".downloads", ".kinds", ".theme"):
            expect(page.locator(hidden).first).to_be_hidden()
        expect(page.get_by_role("heading", name="Roll back")).to_be_visible()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert account.of(page) == []
