"""schemathesis over the whole OpenAPI document: whatever is sent, nothing breaks, and every answer is as described."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import schemathesis
from django.core import signals
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as run_by
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from experiments.services.apply import apply
from experiments.services.submitted import parse
from experiments.wsgi import application
from tests.experiments import replay_rows
from tests.experiments.api import AtOnce, as_yaml, definition, registered, secret
from tests.experiments.looks import AS_OF, NOW
from tests.experiments.small_data import SmallData
from tests.experiments.stored import decide, stored
from tests.experiments.survival_cards import with_events

pytestmark = pytest.mark.django_db

#: Requests for each operation and mode in every run, and in a long one.
FEW, MANY = 5, 200

#: What is there, put in place of some generated values: else nearly every answer would be that nothing is.
THERE: dict[str, Any] = {
    "key": ["honeymoon", "small", "draft"], "metric": ["lines", "churn"], "variant": ["treatment"],
    "as_of": [AS_OF.isoformat(), "2017-12-31", "2024-02-05"], "experiment": ["honeymoon"],
}  # fmt: skip

#: What answers wrong data: not a 5xx, which schemathesis would take too, but a 413, which it does not know.
CONFIG = SchemathesisConfig.from_str(
    "[checks.negative_data_rejection]\nexpected-statuses = [400, 401, 404, 405, 409, 413, 415, 422]"
)

VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()) | st.just({})

#: The token is given to every request here; that none opens nothing is in test_api_permissions.py.
LEFT_OUT = [ignored_auth]
#: A definition and an event have more rules than a schema can say, and a chart needs a metric for some parts.
MORE_RULES = [*LEFT_OUT, positive_data_acceptance]


@pytest.fixture
def one_connection() -> Iterator[None]:
    """Requests in a test's transaction use its connection, so none of them may close it."""
    for signal in (signals.request_started, signals.request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (signals.request_started, signals.request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def token(db: None, one_connection: None, at_once: AtOnce, tmp_path: Path, settings: Any) -> str:
    settings.HOLDFAST_API_REQUESTS_PER_MINUTE = 1_000_000
    SmallData(tmp_path).write()
    registered(tmp_path)
    texts = (as_yaml(definition()), as_yaml(definition(experiment="draft", start_date="2100-01-04")))
    apply([parse(text.encode()) for text in texts], NOW)
    at_once("small")
    stored(with_events(), replay_rows.honeymoon())
    decide("honeymoon", "roll_back")
    return secret("admin")


def test_whatever_is_sent_the_answer_is_as_described(token: str) -> None:
    assert {200, 404, 409, 422} <= set(everything_sent(token, FEW))


@pytest.mark.slow
def test_whatever_is_sent_the_answer_is_as_described_in_a_long_run(token: str) -> None:
    assert {200, 404, 409, 422} <= set(everything_sent(token, MANY))


def everything_sent(token: str, examples: int) -> Counter[int]:
    """Send requests that fit the document, and some that do not, to every operation; count the statuses."""
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", application, config=CONFIG)
    found: Counter[int] = Counter()
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in GenerationMode:
            send(operation, mode, {"Authorization": f"Bearer {token}"}, examples, found)
    return found


def send(
    operation: APIOperation, mode: GenerationMode, headers: dict[str, str], examples: int, found: Counter[int]
) -> None:
    """Send requests of one mode to one operation. Raises what schemathesis has to say."""
    left_out = MORE_RULES if operation.path.endswith(("/definition", "/chart", "/events")) else LEFT_OUT

    @run_by(
        max_examples=examples,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    def one(case: Case, data: st.DataObject) -> None:
        if mode is GenerationMode.POSITIVE:
            fill(case, data)
        response = case.call(headers=headers)
        found[response.status_code] += 1
        unsent = [negative_data_rejection] if less_was_sent(case, response) else []
        case.validate_response(response, excluded_checks=[*left_out, *unsent])

    one()


def less_was_sent(case: Case, response: Any) -> bool:
    """A parameter that was made wrong by a list without elements is in no address: nothing wrong has arrived."""
    return len(parse_qsl(urlsplit(response.request.url).query, keep_blank_values=True)) < len(case.query or {})


def fill(case: Case, data: st.DataObject) -> None:
    """Put what is there in place of what was generated, three times of four."""
    for values in (case.path_parameters, case.query):
        for name in list(values or {}):
            if name in THERE and data.draw(st.integers(0, 3)):
                values[name] = data.draw(st.sampled_from(THERE[name]))
    if case.operation.method == "put" and data.draw(st.integers(0, 3)):
        case.body = data.draw(bodies(case.path_parameters["key"]))


@st.composite
def bodies(draw: st.DrawFn, key: str) -> dict[str, Any]:
    """A definition that is valid, or of which one value is another one."""
    start_date = draw(st.sampled_from(["2024-01-01", "2100-01-04"]))
    body = {**definition(experiment=key), "start_date": start_date, "name": draw(st.text(min_size=1, max_size=20))}
    if draw(st.booleans()):
        body[draw(st.sampled_from(sorted(body)))] = draw(VALUES)
    return body
