import json
import re
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client

from analysis.plan import Event, Metric, Variant
from analysis.results import Scorecard
from experiments.models import Experiment
from experiments.models.look import RUNNING
from experiments.services import portfolio
from tests.experiments import cards
from tests.experiments.pages import words
from tests.experiments.stored import applied, new_look, renamed, stored
from tests.people import signed_in

pytestmark = pytest.mark.django_db


def page(client: Client, card: Scorecard) -> str:
    return words(client.get(f"/experiments/{stored(card)}/"))


# --- scorecard --------------------------------------------------------------------------------------------------------
def test_the_banner_puts_the_two_windows_side_by_side(client: Client) -> None:
    text = page(client, cards.honeymoon())
    assert "Early win, later loss: Lines confirmed" in text
    assert "Weeks 0-3 +3.3 % +2.2 to +4.5 % → Weeks 13-25 −6.2 % −7.4 to −5.1 %" in text
    assert "The same 40 000 matured units in both windows" in text
    assert "Late minus early is −8.8 % (−10.0 to −7.6 %)" in text
    assert "Sales too, confirmed" in text


def test_an_interval_of_other_units_is_not_put_beside_the_reversal(client: Client) -> None:
    card = cards.honeymoon()
    fewer = tuple(replace(row, n_control=100) for row in card.reversals)
    text = page(client, replace(card, reversals=fewer))
    assert "Weeks 0-3 +3.3 % → Weeks 13-25 −6.2 %" in text


def test_a_warning_gives_the_probability(client: Client) -> None:
    card = cards.honeymoon()
    warned = tuple(replace(row, state="warning", late_loss_probability=0.87) for row in card.reversals[:1])
    text = page(client, replace(card, reversals=warned))
    assert "Early win, a later loss is likely: Lines warning" in text
    assert "The probability of a late loss is 87.0 %" in text


def test_nothing_is_flagged_on_a_placebo(client: Client) -> None:
    text = page(client, cards.placebo())
    assert "Early win" not in text
    assert "Lines: not separable from zero, early or late" in text


def test_metrics_stand_in_their_groups_with_means_and_intervals(client: Client) -> None:
    text = page(client, cards.honeymoon())
    order = [text.index(f" {title} ") for title in ("Primary", "Guardrail", "Secondary", "Diagnostic")]
    assert order == sorted(order)
    assert "Lines short term 15.7 19 911 units 16.2 20 089 units ↑ +3.3 % (better) +2.2 to +4.5 %" in text
    assert "Head share lower is better margin 5.0 %" in text
    assert "↑ +2.6 % (worse, within the margin)" in text


def test_cells_that_are_not_readable_say_from_which_day(client: Client) -> None:
    text = page(client, cards.honeymoon(date(2017, 9, 4)))
    assert "readable from 2017-12-25" in text
    assert "Lines: a win so far, late weeks readable from 2017-12-25" in text
    assert "0 units" not in text.replace("40 000 units", "")


def test_a_look_at_which_nothing_is_mature_is_a_page_of_dates(client: Client) -> None:
    text = page(client, cards.not_yet())
    assert "readable from 2017-07-24" in text
    assert "Lines: not yet, early weeks readable from 2017-07-24" in text
    assert "The first week is readable from 2017-07-03" in text


@pytest.mark.parametrize(("state", "shown"), [("too_few", "too few units"), ("failed", "not readable")])
def test_other_reasons_are_given_too(client: Client, state: Any, shown: str) -> None:
    card = cards.not_yet()
    effects = tuple(replace(row, state=state, reason="Because.") for row in card.effects)
    assert f"{shown} Because." in words(client.get(f"/experiments/{stored(replace(card, effects=effects))}/"))


def test_a_look_that_is_overdue_is_said_beside_the_day_of_the_data(client: Client) -> None:
    young, whole = cards.honeymoon(date(2017, 9, 4)), renamed(cards.honeymoon(), "whole", "Whole")
    text = words(client.get(f"/experiments/{stored(young)}/"))
    assert "Stale data A weekly look has been due since 2017-09-11. What you see is as of 2017-09-04" in text
    assert "Stale data" not in words(client.get(f"/experiments/{stored(whole)}/"))


def test_an_effect_without_a_lift_says_why(client: Client) -> None:
    card = cards.honeymoon()
    reason = "control's mean is not surely different from zero"
    gone = {"lift": None, "lift_low": None, "lift_high": None, "reason": reason}
    card = replace(
        card,
        effects=tuple(replace(row, **gone) for row in card.effects),  # type: ignore[arg-type]
        trajectory=tuple(replace(row, **gone) for row in card.trajectory),  # type: ignore[arg-type]
    )
    text = page(client, card)
    assert "no lift" in text
    assert "No week has a lift that can be estimated" in text
    assert "15.7 19 911 units" in text


def test_an_srm_alarm_warns_before_any_number(client: Client) -> None:
    text = page(client, cards.srm_alarm())
    assert text.index("Do not decide on these numbers") < text.index("+3.3 %")
    assert "1 204 units seen in two variants" in text


def test_health_is_said_in_words(client: Client) -> None:
    text = page(client, cards.honeymoon())
    assert "Units split as designed" in text
    assert "Attrition not known" in text
    assert "Nothing left out" in text
    assert "Data to 2017-12-30" in text
    assert "1 534 964 rows" in text


def test_a_look_without_data_says_so(client: Client) -> None:
    card = replace(cards.not_yet(), first_fact=None, last_fact=None, fact_rows=0)
    assert "No data yet" in page(client, card)


def test_a_time_to_event_metric_is_listed(client: Client) -> None:
    card = cards.honeymoon()
    churn = Metric("churn", "event", "lower", "guardrail", "long", event=Event("inactivity", "lines", 4), margin=0.02)
    plan = replace(card.plan, metrics=(*card.plan.metrics, churn))
    assert "Churn long term · lower is better" in page(client, replace(card, plan=plan))


def test_each_treatment_has_its_own_table_and_charts(client: Client) -> None:
    card = cards.honeymoon()
    bold = Variant("bold", 0.5)
    plan = replace(card.plan, variants=(*card.plan.variants, bold))
    card = replace(
        card,
        plan=plan,
        effects=card.effects + tuple(replace(row, variant="bold") for row in card.effects),
        trajectory=card.trajectory + tuple(replace(row, variant="bold") for row in card.trajectory),
        units=dict(card.units) | {"bold": 20000},
    )
    response = client.get(f"/experiments/{stored(card)}/")
    assert "Scorecard: treatment" in words(response)
    assert "Scorecard: bold" in words(response)
    assert 'id="chart-1-lines"' in response.content.decode()


def test_charts_carry_their_specs_and_the_numbers(client: Client) -> None:
    html = client.get(f"/experiments/{stored(cards.honeymoon())}/").content.decode()
    specs = json.loads(re.findall(r'<script id="chart-0-lines" type="application/json">(.*?)</script>', html)[0])
    assert list(specs) == ["weekly", "cumulative", "means"]
    themes = json.loads(re.findall(r'<script id="chart-themes" type="application/json">(.*?)</script>', html)[0])
    assert list(themes) == ["light", "dark"]
    assert html.count("Weekly numbers of Lines") == 1


# --- progress ---------------------------------------------------------------------------------------------------------
def test_a_running_look_shows_its_progress_and_the_last_good_look(client: Client) -> None:
    key = stored(cards.honeymoon())
    look = new_look(key, cards.AS_OF + timedelta(days=7), number=31)
    html = client.get(f"/experiments/{key}/").content.decode()
    assert f'hx-get="/experiments/{key}/progress/"' in html
    assert "Early win, later loss" in html
    fragment = client.get(f"/experiments/{key}/progress/", headers={"HX-Request": "true"})
    assert "Look as of 2018-01-07" in words(fragment)
    assert "<html" not in fragment.content.decode()
    look.state = RUNNING
    look.save()
    assert "HX-Refresh" not in client.get(f"/experiments/{key}/progress/").headers


def test_the_page_is_asked_for_anew_once_the_look_has_ended(client: Client) -> None:
    key = stored(cards.honeymoon())
    assert client.get(f"/experiments/{key}/progress/").headers["HX-Refresh"] == "true"


def test_the_first_look_is_on_its_way(client: Client) -> None:
    key = applied(cards.honeymoon())
    new_look(key, cards.AS_OF)
    text = words(client.get(f"/experiments/{key}/"))
    assert "on its way" in text
    assert "Look as of 2017-12-31" in text


def test_without_a_look_the_page_offers_one_to_those_who_may_ask_for_it(client: Client) -> None:
    key = applied(cards.honeymoon())
    seen, offered = (words(browser.get(f"/experiments/{key}/")) for browser in (client, signed_in("editor")))
    assert "There is no look of honeymoon yet. The first weekly look is planned for 2017-06-05." in seen
    assert "Take a look now" not in seen
    assert "Take a look now" in offered
    assert "manage.py" not in seen + offered


def test_no_look_is_offered_of_what_has_not_started(client: Client) -> None:
    key = applied(cards.honeymoon())
    Experiment.objects.filter(key=key).update(
        state="in_review", started_at=None, enrollment_closed_at=None, decided_at=None, outcome=None
    )
    for page in (f"/experiments/{key}/", f"/experiments/{key}/history/"):
        assert "Take a look now" not in words(signed_in("editor").get(page))


def test_where_a_look_is_due_it_is_offered(client: Client) -> None:
    key = stored(cards.honeymoon(date(2017, 9, 4)))
    text = words(signed_in("editor").get(f"/experiments/{key}/"))
    assert "Stale data A weekly look has been due since" in text
    assert "Take a look now" in text


def test_a_failed_look_says_why_beside_the_last_good_one(client: Client) -> None:
    key = stored(cards.honeymoon())
    new_look(key, cards.AS_OF + timedelta(days=7), number=31).fail("facts.parquet: <b>no such file</b>")
    text = words(client.get(f"/experiments/{key}/"))
    assert "The look as of 2018-01-07 failed facts.parquet" in text
    assert "What you see is the last good look" in text


def test_an_as_of_without_a_look_offers_those_that_are_there(client: Client) -> None:
    key = stored(cards.honeymoon())
    response = client.get(f"/experiments/{key}/", {"as_of": "2017-12-24"})
    assert "There is no look of honeymoon as of 2017-12-24 yet" in words(response)
    assert "2017-12-31" in words(response)


# --- downloads and errors ---------------------------------------------------------------------------------------------
def test_the_scorecard_can_be_downloaded(client: Client) -> None:
    key = stored(cards.honeymoon())
    as_json = client.get(f"/experiments/{key}/scorecard.json", {"as_of": "2017-12-31"})
    assert as_json.json()["key"] == key
    assert as_json.headers["Content-Disposition"] == 'attachment; filename="honeymoon-2017-12-31.json"'
    as_csv = client.get(f"/experiments/{key}/scorecard.csv")
    assert as_csv.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert as_csv.content.decode().startswith("key,as_of,")


def test_a_wrong_key_is_a_page_that_helps(client: Client) -> None:
    stored(cards.honeymoon())
    response = client.get("/experiments/honeymon/")
    assert response.status_code == 404
    assert "did you mean `honeymoon`" in words(response)
    assert client.get("/experiments/honeymon/scorecard.json").status_code == 404


def test_an_as_of_that_is_no_date_is_named(client: Client) -> None:
    key = stored(cards.honeymoon())
    response = client.get(f"/experiments/{key}/", {"as_of": "<script>"})
    assert response.status_code == 404
    assert "As_of is <script>; it must be a date such as 2017-12-31." in words(response) or "&lt;script&gt;" in (
        response.content.decode()
    )


def test_an_unknown_address_leads_back(client: Client) -> None:
    response = client.get("/nothing/here/")
    assert response.status_code == 404
    assert "No page has this address" in words(response)
    assert client.get("/experiments/none/scorecard.csv").status_code == 404


def test_pages_are_read_only(client: Client) -> None:
    key = stored(cards.honeymoon())
    assert client.post("/").status_code == 405
    assert client.post(f"/experiments/{key}/").status_code == 405


def test_a_broken_page_is_our_own_too(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(now: object) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(portfolio, "portfolio", fail)
    client.raise_request_exception = False
    response = client.get("/")
    assert response.status_code == 500
    assert "Nothing was changed" in words(response)


@pytest.mark.parametrize("card", [cards.honeymoon(), cards.not_yet(), cards.srm_alarm()])
def test_pages_keep_a_strict_content_security_policy(client: Client, card: Scorecard) -> None:
    key = stored(card)
    for address in ("/", f"/experiments/{key}/", "/nothing/"):
        response = client.get(address)
        html = response.content.decode()
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=", html)
        assert not [tag for tag in re.findall(r"<script[^>]*>", html) if "src=" not in tag and "json" not in tag]
        assert not re.search(r'(?:src|href)="(?:https?:)?//', html)
