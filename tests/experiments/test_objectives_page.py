"""Objectives on the scorecard's page: weights, guardrails as constraints, short against long term."""

import json
import re
from dataclasses import replace
from datetime import date
from typing import Any

import altair as alt
import pytest
from django.test import Client

from analysis.plan import Variant
from analysis.results import Flip, OecRow, Scorecard
from experiments.charts import pareto, theme
from tests.experiments import cards
from tests.experiments.pages import words
from tests.experiments.stored import stored
from tests.experiments.survival_cards import with_events

pytestmark = pytest.mark.django_db


def section(client: Client, card: Scorecard) -> str:
    text = words(client.get(f"/experiments/{stored(card)}/"))
    return text[text.index("Objectives", text.index("Show the numbers")) :]


def with_oec(card: Scorecard, **changes: Any) -> Scorecard:
    return replace(card, oec=tuple(replace(row, **changes) for row in card.oec))


def two_treatments() -> Scorecard:
    """A second treatment, bold, that is better on both axes."""
    card = cards.honeymoon()
    bold = tuple(
        replace(row, variant="bold", lift=0.05, lift_low=0.04, lift_high=0.06, sequential_lift_low=0.035,
                sequential_lift_high=0.065)
        for row in card.effects
    )  # fmt: skip
    plan = replace(card.plan, variants=(*card.plan.variants, Variant("bold", 0.5)))
    oec = (
        *(replace(row, dominated_by=("bold",)) for row in card.oec),
        OecRow(variant="bold", value=0.05, se=0.004, low=0.042, high=0.058),
    )
    return replace(card, plan=plan, effects=(*card.effects, *bold), oec=oec, units={**card.units, "bold": 20000})


def test_the_title_says_whether_the_objectives_together_are_better_or_worse(client: Client) -> None:
    card = with_oec(cards.honeymoon(), value=-0.02, se=0.004, low=-0.028, high=-0.012)
    assert section(client, card).startswith("Objectives together: worse, −2.0 % (−2.8 to −1.2 %)")


def test_a_criterion_that_may_be_zero_is_no_finding(client: Client) -> None:
    card = with_oec(cards.honeymoon(), value=0.002, se=0.004, low=-0.006, high=0.01)
    assert section(client, card).startswith("Objectives together: not separable from zero, +0.20 %")


def test_weights_lifts_and_the_weights_at_which_the_verdict_flips_are_told(client: Client) -> None:
    card = with_oec(
        cards.honeymoon(), value=-0.02, se=0.004, low=-0.028, high=-0.012,
        flips=(Flip("lines", 0.645), Flip("active", 0.355)),
    )  # fmt: skip
    text = section(client, card)
    assert "Lines weeks 0-3 0.4 ↑ +3.3 % (better) +2.2 to +4.5 %" in text
    assert "Active weeks 13-25 0.6 ↓ −5.9 % (worse) −6.8 to −4.9 %" in text
    assert "Together 1 −2.0 % −2.8 to −1.2 %" in text
    assert (
        "It changes sign where Lines weighs 0.645 (now 0.4), or where Active weighs 0.355 (now 0.6), the others in "
        "their proportions."
    ) in text


def test_guardrails_are_constraints_with_a_word_and_a_mark(client: Client) -> None:
    text = section(client, with_events())
    assert "✓ Head share within its margin: +2.6 %, margin 5.0 % weeks 13-25" in text
    assert "✗ Churn beyond its margin: −4.9 %, margin 2.0 % weeks without it out of 23" in text


def test_before_the_late_window_is_readable_constraints_and_the_plot_give_the_date(client: Client) -> None:
    text = section(client, with_events(date(2017, 9, 4)))
    assert "? Head share readable from 2017-12-25" in text
    assert "Active, weeks 13-25 can be read from 2017-12-25" in text


def test_without_weights_the_page_says_how_to_give_them(client: Client) -> None:
    card = cards.honeymoon()
    metrics = tuple(replace(metric, weight=None) for metric in card.plan.metrics)
    text = section(client, replace(card, plan=replace(card.plan, metrics=metrics), oec=()))
    assert "No metric has a weight, so there is no criterion over all of them." in text


def test_a_dominated_treatment_is_named(client: Client) -> None:
    assert "bold is no worse on any objective and surely better on one." in section(client, two_treatments())


def test_the_plot_has_every_treatment_with_its_intervals_and_the_quarters_shaded(client: Client) -> None:
    html = client.get(f"/experiments/{stored(two_treatments())}/").content.decode()
    (found,) = re.findall(r'<script id="objectives-plot" type="application/json">(.*?)</script>', html)
    spec = json.loads(found)["objectives"]
    rows = {row["variant"]: row for row in spec["datasets"]["rows"]}
    assert list(rows) == ["treatment", "bold"]
    assert (rows["bold"]["x low"], rows["bold"]["x high"]) == (0.035, 0.065)
    assert rows["treatment"]["Long term"] == "Active, weeks 13-25: −5.9 % (−6.8 to −4.9 %)"
    assert {"shade-good", "shade-bad"} <= set(re.findall(r"shade-[a-z]+", found))
    assert alt.Chart.from_dict(spec | {"config": theme.config("light")}).to_dict(validate=True)


def test_with_one_primary_metric_its_early_weeks_stand_against_its_late_ones() -> None:
    plan = replace(cards.PLAN, metrics=(replace(cards.LINES, term="long"), cards.HEAD_SHARE))
    found = pareto.axes(plan)
    assert found is not None
    assert [(axis.metric.key, axis.window.name) for axis in found] == [("lines", "early"), ("lines", "late")]
    assert pareto.axes(replace(cards.PLAN, metrics=(cards.HEAD_SHARE,))) is None


def test_where_lower_is_better_the_good_quarter_is_on_the_other_side() -> None:
    falling = replace(cards.LINES, better="lower")
    short = pareto.Axis(falling, cards.PLAN.window("early"))
    long = pareto.Axis(cards.ACTIVE, cards.PLAN.window("late"))
    rows = {row.window: row for row in cards.honeymoon().effects if row.metric == "lines"}
    spec = pareto.spec(short, long, [pareto.Point("treatment", rows["early"], rows["late"])], "control", "A title")
    (good,) = [layer for layer in spec["layer"] if layer["mark"].get("style") == "shade-good"]
    place = good["data"]["values"][0]
    assert place["x2"] < 0 < place["y2"]


def test_the_numbers_of_the_plot_are_those_of_all_treatments(client: Client) -> None:
    key = stored(two_treatments())
    text = client.get(f"/experiments/{key}/chart.csv", {"part": "objectives"}).content.decode()
    assert {line.split(",")[3] for line in text.splitlines()[1:]} == {"treatment", "bold"}
