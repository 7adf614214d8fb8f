"""The traffic of one experiment on its page, and its testers: added, changed and taken back by who may change it."""

import pytest

from experiments.models import AuditEntry, ForcedVariant
from tests.experiments.pages import words
from tests.experiments.traffic_world import NEXT_MONDAY, experiment, holdout, put
from tests.people import signed_in

pytestmark = pytest.mark.django_db

PAGE, POST = "/experiments/a/traffic/", "/experiments/a/testers/"


def forced() -> dict[str, str]:
    return dict(ForcedVariant.objects.values_list("unit", "variant"))


def test_the_page_says_what_apply_said_and_leads_to_the_console() -> None:
    put(holdout(), experiment("a", holdout="winter", layer="search", share=0.4))
    response = signed_in("viewer").get(PAGE)
    text = words(response)
    for line in (
        "layer search: buckets 0-3,999 (40 %)",
        "held out by winter 5 %",
        "38 % of all units",
        "There are none",
    ):
        assert line in text
    assert 'href="/console/?flag=a"' in response.content.decode()
    assert 'name="variant"' not in response.content.decode()
    assert '<option value="a" selected>' in signed_in("viewer").get("/console/?flag=a").content.decode()


def test_owners_give_change_and_take_back_variants_with_their_name_in_the_history() -> None:
    put(experiment("a"))
    browser = signed_in("owner")
    for variant in ("treatment", "control"):
        assert browser.post(POST, {"unit": " ann ", "variant": variant}).headers["Location"] == PAGE
        assert forced() == {" ann ": variant}
    assert "ann control Remove" in words(browser.get(PAGE))
    assert browser.post(POST, {"unit": " ann ", "remove": "yes"}).status_code == 302
    assert forced() == {}
    told = AuditEntry.objects.filter(verb="tester changed")
    assert [(one.actor, one.after["variant"]) for one in told.order_by("pk")] == [
        ("owner@example.com", "treatment"), ("owner@example.com", "control"), ("owner@example.com", None)
    ]  # fmt: skip


def test_editors_may_in_a_draft_and_not_once_it_has_started() -> None:
    put(experiment("a", start_date=NEXT_MONDAY))
    sent = {"unit": "ann", "variant": "treatment"}
    assert signed_in("editor").post(POST, sent).status_code == 302
    put(experiment("b"))
    response = signed_in("editor").post("/experiments/b/testers/", sent)
    assert (response.status_code, "takes owner or admin" in words(response)) == (403, True)
    assert ForcedVariant.objects.filter(experiment__key="b").count() == 0


@pytest.mark.parametrize(
    ("sent", "status", "why"),
    [
        ({"unit": "", "variant": "control"}, 422, "Name a unit"),
        ({"unit": "ann"}, 422, "Choose a variant"),
        ({"unit": "ann", "variant": "third"}, 422, "third is not one of the available choices"),
        ({"unit": "u" * 1_025, "variant": "control"}, 409, "a unit is named by 1 to 1,024 characters"),
        ({"unit": "bob", "remove": "yes"}, 409, "`bob` is no tester of a"),
    ],
)
def test_what_is_asked_for_wrongly_is_said_and_not_done(sent: dict[str, str], status: int, why: str) -> None:
    put(experiment("a"))
    response = signed_in("owner").post(POST, sent)
    assert (response.status_code, forced()) == (status, {})
    assert why in words(response)


def test_a_holdout_has_no_testers() -> None:
    put(holdout())
    assert signed_in("owner").get("/experiments/winter/traffic/").status_code == 404
    assert signed_in("owner").post("/experiments/winter/testers/", {"unit": "u", "variant": "x"}).status_code == 404
