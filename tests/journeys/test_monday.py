"""One Monday of an owner, from the portfolio to the log of decisions, in a real browser."""

import csv
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from tests.experiments import cards, replay_rows
from tests.experiments.stored import renamed, stored
from tests.experiments.survival_cards import with_events
from tests.journeys.browser import DESKTOP, opened
from tests.people import PASSWORD, person

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

REASON = "The early win does not last, and people leave."


@pytest.fixture
def site(live_server: LiveServer) -> str:
    person("owner")
    stored(with_events(), replay_rows.honeymoon())
    stored(renamed(cards.placebo(), "placebo", "Placebo"))
    return str(live_server.url)


def test_an_owner_reads_honeymoon_from_the_flag_to_the_rollback(site: str, browser: Browser, tmp_path: Path) -> None:
    with opened(browser, site, DESKTOP, who="") as (page, account):
        page.get_by_label("E-mail").fill("owner@example.com")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        row = page.get_by_role("listitem").filter(has_text="Engagement-first ranker")
        expect(row).to_contain_text("Early win, later loss")
        expect(row).to_contain_text("Roll back")
        row.get_by_role("link", name="Engagement-first ranker").click()
        banner = page.locator(".banner")
        expect(banner).to_contain_text("Early win, later loss: Lines")
        expect(banner).to_contain_text("+3.3 %")
        expect(banner).to_contain_text("−6.2 %")
        sees_the_naive_launch(page)
        opens_survival(page)
        rows = exported(page, tmp_path)
        late = [row for row in rows if (row["metric"], row["window"]) == ("lines", "late")]
        assert round(float(late[0]["lift"]), 3) == -0.062
        rolls_back(page)
        assert account.of(page) == []


def sees_the_naive_launch(page: Page) -> None:
    """Move the slider to the first look that knows two weeks of every unit."""
    slider = page.get_by_role("slider", name="Look")
    slider.focus()
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(page.locator("[data-look-name]")).to_have_text("Look 6 of 30")
    expect(page.locator("[data-look-naive]")).to_have_text("A two-week test would have launched it by now")
    page.keyboard.press("End")
    expect(page.locator("[data-look-words]")).to_have_text("Roll back")
    expect(page.locator("[data-look-day]")).to_have_text("2017-12-31")


def opens_survival(page: Page) -> None:
    churn = page.locator("#survival-treatment-churn")
    if churn.get_attribute("open") is None:
        churn.locator("summary").first.click()
    expect(churn).to_contain_text("weeks fewer")
    expect(churn.locator("[data-drawing] svg").first).to_be_visible()


def exported(page: Page, folder: Path) -> list[dict[str, str]]:
    card = page.locator(".card").filter(has=page.get_by_role("heading", name="Scorecard", exact=True))
    with page.expect_download() as download:
        card.get_by_role("link", name="CSV").click()
    target = folder / download.value.suggested_filename
    download.value.save_as(target)
    assert target.name == "honeymoon-2017-12-31.csv"
    with target.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def rolls_back(page: Page) -> None:
    page.get_by_role("link", name="Record a decision").click()
    page.get_by_role("radio", name="Roll back").check()
    page.get_by_label("Why?").fill(REASON)
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Record the decision").click()
    expect(page.get_by_text("rolled back", exact=True)).to_be_visible()
    page.get_by_role("link", name="Decisions", exact=True).click()
    expect(page.get_by_role("article")).to_contain_text(REASON)
