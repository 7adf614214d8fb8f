"""The remote evaluation protocol, field by field: answers, refusals, keys, pages of other origins, how often."""

import json
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from experiments.models import Plan, SdkKey
from experiments.services import assignment, keys
from experiments.services.assignment import FLAGS
from experiments.services.keys import CannotChangeKey, Limiter
from experiments.views import by_key
from tests.experiments.flag_programs import PAYLOADS, SHOP, client_key, put_flags, server_key
from tests.experiments.traffic_world import NEXT_MONDAY, NOW, experiment, put

pytestmark = pytest.mark.django_db

CONTEXT = {"context": {"targetingKey": "user-1"}}
REASONS = {"STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN"}
ALL = "/ofrep/v1/evaluate/flags"


@pytest.fixture
def key() -> str:
    put_flags()
    return server_key()


@pytest.fixture(autouse=True)
def asked_for_the_first_time(monkeypatch: pytest.MonkeyPatch) -> None:
    FLAGS.forget()
    monkeypatch.setattr(by_key, "LIMITER", Limiter(1000))


def ask(path: str, key: str | None, body: Any = CONTEXT, **headers: str) -> HttpResponse:
    given = {**({"Authorization": f"Bearer {key}"} if key else {}), **headers}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response: HttpResponse = Client(enforce_csrf_checks=True).post(
        path, content, content_type="application/json", headers=given
    )
    return response


def one(flag: str, key: str | None, body: Any = CONTEXT, **headers: str) -> HttpResponse:
    return ask(f"{ALL}/{flag}", key, body, **headers)


def test_an_answer_has_all_five_fields_and_flat_metadata(key: str) -> None:
    response = one("integer", key)
    found = json.loads(response.content)
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    assert list(found) == ["key", "value", "reason", "variant", "metadata"]
    assert (found["key"], found["reason"] in REASONS) == ("integer", True)
    assert all(isinstance(value, str | int | float | bool) for value in found["metadata"].values())
    assert {"experiment", "cause", "version", "counted"} <= set(found["metadata"])


@pytest.mark.parametrize("unit", [f"user-{number}" for number in range(8)])
def test_a_float_carries_its_decimal_point_and_a_whole_number_none(key: str, unit: str) -> None:
    body = {"context": {"targetingKey": unit}}
    for flag, written in (("float", (b'"value":1.0,', b'"value":2.0,')), ("integer", (b'"value":10,', b'"value":20,')),
                          ("mixed", (b'"value":1.0,', b'"value":2.5,')),
                          ("object", (b'{"size":1,"share":2.0}', b'{"size":2,"share":3.0}'))):  # fmt: skip
        assert any(text in one(flag, key, body).content for text in written)


def test_numbers_that_postgresql_writes_without_a_point_stay_floats() -> None:
    large = [{"key": "control", "weight": 1, "control": True, "payload": 1e300},
             {"key": "treatment", "weight": 1, "payload": 1e300}]  # fmt: skip
    put(experiment("large", variants=large))
    assert isinstance(json.loads(one("large", server_key()).content)["value"], float)


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"", "PARSE_ERROR", "not JSON"),
        (b"{", "PARSE_ERROR", "not JSON"),
        (b"\xff", "PARSE_ERROR", "not JSON"),
        (b'{"context": NaN}', "PARSE_ERROR", "NaN is not a number in JSON"),
        (b"[" * 100_000, "INVALID_CONTEXT", "at most 65,536 bytes"),
        (b"[" * 50_000, "PARSE_ERROR", "not JSON"),
        ([], "PARSE_ERROR", "a mapping with a context (found list)"),
        ({}, "TARGETING_KEY_MISSING", "targetingKey"),
        ({"context": {}}, "TARGETING_KEY_MISSING", "targetingKey"),
        ({"context": {"targetingKey": ""}}, "TARGETING_KEY_MISSING", "targetingKey"),
        ({"context": []}, "INVALID_CONTEXT", "context is a mapping (found list)"),
        ({"context": {"targetingKey": 7}}, "INVALID_CONTEXT", "is text (found int)"),
        ({"context": {"targetingKey": "x" * 1025}}, "INVALID_CONTEXT", "at most 1,024"),
        (b'{"context": {"targetingKey": "\\ud800"}}', "INVALID_CONTEXT", "UTF-8"),
    ],
    ids=range(14),
)
def test_a_bad_request_is_refused_with_a_code(key: str, body: Any, code: str, words: str) -> None:
    for path in (f"{ALL}/plain", ALL):
        response = ask(path, key, body)
        found = json.loads(response.content)
        assert (response.status_code, found["errorCode"]) == (400, code)
        assert words in found["errorDetails"]
        assert found.get("key") == (None if path == ALL else "plain")


def test_other_methods_and_unknown_flags(key: str) -> None:
    for unknown in ("nothing", "a/b", "ends/", "%00"):
        response = one(unknown, key)
        assert (response.status_code, json.loads(response.content)["errorCode"]) == (404, "FLAG_NOT_FOUND")
    response = Client().get(f"{ALL}/plain", headers={"X-API-Key": key})
    assert (response.status_code, response["Allow"]) == (405, "POST, OPTIONS")
    assert json.loads(response.content)["key"] == "plain"


def test_what_goes_wrong_inside_is_told_in_the_protocols_words(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(experiment("broken", start_date=NEXT_MONDAY))
    Plan.objects.filter(experiment__key="broken").update(body={})
    FLAGS.forget()
    response = one("broken", key)
    assert (response.status_code, json.loads(response.content)) == (
        500,
        {"key": "broken", "errorCode": "GENERAL", "errorDetails": "what is stored of `broken` cannot be read "
         "(ValidationError)"},
    )  # fmt: skip
    told = {row["key"]: row for row in json.loads(ask(ALL, key).content)["flags"]}
    assert told["broken"]["errorCode"] == "GENERAL"
    assert told["plain"]["value"] in ("control", "treatment")

    def fails(*args: Any) -> Any:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(assignment.Snapshot, "evaluate", fails)
    response = one("plain", key)
    assert (response.status_code, json.loads(response.content)["errorCode"]) == (500, "GENERAL")
    assert b"a mistake of ours" not in response.content
    monkeypatch.setattr(FLAGS, "get", fails)
    assert json.loads(one("plain", key).content)["key"] == "plain"
    assert one("plain", key).status_code == 500


def test_all_flags_at_once_with_an_etag(key: str) -> None:
    response = ask(ALL, key)
    rows = json.loads(response.content)["flags"]
    assert [row["key"] for row in rows] == sorted([*PAYLOADS, "plain", "winter"])
    for row in rows:
        assert row == json.loads(one(row["key"], key).content)
    again = ask(ALL, key, **{"If-None-Match": response["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", response["ETag"])
    assert ask(ALL, key, **{"If-None-Match": f'"other", W/{response["ETag"]}'}).status_code == 304
    other = {"context": {"targetingKey": "user-2"}}
    assert ask(ALL, key, other, **{"If-None-Match": response["ETag"]}).status_code == 200
    put(experiment("more"))
    FLAGS.forget()
    assert ask(ALL, key, **{"If-None-Match": response["ETag"]}).status_code == 200


def test_a_warm_server_asks_the_database_nothing(
    key: str, django_assert_num_queries: DjangoAssertNumQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FLAGS, "_check_seconds", 3600.0)
    one("plain", key)
    with django_assert_num_queries(0):
        assert one("plain", key).status_code == 200
        assert ask(ALL, key).status_code == 200


# --- Keys -------------------------------------------------------------------------------------------------------------
def test_without_a_key_that_is_good_nothing_is_told(key: str) -> None:
    keys.create("old", "server", [], by="x", now=NOW)
    for given in (None, "wrong", "hfs_" + "x" * 43, key + "x", ""):
        response = one("plain", given)
        assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")
        assert json.loads(response.content)["errorCode"] == "GENERAL"
    for headers in ({"X-API-Key": key}, {"Authorization": f"bearer  {key}"}):
        assert one("plain", None, **headers).status_code == 200
    keys.revoke("server", by="x", now=NOW)
    FLAGS.forget()
    assert one("plain", key).status_code == 401


def test_only_hashes_of_keys_are_kept(key: str) -> None:
    stored = SdkKey.objects.get(name="server")
    assert key not in str(vars(stored))
    assert stored.digest == keys.digest(key)
    assert key.startswith(stored.hint)
    assert len(stored.hint) < len(key) / 4


@pytest.mark.parametrize(
    ("name", "kind", "origins", "words"),
    [
        ("", "server", [], "a name of 1 to 100"),
        ("a", "other", [], "for a server or a client"),
        ("a", "server", [SHOP], "has no origins"),
        ("a", "client", [], "needs the origins"),
        ("a", "client", ["shop.example.com"], "is not an origin such as"),
        ("a", "client", ["https://shop.example.com/cart"], "is not an origin such as"),
        ("a", "client", ["https://*.example.com"], "not one origin"),
        ("a", "client", ["https://shop.example.com:99999"], "is not an origin"),
        ("server", "server", [], "there is a key `server`"),
    ],
)
def test_a_key_that_cannot_be_is_not_made(key: str, name: str, kind: str, origins: list[str], words: str) -> None:
    with pytest.raises(CannotChangeKey, match=words.replace("*", r"\*")):
        keys.create(name, kind, origins, by="x", now=NOW)
    assert SdkKey.objects.count() == 1


# --- Pages of other origins -------------------------------------------------------------------------------------------
def test_a_page_may_ask_with_the_client_key_of_its_origin() -> None:
    put_flags()
    key = client_key(origin="https://Shop.example.com:443/")
    response = one("plain", key, Origin=SHOP)
    assert response.status_code == 200
    assert response["Access-Control-Allow-Origin"] == SHOP
    assert response["Access-Control-Expose-Headers"] == "ETag, Retry-After"
    assert "Origin" in response["Vary"]
    assert one("plain", key).status_code == 200  # an app is no browser, and sends no origin


def test_a_page_of_another_origin_may_not_and_a_server_key_is_not_for_pages() -> None:
    put_flags()
    key, secret = client_key(), server_key()
    response = one("plain", key, Origin="https://evil.example.com")
    assert (response.status_code, response.headers.get("Access-Control-Allow-Origin")) == (403, None)
    response = one("plain", secret, Origin=SHOP)
    assert (response.status_code, response["Access-Control-Allow-Origin"]) == (403, SHOP)  # so that it can be read
    assert "revoke it" in json.loads(response.content)["errorDetails"]
    assert one("nothing", key, Origin=SHOP)["Access-Control-Allow-Origin"] == SHOP


def test_a_browser_that_asks_first_is_told_what_it_may_send() -> None:
    put_flags()
    client_key()
    asked = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
    for path in (f"{ALL}/plain", ALL):
        response = Client().options(path, headers=asked)
        assert (response.status_code, response["Access-Control-Allow-Origin"]) == (204, SHOP)
        assert response["Access-Control-Allow-Methods"] == "POST"
        assert "Authorization" in response["Access-Control-Allow-Headers"]
        assert "If-None-Match" in response["Access-Control-Allow-Headers"]
        refused = Client().options(path, headers={**asked, "Origin": "https://evil.example.com"})
        assert (refused.status_code, refused.headers.get("Access-Control-Allow-Origin")) == (403, None)


# --- How often --------------------------------------------------------------------------------------------------------
def test_a_key_that_asks_too_often_is_told_when_it_may_again(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_key, "LIMITER", Limiter(0.001))
    response = one("plain", key)
    assert response.status_code == 429
    assert int(response["Retry-After"]) > 0
    assert json.loads(response.content)["key"] == "plain"


def test_the_limiter_lets_through_so_many_a_second_for_each_key() -> None:
    limiter = Limiter(2)
    assert [limiter.wait("a", 0.0) for _ in range(3)] == [0.0, 0.0, 0.5]
    assert limiter.wait("b", 0.0) == 0.0
    assert limiter.wait("a", 0.5) == 0.0
    assert limiter.wait("a", 0.5) == 0.5
    assert [limiter.wait("a", 100.0) for _ in range(3)] == [0.0, 0.0, 0.5]  # not more at once for having waited
