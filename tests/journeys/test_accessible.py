"""axe-core finds nothing on any page, in both themes, on a screen and on a phone, with every fold open."""

import json
from dataclasses import replace
from datetime import date, timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from tests.experiments import cards, replay_rows
from tests.experiments.holdout_cards import holdout_card
from tests.experiments.stored import applied, new_look, renamed, stored
from tests.experiments.survival_cards import with_events
from tests.experiments.test_objectives_page import two_treatments
from tests.experiments.test_segments_page import card as segmented
from tests.journeys.browser import DESKTOP, PHONE, Scheme, opened

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PAGES = (
    "/",
    "/?q=nobody",
    "/experiments/honeymoon/",
    "/experiments/young/",
    "/experiments/fresh/",
    "/experiments/segmented/",
    "/experiments/twins/",
    "/experiments/split/",
    "/experiments/broken/",
    "/experiments/honeymoon/charts/treatment/sales/",
    "/holdouts/",
    "/holdouts/winter/",
    "/traffic/",
    "/console/?flag=honeymoon&unit=user-1",
    "/keys/",
    "/experiments/honeymoon/traffic/",
    "/metrics/",
    "/sources/",
    "/tokens/",
    "/api/v1/docs",
    "/methods/notebooks/",
    "/methods/",
    "/methods/effects/",
    "/methods/survival/",
    "/methods/sources/",
    "/nothing/here/",
)
#: Another state or another text of a page that is read anyway: these are read in the slow run alone.
LIKE_OTHERS = (
    "/?q=nobody", "/experiments/young/", "/experiments/broken/", "/methods/notebooks/", "/methods/survival/",
    "/methods/sources/",
)  # fmt: skip
FIRST = tuple(address for address in PAGES if address not in LIKE_OTHERS)
#: Between them they have every part of which the others are made.
RICHEST = ("/", "/experiments/honeymoon/", "/experiments/twins/", "/holdouts/winter/", "/sources/", "/methods/effects/")

#: Opens every fold, so that nothing hides from the check.
UNFOLD = "() => document.querySelectorAll('details').forEach((fold) => { fold.open = true; })"
DRAWN = """() => !document.querySelector('.later')
    && [...document.querySelectorAll('[data-drawing]')].every((place) => place.querySelector('svg'))"""


@pytest.fixture
def site(live_server: LiveServer) -> str:
    stored(with_events(), replay_rows.honeymoon())
    stored(renamed(with_events(date(2017, 9, 11)), "young", "Still young"), replay_rows.honeymoon(15))
    stored(renamed(cards.not_yet(), "fresh", "Just started"))
    stored(renamed(segmented(), "segmented", "Segmented"))
    stored(renamed(two_treatments(), "twins", "Two treatments"))
    split = renamed(cards.srm_alarm(), "split", "Broken split")
    stored(replace(split, look=31))
    new_look("split", cards.AS_OF + timedelta(days=7), number=31).fail("facts.parquet: 3 values are not numbers")
    new_look(applied(renamed(cards.placebo(), "broken", "Broken")), cards.AS_OF).fail("no disk left")
    stored(holdout_card())
    return str(live_server.url)


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {json.dumps([node['html'][:160] for node in one['nodes'][:3]])}" for one in found
    ]  # fmt: skip


#: Every kind of page on a screen in light and the richest ones on a phone in the dark; all of it in the slow run.
SCREENS = pytest.mark.parametrize(
    ("width", "scheme", "addresses"),
    [
        (DESKTOP, "light", FIRST),
        (PHONE, "dark", RICHEST),
        pytest.param(DESKTOP, "light", LIKE_OTHERS, marks=pytest.mark.slow),
        pytest.param(DESKTOP, "dark", PAGES, marks=pytest.mark.slow),
        pytest.param(PHONE, "light", PAGES, marks=pytest.mark.slow),
        pytest.param(PHONE, "dark", PAGES, marks=pytest.mark.slow),
    ],
)


@SCREENS
def test_axe_finds_nothing_on_any_page(
    site: str, browser: Browser, width: int, scheme: Scheme, addresses: tuple[str, ...]
) -> None:
    wrong: dict[str, list[str]] = {}
    for address in addresses:
        with opened(browser, site + address, width, scheme) as (page, account):
            page.evaluate(UNFOLD)
            page.wait_for_function(DRAWN)
            expected = [] if address != "/nothing/here/" else ["404"]
            found = violations(page)
            found += [problem for problem in account.of(page) if not any(word in problem for word in expected)]
            sideways = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            found += [f"{sideways} px wider than the screen"] if sideways > 0 else []
            if found:
                wrong[address] = found
    assert wrong == {}
