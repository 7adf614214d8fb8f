"""Every number on a scorecard's page is the one in its JSON, rounded by ``formatting`` and by nothing else."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from django.test import Client

from analysis.results import Scorecard
from experiments import formatting
from experiments.charts.tones import label
from tests.experiments import cards
from tests.experiments.page_cells import Cells, expected, lift, shown_interval, spaced
from tests.experiments.pages import tables
from tests.experiments.stored import stored
from tests.experiments.survival_cards import with_events
from tests.experiments.test_segments_page import card as segmented

pytestmark = pytest.mark.django_db

Json = Mapping[str, Any]
CARDS = pytest.mark.parametrize(
    "card",
    [with_events(), with_events(date(2017, 9, 11)), cards.not_yet(), cards.srm_alarm(), segmented()],
    ids=["whole", "young", "fresh", "alarm", "segmented"],
)


def both(client: Client, card: Scorecard) -> tuple[dict[str, list[list[Cells]]], Json]:
    """The page's tables and the JSON of the same look."""
    key = stored(card)
    page = {part: [[[spaced(cell) for cell in row] for row in table] for table in found]
            for part, found in tables(client.get(f"/experiments/{key}/")).items()}  # fmt: skip
    return page, client.get(f"/experiments/{key}/scorecard.json").json()


def body(table: list[Cells], heads: int) -> list[Cells]:
    return [row for row in table[heads:] if row]


def told_of(rows: list[Cells]) -> list[Cells]:
    return [[spaced(cell) for cell in row] for row in rows]


@CARDS
def test_the_numbers_of_the_table_are_those_of_the_json(client: Client, card: Scorecard) -> None:
    page, told = both(client, card)
    (table,) = page["effects"]
    order = {metric: place for place, metric in enumerate(_in_order(card))}
    rows = sorted(told_of(expected(told, "treatment")["effects"]), key=lambda row: order[row[0]])
    assert body(table, 1) == rows
    assert rows


def _in_order(card: Scorecard) -> list[str]:
    """Names of the metrics as the page groups them."""
    roles = ("primary", "guardrail", "secondary", "diagnostic")
    return [label(metric.key) for role in roles for metric in card.plan.metrics if metric.role == role]


@CARDS
def test_the_cells_of_the_scorecard_are_those_of_the_json(client: Client, card: Scorecard) -> None:
    page, told = both(client, card)
    (table,) = page["scorecard"]
    rows = {row[0].split(" ")[0]: row for row in table[1:] if len(row) > 1}
    effects = {(row["metric"], row["window"]): row for row in told["effects"] if row["segment"] is None}
    for metric in card.plan.estimated_metrics:
        cells = rows[label(metric.key).split(" ")[0]]
        for place, window in enumerate(card.plan.windows):
            row = effects[metric.key, window.name]
            cell = cells[3 + place]
            if row["lift"] is None or row["state"] != "ok":
                assert row["readable_from"] in cell
            else:
                assert spaced(f"{lift(row)}") in cell
                assert spaced(shown_interval(row)) in cell
        deciding = effects[metric.key, metric.deciding_window]
        if deciding["state"] == "ok":
            assert cells[1].startswith(formatting.number(deciding["control_mean"]))
            assert cells[2].startswith(formatting.number(deciding["treatment_mean"]))
            assert spaced(formatting.count(deciding["n_control"])) in cells[1]


@CARDS
def test_events_in_the_scorecard_are_those_of_the_json(client: Client, card: Scorecard) -> None:
    page, told = both(client, card)
    (table,) = page["scorecard"]
    rows = {row[0].split(" ")[0]: row for row in table[1:] if len(row) > 1}
    for row in told["survival_comparison"]:
        cells = rows[label(row["metric"])]
        metric = next(metric for metric in card.plan.metrics if metric.key == row["metric"])
        place = 3 + [window.name for window in card.plan.windows].index(metric.deciding_window)
        if row["rmst_lift"] is None:
            assert row["readable_from"] in cells[place]
            continue
        looks = {"sequential": row["sequential"], "lift_low": row["rmst_lift_low"], "lift_high": row["rmst_lift_high"]}
        assert spaced(formatting.percent(row["rmst_lift"])) in cells[place]
        assert spaced(shown_interval(looks)) in cells[place]
        assert cells[1] == f"{formatting.weeks(row['rmst_control'])} of {row['horizon_week']} weeks"
        assert cells[2] == f"{formatting.weeks(row['rmst_treatment'])} of {row['horizon_week']} weeks"


@CARDS
def test_weekly_numbers_are_those_of_the_json(client: Client, card: Scorecard) -> None:
    page, told = both(client, card)
    rows = told_of(expected(told, "treatment")["trajectory"])
    unfolded = [metric.key for metric in card.plan.estimated_metrics if metric.role == "primary"]
    unfolded += [metric.key for metric in card.plan.event_metrics if any(row[0] == metric.key for row in rows)]
    if "trajectory" in page:  # before the first week is mature there are dates instead
        for metric, table in zip(unfolded, page["trajectory"], strict=True):
            assert body(table, 1) == [row[1:] for row in rows if row[0] == metric]
    for metric in (one.key for one in card.plan.estimated_metrics):
        alone = tables(client.get(f"/experiments/{card.plan.key}/charts/treatment/{metric}/")).get("trajectory", [])
        for table in alone:
            cells = [[spaced(cell) for cell in row] for row in body(table, 1)]
            assert cells == [row[1:] for row in rows if row[0] == metric]


@CARDS
def test_curves_differences_and_hazards_are_those_of_the_json(client: Client, card: Scorecard) -> None:
    page, told = both(client, card)
    rows = expected(told, "treatment")
    assert [row for table in page.get("survival", []) for row in body(table, 2)] == [
        row[1:] for row in told_of(rows["survival"])
    ]  # fmt: skip
    without_notes = [[re.sub(r" [\d ]+ units.*", "", row[0]), *row[1:]] for table in page.get("hazards", [])
                     for row in body(table, 1)]  # fmt: skip
    assert [[cell for place, cell in enumerate(row) if place != 3 or len(row) < 5] for row in without_notes] == [
        row[1:] for row in told_of(rows["hazards"])
    ]
    known = [dict(cell.split(":") for cell in row[2:]) for row in told_of(rows["at-risk"])]
    at_risk = [(table[0][1:], row) for table in page.get("at-risk", []) for row in table[1:]]
    assert len(at_risk) == (len(known) if page.get("at-risk") else 0)
    for (weeks, row), side in zip(at_risk, known, strict=False):
        assert row[1:] == [side.get(str(max(1, int(week))), formatting.NOTHING) for week in weeks]


@CARDS
def test_objectives_are_those_of_the_json(client: Client, card: Scorecard) -> None:
    page, told = both(client, card)
    found = [row for table in page.get("objectives", []) for row in table if row and row[0] == "Together"]
    for row, cells in zip(expected(told, "treatment")["objectives"], found, strict=False):
        assert cells[2] == spaced(f"{row[1]} {row[2]}")


def test_segments_are_those_of_the_json(client: Client) -> None:
    card = segmented()
    page, told = both(client, card)
    (table,) = page["segments"]
    shown = [row for row in table[1:] if len(row) > 2]
    rows = [
        row
        for metric in card.plan.estimated_metrics
        if metric.role != "diagnostic"
        for segment in (None, "country=DE", "country=FR")
        for row in told["effects"]
        if (row["metric"], row["window"], row["segment"]) == (metric.key, metric.deciding_window, segment)
    ]
    assert len(shown) == len(rows) == 12
    for cells, row in zip(shown, rows, strict=True):
        value = "All units" if row["segment"] is None else row["segment"].removeprefix("country=")
        assert cells[:6] == told_of([[
            value, formatting.count(row["n_control"] + row["n_treatment"]), formatting.number(row["control_mean"]),
            formatting.number(row["treatment_mean"]), lift(row), shown_interval(row),
        ]])[0]  # fmt: skip
