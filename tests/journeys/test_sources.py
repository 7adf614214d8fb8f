"""In a real browser: an editor uploads two files, says what the columns are, has them checked, and finds the source.
Every page of it is checked by axe-core, in both themes; a metric of the catalog is added on the way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from experiments import queue, tasks
from experiments.models import Metric, Source
from tests.experiments import small_data
from tests.experiments.registered import csv_of, parquet_of
from tests.journeys.browser import DESKTOP, PHONE, Scheme, opened, overflow

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

#: A phone in the dark, a screen in the light.
SCREENS = pytest.mark.parametrize(("width", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])


@pytest.fixture
def files(tmp_path: Path, settings: Any) -> dict[str, Path]:
    """Two files with names of their owner's own, and one unit in a variant that nobody planned."""
    settings.HOLDFAST_UPLOADS = tmp_path / "uploads"
    exposures = small_data.exposures(40)
    exposures["variant"][4] = "Treatment"
    renamed = {"user": exposures["unit_id"], "arm": exposures["variant"], "first_day": exposures["exposed_at"]}
    facts = small_data.facts(40)
    facts["user"] = facts.pop("unit_id")
    written = {"exposures": tmp_path / "who saw what.csv", "facts": tmp_path / "baskets.parquet"}
    written["exposures"].write_bytes(csv_of(renamed))
    written["facts"].write_bytes(parquet_of(facts))
    return written


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Does the checks that were asked for, once it is told to."""
    asked: list[int] = []
    monkeypatch.setattr(queue, "enqueue", lambda task, check_id: asked.append(check_id))

    def work() -> None:
        while asked:
            tasks.check_source(check_id=asked.pop())

    return work


def sound(page: Page) -> None:
    """Nothing for axe to find, and nothing wider than the screen, once all of the page is there."""
    page.wait_for_load_state()
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:160]) for one in found] == []
    assert overflow(page) <= 0


@SCREENS
def test_an_editor_uploads_maps_checks_and_finds_a_source(
    live_server: LiveServer, browser: Browser, files: dict[str, Path], worker: Callable[[], None], width: int,
    scheme: Scheme,
) -> None:  # fmt: skip
    with opened(browser, f"{live_server.url}/sources/", width, scheme, who="editor") as (page, account):
        page.get_by_role("link", name="Add a source").first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Add a source")
        sound(page)
        upload = page.get_by_role("region", name="Upload")
        upload.get_by_label("Exposures").set_input_files(files["exposures"])
        upload.get_by_role("button", name="Upload and look").click()
        expect(upload.get_by_text("Choose a file.")).to_be_visible()
        sound(page)
        upload.get_by_label("Exposures").set_input_files(files["exposures"])
        upload.get_by_label("Facts").set_input_files(files["facts"])
        upload.get_by_role("button", name="Upload and look").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Which column is what?")
        expect(page.get_by_role("region", name="Exposures", exact=True)).to_contain_text("who saw what.csv")
        expect(page.get_by_label("Unit, in both tables")).to_have_value("user")
        expect(page.get_by_label("Variant, in exposures")).to_have_value("arm")
        expect(page.get_by_label("Exposed at, in exposures")).to_have_value("first_day")
        expect(page.get_by_label("At, in facts")).to_have_value("at")
        sound(page)
        page.get_by_role("button", name="Keep as a source").click()
        expect(page.get_by_text("Give it a key")).to_be_visible()
        page.get_by_label("Key").fill("baskets")
        page.get_by_role("button", name="Keep as a source").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("baskets")
        page.get_by_role("button", name="Check", exact=True).click()
        check = page.get_by_role("region", name="Check", exact=True)
        expect(check.get_by_role("progressbar")).to_be_visible()
        worker()
        expect(check).to_contain_text("the variants are treatment (20 units), control (19 units), Treatment (1 units)")
        sound(page)
        page.get_by_role("link", name="Sources", exact=True).first.click()
        expect(page.get_by_role("region", name="baskets")).to_contain_text("No experiment reads it.")
        expect(page.get_by_role("region", name="baskets")).to_contain_text("uploaded")
        sound(page)
        # a form that is not whole is answered with 422, and the console notes every such answer
        assert [problem for problem in account.of(page) if "422 (Unprocessable" not in problem] == []
    source = Source.objects.get()
    assert (source.key, source.spec.columns.unit, source.uploaded) == ("baskets", "user", True)


@SCREENS
def test_an_editor_adds_a_metric_to_the_catalog(
    live_server: LiveServer, browser: Browser, width: int, scheme: Scheme
) -> None:
    with opened(browser, f"{live_server.url}/metrics/", width, scheme, who="editor") as (page, account):
        page.get_by_role("link", name="Add a metric").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Add a metric")
        sound(page)
        page.get_by_label("Key").fill("lines")
        page.get_by_role("button", name="Add to the catalog").click()
        expect(page.get_by_text("Is missing; metric `lines` of kind mean needs it.")).to_be_visible()
        sound(page)
        page.get_by_label("Column (mean, active)").fill("lines")
        page.get_by_role("button", name="Add to the catalog").click()
        expect(page.get_by_text("version 1, in the catalog")).to_be_visible()
        sound(page)
        assert [problem for problem in account.of(page) if "422 (Unprocessable" not in problem] == []
    assert Metric.objects.get().published_at is not None
