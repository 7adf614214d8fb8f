"""What somebody types into the form of an experiment, step by step, for the small data."""

from pathlib import Path
from typing import Any

from django.test import Client

from experiments.models import Draft, Source
from tests.experiments.small_data import SmallData

#: Facts begin four weeks before this day and go on for twelve: units can be enrolled and followed in the past.
START, PAST_START = "2024-04-01", "2024-01-29"

STEPS: dict[str, dict[str, str]] = {
    "basics": {
        "experiment": "typed", "name": "Typed in", "hypothesis": "More lines.", "owner": "owner@example.com",
        "unit": "user",
    },
    "data": {"source.lag_days": "0", "clock": "unit", "timezone": "UTC", "segments": "", "layer": "", "share": ""},
    "variants": {
        "variants[0].key": "control", "variants[0].weight": "50", "variants[1].key": "treatment",
        "variants[1].weight": "50", "control": "0",
    },
    "metrics": {
        "metrics[0].key": "lines", "metrics[0].kind": "mean", "metrics[0].column": "lines",
        "metrics[0].better": "higher", "metrics[0].role": "primary", "metrics[0].term": "long",
        "metrics[1].key": "price", "metrics[1].kind": "ratio", "metrics[1].numerator": "sales",
        "metrics[1].denominator": "lines", "metrics[1].better": "higher", "metrics[1].role": "guardrail",
        "metrics[1].margin": "0.02",
    },
    "timing": {
        "start_date": "2024-01-01", "planned_end_date": "", "enrollment_weeks": "2", "horizon_weeks": "6",
        "pre_weeks": "2", "windows.early[0]": "0", "windows.early[1]": "2", "windows.late[0]": "4",
        "windows.late[1]": "6",
    },
    "rule": {
        "decision.alpha": "0.05", "decision.power": "0.8", "decision.looks": "weekly", "decision.min_weeks": "0",
        "rollback": "default",
    },
}  # fmt: skip


def registered(folder: Path, key: str = "lake") -> Source:
    """The small data as a registered source."""
    SmallData(folder).write()
    return Source.objects.create(
        key=key, kind="files", folder=str(folder), exposures="exposures.parquet", facts="facts.parquet",
        unit_column="unit_id", variant_column="variant", exposed_at_column="exposed_at", at_column="at",
    )  # fmt: skip


def begun(browser: Client, **posted: str) -> Draft:
    """A draft that was begun on the page."""
    response = browser.post("/new/", posted)
    assert response.status_code == 302, response.content.decode()
    return Draft.objects.latest("pk")


def typed(browser: Client, draft: Draft, step: str, do: str = "next", **fields: str) -> Any:
    """Post a step as it was typed; ``fields`` with dots and brackets go by ``**{...}``."""
    draft.refresh_from_db()
    posted = {**STEPS[step], **fields, "revision": str(draft.revision), "do": do}
    return browser.post(f"/drafts/{draft.pk}/{step}/", posted)


def filled(browser: Client, source: Source, **changes: dict[str, str]) -> Draft:
    """A draft in which every step was typed; ``changes`` are fields by step."""
    draft = begun(browser)
    for step in STEPS:
        own = {"chosen_source": str(source.pk)} if step == "data" else {}
        response = typed(browser, draft, step, **own, **changes.get(step, {}))
        assert response.status_code == 302, (step, response.content.decode())
    draft.refresh_from_db()
    return draft
