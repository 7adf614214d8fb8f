"""The client of notebooks against a live server: tables with the types of their fields, charts, errors that help."""

import doctest
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, get_args

import pandas as pd
import pytest
from pydantic import BaseModel
from pytest_django.live_server_helper import LiveServer

from experiments import client
from experiments.api import scorecard_schema as schema
from experiments.client import Holdfast, HoldfastError, Scorecard
from experiments.methods import FOLDER
from experiments.services import scorecards
from experiments.services.past import scorecard_as_of
from tests.experiments import cards, replay_rows
from tests.experiments.api import secret
from tests.experiments.stored import decide, renamed, stored
from tests.experiments.survival_cards import with_events
from tests.experiments.test_segments_page import card as segmented


def with_calendar(card: Any) -> Any:
    """Calendar weeks too, as a real look has them."""
    weekly = [row for row in card.trajectory if row.kind == "weekly"]
    return replace(card, trajectory=(*card.trajectory, *(replace(row, kind="calendar") for row in weekly)))


# --- against a live server --------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_a_notebook_reads_what_the_pages_show(live_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one test, for a server with a database of its own takes seconds; the page of the docs comes first."""
    stored(with_calendar(with_events()), replay_rows.honeymoon())
    monkeypatch.setenv("HOLDFAST_URL", live_server.url)
    monkeypatch.setenv("HOLDFAST_TOKEN", secret("viewer"))
    flags = doctest.FAIL_FAST | doctest.REPORT_NDIFF
    page = doctest.testfile(str(FOLDER / "notebooks.md"), module_relative=False, optionflags=flags)
    assert page.failed == 0
    assert page.attempted > 15

    hf = Holdfast()
    card = scorecard_as_of("honeymoon", None)[0]
    effects = hf.effects("honeymoon")
    for row in card.effects:
        found = effects.loc[(row.metric, row.window, row.variant)]
        assert (found.lift, found.sequential_lift_low) == (row.lift, row.sequential_lift_low)
        assert found.readable_from.date() == row.readable_from
    assert hf.survival("honeymoon", "churn").equals(
        hf.scorecard("honeymoon").survival.loc[["churn"]]
    )  # fmt: skip
    assert set(hf.trajectory("honeymoon", kind=None).index.get_level_values("kind")) == {
        "weekly", "cumulative", "calendar",
    }  # fmt: skip
    the_lists_are_read_to_their_end(hf, monkeypatch)
    errors_say_what_to_do(hf, live_server.url)


def the_lists_are_read_to_their_end(hf: Holdfast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE", 1)
    stored(renamed(cards.placebo(), "placebo", "Placebo"))
    assert list(hf.experiments().index) == ["honeymoon", "placebo"]
    assert hf.experiments().look.to_list() == [30, 30]
    assert hf.experiments().recommendation["honeymoon"] == {"treatment": "roll_back"}
    assert hf.experiments().reversals["honeymoon"]["lines"] == "confirmed"
    decide("honeymoon", "roll_back")
    decisions = hf.decisions("honeymoon")
    assert decisions.action.to_list() == ["roll_back"]
    assert str(decisions.decided_at.dtype) == "datetime64[ns, UTC]"
    assert hf.decisions("placebo").empty


def errors_say_what_to_do(hf: Holdfast, url: str) -> None:
    with pytest.raises(HoldfastError, match="there is no experiment `honeymon`; did you mean `honeymoon`") as missing:
        hf.scorecard("honeymon")
    assert missing.value.status == 404
    with pytest.raises(HoldfastError, match=r"'31.12.2017' is not a date; write it as YYYY-MM-DD") as refused:
        hf.scorecard("honeymoon", as_of="31.12.2017")
    assert [one["field"] for one in refused.value.errors] == ["as_of"]
    with pytest.raises(HoldfastError, match=r"not known here. To do: send the header"):
        Holdfast(url, token="hf_wrong").experiments()
    with pytest.raises(HoldfastError, match="key: String should match pattern"):
        hf.scorecard("honeymoon?as_of=2017-12-31#")
    with pytest.raises(HoldfastError, match="no stored moments"):
        hf.replay("honeymoon")
    with pytest.raises(HoldfastError, match=r"what answers at .* is no Holdfast"):
        Holdfast(f"{url}/login/?next=", token="hf_x").experiments()


# --- without a Holdfast -----------------------------------------------------------------------------------------------
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_URL", raising=False)
    monkeypatch.delenv("HOLDFAST_TOKEN", raising=False)
    with pytest.raises(HoldfastError, match=r"the address is ''; give one such as"):
        Holdfast()
    with pytest.raises(HoldfastError, match=r"there is no token; make one on http://127.0.0.1:1/tokens/"):
        Holdfast("http://127.0.0.1:1/")


def test_a_token_from_a_file_may_end_in_a_new_line_and_no_error_prints_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TRIES", 0)
    for token in ("hf_secret\n", "hf_secret"):
        with pytest.raises(HoldfastError, match="cannot be reached") as refused:
            Holdfast("http://127.0.0.1:1", token=token).experiments()
        assert "hf_secret" not in str(refused.value)
    for token in ("hf_sec\nret", "hf_sécret"):
        with pytest.raises(HoldfastError, match="the token has characters that no token has; copy it anew"):
            Holdfast("http://127.0.0.1:1", token=token)


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TRIES", 0)
    with pytest.raises(HoldfastError, match=r"http://127.0.0.1:1 cannot be reached"):
        Holdfast("http://127.0.0.1:1", token="hf_x").experiments()


@pytest.fixture
def server() -> Iterator[Callable[[list[tuple[int, dict[str, str]]]], tuple[str, list[str]]]]:
    """Starts a server that answers as it is told, once each and then well, and notes what it was asked."""
    running: list[HTTPServer] = []

    def start(answers: list[tuple[int, dict[str, str]]]) -> tuple[str, list[str]]:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers = answers[len(asked)] if len(asked) < len(answers) else (200, {})
                asked.append(self.path)
                body = json.dumps({"experiments": [], "next": None, "detail": "busy", "fix": None}).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        running.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=running[-1].serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return f"http://127.0.0.1:{running[-1].server_port}", asked

    yield start
    for one in running:
        one.shutdown()
        one.server_close()


def test_a_busy_server_is_asked_again(server: Any) -> None:
    url, asked = server([(429, {"Retry-After": "0"}), (503, {}), (500, {})])
    assert Holdfast(url, token="hf_x").experiments().empty
    assert len(asked) == 4


def test_after_some_tries_its_trouble_is_told(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TRIES", 1)
    url, asked = server([(503, {})] * 9)
    with pytest.raises(HoldfastError, match="busy") as told:
        Holdfast(url, token="hf_x").experiments()
    assert (len(asked), told.value.status) == (2, 503)


def test_the_client_works_without_django() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import sys, experiments.client; print('django' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout == "False\n"


# --- tables -----------------------------------------------------------------------------------------------------------
KINDS = {float: "float64", int: "Int64", bool: "boolean", str: "string", date: "datetime64[ns]"}
TABLES: dict[str, type[BaseModel]] = {
    "effects": schema.Effect, "trajectory": schema.TrajectoryPoint, "reversals": schema.Reversal,
    "survival_comparison": schema.SurvivalComparison, "checks": schema.Check,
    "recommendation": schema.Recommendation, "segments": schema.Effect,
}  # fmt: skip


def kinds(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each field of a schema with the type of its column: the witness is the API's own description."""
    for name, field in model.model_fields.items():
        if "list" in str(field.annotation):
            continue
        inner = [one for one in (field.annotation, *get_args(field.annotation)) if one is not type(None)]
        nested = next((one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)), None)
        if nested is not None:
            yield from kinds(nested, f"{prefix}{name}_")
            continue
        plain = next((one for one in inner if one in KINDS), None)
        literal = "Literal" in str(field.annotation)
        if literal or plain is not None:
            yield f"{prefix}{name}", "string" if literal else KINDS[plain]  # type: ignore[index]


@pytest.mark.parametrize("card", [with_events(), segmented(), cards.not_yet()], ids=["events", "segments", "young"])
def test_columns_have_the_types_of_their_fields_whatever_is_known(card: Any) -> None:
    told = Scorecard(json.loads(json.dumps(scorecards.to_json(card))))
    for name, model in TABLES.items():
        table: pd.DataFrame = getattr(told, name).reset_index()
        if len(table):
            expected = dict(kinds(model))
            expected.pop("segment", None)
            found = table.drop(columns="segment", errors="ignore").dtypes.astype(str).to_dict()
            assert {field: kind for field, kind in found.items() if field in expected} == expected, name


def test_curves_differences_and_periods_are_tables_of_their_own() -> None:
    told = Scorecard(json.loads(json.dumps(scorecards.to_json(with_events()))))
    assert list(told.survival.index.names) == ["metric", "variant", "week"]
    assert told.survival.dtypes.astype(str).to_dict() == {
        "at_risk": "Int64", "events": "Int64", "censored": "Int64", "survival": "float64", "low": "float64",
        "high": "float64",
    }  # fmt: skip
    row = next(row for row in with_events().survival_comparisons if row.metric == "churn")
    assert told.survival_difference.loc[("churn", "treatment")].difference.to_list() == [
        one.difference for one in row.survival_difference
    ]
    assert told.hazard_periods.loc[("churn", "treatment", 0)].hazard_ratio == row.periods[0].hazard_ratio


def test_a_scorecard_without_segments_and_events_has_empty_tables() -> None:
    told = Scorecard(json.loads(json.dumps(scorecards.to_json(cards.placebo()))))
    assert told.segments.empty
    assert told.survival.empty
    assert told.survival_difference.empty
    assert repr(told) == "<Scorecard of placebo as of 2017-12-31 (nothing is recommended)>"


# --- charts -----------------------------------------------------------------------------------------------------------
def test_a_chart_is_drawn_by_what_the_notebook_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json", "width": "container", "mark": "point",
        "data": {"values": [{"x": 1}]}, "encoding": {"x": {"field": "x", "type": "quantitative"}},
    }  # fmt: skip
    chart = client.Chart("A finding", "about it", {"weekly": spec, "means": {**spec, "mark": "line"}})
    bundle = chart._repr_mimebundle_()
    assert bundle["application/vnd.vegalite.v6+json"] == chart.spec
    assert chart.spec["width"] == client.WIDTH
    assert bundle["image/svg+xml"].startswith("<svg")
    assert "A finding" in bundle["image/svg+xml"]
    assert bundle["text/plain"] == "<Chart: A finding (weekly, means)>"
    assert chart["means"].spec["mark"] == "line"
    with pytest.raises(HoldfastError, match="there is no 'pie'; this chart has weekly, means"):
        chart["pie"]
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert "image/svg+xml" not in chart._repr_mimebundle_()
