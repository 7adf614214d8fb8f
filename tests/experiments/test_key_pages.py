"""The pages of keys: made and shown once, revoked once that is confirmed, with the person in the audit log."""

import html
import re

import pytest

from experiments.models import AuditEntry, SdkKey
from experiments.services import keys
from experiments.services.assignment import FLAGS
from tests.experiments.flag_programs import SHOP, put_flags
from tests.experiments.pages import tables, words
from tests.experiments.traffic_world import NOW
from tests.people import signed_in

pytestmark = pytest.mark.django_db

SECRET = re.compile(r"hf[sc]_[A-Za-z0-9_-]{43}")


def test_no_key_yet_says_who_makes_one() -> None:
    assert "Make the first key" in words(signed_in("admin").get("/keys/"))
    assert "An admin makes keys" in words(signed_in("viewer").get("/keys/"))


def test_a_key_is_shown_once_and_the_example_on_the_page_asks_with_it() -> None:
    put_flags()
    browser = signed_in("admin")
    response = browser.post("/add/key/", {"name": " shop ", "kind": "server", "origins": ""})
    page = html.unescape(response.content.decode())
    text = SECRET.findall(page)[0]
    assert set(SECRET.findall(page)) == {text}
    assert keys.digest(text) == SdkKey.objects.get(name="shop").digest
    example = re.compile(r"curl -X POST (\S+) .*?Authorization: (Bearer \S+)'.*?-d '(.*?)'", re.DOTALL)
    address, header, body = example.findall(page)[0]
    FLAGS.forget()
    answer = browser.post(
        address.removeprefix("http://testserver").replace("FLAG", "plain"), body, "application/json",
        headers={"Authorization": header},
    )  # fmt: skip
    assert (answer.status_code, answer.json()["key"]) == (200, "plain")
    assert not SECRET.search(browser.get("/keys/").content.decode())
    entry = AuditEntry.objects.get(object_kind="sdk key")
    assert (entry.actor, entry.verb, entry.object_key) == ("admin@example.com", "made", "shop")


def test_a_client_key_has_its_origins() -> None:
    response = signed_in("admin").post(
        "/add/key/", {"name": "page", "kind": "client", "origins": f"{SHOP}/\n\nhttp://localhost:3000"}
    )
    assert response.status_code == 200
    assert "OFREPWebProvider" in words(response)
    assert SdkKey.objects.get().origins == ["http://localhost:3000", SHOP]
    (rows,) = tables(signed_in("viewer").get("/keys/"))["keys"]
    assert rows[1][:2] == ["page", f"web pages http://localhost:3000 {SHOP}"]
    assert rows[1][-1] == "in use"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": " "}, "Say which program it is for."),
        ({"name": "x" * 101}, "at most 100 characters"),
        ({"kind": ""}, "Choose where the program runs."),
        ({"kind": "browser"}, "browser is not one of the available choices"),
        ({"kind": "client"}, "a client key needs the origins"),
        ({"origins": SHOP}, "a server key is a secret and has no origins"),
        ({"kind": "client", "origins": "shop"}, "`shop` is not an origin"),
        ({"name": "taken"}, "there is a key `taken`; revoke it first"),
    ],
)
def test_what_is_asked_for_wrongly_is_not_made(changes: dict[str, str], why: str) -> None:
    keys.create("taken", "server", [], by="x", now=NOW)
    response = signed_in("admin").post("/add/key/", {"name": "shop", "kind": "server", "origins": "", **changes})
    assert response.status_code == 422
    assert why in words(response)
    assert SdkKey.objects.count() == 1


def test_a_key_is_revoked_once_and_not_by_its_name() -> None:
    keys.create("shop", "server", [], by="x", now=NOW)
    first, browser = SdkKey.objects.get(), signed_in("admin")
    assert "Revoke the key shop?" in words(browser.get(f"/keys/{first.pk}/revoke/"))
    assert browser.post(f"/keys/{first.pk}/revoke/").headers["Location"] == "/keys/"
    keys.create("shop", "server", [], by="x", now=NOW)
    again = browser.post(f"/keys/{first.pk}/revoke/")
    assert (again.status_code, "was revoked on" in words(again)) == (409, True)
    assert SdkKey.objects.filter(revoked_at__isnull=True).count() == 1
    assert AuditEntry.objects.get(verb="revoked").actor == "admin@example.com"
    assert browser.get("/keys/99999/revoke/").status_code == 404
