"""The pages of metrics and sources: what there is, who uses it, and as many queries whatever there is."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from analysis.plan import Metric
from experiments.models import Source
from tests.experiments import cards
from tests.experiments.pages import words
from tests.experiments.stored import applied, new_look, renamed, stored
from tests.experiments.survival_cards import BOUGHT, CHURN, with_events

pytestmark = pytest.mark.django_db


def using(key: str, *metrics: Metric) -> str:
    """Apply an experiment with these metrics; one that could decide nothing gets a primary besides."""
    if all(metric.role != "primary" for metric in metrics):
        metrics = (*metrics, cards.ACTIVE)
    card = renamed(cards.placebo(), key, key.capitalize())
    return applied(replace(card, plan=replace(card.plan, metrics=metrics)))


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        (cards.LINES, "Sum of lines of a unit in a week. Higher is better."),
        (replace(cards.LINES, cap=20.0), "Sum of lines of a unit in a week, at most 20.0."),
        (cards.ACTIVE, "Share of weeks in which a unit has any row with lines above zero."),
        (cards.HEAD_SHARE, "Ratio of head_lines to lines. Lower is better."),
        (replace(cards.HEAD_SHARE, denominator="rows"), "Ratio of head_lines to the number of rows."),
        (CHURN, "Time to the first 4 weeks without lines. Lower is better."),
        (BOUGHT, "Time to the first week with baskets above zero. Higher is better."),
    ],
)
def test_a_metric_is_said_in_words(client: Client, metric: Metric, sentence: str) -> None:
    using("one", metric)
    assert sentence in words(client.get("/metrics/"))


def test_a_metric_has_its_versions_newest_first_with_who_decides_by_each(client: Client) -> None:
    using("old", cards.LINES)
    using("new", replace(cards.LINES, cap=20.0, role="guardrail", term=None, margin=0.02, weight=None))
    text = words(client.get("/metrics/"))
    assert text.index("version 2 Sum of lines of a unit in a week, at most") < text.index("version 1 Sum of lines")
    assert "New guardrail, margin 2.0 % · running" in text
    assert "Old primary, short term, weight 0.4 · running" in text


def test_a_version_that_nobody_uses_any_more_stays_and_says_so(client: Client) -> None:
    draft = replace(cards.placebo().plan, start_date=cards.START + timedelta(days=7000))
    card = replace(cards.placebo(), plan=replace(draft, metrics=(cards.LINES,)))
    applied(card)
    applied(replace(card, plan=replace(card.plan, metrics=(replace(cards.LINES, cap=20.0),))))
    assert "No plan in force uses this version." in words(client.get("/metrics/"))


def test_a_source_says_where_it_is_who_reads_it_and_what_was_found_last(client: Client) -> None:
    stored(cards.honeymoon())
    text = words(client.get("/sources/"))
    assert (
        "Engagement-first ranker own data · files In /nowhere Exposures exposures.parquet Facts facts.parquet" in text
    )
    assert "unit unit_id variant variant exposed at exposed_at at at" in text
    assert "Engagement-first ranker running 2017-12-31 2017-04-03 to 2017-12-30 1 534 964" in text


def test_a_registered_source_comes_first_and_one_that_nobody_reads_says_so(client: Client) -> None:
    stored(cards.honeymoon())
    source = Source.objects.get()
    source.pk, source.key = None, "warehouse"
    source.save()
    text = words(client.get("/sources/"))
    assert text.index("warehouse registered · files") < text.index("Engagement-first ranker own data")
    assert "No experiment reads it." in text


def test_a_source_that_could_not_be_read_says_why_beside_the_last_good_look(client: Client) -> None:
    key = stored(cards.honeymoon())
    new_look(key, cards.AS_OF + timedelta(days=7), number=31).fail("facts.parquet: <b>no such file</b>")
    response = client.get("/sources/")
    assert "Last look failed facts.parquet: <b>no such file</b> When the cause is gone, take a look anew" in (
        words(response).replace("&lt;", "<")
    )
    assert "<b>no such file" not in response.content.decode()
    assert "2017-04-03 to 2017-12-30" in words(response)


def test_experiments_without_a_look_and_looks_without_facts_say_so(client: Client) -> None:
    using("one", cards.LINES)
    stored(replace(cards.not_yet(), first_fact=None, last_fact=None, fact_rows=0))
    text = words(client.get("/sources/"))
    assert "no finished look yet" in text
    assert "none yet" in text


@pytest.mark.parametrize(("address", "sentence"), [("/metrics/", "No metrics yet"), ("/sources/", "No sources yet")])
def test_empty_pages_say_what_to_do(client: Client, address: str, sentence: str) -> None:
    assert sentence in words(client.get(address))


@pytest.mark.parametrize("address", ["/metrics/", "/sources/"])
def test_more_experiments_take_no_more_queries(client: Client, address: str) -> None:
    make: Callable[[str], str] = lambda key: stored(renamed(with_events(), key, key))  # noqa: E731
    counts = []
    for total in (2, 12):
        for number in range(total):
            if not Source.objects.filter(experiments__key=f"one-{number}").exists():
                make(f"one-{number}")
        with CaptureQueriesContext(connection) as queries:
            client.get(address)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_navigation_leads_to_what_is_there_and_marks_where_one_is(client: Client) -> None:
    html = client.get("/metrics/").content.decode()
    assert '<a href="/metrics/" aria-current="page">Metrics</a>' in html
    for address in ("/", "/sources/", "/methods/"):
        assert f'<a href="{address}"' in html
        assert client.get(address).status_code == 200
