"""Segments on the scorecard's page."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client

from analysis.results import HeterogeneityRow, Scorecard
from tests.experiments import cards
from tests.experiments.pages import words
from tests.experiments.stored import stored

pytestmark = pytest.mark.django_db


def card(p_adjusted: float | None = 0.01) -> Scorecard:
    """The honeymoon in two countries: in one of them the lifts are half as large again."""
    made = cards.honeymoon()
    inside = tuple(
        replace(row, segment=f"country={value}", lift=(row.lift or 0) * factor, n_control=row.n_control // 2)
        for value, factor in (("DE", 1.5), ("FR", 0.5))
        for row in made.effects
    )
    tests = tuple(
        HeterogeneityRow(
            metric=metric.key, variant="treatment", window=window.name, segment="country", values=2,
            p_value=0.002 if metric is cards.LINES else 0.4,
            p_value_adjusted=p_adjusted if metric is cards.LINES else 0.6,
        )
        for metric in made.plan.metrics
        for window in made.plan.windows
    )  # fmt: skip
    plan = replace(made.plan, segments=("country",))
    return replace(made, plan=plan, effects=(*made.effects, *inside), heterogeneity=tests)


def section(client: Client, made: Scorecard) -> str:
    text = words(client.get(f"/experiments/{stored(made)}/"))
    start = text.index("Segments: ")
    return text[start : text.index("Objectives", start)]


def test_the_title_names_what_differs_after_adjusting_for_the_number_of_tests(client: Client) -> None:
    assert section(client, card()).startswith("Segments: the lift differs for Lines by country")


def test_a_small_p_value_among_many_tests_is_no_difference(client: Client) -> None:
    assert section(client, card(0.08)).startswith("Segments: no difference to see")


def test_every_value_stands_beside_all_units_in_the_window_that_decides(client: Client) -> None:
    text = section(client, card())
    assert "Lines weeks 0-3 · same lift in all: p = 0.002, p = 0.010 among all tests" in text
    assert "All units 40 000 15.7 16.2 +3.3 %" in text
    assert "DE 30 044 15.7 16.2 +5.0 %" in text
    assert "FR 30 044 15.7 16.2 +1.7 %" in text
    assert "Basket size" not in text  # diagnostic


def test_values_that_are_not_readable_say_from_which_day(client: Client) -> None:
    early = cards.honeymoon(cards.START + timedelta(days=70))
    inside = tuple(replace(row, segment="country=DE") for row in early.effects)
    made = replace(early, plan=replace(early.plan, segments=("country",)), effects=(*early.effects, *inside))
    text = section(client, made)
    assert text.startswith("Segments: not yet")
    assert "DE readable from 2017-12-25" in text
    assert "not tested yet" in text


def test_without_declared_segments_the_page_says_how_to_declare_them(client: Client) -> None:
    text = section(client, cards.honeymoon())
    assert text.startswith("Segments: none declared")
    assert "segments: [country, platform]" in text


def test_a_declared_segment_without_units_says_so(client: Client) -> None:
    made = cards.not_yet()
    text = section(client, replace(made, plan=replace(made.plan, segments=("country",))))
    assert "No value of country has been seen yet." in text


def test_the_metrics_table_is_that_of_all_units(client: Client) -> None:
    text = words(client.get(f"/experiments/{stored(card())}/"))
    assert text.index("Lines short term 15.7 19 911 units") < text.index("Segments: ")
