"""The OpenFeature SDK of Python with its OFREP provider, as installed, against a live server."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.db import connection
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import (
    ErrorCode,
    FlagNotFoundError,
    GeneralError,
    OpenFeatureError,
    TargetingKeyMissingError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import Reason
from pytest_django.live_server_helper import LiveServer

from experiments.models import Plan
from experiments.processes import Children, wait_until_listening, web_command
from experiments.services.assignment import FLAGS
from experiments.services.keys import Limiter
from experiments.views import by_key
from tests.experiments.crowd import database_address
from tests.experiments.flag_programs import PAYLOADS, put_flags, server_key
from tests.experiments.test_up import free_port
from tests.experiments.traffic_world import NEXT_MONDAY, experiment, put

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 10_000
UNITS = [f"user-{number}" for number in range(40)]


@pytest.fixture
def key() -> str:
    put_flags()
    return server_key()


@pytest.fixture
def provider(live_server: LiveServer, key: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[OFREPProvider]:
    monkeypatch.setattr(by_key, "LIMITER", Limiter(1e9))
    provider = provider_of(live_server.url, key)
    yield provider
    provider.session.close()
    with connection.cursor() as cursor:  # threads of the server that wait for one more request keep theirs
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def provider_of(address: str, key: str) -> OFREPProvider:
    return OFREPProvider(address, headers_factory=lambda: {"Authorization": f"Bearer {key}"}, timeout=30)


def of(unit: str, **attributes: Any) -> EvaluationContext:
    return EvaluationContext(unit, attributes)


def offline(experiment: str, holdout: str | None, unit: str) -> str:
    """The variant by the methods page alone: 20 % held out, then half and half."""

    def place(salt: str) -> int:
        return int.from_bytes(hashlib.sha256(f"{salt}:{unit}".encode()).digest()[:8], "big") % 10_000

    if holdout is not None and place(holdout) < 2_000:
        return "held_out"
    return "control" if place(experiment) < 5_000 else "treatment"


def test_every_type_of_value_and_both_sides_of_the_holdout(provider: OFREPProvider) -> None:
    resolvers = {
        "boolean": provider.resolve_boolean_details, "text": provider.resolve_string_details,
        "integer": provider.resolve_integer_details, "float": provider.resolve_float_details,
        "mixed": provider.resolve_float_details, "object": provider.resolve_object_details,
        "list": provider.resolve_object_details,
    }  # fmt: skip
    seen = set()
    for flag, resolve in resolvers.items():
        control, treatment = PAYLOADS[flag]
        for unit in UNITS[:20]:
            found = resolve(flag, None, of(unit))  # type: ignore[operator]
            variant = offline(flag, "winter", unit)
            assert (found.variant, found.reason) == (variant, Reason.SPLIT)
            assert found.value == (treatment if variant == "treatment" else control)
            assert found.flag_metadata["experiment"] == flag
            assert found.flag_metadata.get("holdout") == ("winter" if variant == "held_out" else None)
            seen.add(variant)
    assert seen == {"held_out", "control", "treatment"}
    with pytest.raises(TypeMismatchError):
        provider.resolve_integer_details("float", 0, of("user-1"))


def test_attributes_reach_the_targeting_rule(provider: OFREPProvider) -> None:
    put(experiment("adults", targeting={"attribute": "age", "at_least": 18}))
    FLAGS.forget()
    assert provider.resolve_string_details("adults", "", of("u", age=17)).variant == "none"
    assert provider.resolve_string_details("adults", "", of("u", age=18.0)).variant in ("control", "treatment")


def test_errors_reach_the_program_as_openfeature_knows_them(
    provider: OFREPProvider, live_server: LiveServer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FlagNotFoundError, match="there is no flag `nothing`"):
        provider.resolve_string_details("nothing", "", of("u"))
    with pytest.raises(TargetingKeyMissingError):
        provider.resolve_string_details("plain", "", EvaluationContext())
    with pytest.raises(OpenFeatureError) as caught:
        provider.resolve_string_details("plain", "", of("x" * 2_000))
    assert caught.value.error_code == ErrorCode.INVALID_CONTEXT
    stranger = provider_of(live_server.url, "wrong")
    with stranger.session, pytest.raises(OpenFeatureError, match="unauthorized"):
        stranger.resolve_string_details("plain", "", of("u"))
    put(experiment("broken", start_date=NEXT_MONDAY))
    Plan.objects.filter(experiment__key="broken").update(body={})
    FLAGS.forget()
    with pytest.raises(OpenFeatureError, match='"errorCode": "GENERAL"') as general:
        provider.resolve_string_details("broken", "", of("u"))
    assert general.value.error_code == ErrorCode.GENERAL
    monkeypatch.setattr(by_key, "LIMITER", Limiter(0.001))
    with pytest.raises(GeneralError, match=r"Rate limited, retry after: [0-9]+"):
        provider.resolve_string_details("plain", "", of("u"))
    monkeypatch.setattr(by_key, "LIMITER", Limiter(1000))
    with pytest.raises(GeneralError, match="paused due to TooManyRequests"):  # it has understood how long to wait
        provider.resolve_string_details("plain", "", of("u"))


@pytest.fixture
def children() -> Iterator[Children]:
    with Children() as started:
        yield started


def test_ten_thousand_evaluations_agree_with_offline_assignment_and_a_restarted_server_says_the_same(
    key: str, children: Children, tmp_path: Path
) -> None:
    """A real web server, ended and started again: nothing is remembered, and nothing has to be.

    Each unit is asked for all flags at once, as clients do that keep them, and each answer is compared.
    """
    port = free_port()
    variables = {"DATABASE_URL": database_address(), "HOLDFAST_HOME": str(tmp_path), "HOLDFAST_FLAG_RATE": "1000000"}
    provider = provider_of(f"http://127.0.0.1:{port}", key)

    def start() -> None:
        command = [*web_command("127.0.0.1", port), "--workers", "1"]  # the last one counts
        children.start("web server", command, log=tmp_path / "log", variables=variables)
        wait_until_listening(children, "127.0.0.1", port)

    def asked() -> list[str | None]:
        return [provider.resolve_string_details("text", "", of(unit)).variant for unit in UNITS]

    start()
    assert all_agree(f"http://127.0.0.1:{port}", key) >= MANY
    before = asked()
    assert before == [offline("text", "winter", unit) for unit in UNITS]
    provider.session.close()  # or the server waits for it
    children.stop()
    with pytest.raises(GeneralError):
        asked()
    variables["HOLDFAST_FLAG_RATE"] = "50"
    start()
    assert asked() == before
    with pytest.raises(GeneralError, match="Rate limited"):  # the setting holds: in this one process
        any(asked() is None for _ in range(1_000))


def all_agree(address: str, key: str) -> int:
    """Compare so many answers that there are MANY, and return their number."""

    def compared(session: requests.Session, number: int) -> int:
        unit = f"unit-{number}"
        response = session.post(
            f"{address}/ofrep/v1/evaluate/flags", json={"context": {"targetingKey": unit}},
            headers={"X-API-Key": key}, timeout=30,
        )  # fmt: skip
        rows = [row for row in response.json()["flags"] if row["key"] != "winter"]
        assert response.headers["ETag"]
        for row in rows:
            assert row["variant"] == offline(row["key"], None if row["key"] == "plain" else "winter", unit)
        return len(rows)

    with requests.Session() as session:
        return sum(compared(session, number) for number in range(MANY // (len(PAYLOADS) + 1)))
