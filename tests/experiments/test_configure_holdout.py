"""The form of a holdout: the steps that a holdout has, who is to respect it, what its size costs, and amending it."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client
from django.utils import timezone

from analysis.sample_size import holdout_factor
from experiments import formatting
from experiments.definitions.partial import put, violations
from experiments.form_steps import FORMS
from experiments.models import Amendment, Draft, Experiment, HoldoutMember, Source
from experiments.services import consequences as service
from experiments.services import drafts, planner
from experiments.services.access import NotAllowed
from experiments.services.apply import CannotApply, apply
from experiments.services.export import export
from experiments.services.planned_slice import choices, planned_slice
from tests.experiments.configuring import STEPS, begun, registered
from tests.experiments.looks import NOW, definition
from tests.experiments.pages import tables, words
from tests.experiments.small_data import SmallData
from tests.experiments.traffic_world import MONDAY, NEXT_MONDAY, experiment, holdout, named
from tests.experiments.traffic_world import NOW as MONDAY_NOON
from tests.experiments.traffic_world import put as settled
from tests.people import person, signed_in

pytestmark = pytest.mark.django_db

HELD: dict[str, dict[str, str]] = {
    "basics": {
        "holdout": "winter", "name": "Winter", "hypothesis": "All launches hold.", "owner": "owner@example.com",
        "unit": "user",
    },
    "slice": {"fraction": "0.05", "members": "later", "washout_weeks": ""},
    "data": {"source.lag_days": "0", "timezone": "UTC", "segments": ""},
    "metrics": {**STEPS["metrics"]},
    "timing": {
        "start_date": "2024-06-03", "planned_end_date": "2024-12-30", "enrollment_weeks": "", "horizon_weeks": "",
        "pre_weeks": "2", "windows.early[0]": "0", "windows.early[1]": "2", "windows.late[0]": "4",
        "windows.late[1]": "6",
    },
    "rule": {"decision.alpha": "0.05", "decision.power": "0.8", "decision.spending": "", "rollback": "default"},
}  # fmt: skip


@pytest.fixture
def lake(tmp_path: Path) -> Source:
    service._kept.clear()
    return registered(tmp_path / "lake")


@pytest.fixture
def owner() -> Client:
    return signed_in("owner")


def posted(browser: Client, draft: Draft, step: str, do: str = "next", address: str = "", **fields: Any) -> Any:
    draft.refresh_from_db()
    data = {**HELD[step], **fields, "revision": str(draft.revision), "do": do}
    return browser.post(f"/drafts/{draft.pk}/{step}/{address}", data)


def filled(browser: Client, source: Source, **changes: dict[str, Any]) -> Draft:
    """A draft of a holdout in which every step was typed; ``changes`` are fields by step."""
    draft = begun(browser, kind="holdout")
    for step in HELD:
        own = {"chosen_source": str(source.pk)} if step == "data" else {}
        response = posted(browser, draft, step, **own, **changes.get(step, {}))
        assert response.status_code == 302, (step, words(response))
    draft.refresh_from_db()
    return draft


def done(browser: Client, draft: Draft, **data: str) -> Any:
    draft.refresh_from_db()
    return browser.post(f"/drafts/{draft.pk}/apply/", {"revision": draft.revision, **data})


# --- the form ---------------------------------------------------------------------------------------------------------
def test_what_is_typed_is_the_holdout_that_a_file_would_define(owner: Client, lake: Source, tmp_path: Path) -> None:
    draft = filled(owner, lake)
    found = drafts.definition_of(draft)
    metrics = yaml.safe_load(found.text)["metrics"]
    written = definition(
        tmp_path, experiment=None, holdout="winter", name="Winter", hypothesis="All launches hold.", fraction=0.05,
        members=["later"], variants=None, start_date=MONDAY, planned_end_date=date(2024, 12, 30),
        enrollment_weeks=None, horizon_weeks=None, source={"name": "lake"}, metrics=metrics,
    )  # fmt: skip
    assert found.plan == written.plan
    assert (found.plan.kind, found.plan.horizon_weeks, found.plan.clock) == ("holdout", 30, "calendar")
    assert done(owner, draft, do="wait").status_code == 409  # its day has come
    response = done(owner, draft)
    assert response.headers["Location"] == "/experiments/winter/history/"
    stored = Experiment.objects.get()
    assert (stored.kind, stored.state) == ("holdout", "in_review")
    assert export("winter").text == found.text
    (again,) = apply([found], timezone.now(), dry_run=True, review=True)
    assert again.action == "unchanged"


def test_a_new_holdout_lacks_nothing_but_what_only_a_person_knows(owner: Client) -> None:
    draft = begun(owner, kind="holdout")
    missing = {violation.field for violation in drafts.problems(draft)}
    assert missing == {
        "holdout", "name", "source", "metrics[0].key", "metrics[0].kind", "metrics[0].better", "metrics[0].role",
    }  # fmt: skip
    assert draft.kind == "holdout"
    assert "New holdout" in words(owner.get("/new/"))
    assert "new holdout" in words(owner.get("/new/"))


def test_its_form_asks_for_what_a_holdout_has_and_for_nothing_else(owner: Client) -> None:
    draft = begun(owner, kind="holdout")
    whole = "".join(owner.get(f"/drafts/{draft.pk}/{name}/").content.decode() for name in FORMS["holdout"].names)
    for name in ("fraction", "members", "washout_weeks", "planned_end_date", "decision.spending", "rollback"):
        assert f'name="{name}"' in whole
    for name in ("experiment", "clock", "variants[0].key", "layer", "decision.looks", "decision.planned_units"):
        assert f'name="{name}"' not in whole
    assert owner.get(f"/drafts/{draft.pk}/variants/").status_code == 404


@pytest.mark.parametrize("step", FORMS["holdout"].steps, ids=lambda step: str(step.name))
def test_every_field_of_the_form_may_stand_in_the_definition_of_a_holdout(step: Any) -> None:
    """Whatever is wrong with a 0 in it, it is not an unknown key."""
    for section in (*step.sections, *([step.row] if step.row else [])):
        for field in section.fields:
            body: dict[str, Any] = {"version": 1, "holdout": "winter"}
            put(body, field.path.replace("#", "0"), 0)
            assert not [one for one in violations(body) if "unknown key" in one.message], field.path


@pytest.mark.parametrize(
    ("step", "field", "value", "message"),
    [
        ("basics", "holdout", "Bad Key", "a key is 1 to 63 of a-z"),
        ("slice", "fraction", "0.6", "less than or equal to 0.5"),
        ("slice", "members", "a, B C", "a key is 1 to 63 of a-z"),
        ("slice", "washout_weeks", "60", "less than or equal to 52"),
        ("timing", "planned_end_date", "2024-01-01", "2024-01-01 is not after start_date 2024-06-03"),
        ("timing", "planned_end_date", "2040-01-01", "is 812 weeks after start_date; give at most 520"),
        ("timing", "windows.late[1]", "31", "ends outside the horizon of 30 weeks"),
        ("rule", "decision.alpha", "0.7", "less than 0.5"),
    ],
)
def test_a_wrong_value_is_told_at_its_field_in_the_words_of_the_file(
    owner: Client, lake: Source, step: str, field: str, value: str, message: str
) -> None:
    draft = begun(owner, kind="holdout")
    assert message in words(posted(owner, draft, step, address="check/", **{field: value}))
    saved = posted(owner, draft, step, **{field: value})
    assert (saved.status_code, message in words(saved)) == (422, True)


def test_a_draft_stays_a_holdout_without_its_key(owner: Client) -> None:
    draft = begun(owner, kind="holdout")
    assert posted(owner, draft, "basics", holdout="").status_code == 422
    draft.refresh_from_db()
    assert (draft.kind, draft.key) == ("holdout", "")
    assert owner.get(f"/drafts/{draft.pk}/slice/").status_code == 200


def test_an_experiment_that_respects_a_holdout_is_still_one_when_it_is_copied(owner: Client) -> None:
    settled(holdout(), experiment("a", holdout="winter"))
    draft = begun(owner, of="a", **{"as": "copy"})
    assert (draft.kind, draft.key, draft.body["holdout"]) == ("experiment", "", "winter")


# --- members ----------------------------------------------------------------------------------------------------------
def test_members_are_chosen_from_what_has_not_started_or_typed(owner: Client, lake: Source) -> None:
    settled(experiment("runs", layer="search", share=0.4), experiment("waits", start_date=NEXT_MONDAY))
    assert [choice.key for choice in choices(())] == ["search", "waits"]
    draft = filled(owner, lake, slice={"chosen_members": ["waits"], "members": "later, other"})
    assert draft.body["members"] == ["waits", "later", "other"]
    page = owner.get(f"/drafts/{draft.pk}/slice/").content.decode()
    assert 'value="waits" checked' in page
    assert 'name="members" value="later, other"' in page
    posted(owner, draft, "slice", chosen_members=["search", "waits"], members="other")
    draft.refresh_from_db()
    assert draft.body["members"] == ["waits", "other", "search"]  # those there were keep their places


def test_a_member_that_has_started_is_told_of_while_one_types(owner: Client) -> None:
    settled(experiment("runs", layer="search", share=0.4), experiment("waits", start_date=NEXT_MONDAY))
    draft = begun(owner, kind="holdout")
    posted(owner, draft, "timing")
    live = words(posted(owner, draft, "slice", address="check/", members="runs, waits"))
    assert "runs has started without the holdout that is planned here, and may have treated units" in live
    assert "waits draft 95 % of all units can enter" in live
    layered = words(posted(owner, draft, "slice", address="check/", members="search"))
    assert "runs has started without the holdout" in layered
    assert "First read 2024-06-17 Planned end 2024-12-30 30 weeks" in layered
    assert "late window" not in layered
    assert "has started" not in words(posted(owner, draft, "slice", address="check/", members="waits"))


def test_what_the_panel_says_of_members_is_what_applying_does(owner: Client) -> None:
    settled(experiment("half", layer="search", share=0.5, start_date=NEXT_MONDAY), holdout("spring", members=["half"]))
    winter = holdout(members=["search", "later"])
    told = planned_slice(winter.plan)
    (member,) = told.members
    assert (member.key, member.refusal, told.absent, told.refusal) == ("half", None, ("later",), None)
    (neighbor,) = told.neighbors
    assert (neighbor.key, neighbor.together) == ("spring", pytest.approx(1 - 0.95**2))
    (applied,) = settled(winter)
    assert applied.traffic[-1] == f"effective traffic of half: {100 * (member.share or 0):.4g} % of all units"
    assert HoldoutMember.objects.count() == 2
    assert planned_slice(winter.plan, named("winter")).members == told.members


def test_a_member_that_has_started_cannot_leave_and_one_that_has_not_can() -> None:
    settled(holdout(members=["runs", "waits"]), experiment("runs"), experiment("waits", start_date=NEXT_MONDAY))
    without = holdout(members=["other"])
    (runs,) = planned_slice(without.plan, named("winter")).members
    assert (runs.key, runs.share) == ("runs", None)
    assert "runs has started as a member; it must not treat the units held out" in str(runs.refusal)
    with pytest.raises(CannotApply, match="runs has started as a member"):
        settled(without, amend="others")
    kept = holdout(members=["runs", "other"])
    assert [one.key for one in planned_slice(kept.plan, named("winter")).members] == ["runs"]
    settled(kept, amend="others")
    assert HoldoutMember.objects.get().member.experiment.key == "runs"


def test_a_holdout_that_has_started_keeps_its_slice_and_may_take_new_members(owner: Client, lake: Source) -> None:
    winter = filled(owner, lake, slice={"members": ""})
    done(owner, winter)
    Experiment.objects.get().start(by="owner@example.com", now=MONDAY_NOON)
    settled(experiment("waits", start_date=date(2099, 1, 5)))
    with pytest.raises(NotAllowed):
        drafts.begin_from("winter", person("editor"), NOW, copied=False)
    draft = begun(owner, of="winter")
    assert drafts.difference(draft) == ()
    larger = words(posted(owner, draft, "slice", address="check/", fraction="0.1", members=""))
    assert "winter has started: its fraction, salt and start_date (5 %, winter, 2024-06-03) stay" in larger
    posted(owner, draft, "slice", chosen_members=["waits"], members="")
    page = words(owner.get(f"/drafts/{draft.pk}/review/"))
    assert "members — → ['waits']" in page
    assert "Effective traffic of waits: 95 % of all units" in page
    assert "say why" in words(done(owner, draft, reason=""))
    assert done(owner, draft, reason="One more launch.").status_code == 302
    assert Amendment.objects.get().reason == "One more launch."
    assert HoldoutMember.objects.get().member.experiment.key == "waits"


def test_the_review_says_before_what_applying_would_refuse(owner: Client, lake: Source) -> None:
    settled(holdout("spring", salt="same"))
    text = drafts.definition_of(filled(owner, lake)).text.replace("members:", "salt: same\nmembers:")
    draft = begun(owner, text=text)
    assert (draft.kind, draft.source) == ("holdout", lake)
    page = words(owner.get(f"/drafts/{draft.pk}/review/"))
    assert "It would be refused" in page
    assert "`same` is the salt of spring" in page
    assert done(owner, draft).status_code == 409
    assert not Experiment.objects.filter(key="winter").exists()


def test_a_copy_of_a_holdout_is_another_one_without_its_dates(owner: Client, lake: Source) -> None:
    done(owner, filled(owner, lake))
    draft = begun(signed_in("editor"), of="winter", **{"as": "copy"})
    assert (draft.experiment, draft.key, draft.name) == (None, "", "Copy of Winter")
    assert {one.field for one in drafts.problems(draft)} == {"holdout", "start_date", "planned_end_date"}
    taken = words(posted(owner, draft, "basics"))
    assert "`winter` is taken by a holdout" in taken
    assert "Duplicate" in words(owner.get("/experiments/winter/history/"))


def test_only_those_who_may_edit_are_offered_a_new_holdout(owner: Client) -> None:
    assert "New holdout" in words(owner.get("/holdouts/"))
    viewer = signed_in("viewer")
    assert "New holdout" not in words(viewer.get("/holdouts/"))
    assert viewer.post("/new/", {"kind": "holdout"}).status_code == 403


# --- what follows -----------------------------------------------------------------------------------------------------
def test_the_cost_of_a_size_changes_with_the_fraction(owner: Client) -> None:
    draft = begun(owner, kind="holdout")
    one = words(posted(owner, draft, "slice", address="check/", fraction="0.01"))
    assert "With 1 % held out the smallest effect that is found is 5.0 × that of an even split" in one
    five = words(posted(owner, draft, "slice", address="check/", fraction="0.05"))
    assert "is 2.3 × that of an even split" in five
    assert f"{holdout_factor(0.02):.1f} ×" in five
    assert "What this size costs" not in words(posted(owner, draft, "slice", address="check/", fraction="0.6"))


SOON = {
    "start_date": "2024-02-26", "planned_end_date": "2024-03-25", "enrollment_weeks": "2", "horizon_weeks": "6",
}  # fmt: skip


def test_the_panel_has_the_numbers_of_the_plan_command(owner: Client, lake: Source, tmp_path: Path) -> None:
    draft = filled(owner, lake, timing=SOON, slice={"fraction": "0.2"})
    page = owner.get(f"/drafts/{draft.pk}/review/")
    found = drafts.definition_of(draft)
    alone = service.consequences(found, lake, lambda plan: plan.start_date).planned
    assert alone is not None
    small = SmallData(tmp_path / "lake")
    small.definition = {**yaml.safe_load(found.text), "source": small.definition["source"]}
    planned = planner.plan(small.write(), lambda plan: plan.start_date)
    assert alone.until_end == planned.until_end
    lines, price = planned.until_end
    table = tables(page)["until-end"][0]
    assert table[0] == ["Metric", "Weeks", "Finds"]
    assert table[1] == ["lines", "1 to 3", formatting.percent(lines.mde_lift)]
    assert table[2][2].endswith("margin 2.0 %")
    assert table[2][2].startswith(formatting.percent(price.mde_lift))
    text = words(page)
    assert "Late window" not in text
    assert "Smallest lifts until the planned end" in text
    smaller = words(posted(owner, draft, "slice", address="check/", fraction="0.5"))
    assert words(page).partition("Finds lines")[2][:20] != smaller.partition("Finds lines")[2][:20]


def test_the_checklist_of_a_holdout_asks_for_what_a_holdout_needs(owner: Client, lake: Source) -> None:
    draft = filled(owner, lake, timing={**SOON, "pre_weeks": "0"}, slice={"fraction": "0.2", "members": ""})
    told = service.consequences(drafts.definition_of(draft), lake, lambda plan: plan.start_date)
    assert {check.words.partition(":")[0] for check in told.checks if not check.met} == {
        "a pre-period makes the intervals narrower", "it has members",
    }  # fmt: skip
    assert told.overlaps == ()
    assert not [warning for warning in told.warnings if "late window" in warning]
    settled(experiment("runs"))
    late = filled(owner, lake, timing=SOON, slice={"members": "runs"})
    again = service.consequences(drafts.definition_of(late), lake, lambda plan: plan.start_date)
    unmet = {one.words for one in again.checks if not one.met}
    assert "no member has started without it, and its slice is free" in unmet
