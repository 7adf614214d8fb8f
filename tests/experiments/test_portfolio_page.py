"""The portfolio: what needs a decision first, filters in the address, as many queries for 200 rows as for two."""

import re
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from analysis.plan import Variant
from analysis.results import Action, RecommendationRow, Scorecard
from experiments.models import Experiment, Look, Plan, write_scorecard
from experiments.models.look import DONE
from tests.experiments import cards
from tests.experiments.pages import words
from tests.experiments.stored import NOW, applied, new_look, renamed, stored
from tests.experiments.survival_cards import with_events
from tests.people import signed_in

pytestmark = pytest.mark.django_db

#: Of the page: experiments, looks, cells, five kinds of rows that flag, and those beside the names.
MOST_QUERIES = 16


def advised(key: str, action: Action, **changes: Any) -> str:
    """An experiment on which nothing is flagged, with this advice."""
    row = RecommendationRow(variant="treatment", action=action, reasons=("it is so",))
    return stored(replace(renamed(cards.placebo(), key, key.capitalize()), recommendations=(row,), **changes))


def listed(client: Client, **query: str) -> list[str]:
    html = client.get("/", query).content.decode()
    return re.findall(r'<h3><a href="/experiments/([^/"]+)/"', html)


def section(client: Client, title: str) -> str:
    html = client.get("/").content.decode()
    found = re.search(rf'<section class="card group" aria-label="{title}">(.*?)</section>', html, re.DOTALL)
    return words_of(found.group(1)) if found else ""


def words_of(html: str) -> str:
    return words(type("Page", (), {"content": html.encode()})())


def test_an_empty_portfolio_says_what_to_do(client: Client) -> None:
    text = words(client.get("/"))
    assert "No experiments yet" in text
    assert "manage.py apply definition.yaml" in text
    assert "manage.py refresh KEY" in text
    assert "configure an experiment" not in text
    assert "configure an experiment in a form" in words(signed_in("editor").get("/"))


def test_what_needs_a_decision_comes_first_and_the_most_urgent_of_it_before(client: Client) -> None:
    for key, action in (("a", "keep_running"), ("b", "launch"), ("c", "stop"), ("d", "roll_back")):
        advised(key, action)  # type: ignore[arg-type]
    stored(cards.srm_alarm())
    assert listed(client) == ["honeymoon", "d", "c", "b", "a"]
    assert section(client, "Needs a decision").startswith("Needs a decision 4")
    assert section(client, "Running").startswith("Running 1 A a · running · look 30 of 30")


def test_a_row_has_the_advice_both_deciding_lifts_and_the_flags_in_words(client: Client) -> None:
    stored(cards.honeymoon())
    text = words(client.get("/"))
    assert "▲ Early win, later loss Lines, Sales" in text
    assert "Recommended Roll back" in text
    assert "Lines weeks 0-3 ↑ +3.3 % (better) +2.2 to +4.5 %" in text
    assert "Active weeks 13-25 ↓ −5.9 % (worse) −6.8 to −4.9 %" in text


def test_a_guardrail_beyond_its_margin_is_flagged_an_event_too(client: Client) -> None:
    stored(with_events())
    assert "Guardrail beyond its margin Churn" in words(client.get("/"))


def test_a_primary_time_to_event_has_its_weeks_in_the_row(client: Client) -> None:
    card = with_events()
    metrics = tuple(
        replace(metric, role="primary", margin=None) if metric.key == "churn" else metric
        for metric in card.plan.metrics
        if metric.key != "active"
    )
    rows = tuple(replace(row, role="primary", margin=None, verdict=None) for row in card.survival_comparisons)
    stored(replace(card, plan=replace(card.plan, metrics=metrics), survival_comparisons=rows))
    assert "Churn out of 23 weeks ↓ −4.9 % (worse) −5.8 to −3.9 %" in words(client.get("/"))


def test_of_several_treatments_the_one_with_the_gravest_advice_is_shown(client: Client) -> None:
    card = cards.placebo()
    plan = replace(card.plan, variants=(*card.plan.variants, Variant("bold", 0.5)))
    advice = tuple(
        RecommendationRow(variant=variant, action=action, reasons=("it is so",))
        for variant, action in (("treatment", "keep_running"), ("bold", "roll_back"))
    )  # fmt: skip
    bold = tuple(replace(row, variant="bold", lift=0.123) for row in card.effects)
    stored(replace(card, plan=plan, effects=(*card.effects, *bold), recommendations=advice))
    text = words(client.get("/"))
    assert "Recommended for bold Roll back" in text
    assert "+12.3 %" in text


def test_looks_that_failed_say_why_and_looks_on_their_way_how_far_they_are(client: Client) -> None:
    new_look(applied(renamed(cards.placebo(), "one", "One")), cards.AS_OF)
    new_look(applied(renamed(cards.placebo(), "two", "Two")), cards.AS_OF).fail("no disk left")
    applied(renamed(cards.placebo(), "three", "Three"))
    assert "Last look failed no disk left" in section(client, "Needs attention")
    waiting = section(client, "Not read yet")
    assert "Look in progress" in waiting
    assert "no look yet" in waiting


def test_stale_data_are_flagged_with_both_days(client: Client) -> None:
    advised("young", "keep_running", as_of=date(2017, 9, 11), look=15)
    assert (
        "▲ Stale data the last look is of 2017-09-11; one is due since 2017-09-18"
    ) in section(client, "Needs attention")  # fmt: skip


@pytest.mark.parametrize(
    ("state", "action", "title"),
    [
        ("running", "keep_running", "Running"),
        ("enrollment closed", "launch", "Needs a decision"),
        ("in review", "keep_running", "Not read yet"),
        ("stopped", "roll_back", "Decided"),
        ("launched", "keep_running", "Decided"),
        ("launched with holdback", "roll_back", "Needs a decision"),
    ],
)
def test_what_is_decided_asks_again_only_if_it_was_launched_and_does_harm(
    state: str, action: Action, title: str
) -> None:
    from experiments.services.portfolio import PortfolioEntry
    from experiments.views.portfolio_rows import GROUPS, placed

    advice = (RecommendationRow(variant="treatment", action=action, reasons=("it is so",)),)
    entry = PortfolioEntry(
        key="one", name="One", kind="experiment", owner="", hypothesis="", state=state, plan=cards.PLAN, look=None,
        shown=1, as_of=cards.AS_OF, due=None, alarms=(), reversals=(), harmed=(), met=(), recommendations=advice,
    )  # fmt: skip
    assert GROUPS[placed(entry).group] == title
    met = [flag.kind for flag in placed(replace(entry, met=("lines",))).flags]
    assert met == (["rollback"] if state.startswith("launched") else [])


# --- filters ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def several(client: Client) -> None:
    stored(cards.honeymoon())
    advised("placebo", "keep_running")
    advised("young", "keep_running", as_of=date(2017, 9, 11), look=15)
    Experiment.objects.filter(key="placebo").update(owner="other@example.com")


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ({"q": "Ranker"}, ["honeymoon"]),
        ({"q": "retention lines"}, ["honeymoon"]),
        ({"q": "OTHER@"}, ["placebo"]),
        ({"owner": "other@example.com"}, ["placebo"]),
        ({"flag": "reversal"}, ["honeymoon"]),
        ({"flag": "stale"}, ["young"]),
        ({"state": "running", "q": "young"}, ["young"]),
        ({"state": "draft"}, []),
        ({"kind": "holdout"}, []),
        ({"unknown": "1"}, ["honeymoon", "young", "placebo"]),
    ],
)
def test_filters_are_in_the_address(client: Client, query: dict[str, str], keys: list[str]) -> None:
    assert listed(client, **query) == keys


@pytest.mark.usefixtures("several")
def test_a_filter_that_keeps_nothing_leads_back_and_the_choice_stays(client: Client) -> None:
    html = client.get("/", {"q": "nobody", "flag": "stale"}).content.decode()
    assert "None of the 3 experiments and holdouts fits these filters." in words_of(html)
    assert '<option value="stale" selected>' in html
    assert 'value="nobody"' in html


@pytest.mark.usefixtures("several")
def test_what_is_typed_is_shown_as_text(client: Client) -> None:
    assert "<script>alert" not in client.get("/", {"q": "<script>alert(1)</script>"}).content.decode()


# --- many -------------------------------------------------------------------------------------------------------------
def many(card: Scorecard, total: int) -> None:
    """Experiments with a look each, made in bulk."""
    first = Experiment.objects.get(key=applied(renamed(card, "many-000", "Many 000")))
    plan = first.current_plan
    for number in range(total):
        key = f"many-{number:03}"
        one, created = Experiment.objects.get_or_create(
            key=key, defaults={**_copied(first), "name": f"Many {number:03}", "state": "draft", "started_at": None}
        )  # fmt: skip
        if created:
            digest = f"{number:064x}"
            one.plan = Plan.objects.create(experiment=one, version=1, body={**plan.body, "key": key}, digest=digest)
            one.state, one.started_at = "running", NOW
            one.save()
        look = Look.objects.create(
            plan=one.current_plan, as_of=card.as_of, number=card.look, planned_looks=30, fingerprint="test",
            planned_at=NOW, finished_at=NOW, state=DONE,
        )  # fmt: skip
        write_scorecard(look, replace(card, trajectory=card.trajectory[:52]))


def _copied(experiment: Experiment) -> dict[str, Any]:
    names = ("kind", "hypothesis", "owner", "source", "created_at")
    return {name: getattr(experiment, name) for name in names}


def test_two_hundred_experiments_take_as_many_queries_as_two(client: Client) -> None:
    counts = []
    for total in (2, 200):
        Look.objects.all().delete()
        many(cards.honeymoon(), total)
        with CaptureQueriesContext(connection) as queries:
            found = listed(client)
        counts.append(len(queries))
        assert len(found) == min(total, 50)
    assert counts[0] == counts[1]
    assert counts[0] <= MOST_QUERIES
    text = words(client.get("/"))
    assert "Needs a decision 200" in text
    assert "1 to 50 of 200" in text
    assert listed(client, page="4")[-1] == "many-199"
    assert client.get("/", {"page": "5"}).status_code == 404
    assert '<a href="?q=many&amp;page=2" rel="next">' in client.get("/", {"q": "many"}).content.decode()
