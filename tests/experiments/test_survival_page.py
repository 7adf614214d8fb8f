"""Times to event on the scorecard's page."""

import json
import re
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from django.test import Client

from analysis.results import Scorecard
from tests.experiments import survival_cards
from tests.experiments.pages import plain, words
from tests.experiments.stored import stored
from tests.experiments.survival_cards import churn_of, with_events

pytestmark = pytest.mark.django_db


def page(client: Client, card: Scorecard) -> str:
    return words(client.get(f"/experiments/{stored(card)}/"))


def changed(card: Scorecard, **changes: Any) -> Scorecard:
    """The scorecard with another comparison of churn."""
    rows = tuple(replace(row, **changes) if row.metric == "churn" else row for row in card.survival_comparisons)
    return replace(card, survival_comparisons=rows)


def test_the_title_states_what_is_lost(client: Client) -> None:
    text = page(client, with_events())
    assert "Churn: 0.90 weeks fewer without a gap of 4 weeks, out of 23" in text
    assert "−0.90 weeks this look −1.06 to −0.74 all looks −1.08 to −0.72" in text
    assert "margin 2.0 % (−0.37 weeks)" in text
    assert "beyond its margin" in text


def test_who_came_back_and_a_gap_that_is_short_are_always_said(client: Client) -> None:
    text = page(client, with_events())
    assert "Came back 76.3 % of those counted as gone" in text
    assert "A gap of 4 weeks is short" in text
    assert "6 weeks would count fewer units as gone" in text


def test_a_gap_that_is_long_enough_is_not_warned_of(client: Client) -> None:
    assert "is short" not in page(client, changed(with_events(), gap_advised=4))


def test_retention_comes_before_the_curves(client: Client) -> None:
    text = page(client, with_events())
    assert text.index("Active in week 25: 55.6 % of treatment, 62.5 % of control") < text.index("Kaplan-Meier")


def test_the_metrics_table_shows_the_weeks_without_the_event_in_the_deciding_column(client: Client) -> None:
    text = page(client, with_events())
    assert (
        "Churn long term · lower is better margin 2.0 % 18.6 of 23 weeks 17.7 of 23 weeks not by window "
        "↓ −4.9 % (worse) −5.8 to −3.9 %"
    ) in text


def test_hazards_are_told_by_period_and_beside_covariates(client: Client) -> None:
    text = page(client, with_events())
    assert "Weeks 4-12 1.40 1.33 to 1.47 p < 0.001" in text
    assert "Weeks 13-22 a variant has no events in these weeks" in text
    assert "Beside covariates 39 987 units, 13 left out 1.19 1.16 to 1.23" in text


def test_before_the_horizon_is_known_the_page_shows_what_is_and_gives_the_date(client: Client) -> None:
    text = page(client, with_events(date(2017, 9, 11)))
    assert "weeks fewer so far, out of 8; week 23 decides, readable from 2017-12-25" in text
    assert "Week 23, the horizon that decides, cannot be read yet. It can be from 2017-12-25 on." in text
    assert "beyond its margin" not in text


def test_an_event_nobody_has_been_followed_for_gives_both_dates(client: Client) -> None:
    text = page(client, with_events(date(2017, 6, 12)))
    assert "Churn: not yet, week 23 is readable from 2017-12-25" in text
    assert "Nobody has been followed for a week: readable from 2017-07-03." in text


def test_a_difference_that_cannot_be_separated_from_zero_is_no_finding(client: Client) -> None:
    card = changed(with_events(), sequential_lift_low=-0.05, sequential_lift_high=0.001)
    assert "Churn: no difference to see in weeks without a gap of 4 weeks" in page(client, card)


def test_before_any_alpha_is_spent_nothing_is_claimed(client: Client) -> None:
    unspent = changed(with_events(), sequential_lift_low=None, sequential_lift_high=None)
    assert "0.90 weeks fewer so far, out of 23; nothing can be claimed yet" in page(client, unspent)


def test_every_chart_has_its_specs_its_numbers_and_its_downloads(client: Client) -> None:
    key = stored(with_events())
    html = client.get(f"/experiments/{key}/").content.decode()
    for figure, kinds in (
        ("chart-0-churn", ["weekly", "means"]),
        ("survival-0-churn", ["curves"]),
        ("difference-0-churn", ["difference"]),
    ):  # fmt: skip
        (found,) = re.findall(rf'<script id="{figure}" type="application/json">(.*?)</script>', html)
        assert list(json.loads(found)) == kinds
    assert 'data-name="honeymoon-churn-treatment-survival-2017-12-31"' in html
    for address in re.findall(r'href="(/experiments/honeymoon/chart\.csv[^"]+)"', html):
        response = client.get(address.replace("&amp;", "&"))
        assert response.status_code == 200
        assert response.content.decode().startswith("key,as_of,metric,variant")


def test_the_numbers_of_a_chart_are_not_rounded(client: Client) -> None:
    card = with_events()
    key = stored(card)
    query = {"part": "difference", "metric": "churn", "variant": "treatment"}
    response = client.get(f"/experiments/{key}/chart.csv", query)
    lines = response.content.decode().splitlines()
    last = churn_of(card).survival_difference[-1]
    assert lines[-1] == (f"honeymoon,2017-12-31,churn,treatment,23,{last.difference!r},{last.low!r},{last.high!r}")
    assert len(lines) == 1 + survival_cards.TAU
    assert response.headers["Content-Disposition"] == (
        'attachment; filename="honeymoon-churn-treatment-difference-2017-12-31.csv"'
    )


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (
            {"part": "everything"},
            "Part is `everything`; it must be one of trajectory, survival, difference, holdout, objectives",
        ),
        ({"part": "survival", "metric": "churn", "variant": "treatmen"}, "did you mean `treatment`?"),
        ({"part": "survival", "metric": "chrn", "variant": "treatment"}, "did you mean `churn`?"),
    ],
)
def test_numbers_that_are_not_there_are_named(client: Client, query: dict[str, str], sentence: str) -> None:
    response = client.get(f"/experiments/{stored(with_events())}/chart.csv", query)
    assert response.status_code == 404
    assert sentence in words(response)


def test_a_look_of_an_earlier_version_has_curves_and_no_difference(client: Client) -> None:
    card = with_events()
    few = tuple(one for one in churn_of(card).survival_difference if one.week in (4, 9, 13, 23))
    text = page(client, changed(card, survival_difference=few))
    assert "This look has no difference for every week" in text


def test_a_reversal_of_hazards_is_told_as_ratios_with_more_hazard_in_red(client: Client) -> None:
    card = with_events()
    lines = next(row for row in card.reversals if row.metric == "lines")
    turned = replace(
        lines, metric="churn", early_lift=-0.2, late_lift=0.3, early_effect=None, late_effect=None, contrast=None,
        lift_contrast=0.485, lift_contrast_low=0.4, lift_contrast_high=0.57, reason="of hazards",
    )  # fmt: skip
    html = client.get(f"/experiments/{stored(replace(card, reversals=(turned,)))}/").content.decode()
    text = plain(html)
    assert "Early win, later loss: Churn confirmed Weeks 0-3, hazard × 0.800 → Weeks 13-25, hazard × 1.30" in text
    assert "Late minus early is × 1.62 (1.49 to 1.77)" in text
    assert html.count('class="tile good"') == 1
    assert "↑ × 1.62 (worse) 1.49 to 1.77 hazard, late over early" in text


def test_a_folded_chart_comes_when_it_is_opened_and_stands_on_a_page_of_its_own(client: Client) -> None:
    key = stored(with_events())
    html = client.get(f"/experiments/{key}/").content.decode()
    address = "/experiments/honeymoon/charts/treatment/sales/?as_of=2017-12-31"
    assert f'hx-get="{address}"' in html
    assert 'id="chart-0-sales"' not in html
    part = client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert 'id="chart-0-sales"' in part
    assert "<html" not in part
    alone = words(client.get(address))
    assert "Portfolio / honeymoon / sales Sales: a win turns into a loss in week 9" in alone


@pytest.mark.parametrize(
    ("path", "sentence"),
    [("charts/treatmnt/sales/", "did you mean `treatment`?"), ("charts/treatment/sale/", "did you mean `sales`?")],
)
def test_a_chart_that_is_not_there_is_named(client: Client, path: str, sentence: str) -> None:
    response = client.get(f"/experiments/{stored(with_events())}/{path}")
    assert response.status_code == 404
    assert sentence in words(response)
