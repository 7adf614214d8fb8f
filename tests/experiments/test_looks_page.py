"""The slider over past looks, and the two-week test beside them."""

from dataclasses import replace
from datetime import date

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from analysis.replay import NaiveLaunch, Replay
from analysis.results import Scorecard
from experiments.models import Look, write_replay
from tests.experiments import cards, replay_rows
from tests.experiments.large_card import large
from tests.experiments.pages import words
from tests.experiments.stored import stored
from tests.experiments.survival_cards import with_events

pytestmark = pytest.mark.django_db

#: A table for each kind of rows, those that hang on them, and the looks with their cells.
MOST_QUERIES = 31


def page(client: Client, card: Scorecard, replay: Replay) -> str:
    return words(client.get(f"/experiments/{stored(card, replay)}/"))


def test_the_two_week_test_is_told_with_what_it_would_have_cost(client: Client) -> None:
    text = page(client, cards.honeymoon(), replay_rows.honeymoon())
    assert "A two-week test would have launched this: Lines −5.9 % in weeks 13-25" in text
    assert "On 2017-07-09, when every unit had lived two weeks, Lines stood at +3.1 % (p < 0.001)." in text
    assert "Since then, in weeks 13-25: Lines −5.9 % (a loss), Active +0.20 %." in text


def test_looks_with_the_same_advice_are_told_together_with_the_reason_of_the_first(client: Client) -> None:
    text = page(client, cards.honeymoon(), replay_rows.honeymoon())
    assert "Looks 1-6 2017-06-05 to 2017-07-10 Keep running Keep_running, look 1" in text
    assert "Looks 7-17 2017-07-17 to 2017-09-25 Launch with holdback" in text
    # The look that was taken on the last day said what its own scorecard says.
    assert "Looks 18-30 2017-10-02 to 2017-12-31 Roll back" in text


def test_every_look_can_be_reached_by_a_link_and_the_current_one_is_marked(client: Client) -> None:
    key = stored(cards.honeymoon(), replay_rows.honeymoon())
    html = client.get(f"/experiments/{key}/").content.decode()
    assert html.count("data-stop") == 30
    assert '<a href="?as_of=2017-12-31" aria-current="page"' in html
    assert 'aria-valuetext="Look 30 of 30, 2017-12-31: Roll back"' in html
    assert html.count("not taken then") == 29


def test_the_naive_launch_is_marked_on_the_first_look_that_knows_of_it(client: Client) -> None:
    html = client.get(f"/experiments/{stored(cards.honeymoon(), replay_rows.honeymoon())}/").content.decode()
    (stop,) = [line for line in html.splitlines() if "launched it by now" in line and "data-stop" in line]
    assert 'data-day="2017-07-10"' in stop


def test_a_past_look_that_was_taken_says_what_it_said(client: Client) -> None:
    past = date(2017, 9, 4)
    stored(cards.honeymoon(past), replay_rows.honeymoon(14))
    stored(cards.honeymoon(), replay_rows.honeymoon())
    text = words(client.get("/experiments/honeymoon/", {"as_of": "2017-09-04"}))
    assert "Look 14 of 30 as of 2017-09-04 Keep running" in text  # the replay would have said: launch with holdback
    assert "This is a past look. The newest one knows more." in text
    assert "A two-week test would have launched this" in text
    assert "This is a past look" not in words(client.get("/experiments/honeymoon/"))


@pytest.mark.parametrize(
    ("naive", "sentence"),
    [
        (replay_rows.UNREAD, "A two-week test cannot be read: not every unit has lived two weeks"),
        (NaiveLaunch("treatment", replay_rows.DAY, False, "lines", 0.01, 0.4), "That is no launch for a test"),
        (NaiveLaunch("treatment", replay_rows.DAY, False, reason="no primary metric had an estimate after two weeks"),
         "no primary metric had an estimate"),
    ],
)  # fmt: skip
def test_a_two_week_test_that_did_not_launch_says_so(client: Client, naive: NaiveLaunch, sentence: str) -> None:
    replay = replay_rows.honeymoon()
    assert sentence in page(client, cards.honeymoon(), replace(replay, naive=(replace(naive, variant="treatment"),)))


def test_a_look_of_an_earlier_version_shows_the_looks_that_were_taken(client: Client) -> None:
    stored(cards.honeymoon(date(2017, 9, 4)))
    text = page(client, cards.honeymoon(), Replay((), ()))
    assert "What the looks have said so far Look 14 2017-09-04 Keep running" in text


def test_the_number_of_queries_does_not_grow_with_looks(client: Client) -> None:
    stored(cards.honeymoon(date(2017, 9, 4)), replay_rows.honeymoon(2))
    counts = []
    for day in ("2017-09-04", "2017-12-31"):
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/experiments/honeymoon/").status_code == 200
        counts.append(len(captured))
        if day == "2017-09-04":
            stored(cards.honeymoon(), replay_rows.honeymoon())
    assert counts[0] == counts[1]


def test_twenty_metrics_take_as_many_queries_as_seven(client: Client) -> None:
    counts = []
    for key in (stored(with_events(), replay_rows.honeymoon()), stored(large(), replay_rows.honeymoon())):
        with CaptureQueriesContext(connection) as captured:
            assert client.get(f"/experiments/{key}/").status_code == 200
        counts.append(len(captured))
    assert counts[0] == counts[1] <= MOST_QUERIES


def test_a_replay_is_written_again_in_place_of_the_first() -> None:
    stored(cards.honeymoon(), replay_rows.honeymoon())
    look = Look.objects.get()
    write_replay(look, replay_rows.honeymoon(3))
    assert look.replaysteprows.count() == 3
