"""The map of traffic: layers, slices and experiments as the database has them, in as many queries whatever there is."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from experiments.charts.buckets import bar
from experiments.models import Traffic
from experiments.services import decisions, entry, traffic
from experiments.services.traffic_map import traffic_map
from tests.experiments.pages import tables, words
from tests.experiments.traffic_world import NEXT_MONDAY, NOW, experiment, holdout, named, put
from tests.people import person, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return signed_in("viewer")


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are read on the day on which these experiments run."""
    monkeypatch.setattr(timezone, "now", lambda: NOW)


def put_world() -> None:
    put(
        holdout(members=["search"]),
        holdout("spring", fraction=0.1),
        experiment("a", layer="search", share=0.3),
        experiment("b", layer="search", share=0.5, start_date=NEXT_MONDAY, holdout="spring"),
        experiment("c", share=0.5),
        experiment("d"),
    )


def test_an_empty_map_says_which_keys_of_a_definition_take_traffic(client: Client) -> None:
    text = words(client.get("/traffic/"))
    assert "Nothing takes traffic yet" in text
    assert all(key in text for key in ("share: 0.4", "layer: search", "holdout: winter", "fraction: 0.05"))


def test_a_layer_shows_who_has_which_buckets_and_what_is_free(client: Client) -> None:
    put_world()
    response = client.get("/traffic/")
    (rows,) = tables(response)["layer"]
    assert rows[1:] == [
        ["1 A small experiment", "0–2 999 30 %", "running", "since 2024-06-03",
         "28.5 % of all units: 30 % less what is held out by winter 5 %"],
        ["2 A small experiment", "3 000–7 999 50 %", "draft", "from 2024-06-10",
         "42.75 % of all units: 50 % less what is held out by spring 10 %, winter 5 %"],
        ["free", "8 000–9 999 20 %", "", "", ""],
    ]  # fmt: skip
    html = response.content.decode()
    assert 'x="30.0%" y="0" width="50.0%"' in html
    assert ">20 % free</text>" in html
    assert "style=" not in html


def test_outside_of_layers_each_has_its_own_share(client: Client) -> None:
    put_world()
    (rows,) = tables(client.get("/traffic/"))["outside"]
    assert [row[-1] for row in rows[1:]] == ["50 % of all units", "100 % of all units"]


def test_a_holdout_has_its_slice_its_days_and_its_members(client: Client) -> None:
    put_world()
    response = client.get("/traffic/")
    assert [len(rows) - 1 for rows in tables(response)["members"]] == [1, 2]  # spring, then winter
    assert "5 % of all users, by buckets of its own · running · since 2024-06-03 · planned until 2024-12-30" in words(
        response
    )


def test_the_map_says_the_same_effective_traffic_as_apply() -> None:
    put_world()
    found = traffic_map(NOW)
    parts = [*found.outside, *(part for layer in found.layers for part in layer.parts)]
    assert len(parts) == 4
    for part in parts:
        stored = Traffic.objects.get(experiment__key=part.key)
        assert part.effective == traffic.effective(stored, named(part.key).current_plan.load())
        assert part.effective == pytest.approx(expected(part.key), abs=1e-12)


def expected(key: str) -> float:
    """By hand: the share, less each holdout by itself."""
    return {"a": 0.3 * 0.95, "b": 0.5 * 0.95 * 0.9, "c": 0.5, "d": 1.0}[key]


def test_what_was_let_go_of_is_free_from_the_next_day_on(client: Client) -> None:
    put(experiment("a", layer="search"))
    decisions.decide("a", "treatment", "stop", reason="broken", look_id=None, revision=named("a").revision,
                     by=person("owner"), now=NOW)  # fmt: skip
    assert traffic_map(NOW).layers[0].free == "0 %"  # today it still has them
    later = traffic_map(NOW + timedelta(days=1))
    assert (later.layers[0].free, later.past) == ("100 %", 1)
    put(experiment("b", layer="search", share=0.2, start_date=NEXT_MONDAY))
    both = traffic_map(NOW).layers[0]
    assert [(part.key, part.begun) for part in both.parts] == [("b", False), ("a", True)]
    assert "let go of on 2024-06-06" in words(client.get("/traffic/"))


def test_a_released_holdout_is_not_drawn_and_no_longer_counts(client: Client) -> None:
    put(holdout(), experiment("a", holdout="winter"))
    entry.release("winter", by="x", now=NOW, reason="the season is over")
    found = traffic_map(NOW + timedelta(days=1))
    assert (found.holdouts, found.outside[0].said) == ((), "100 % of all units")


def test_blocks_of_different_days_get_lanes_of_their_own() -> None:
    drawn = bar([(0, 5_000, 1), (0, 10_000, 2), (5_000, 10_000, 3)])
    assert [(block.x, block.width, block.y) for block in drawn.blocks] == [(0, 50, 0), (0, 100, 34), (50, 50, 0)]
    assert drawn.height == 64


def test_more_experiments_take_no_more_queries(client: Client) -> None:
    put(holdout(), experiment("a", holdout="winter"), experiment("b", layer="search", share=0.1, holdout="winter"))
    counts = [queries_of(client)]
    put(
        holdout("spring"), *(experiment(f"c{number}", holdout="spring") for number in range(6)),
        *(experiment(f"d{number}", layer=f"layer-{number}", share=0.1, holdout="winter") for number in range(6)),
    )  # fmt: skip
    counts.append(queries_of(client))
    assert counts[0] == counts[1]


def queries_of(client: Client) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/traffic/").status_code == 200
    return len(queries)
