"""In a real browser: an owner uploads data, configures an experiment on them, is warned of a late window that comes too
late, mends that, starts it, takes a look and reads it. The exported file, applied on an empty database, gives the same
scorecard."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from experiments import definitions
from experiments.models import Draft, Experiment
from experiments.services.apply import apply
from experiments.services.refresh import plan_look
from tests.experiments import small_data
from tests.experiments.configuring import filled, registered
from tests.experiments.looks import Mailbox, mailbox
from tests.experiments.small_data import SmallData
from tests.journeys.browser import DESKTOP, PHONE, Scheme, opened, overflow
from tests.people import PASSWORD, person, signed_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

#: The small data have a past of 56 days before this day: two weeks of enrollment, their two weeks before, and the
#: first four weeks of every unit.
START = small_data.START + timedelta(days=42)


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with mailbox(monkeypatch) as found:
        yield found


def go_on(page: Page, title: str) -> None:
    page.get_by_role("button", name="Save and go on").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(title)


def fill(page: Page, **values: str) -> None:
    for label, value in values.items():
        page.get_by_label(label.replace("_", " "), exact=True).fill(value)


def upload(page: Page, site: str, folder: Path) -> None:
    """Upload the small data, whose columns are guessed from their names, and keep them as a source."""
    SmallData(folder).write()
    page.goto(f"{site}/sources/")
    page.get_by_role("link", name="Add a source").first.click()
    region = page.get_by_role("region", name="Upload")
    region.get_by_label("Exposures").set_input_files(folder / "exposures.parquet")
    region.get_by_label("Facts").set_input_files(folder / "facts.parquet")
    region.get_by_role("button", name="Upload and look").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Which column is what?")
    page.get_by_label("Key").fill("lake")
    page.get_by_role("button", name="Keep as a source").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("lake")


def basics_and_data(page: Page) -> None:
    fill(page, Name="Typed ranker", Key="typed", Hypothesis="More lines a week.")
    go_on(page, "Data")
    page.get_by_label("Data", exact=True).select_option("lake")
    go_on(page, "Variants")
    go_on(page, "Metrics")


def metrics(page: Page) -> None:
    fill(page, Key="lines", Column="lines")
    page.get_by_label("Term", exact=True).select_option("long")
    expect(page.get_by_label("Margin", exact=True)).to_be_hidden()
    page.get_by_role("button", name="Add a metric").click()
    second = page.get_by_role("group", name="Metric 2")
    second.get_by_label("Key", exact=True).fill("price")
    second.get_by_label("Kind", exact=True).select_option("ratio")
    expect(second.get_by_label("Column", exact=True)).to_be_hidden()
    second.get_by_label("Numerator", exact=True).fill("sales")
    second.get_by_label("Denominator", exact=True).fill("lines")
    second.get_by_label("Role", exact=True).select_option("guardrail")
    page.get_by_role("button", name="Save and go on").click()
    expect(second.get_by_text("is missing; guardrail `price` needs a relative margin")).to_be_visible()
    second.get_by_label("Margin", exact=True).fill("0.02")
    go_on(page, "Timing")


def timing(page: Page) -> None:
    """Type weeks whose late window comes after the planned end, see that said while typing, and mend it."""
    fill(page, Start=START.isoformat(), Planned_end=(START + timedelta(days=40)).isoformat())
    fill(page, Enrollment_weeks="1", Horizon_in_weeks="3")
    page.get_by_label("Pre-period in weeks").fill("1")
    early, late = (page.get_by_role("group", name=f"{name} window") for name in ("Early", "Late"))
    early.get_by_label("to before week").fill("1")
    late.get_by_label("From week").fill("0")
    late.get_by_label("to before week").fill("9")
    expect(late.get_by_text("ends outside the horizon of 3 weeks")).to_be_visible()
    late.get_by_label("From week").fill("1")
    late.get_by_label("to before week").fill("3")
    expect(late.get_by_text("ends outside")).to_have_count(0)
    panel = page.get_by_role("region", name="Consequences")
    expect(panel.get_by_text("No power:")).to_have_count(0)
    expect(panel).to_contain_text("Smallest lifts that are found")
    page.get_by_label("Planned end").fill((START + timedelta(days=20)).isoformat())
    expect(panel).to_contain_text("The late window is readable from")
    expect(panel).to_contain_text("after the planned end")
    page.get_by_label("Planned end").fill((START + timedelta(days=60)).isoformat())
    expect(panel.get_by_text("after the planned end")).to_have_count(0)
    go_on(page, "Decision rule")


def test_an_owner_configures_starts_and_reads_an_experiment_and_its_file_gives_the_same_scorecard(
    live_server: LiveServer, browser: Browser, tmp_path: Path, box: Mailbox, settings: Any
) -> None:
    settings.HOLDFAST_UPLOADS = tmp_path / "uploads"
    person("owner")
    with opened(browser, f"{live_server.url}/", DESKTOP, who="owner") as (page, account):
        upload(page, live_server.url, tmp_path / "sent")
        page.get_by_role("link", name="Portfolio").first.click()
        page.get_by_role("link", name="New experiment").click()
        page.get_by_role("button", name="New experiment").click()
        basics_and_data(page)
        metrics(page)
        timing(page)
        go_on(page, "Typed ranker")
        expect(page.get_by_role("region", name="Consequences")).to_contain_text("A guardrail says what must not")
        page.get_by_role("button", name="Give to review").click()
        expect(page.get_by_text("in review", exact=True).first).to_be_visible()
        page.get_by_role("link", name="Start", exact=True).click()
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.get_by_text("running", exact=True).first).to_be_visible()
        page.get_by_role("button", name="Take a look now").click()
        box.deliver_all()
        expect(page.get_by_role("heading", level=1)).to_have_text("Typed ranker")
        expect(page.get_by_role("region", name="Recommendation for treatment")).to_be_visible()
        # a step that is not right is answered with 422, and going on cuts short what is asked while typing
        expected = ("422 (Unprocessable", "console: htmx:", "/check/")
        noted = {problem for problem in account.of(page) if not any(words in problem for words in expected)}
        assert noted == set()
    reader = signed_in("viewer")
    card = reader.get("/experiments/typed/scorecard.json").json()
    text = reader.get("/experiments/typed/definition.yaml").content
    assert again_from_nothing(text, tmp_path, box) == json.loads(json.dumps(card))


def again_from_nothing(text: bytes, tmp_path: Path, box: Mailbox) -> object:
    """The scorecard of a definition file that is applied on a database with nothing but its source."""
    call_command("flush", interactive=False, verbosity=0)
    registered(tmp_path / "lake")
    (applied,) = apply([definitions.parse(text, "typed.yaml", tmp_path)], timezone.now())
    assert (applied.action, applied.starts) == ("created", True)
    plan_look("typed", None, timezone.now())
    box.deliver_all()
    return signed_in("viewer").get("/experiments/typed/scorecard.json").json()


def test_the_form_works_without_scripts_and_by_keyboard(
    live_server: LiveServer, browser: Browser, tmp_path: Path
) -> None:
    registered(tmp_path / "lake")
    person("owner")
    with opened(browser, f"{live_server.url}/new/", PHONE, who="owner") as (page, _):
        page.route(re.compile(r"\.js"), lambda route: route.abort())
        page.get_by_role("button", name="New experiment").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Basics")
        page.get_by_label("Name", exact=True).focus()
        page.keyboard.type("By keyboard")
        page.keyboard.press("Tab")
        page.keyboard.type("keys")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Data")
        assert Draft.objects.get().name == "By keyboard"
        page.get_by_label("Data", exact=True).select_option("lake")
        go_on(page, "Variants")
        page.get_by_role("button", name="Add a variant").click()
        expect(page.get_by_role("group", name="Variant 3")).to_be_visible()
        page.get_by_role("button", name="Remove variant 3").click()
        expect(page.get_by_role("group", name="Variant 3")).to_have_count(0)
        assert overflow(page) <= 0


def test_what_follows_is_pale_until_it_is_of_what_was_typed(
    live_server: LiveServer, browser: Browser, tmp_path: Path
) -> None:
    held: list[Route] = []
    registered(tmp_path / "lake")
    with opened(browser, f"{live_server.url}/new/", DESKTOP, who="owner") as (page, _):
        page.get_by_role("button", name="New experiment").click()
        page.wait_for_url("**/basics/")
        page.route(re.compile("/check/"), lambda route: held.append(route))
        fill(page, Name="Typed")
        follows = page.get_by_role("complementary", name="What follows")
        expect(follows).to_have_css("opacity", "0.55")
        held[0].continue_()
        expect(follows).to_have_css("opacity", "1")


@pytest.mark.parametrize("when", ["while typing", "when saving"])
def test_what_was_typed_is_back_after_a_session_that_ended_in_the_middle(
    live_server: LiveServer, browser: Browser, tmp_path: Path, when: str
) -> None:
    registered(tmp_path / "lake")
    with opened(browser, f"{live_server.url}/new/", DESKTOP, who="owner") as (page, _):
        page.get_by_role("button", name="New experiment").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Basics")
        Session.objects.all().delete()
        if when == "when saving":
            page.route(re.compile("/check/"), lambda route: route.abort())
        fill(page, Name="Typed for long", Hypothesis="Many words.")
        if when == "when saving":
            page.get_by_role("button", name="Save and go on").click()
        page.get_by_label("E-mail").fill("owner@example.com")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("What you had typed is back")).to_be_visible()
        expect(page.get_by_label("Name", exact=True)).to_have_value("Typed for long")
        expect(page.get_by_label("Hypothesis")).to_have_value("Many words.")
        fill(page, Key="kept")
        go_on(page, "Data")
        assert Draft.objects.get().name == "Typed for long"
        page.go_back()
        expect(page.get_by_text("What you had typed is back")).to_be_hidden()


@pytest.mark.parametrize(("scheme", "width"), [("light", DESKTOP), ("dark", PHONE)])
def test_axe_finds_nothing_on_any_step(
    live_server: LiveServer, browser: Browser, tmp_path: Path, scheme: Scheme, width: int
) -> None:
    data = SmallData(tmp_path / "other")
    apply([definitions.load(data.write())], timezone.now())
    owner: Client = signed_in("owner")
    draft = filled(owner, registered(tmp_path / "lake"), timing={"start_date": START.isoformat(), "pre_weeks": "1"})
    empty = Draft.objects.get(pk=draft.pk + 1) if owner.post("/new/").status_code == 302 else draft
    change = owner.post("/new/", {"of": "small"}).headers["Location"].split("/")[2]
    pages = [f"/drafts/{draft.pk}/{name}/" for name in ("basics", "data", "variants", "metrics", "timing", "rule")]
    pages += ["/new/", f"/drafts/{draft.pk}/review/", f"/drafts/{empty.pk}/review/", f"/drafts/{change}/review/"]
    wrong = {}
    with opened(browser, live_server.url + pages[0], width, scheme, who="owner") as (page, _):
        for address in pages:
            page.goto(live_server.url + address)
            result = Axe().run(page)
            if result.violations_count:
                wrong[address] = re.sub(r"\s+", " ", result.generate_report())
            if overflow(page) > 0:
                wrong[address, "wide"] = str(overflow(page))
    assert wrong == {}
    assert Experiment.objects.count() == 1
