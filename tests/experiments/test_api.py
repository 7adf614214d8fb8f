"""The API: numbers of the scorecard, definitions by the rules of the command, looks to wait for, and problems."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from experiments.api import v1
from experiments.api.docs import kind_of
from experiments.api.schemas import Standing
from experiments.api.scorecard_schema import ScorecardOut
from experiments.definitions.yaml_text import MAX_BYTES
from experiments.models import Experiment, Look
from experiments.models.states import WORDS
from experiments.queue import QueueProblem
from experiments.services import metrics, scorecards
from experiments.services.past import scorecard_as_of
from tests.experiments import cards, replay_rows
from tests.experiments.api import ROOT, AtOnce, as_yaml, ask, definition, program, registered, undescribed
from tests.experiments.looks import AS_OF
from tests.experiments.pages import words
from tests.experiments.small_data import SmallData
from tests.experiments.stored import decide, renamed, stored
from tests.experiments.survival_cards import with_events
from tests.experiments.test_segments_page import card as segmented
from tests.people import signed_in

pytestmark = pytest.mark.django_db

ONE = f"{ROOT}/experiments"
YAML = "application/yaml"


def problem(response: Any, status: int) -> dict[str, Any]:
    """The problem of a response, in the one shape that there is."""
    told: dict[str, Any] = response.json()
    assert response.status_code == status, told
    assert set(told) == {"status", "title", "detail", "fix", "errors"}
    assert told["status"] == status
    return told


def put(client: Client, body: Any, key: str = "small", query: str = "", content_type: str = YAML) -> Any:
    text = body if isinstance(body, (str, bytes)) else as_yaml(body)
    return client.put(f"{ONE}/{key}/definition{query}", text, content_type=content_type)


# --- reading ----------------------------------------------------------------------------------------------------------
def test_a_scorecard_is_the_json_of_the_contract() -> None:
    stored(with_events(), replay_rows.honeymoon())
    got = program("viewer").get(f"{ONE}/honeymoon/scorecard").json()
    assert got == json.loads(json.dumps(scorecards.to_json(scorecard_as_of("honeymoon", None)[0])))


@pytest.mark.parametrize("card", [with_events(), segmented(), cards.not_yet()], ids=["events", "segments", "young"])
def test_the_schema_has_every_field_of_a_scorecard_and_no_other(card: Any) -> None:
    told = scorecards.to_json(card)
    assert not undescribed(told, ScorecardOut)
    ScorecardOut.model_validate(told)


def test_a_past_look_is_the_one_of_its_day(at_once: AtOnce, tmp_path: Path) -> None:
    ready(tmp_path)
    at_once("small")
    client = program("viewer")
    newest = client.get(f"{ONE}/small/scorecard").json()
    assert newest["as_of"] == AS_OF.isoformat()
    rebuilt = client.get(f"{ONE}/small/scorecard?as_of=2024-02-05").json()
    assert (rebuilt["as_of"], rebuilt["look"]["number"]) == ("2024-02-05", 5)
    told = problem(client.get(f"{ONE}/small/scorecard?as_of=2024-02-06"), 404)
    assert told["detail"] == "there is no look of small as of 2024-02-06 yet"
    assert told["fix"] == "ask for a look with POST /api/v1/experiments/{key}/looks"
    replay = client.get(f"{ONE}/small/replay").json()
    assert {row["as_of"] for row in replay["looks"]} >= {"2024-02-05", "2024-02-26"}


def test_trajectories_and_survival_are_parts_of_the_scorecard() -> None:
    stored(with_events())
    client = program("viewer")
    whole = client.get(f"{ONE}/honeymoon/scorecard").json()
    assert client.get(f"{ONE}/honeymoon/trajectories").json()["trajectory"] == whole["trajectory"]
    part = client.get(f"{ONE}/honeymoon/trajectories?metric=lines&kind=weekly&variant=treatment").json()["trajectory"]
    assert part == [row for row in whole["trajectory"] if (row["metric"], row["kind"]) == ("lines", "weekly")]
    survival = client.get(f"{ONE}/honeymoon/survival?metric=churn&variant=treatment").json()
    assert [curve["variant"] for curve in survival["survival"]] == ["control", "treatment"]
    assert survival["survival"] == [curve for curve in whole["survival"] if curve["metric"] == "churn"]
    told = problem(client.get(f"{ONE}/honeymoon/survival?metric=lines"), 404)
    assert told["detail"].startswith("`lines` is no time to event; here there are churn")
    told = problem(client.get(f"{ONE}/honeymoon/trajectories?metric=churn"), 404)
    assert told["detail"].startswith("`churn` is a time to event, which survival tells; here there are lines")
    told = problem(client.get(f"{ONE}/honeymoon/trajectories?metric=linse"), 404)
    assert told["errors"] == [
        {"field": "metric", "message": "there is no metric `linse`; did you mean `lines`?"}
    ]  # fmt: skip


def test_the_list_is_told_page_by_page_and_by_where_things_stand() -> None:
    stored(cards.honeymoon())
    stored(renamed(cards.placebo(), "placebo", "Placebo"))
    decide("honeymoon", "roll_back")
    client = program("viewer")
    first = client.get(f"{ONE}?limit=1").json()
    assert ([one["key"] for one in first["experiments"]], first["next"]) == (["honeymoon"], "honeymoon")
    rest = client.get(f"{ONE}?limit=1&after=honeymoon").json()
    assert ([one["key"] for one in rest["experiments"]], rest["next"]) == (["placebo"], None)
    back = client.get(f"{ONE}?standing=rolled back").json()["experiments"]
    assert [(one["key"], one["recommendation"][0]["action"]) for one in back] == [("honeymoon", "roll_back")]
    assert client.get(f"{ONE}?owner=nobody@example.com").json()["experiments"] == []
    assert set(get_args(Standing)) == set(WORDS.values())


def test_decisions_come_with_what_was_recommended_and_one_with_its_evidence() -> None:
    stored(cards.honeymoon())
    decide("honeymoon", "keep_running", "we wait")
    decide("honeymoon", "roll_back")
    client = program("viewer")
    page = client.get(f"{ROOT}/decisions?limit=1&experiment=honeymoon").json()
    assert [(one["action"], one["recommended"]) for one in page["decisions"]] == [("roll_back", "roll_back")]
    older = client.get(f"{ROOT}/decisions?older_than={page['next']}").json()
    assert [(one["action"], one["reason"]) for one in older["decisions"]] == [("keep_running", "we wait")]
    whole = client.get(f"{ROOT}/decisions/{page['next']}").json()
    assert whole["evidence"]["key"] == "honeymoon"
    problem(client.get(f"{ROOT}/decisions/1000000"), 404)
    problem(client.get(f"{ROOT}/decisions?experiment=nothing"), 404)


@pytest.mark.parametrize(
    ("query", "specs"),
    [
        ("metric=lines", ["weekly", "cumulative", "means"]),
        ("metric=churn&part=survival", ["curves"]),
        ("metric=churn&part=difference&variant=treatment&colors=dark", ["difference"]),
        ("metric=churn&part=retention", ["weekly", "means"]),
        ("part=objectives", ["objectives"]),
    ],
)
def test_a_chart_has_specs_that_need_nothing_else(query: str, specs: list[str]) -> None:
    stored(with_events())
    told = program("viewer").get(f"{ONE}/honeymoon/chart?{query}").json()
    assert list(told["specs"]) == specs
    assert told["title"]
    for spec in told["specs"].values():
        assert spec["$schema"].startswith("https://vega.github.io/schema/vega-lite/")
        assert spec["config"]["font"]
        assert spec["datasets"]["rows"]


@pytest.mark.parametrize(
    ("query", "status", "why"),
    [
        ("", 422, "metric: say which metric; for trajectory there are lines, active"),
        ("metric=lines&part=survival", 404, "there is no metric `lines`; there are churn, bought"),
        ("metric=lines&variant=control", 404, "there is no variant `control`; there is only `treatment`"),
        ("metric=lines&part=pie", 422, "part: Input should be 'trajectory'"),
        ("metric=lines&as_of=2017-06-05", 404, "there is no look of honeymoon as of 2017-06-05"),
    ],
)
def test_a_chart_that_is_not_there_says_what_is(query: str, status: int, why: str) -> None:
    stored(with_events())
    assert why in problem(program("viewer").get(f"{ONE}/honeymoon/chart?{query}"), status)["detail"]


def test_a_chart_of_a_young_experiment_is_not_there_yet() -> None:
    stored(cards.not_yet())
    client = program("viewer")
    assert "nothing to draw" in problem(client.get(f"{ONE}/honeymoon/chart?metric=lines"), 404)["detail"]
    assert "can be read from" in problem(client.get(f"{ONE}/honeymoon/chart?part=objectives"), 404)["detail"]


# --- definitions ------------------------------------------------------------------------------------------------------
def test_a_definition_is_applied_from_yaml_and_json_and_comes_back_unchanged(tmp_path: Path) -> None:
    registered(tmp_path)
    client = program("editor")
    created = put(client, definition(start_date="2100-01-04")).json()
    assert (created["action"], created["plan_version"], created["starts"]) == ("created", 1, False)
    text = client.get(f"{ONE}/small/definition").content.decode()
    assert put(client, text).json()["action"] == "unchanged"
    as_json = json.dumps(definition(start_date="2100-01-04", name="Größer"))
    changed = put(client, as_json, content_type="application/json").json()
    assert changed["changes"] == [{"field": "name", "before": "A small experiment", "after": "Größer"}]
    assert Experiment.objects.get().name == "Größer"


def test_a_definition_takes_metrics_of_the_catalog(tmp_path: Path) -> None:
    registered(tmp_path)
    client, body = program("editor"), definition(start_date="2100-01-04")
    key, column = body["metrics"][0]["key"], body["metrics"][0]["column"]
    body["metrics"][0] = {"use": key, "role": "primary", "term": "short"}
    (refused,) = problem(put(client, body), 422)["errors"]
    assert refused["field"] == "metrics[0].use"
    measured = {"key": key, "kind": "mean", "better": "higher", "column": column}
    metrics.publish(measured, "lines of a basket", by="editor@example.com", now=timezone.now())
    assert put(client, body).json()["action"] == "created"
    assert put(client, client.get(f"{ONE}/small/definition").content).json()["action"] == "unchanged"
    told = {one["key"]: one["versions"] for one in client.get(f"{ROOT}/metrics").json()["metrics"]}
    assert (told[key][0]["current"], told[key][0]["description"]) == (True, "lines of a basket")


def test_a_dry_run_says_the_difference_and_changes_nothing(tmp_path: Path) -> None:
    registered(tmp_path)
    client = program("owner")
    put(client, definition())
    told = put(client, definition(horizon_weeks=7), query="?dry_run=true&amend=longer").json()
    assert (told["action"], told["dry_run"]) == ("amended", True)
    assert told["changes"] == [{"field": "horizon_weeks", "before": 6, "after": 7}]
    assert Experiment.objects.get().current_plan.version == 1
    refused = problem(put(client, definition(horizon_weeks=7)), 409)
    assert "its plan is frozen, but the definition changes horizon_weeks" in refused["detail"]
    assert put(client, definition(horizon_weeks=7), query="?amend=longer").json()["action"] == "amended"


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"horizon_weeks": 0}, "horizon_weeks", "should be greater than or equal to 1 (found 0)"),
        ({"horizn": 3}, "horizn", "unknown key `horizn`; did you mean `horizon_weeks`?"),
        ({"source": {"exposures": "/etc/passwd", "name": "x"}}, "source.exposures", "paths are for the command line"),
        ({"source": {"name": "warehouse", "facts": "x"}}, "source.facts", "name a registered source"),
        ({"experiment": "other"}, "experiment", "is `other`, and the address says `small`"),
    ],
)
def test_a_definition_that_breaks_a_rule_is_refused_field_by_field(
    tmp_path: Path, change: dict[str, Any], field: str, message: str
) -> None:
    registered(tmp_path)
    errors = problem(put(program("owner"), definition(**change)), 422)["errors"]
    assert [one["field"] for one in errors if message in one["message"]] == [field], errors
    assert not Experiment.objects.exists()


@pytest.mark.parametrize(
    ("body", "content_type", "status", "why"),
    [
        ("a: [", YAML, 422, "not valid YAML"),
        (b"\xff", YAML, 422, "not UTF-8"),
        ("---", YAML, 422, "found nothing"),
        ("[" * 5000, "application/json", 422, "not valid JSON"),
        ("[" * 900 + "]" * 900, "application/json", 422, "definition: "),
        ('{"a": NaN}', "application/json", 422, "NaN is not a number"),
        ('{"a": 1, "a": 2}', "application/json", 422, "the key `a` stands twice"),
        ('{"a": "\\ud800"}', "application/json", 422, "half of a character"),
        ('a: "\\ud800"', YAML, 422, "half of a character"),
        ("[]", "application/json", 422, "found a list"),
        ("a: 1", "text/plain", 415, "the content type is text/plain; send application/yaml or application/json"),
        ("a" * (MAX_BYTES + 1), YAML, 413, "the body has 262,145 bytes; at most 262,144 are read here"),
    ],
)
def test_a_body_that_is_no_definition_is_refused(body: Any, content_type: str, status: int, why: str) -> None:
    assert why in problem(put(program("owner"), body, content_type=content_type), status)["detail"]


def test_a_source_that_nobody_registered_is_refused(tmp_path: Path) -> None:
    registered(tmp_path, "warehouse")
    told = problem(put(program("owner"), definition(source={"name": "warehuose"})), 409)
    assert "no source is registered as `warehuose`; did you mean `warehouse`?" in told["detail"]


# --- looks ------------------------------------------------------------------------------------------------------------
def ready(folder: Path) -> None:
    """The small experiment with its data, started."""
    SmallData(folder).write()
    registered(folder)
    assert put(program("owner"), definition()).status_code == 200


def test_a_look_is_asked_for_waited_for_and_there_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    from experiments import queue, tasks

    ready(tmp_path)
    monkeypatch.setattr(queue, "_send", lambda task, ids: getattr(tasks, task)(**ids))
    client = program("editor")
    with django_capture_on_commit_callbacks() as waiting:
        asked = ask(client, f"{ONE}/small/looks?as_of=2024-02-05")
    told = asked.json()
    assert (asked.status_code, told["state"], told["percent"]) == (202, "planned", 0)
    assert asked.headers["Location"] == f"{ONE}/small/looks/2024-02-05"
    with django_capture_on_commit_callbacks(execute=True):
        for work in waiting:
            work()
    done = client.get(asked.headers["Location"]).json()
    assert (done["state"], done["percent"], done["number"]) == ("done", 100, 5)
    again = ask(client, f"{ONE}/small/looks?as_of=2024-02-05")
    assert (again.status_code, again.json()["state"]) == (200, "done")
    assert [one["as_of"] for one in client.get(f"{ONE}/small/looks").json()["looks"]] == ["2024-02-05"]


def test_a_look_that_cannot_be_taken_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready(tmp_path)
    client = program("editor")
    told = problem(ask(client, f"{ONE}/small/looks?as_of=2023-12-31"), 409)
    assert told["detail"] == "as_of 2023-12-31 is before start_date 2024-01-01; nothing has happened yet"
    problem(ask(client, f"{ONE}/nothing/looks"), 404)
    problem(client.get(f"{ONE}/small/looks/2024-02-05"), 404)

    def broken(*args: Any, **kwargs: Any) -> None:
        raise QueueProblem("the queue at redis cannot be used: no route")

    monkeypatch.setattr("experiments.api.writing.plan_look", broken)
    assert "the queue at redis" in problem(ask(client, f"{ONE}/small/looks"), 503)["detail"]
    assert not Look.objects.exists()


# --- the door ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({}, "this needs a token"),
        ({"Authorization": "Basic aGY6aGY="}, "this needs a token"),
        ({"Authorization": "Bearer"}, "this token is not known here"),
        ({"Authorization": "Bearer hf_\x7f\xff"}, "this token is not known here"),
    ],
)
def test_without_a_good_token_nothing_opens(header: dict[str, str], why: str) -> None:
    response = Client(headers=header).get(f"{ROOT}/me")
    assert problem(response, 401)["detail"] == why
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="Holdfast"'


def test_who_asks_too_often_is_told_when_to_come_back(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.HOLDFAST_API_REQUESTS_PER_MINUTE = 2
    at = timezone.now().replace(second=50)
    monkeypatch.setattr(timezone, "now", lambda: at)
    client = program("viewer")
    assert [client.get(f"{ROOT}/me").status_code for _ in range(2)] == [200, 200]
    refused = client.get(f"{ROOT}/me")
    assert "2 times a minute" in problem(refused, 429)["detail"]
    assert refused.headers["Retry-After"] == "10"
    monkeypatch.setattr(timezone, "now", lambda: at + timedelta(seconds=10))
    assert client.get(f"{ROOT}/me").status_code == 200


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("asof=2017-12-31", "asof", "there is no such parameter; did you mean `as_of`?"),
        ("as_of=2017-12-31&as_of=2017-12-24", "as_of", "is given more than once"),
        ("as_of=0", "as_of", "'0' is not a date; write it as YYYY-MM-DD, such as 2017-12-31"),
        ("as_of=2017-02-30", "as_of", "'2017-02-30' is not a date"),
        ("as_of=", "as_of", "'' is not a date"),
    ],
)
def test_a_parameter_that_is_not_right_is_refused_and_never_passed_over(query: str, field: str, message: str) -> None:
    told = problem(program("viewer").get(f"{ONE}/honeymoon/scorecard?{query}"), 422)
    assert [one["field"] for one in told["errors"]] == [field]
    assert message in told["errors"][0]["message"]


def test_a_body_that_would_not_be_read_is_refused(tmp_path: Path) -> None:
    """The day of a look is said in the address: in a body it would be passed over, and another day's look answered."""
    client = program("owner")
    told = problem(client.post(f"{ONE}/small/looks", {"as_of": "2024-02-05"}, content_type="application/json"), 422)
    assert told["detail"] == "a body is not read here; say it in the address: ?as_of="
    problem(client.post(f"{ONE}/nothing/looks", "{}", content_type="application/json"), 404)


def test_wrong_addresses_and_methods_are_problems_too() -> None:
    client = program("viewer")
    told = problem(client.get(f"{ROOT}/experimens"), 404)
    assert told["detail"] == "there is no /api/v1/experimens; did you mean `/api/v1/experiments`?"
    refused = client.delete(f"{ONE}/honeymoon/definition")
    assert problem(refused, 405)["fix"] == "use a method that the header Allow names"
    assert refused.headers["Allow"] == "GET, PUT"
    problem(Client(enforce_csrf_checks=True).post(f"{ROOT}/nothing"), 404)


def test_a_mistake_of_ours_tells_nothing_of_itself(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def broken() -> None:
        raise RuntimeError("a password")

    monkeypatch.setattr("experiments.api.records.catalog.metrics", broken)
    told = problem(program("viewer").get(f"{ROOT}/metrics"), 500)
    assert "password" not in json.dumps(told)
    assert "a password" in caplog.text


def test_nothing_is_kept_by_any_cache() -> None:
    assert "no-store" in program("viewer").get(f"{ROOT}/me").headers["Cache-Control"]


# --- the description --------------------------------------------------------------------------------------------------
def test_the_page_lists_every_operation_and_asks_nobody_else() -> None:
    page = signed_in("viewer").get(f"{ROOT}/docs")
    html, text = page.content.decode(), words(page)
    for path, methods in v1.document()["paths"].items():
        for method, operation in methods.items():
            assert f"{method.upper()} {path} {operation['summary']}" in text
    for name in v1.document()["components"]["schemas"]:
        assert f'id="shape-{name}"' in html
    assert not re.search(r'(src|href|action)="(https?:)?//', html)
    assert "<script>" not in html
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_every_operation_describes_what_it_may_be_refused_with() -> None:
    for path, methods in v1.document()["paths"].items():
        for operation in methods.values():
            assert {401, 403, 413, 422, 429} <= set(operation["responses"])
            assert operation["description"], path


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({}, ""),
        ({"$ref": "#/components/schemas/Look"}, "Look"),
        ({"type": "array", "items": {"type": "integer"}}, "list of integer"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "integer by name"),
        ({"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}, "date or null"),
        ({"const": 1}, "1"),
    ],
)
def test_types_are_told_in_a_few_words(schema: dict[str, Any], told: str) -> None:
    assert kind_of(schema) == told
