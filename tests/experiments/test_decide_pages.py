"""The pages on which people decide and read what was decided, over real rows."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.test import Client

from experiments.models import Decision, Experiment
from experiments.services import decisions
from tests.experiments import cards
from tests.experiments.stored import applied, decide, renamed, stored
from tests.experiments.test_views import words
from tests.people import person, signed_in

pytestmark = pytest.mark.django_db

EARLY = date(2017, 9, 4)
BEFORE = datetime(2017, 5, 1, 12, tzinfo=UTC)
DECIDE = "/experiments/honeymoon/decide/treatment/"
HISTORY = "/experiments/honeymoon/history/"


@pytest.fixture
def owner() -> Client:
    return signed_in("owner")


def form(**changes: Any) -> dict[str, Any]:
    """A whole form for what the page shows now."""
    found = decisions.situation("honeymoon", "treatment")
    whole = {
        "action": "roll_back", "reason": "", "confirmed": "on", "look": found.look_id,
        "revision": found.experiment.revision, **changes,
    }  # fmt: skip
    return {name: value for name, value in whole.items() if value is not None}


# --- the form ---------------------------------------------------------------------------------------------------------
def test_the_page_shows_the_recommendation_the_evidence_and_the_criteria_with_their_distance(owner: Client) -> None:
    stored(cards.honeymoon())
    text = words(owner.get(DECIDE))
    assert "Recommended Roll back" in text
    assert "Lines primary late, weeks 13-25 ↓ −6.2 % (worse)" in text
    row = next(row for row in cards.honeymoon().rollback if row.metric == "active")
    assert row.distance is not None
    assert f"{100 * row.distance:.1f}".replace("-", "−") in text
    assert "2017-04-03 to 2017-12-30, 1 534 964 rows" in text.replace("\u202f", " ")
    assert "Holdfast 0.1.0, forecast prior 1" in text
    assert "Roll back recommended Everybody goes back to control." in text
    assert "Launch recommended" not in text


def test_a_decision_that_follows_the_advice_needs_no_reason(owner: Client) -> None:
    stored(cards.honeymoon())
    response = owner.post(DECIDE, form())
    assert (response.status_code, response.headers["Location"]) == (302, HISTORY)
    assert Decision.objects.get().by == person("owner")
    text = words(owner.get(HISTORY))
    assert "rolled back" in text
    assert "Recommended was roll back, and it was followed." in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"action": "launch"}, "This is not what is recommended: say why."),
        ({"action": "launch", "reason": "   "}, "This is not what is recommended: say why."),
        ({"action": None}, "Choose what is decided."),
        ({"action": "celebrate"}, "Select a valid choice"),
        ({"confirmed": None}, "Confirm that you have read the evidence."),
        ({"reason": "x" * 2001}, "at most 2000 characters"),
        ({"revision": None}, ""),
    ],
)
def test_a_form_that_is_not_whole_says_what_is_missing(owner: Client, changes: dict[str, Any], said: str) -> None:
    stored(cards.honeymoon())
    response = owner.post(DECIDE, form(**changes))
    assert response.status_code == 422
    assert said in words(response)
    assert not Decision.objects.exists()


def test_what_was_typed_is_kept(owner: Client) -> None:
    stored(cards.honeymoon())
    html = owner.post(DECIDE, form(action="stop", reason="<b>because</b>", confirmed=None)).content.decode()
    assert 'value="stop" required checked' in html
    assert "&lt;b&gt;because&lt;/b&gt;</textarea>" in html


def test_what_is_there_since_the_page_was_opened_has_to_be_read_first(owner: Client) -> None:
    stored(cards.honeymoon(EARLY))
    opened = form()
    stored(cards.honeymoon())
    response = owner.post(DECIDE, {**opened, "action": "keep_running", "reason": "to see more"})
    assert response.status_code == 409
    assert "There is the look as of 2017-12-31 since this page was opened; read it first." in words(response)
    decide("honeymoon", "roll_back")
    assert owner.post(DECIDE, {**form(), "revision": opened["revision"]}).status_code == 409
    assert Decision.objects.count() == 1


def test_without_a_look_the_page_says_what_can_be_decided(owner: Client) -> None:
    applied(cards.honeymoon())
    assert "it can only be stopped or rolled back, for a reason" in words(owner.get(DECIDE))
    assert owner.post(DECIDE, form(action="launch", reason="why not", look=None)).status_code == 409
    assert owner.post(DECIDE, form(action="stop", reason="it breaks", look=None)).status_code == 302
    assert "Decided without any look." in words(owner.get("/decisions/"))


@pytest.mark.parametrize("address", ["/experiments/none/decide/treatment/", "/experiments/honeymoon/decide/control/"])
def test_what_cannot_be_decided_on_is_not_found(owner: Client, address: str) -> None:
    stored(cards.honeymoon())
    assert owner.get(address).status_code == 404
    assert owner.post(address, form()).status_code == 404


def test_an_archived_experiment_is_not_decided_on(owner: Client) -> None:
    stored(cards.honeymoon())
    decide("honeymoon", "roll_back")
    Experiment.objects.get().archive(by="owner@example.com", now=datetime(2030, 1, 1, tzinfo=UTC))
    assert "there is nothing to decide on now" in words(owner.get(DECIDE))
    assert "archived" in words(owner.get(HISTORY))
    assert owner.post(DECIDE, form(action="launch", reason="again")).status_code == 409


# --- the log ----------------------------------------------------------------------------------------------------------
def test_the_log_shows_the_lift_then_against_the_lift_now(client: Client) -> None:
    stored(cards.honeymoon(EARLY))
    decide("honeymoon", "launch", "The early win is large.")
    assert "No newer look yet" in words(client.get("/decisions/"))
    stored(cards.honeymoon())
    text = words(client.get("/decisions/"))
    assert "Launch Engagement-first ranker, treatment owner@example.com" in text
    assert "decided otherwise" in text
    assert "The early win is large." in text
    assert "then: look of 2017-09-04 · now: look of 2017-12-31" in text
    assert "Linesweeks 13-25 readable from 2017-12-25 ↓ −6.2 % (worse)" in text
    assert "immature → confirmed" in text
    assert "Recommended now: roll back." in text


def test_an_empty_log_says_where_one_decides(client: Client) -> None:
    assert "Nothing has been decided yet" in words(client.get("/decisions/"))
    assert "There are no older ones" in words(client.get("/decisions/?older=1"))
    assert client.get("/decisions/?older=first").status_code == 404


def test_a_long_log_has_pages(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments.views import decisions as view

    monkeypatch.setattr(view, "PAGE", 2)
    for number in range(3):
        decide(stored(renamed(cards.honeymoon(), f"number-{number}", f"Number {number}")), "roll_back")
    first = client.get("/decisions/")
    assert re.findall(r"Number \d", words(first)) == ["Number 2", "Number 1"]
    older = re.search(r'href="(\?older=\d+)"', first.content.decode())
    assert older
    last = client.get(f"/decisions/{older[1]}")
    assert re.findall(r"Number \d", words(last)) == ["Number 0"]
    assert "Older decisions" not in words(last)


def test_the_frozen_evidence_can_be_downloaded(client: Client) -> None:
    stored(cards.honeymoon())
    made = decide("honeymoon", "roll_back")
    response = client.get(f"/decisions/{made.pk}/evidence.json")
    assert response.headers["Content-Disposition"] == f'attachment; filename="honeymoon-decision-{made.pk}.json"'
    assert response.json() == json.loads(json.dumps(Decision.objects.get().document))
    assert client.get(f"/decisions/{made.pk + 1}/evidence.json").status_code == 404


# --- the history and the buttons --------------------------------------------------------------------------------------
def test_the_history_has_the_criteria_at_every_look_and_everything_that_was_done(client: Client) -> None:
    stored(cards.honeymoon(EARLY))
    stored(cards.honeymoon())
    decide("honeymoon", "launch", "as agreed")
    text = words(client.get(HISTORY))
    criteria = text[text.index("Rollback criteria at every look") : text.index("Owners")]
    assert criteria.index("2017-12-31") < criteria.index("2017-09-04")
    done = text[text.index("Everything that was done") :]
    assert re.findall(r"decided|defined|started", done) == ["decided", "started", "defined"]
    assert "state: running → launched" in done


def buttons(browser: Client, key: str) -> set[str]:
    """What an experiment's history offers: where its buttons lead, and what its forms send to."""
    html = browser.get(f"/experiments/{key}/history/").content.decode()
    html = html[html.index("<main") :]
    found = re.findall(rf'(?:class="button[^"]*" href|action)="/experiments/{key}/([^"]+)"', html)
    return {address.strip("/") for address in found}


def test_everybody_sees_the_buttons_that_are_theirs() -> None:
    stored(cards.honeymoon())
    applied(renamed(cards.placebo(), "draft", "A draft"), BEFORE)
    expected = {
        "viewer": (set(), set()),
        "editor": ({"refresh"}, {"refresh", "submit"}),
        "somebody": ({"refresh"}, {"refresh", "submit"}),
        "owner": ({"refresh", "decide/treatment"}, {"refresh", "submit", "start", "archive"}),
        "admin": ({"refresh", "decide/treatment", "owners"}, {"refresh", "submit", "start", "archive", "owners"}),
    }  # fmt: skip
    for name, offered in expected.items():
        browser = signed_in(name)
        assert (buttons(browser, "honeymoon"), buttons(browser, "draft")) == offered, name


def test_the_scorecard_leads_owners_to_the_decision_and_says_what_was_decided(owner: Client, client: Client) -> None:
    stored(cards.honeymoon())
    scorecard = "/experiments/honeymoon/"
    assert "Record a decision" in words(owner.get(scorecard))
    assert "Record a decision" not in words(client.get(scorecard))
    decide("honeymoon", "launch", "as agreed")
    text = words(client.get(scorecard))
    assert "Decided: launch by owner@example.com" in text
    assert "against the recommendation of then" in text
    assert "launched" in text


@pytest.mark.parametrize(
    ("verb", "ready", "state"),
    [
        ("submit", lambda one: None, "in_review"),
        ("withdraw", lambda one: one.submit(by="editor@example.com", now=BEFORE), "draft"),
        ("start", lambda one: None, "running"),
        ("archive", lambda one: None, "archived"),
    ],
)
def test_a_change_of_state_is_asked_about_and_then_done(
    owner: Client, verb: str, ready: Callable[[Experiment], None], state: str
) -> None:
    applied(renamed(cards.placebo(), "draft", "A draft"), BEFORE)
    ready(Experiment.objects.get())
    before = Experiment.objects.get()
    address = f"/experiments/draft/{verb}/"
    html = owner.get(address).content.decode()
    assert Experiment.objects.get().state == before.state
    revision = re.search(r'name="revision" value="(\d+)"', html)
    assert revision
    assert owner.post(address, {"revision": "99"}).status_code == 409
    assert owner.post(address, {}).status_code == 409
    assert Experiment.objects.get().state == before.state
    done = owner.post(address, {"revision": revision[1]})
    assert (done.status_code, done.headers["Location"]) == (302, "/experiments/draft/history/")
    assert Experiment.objects.get().state == state


def test_a_verb_that_does_not_fit_says_so(owner: Client) -> None:
    stored(cards.honeymoon())
    response = owner.get("/experiments/honeymoon/archive/")
    assert "Honeymoon is running; this cannot be done with it now." in words(response)
    assert "<button" not in response.content.decode()[response.content.decode().index("<main") :]
    assert owner.get("/experiments/none/archive/").status_code == 404


def test_owners_are_assigned_by_admins(client: Client) -> None:
    stored(cards.honeymoon())
    other, admin = person("somebody"), signed_in("admin")
    assert "decide/treatment" not in buttons(signed_in("somebody"), "honeymoon")
    done = admin.post("/experiments/honeymoon/owners/", {"person": other.pk, "assigned": "yes"})
    assert done.status_code == 302
    assert "decide/treatment" in buttons(signed_in("somebody"), "honeymoon")
    assert "somebody@example.com assigned" in words(client.get(HISTORY))
    admin.post("/experiments/honeymoon/owners/", {"person": other.pk, "assigned": "no"})
    assert "decide/treatment" not in buttons(signed_in("somebody"), "honeymoon")
    refused = admin.post("/experiments/honeymoon/owners/", {"person": person("viewer").pk, "assigned": "yes"})
    assert refused.status_code == 422
    assert "Choose somebody with the role owner or admin." in words(refused)


def test_a_look_that_cannot_be_taken_says_why() -> None:
    stored(cards.honeymoon())
    response = signed_in("editor").post("/experiments/honeymoon/refresh/")
    assert response.status_code == 409
    assert "/nowhere: there is no such folder" in words(response)


@pytest.mark.parametrize("address", ["/", DECIDE, HISTORY, "/decisions/", "/people/", "/password/", "/login/"])
def test_pages_keep_a_strict_content_security_policy(address: str) -> None:
    stored(cards.honeymoon())
    decide("honeymoon", "launch", "as agreed")
    browser = Client() if address == "/login/" else signed_in("admin")
    response = browser.get(address)
    html = response.content.decode()
    assert response.status_code == 200
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", html)
    assert not [tag for tag in re.findall(r"<script[^>]*>", html) if "src=" not in tag and "json" not in tag]
