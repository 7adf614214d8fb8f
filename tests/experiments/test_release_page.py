"""A holdout is released from its page: asked, with a reason, by its owners, and not if it has changed meanwhile."""

from datetime import date, timedelta

import pytest
from django.utils import timezone

from experiments.models import AuditEntry
from experiments.services import entry
from tests.experiments.pages import words
from tests.experiments.traffic_world import NOW, experiment, holdout, named, of, put
from tests.people import signed_in

pytestmark = pytest.mark.django_db

PAGE = "/holdouts/winter/release/"


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    put(holdout(), experiment("a", holdout="winter"))


def test_the_holdout_leads_to_the_question_and_the_answer_releases_it() -> None:
    browser = signed_in("owner")
    assert f'href="{PAGE}"' in browser.get("/holdouts/winter/").content.decode()
    assert "From tomorrow on these units get what was launched" in words(browser.get(PAGE))
    sent = {"revision": named("winter").revision, "reason": " the season is over "}
    assert browser.post(PAGE, sent).headers["Location"] == "/holdouts/winter/"
    assert of("winter").released_on == date(2024, 6, 6)
    told = AuditEntry.objects.filter(object_key="winter").latest("pk")
    assert (told.actor, told.verb, told.reason) == ("owner@example.com", "released", "the season is over")
    page = browser.get("/holdouts/winter/").content.decode()
    assert "it holds nobody out from 2024-06-06 on" in page
    assert PAGE not in page


def test_without_a_reason_nothing_is_done() -> None:
    response = signed_in("owner").post(PAGE, {"revision": named("winter").revision, "reason": " "})
    assert (response.status_code, "Say why; it stands in the history" in words(response)) == (422, True)
    assert of("winter").released_on is None


def test_who_has_seen_an_older_state_is_told() -> None:
    seen = named("winter").revision
    named("winter").record("looked after", by="x", now=NOW, told={})
    response = signed_in("owner").post(PAGE, {"revision": seen, "reason": "over"})
    assert (response.status_code, "was changed since this page was opened" in words(response)) == (409, True)
    assert of("winter").released_on is None


def test_what_is_released_or_has_not_started_or_is_no_holdout_says_so() -> None:
    browser = signed_in("owner")
    entry.release("winter", by="x", now=NOW, reason="over")
    assert "it holds nobody out from 2024-06-06" in words(browser.get(PAGE))
    put(holdout("spring", start_date=NOW.date() + timedelta(days=30)))
    assert "there is nobody to release" in words(browser.get("/holdouts/spring/release/"))
    assert browser.get("/holdouts/a/release/").status_code == 404
    assert browser.get("/holdouts/nothing/release/").status_code == 404


def test_only_who_may_decide_on_it_is_offered_to_release_it() -> None:
    for name in ("viewer", "editor", "somebody"):
        assert PAGE not in signed_in(name).get("/holdouts/winter/").content.decode()
