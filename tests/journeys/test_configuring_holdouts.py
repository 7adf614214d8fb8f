"""In a real browser: an owner plans a holdout, sees what its size costs and who cannot respect it, and gives it to
review. What was typed is the definition that is exported."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from experiments.models import Experiment
from experiments.services import consequences
from experiments.services.export import export
from tests.experiments import small_data, traffic_world
from tests.experiments.configuring import registered
from tests.journeys.browser import DESKTOP, PHONE, opened, overflow
from tests.journeys.test_configuring import fill, go_on
from tests.people import person

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

#: The small data have a past of eight weeks before this day.
START = small_data.START + timedelta(days=56)


def accessible(page: Page) -> None:
    """Axe finds nothing, and nothing is wider than the screen, here and on a phone."""
    for width in (DESKTOP, PHONE):
        page.set_viewport_size({"width": width, "height": 900})
        found = Axe().run(page)
        assert found.violations_count == 0, re.sub(r"\s+", " ", found.generate_report())
        assert overflow(page) <= 0
    page.set_viewport_size({"width": DESKTOP, "height": 900})


def slice_of(page: Page) -> None:
    panel = page.get_by_role("region", name="Consequences")
    expect(panel).to_contain_text("2.3 × that of an even split")
    fill(page, Fraction_held_out="0.2")
    expect(panel).to_contain_text("1.2 × that of an even split")
    page.get_by_label("Others").fill("runs, later")
    expect(panel).to_contain_text("runs has started without the holdout winter")
    page.get_by_label("Others").fill("later")
    page.get_by_role("checkbox", name="waits").check()
    expect(panel.get_by_text("has started without")).to_have_count(0)
    expect(panel).to_contain_text("80 % of all units can enter")
    accessible(page)
    go_on(page, "Data")


def timing(page: Page) -> None:
    fill(page, Planned_end=(START - timedelta(days=1)).isoformat(), Start=START.isoformat())
    expect(page.get_by_text(re.compile("is not after start_date"))).to_be_visible()
    fill(page, Planned_end=(START + timedelta(days=35)).isoformat(), Enrollment_weeks="2", Horizon_in_weeks="6")
    page.get_by_label("Pre-period in weeks").fill("2")
    early, late = (page.get_by_role("group", name=f"{name} window") for name in ("Early", "Late"))
    early.get_by_label("to before week").fill("2")
    late.get_by_label("From week").fill("4")
    late.get_by_label("to before week").fill("6")
    panel = page.get_by_role("region", name="Consequences")
    expect(panel).to_contain_text("Smallest lifts until the planned end")
    go_on(page, "Decision rule")


def test_an_owner_plans_a_holdout(live_server: LiveServer, browser: Browser, tmp_path: Path) -> None:
    consequences._kept.clear()
    registered(tmp_path / "lake")
    later = {"start_date": START + timedelta(days=3650), "name": "Waits"}
    traffic_world.put(traffic_world.experiment("runs"), traffic_world.experiment("waits", **later))
    person("owner")
    with opened(browser, f"{live_server.url}/holdouts/", DESKTOP, who="owner") as (page, _):
        accessible(page)
        page.get_by_role("button", name="New holdout").click()
        fill(page, Name="Winter holdout", Key="winter", Hypothesis="All launches hold.")
        go_on(page, "Slice")
        # Nothing of the slice is judged before it is known from when to when: a new holdout has dates to begin with.
        slice_of(page)
        page.get_by_label("Data", exact=True).select_option("lake")
        go_on(page, "Metrics")
        fill(page, Key="lines", Column="lines")
        go_on(page, "Timing")
        timing(page)
        go_on(page, "Winter holdout")
        expect(page.get_by_role("main")).to_contain_text("Holds out 20 % of all units from 2024-02-26 on")
        accessible(page)
        page.get_by_role("button", name="Give to review").click()
        expect(page.get_by_text("in review", exact=True).first).to_be_visible()
    assert (Experiment.objects.get(key="winter").kind, Experiment.objects.get(key="winter").state) == (
        "holdout", "in_review",
    )  # fmt: skip
    found = yaml.safe_load(export("winter").text)
    assert (found["holdout"], found["fraction"], found["members"]) == ("winter", 0.2, ["waits", "later"])
