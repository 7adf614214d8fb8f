"""The form of an experiment: what is typed becomes the definition that a file would be, with its rules and words."""

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from django.utils.html import escape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments import configure, definitions
from experiments.definitions.partial import DefinitionKind, kind_of, parts, put, value_at, violations
from experiments.form_steps import FORMS, Step
from experiments.models import Amendment, AuditEntry, Draft, Experiment, Source
from experiments.services import drafts, metrics
from experiments.services.access import NotAllowed
from experiments.services.apply import apply
from experiments.services.drafts import CannotDraft
from experiments.services.export import export
from tests.experiments import small_data
from tests.experiments.configuring import STEPS, begun, filled, registered, typed
from tests.experiments.looks import NOW, definition
from tests.experiments.pages import words
from tests.experiments.registered import registered as shop
from tests.experiments.small_data import SmallData
from tests.people import person, signed_in

pytestmark = pytest.mark.django_db

BEFORE = datetime(2023, 12, 1, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Source:
    return registered(tmp_path / "lake")


@pytest.fixture
def owner() -> Client:
    return signed_in("owner")


def step_named(kind: DefinitionKind, name: str) -> Step:
    found = FORMS[kind].step(name)
    assert found is not None
    return found


def applied(browser: Client, draft: Draft, do: str = "review", reason: str = "") -> Experiment:
    draft.refresh_from_db()
    posted = {"revision": draft.revision, "do": do, "reason": reason}
    response = browser.post(f"/drafts/{draft.pk}/apply/", posted)
    assert response.status_code == 302, words(response)
    return Experiment.objects.get(key=response.headers["Location"].split("/")[2])


# --- paths ------------------------------------------------------------------------------------------------------------
def test_values_are_put_and_found_by_the_paths_that_violations_name() -> None:
    body: dict[str, object] = {}
    put(body, "metrics[1].event.gap_weeks", 4)
    put(body, "windows.late[1]", 26)
    assert body == {"metrics": [None, {"event": {"gap_weeks": 4}}], "windows": {"late": [None, 26]}}
    assert value_at(body, "metrics[1].event.gap_weeks") == 4
    assert value_at(body, "metrics[7].key") is None
    assert parts("decision.rollback[0].below") == ["decision", "rollback", 0, "below"]


def test_rules_that_join_keys_are_asked_before_the_other_steps_are_filled_in() -> None:
    windows = {"early": [0, 4], "late": [2, 6]}
    body = {"version": 1, "windows": windows, "start_date": "2024-01-01", "enrollment_weeks": 2, "horizon_weeks": 6}
    (found,) = violations(body, ("windows", "horizon_weeks"))
    assert found.field == "windows.late"
    assert "begins before the early window" in found.message


# --- from the form to the definition ----------------------------------------------------------------------------------
def test_what_is_typed_is_the_definition_that_a_file_would_be(owner: Client, lake: Source, tmp_path: Path) -> None:
    draft = filled(owner, lake)
    found = drafts.definition_of(draft)
    small = small_data.definition()
    lines, _, price = small["metrics"]
    written = definition(
        tmp_path, experiment="typed", name="Typed in", hypothesis="More lines.", source={"name": "lake"},
        metrics=[{**lines, "term": "long"}, price],
    )  # fmt: skip
    assert found.plan == written.plan
    assert found.source.name == "lake"


@pytest.mark.parametrize(
    ("step", "field", "value", "message"),
    [
        ("basics", "experiment", "Bad Key", "a key is 1 to 63 of a-z"),
        ("data", "timezone", "Mars", "must be a time zone name such as UTC"),
        ("data", "share", "1.5", "less than or equal to 1"),
        ("variants", "variants[1].weight", "-1", "greater than 0 (found -1)"),
        ("variants", "control", "7", "none has `control: true`"),
        ("variants", "variants[1].key", "control", "`control` stands 2 times"),
        ("metrics", "metrics[1].margin", "", "guardrail `price` needs a relative margin"),
        ("metrics", "metrics[0].window", "mid", "`mid` is not one of the windows early, late"),
        ("metrics", "metrics[0].cap", "nan", "(found 'nan')"),
        ("timing", "horizon_weeks", "5", "ends outside the horizon of 5 weeks"),
        ("timing", "windows.late[0]", "1", "begins before the early window"),
        ("timing", "enrollment_weeks", "four", "(found 'four')"),
        ("timing", "planned_end_date", "2023-01-01", "2023-01-01 is not after start_date 2024-01-01"),
        ("rule", "decision.alpha", "0.7", "less than 0.5"),
    ],
)
def test_a_wrong_value_is_told_at_its_field_while_typing_and_when_saved(
    owner: Client, lake: Source, step: str, field: str, value: str, message: str
) -> None:
    draft = filled(owner, lake)
    posted = {**STEPS[step], "chosen_source": str(lake.pk), field: value}
    live = owner.post(f"/drafts/{draft.pk}/{step}/check/", posted)
    if message != "guardrail `price` needs a relative margin":  # what is empty is said when somebody goes on
        assert message in words(live)
    draft.refresh_from_db()
    assert drafts.problems(draft) == ()
    saved = owner.post(f"/drafts/{draft.pk}/{step}/", {**posted, "revision": draft.revision, "do": "next"})
    assert saved.status_code == 422
    assert message in words(saved)
    draft.refresh_from_db()
    assert drafts.problems(draft, step_named("experiment", step).keys)


def test_fields_of_another_kind_are_not_read(owner: Client, lake: Source) -> None:
    draft = filled(owner, lake)
    event = {"metrics[0].kind": "event", "metrics[0].event.type": "inactivity", "metrics[0].event.column": "lines",
             "metrics[0].event.gap_weeks": "2", "metrics[0].cap": "5", "metrics[0].margin": "0.1"}  # fmt: skip
    assert typed(owner, draft, "metrics", **event).status_code == 302
    draft.refresh_from_db()
    assert draft.body["metrics"][0] == {
        "key": "lines", "kind": "event", "event": {"type": "inactivity", "column": "lines", "gap_weeks": 2},
        "better": "higher", "role": "primary", "term": "long",
    }  # fmt: skip


def test_rows_are_added_and_removed_without_scripts(owner: Client, lake: Source) -> None:
    draft = filled(owner, lake)
    assert typed(owner, draft, "variants", do="add").headers["Location"].endswith("/variants/")
    draft.refresh_from_db()
    assert len(draft.body["variants"]) == 3
    assert typed(owner, draft, "variants", do="remove:1", **{"variants[2].key": "other"}).status_code == 302
    draft.refresh_from_db()
    assert [variant["key"] for variant in draft.body["variants"]] == ["control", "other"]


def test_criteria_of_ones_own_take_the_place_of_the_default(owner: Client, lake: Source) -> None:
    draft = filled(owner, lake)
    typed(owner, draft, "rule", do="add", rollback="own")
    own = {"decision.rollback[0].metric": "lines", "decision.rollback[0].window": "latest",
           "decision.rollback[0].below": "-0.1"}  # fmt: skip
    assert typed(owner, draft, "rule", rollback="own", **own).status_code == 302
    draft.refresh_from_db()
    (criterion,) = drafts.definition_of(draft).plan.decision.rollback
    assert (criterion.metric, criterion.below) == ("lines", -0.1)


def test_what_the_form_does_not_know_stays_as_it_was(owner: Client, tmp_path: Path) -> None:
    windows = {"early": [0, 2], "mid": [2, 4], "late": [4, 6]}
    variants = [
        {"key": "control", "control": True, "payload": {"model": "a"}},
        {"key": "treatment", "payload": {"model": "b"}},
    ]
    given = definition(tmp_path, windows=windows, variants=variants, start_date=date(2099, 1, 5),
                       targeting={"attribute": "country", "in": ["de"]})  # fmt: skip
    apply([given], NOW)
    draft = begun(owner, of="small")
    weightless = {"variants[0].weight": "", "variants[1].weight": ""}
    assert typed(owner, draft, "timing", start_date="2099-01-05").status_code == 302
    assert typed(owner, draft, "variants", **weightless).status_code == 302
    draft.refresh_from_db()
    assert drafts.difference(draft) == ()


def test_data_of_another_experiment_can_be_chosen_where_nothing_is_registered(owner: Client, tmp_path: Path) -> None:
    apply([definitions.load(SmallData(tmp_path / "small").write())], NOW)
    theirs = Experiment.objects.get(key="small").source
    draft = filled(owner, theirs)
    assert "data of small" in words(owner.get(f"/drafts/{draft.pk}/data/"))
    experiment = applied(owner, draft)
    assert experiment.source != theirs  # one that moves does not move the other
    assert experiment.source.spec == theirs.spec
    assert export("typed").folder == str(tmp_path / "small")


ALL_STEPS = [step for form in FORMS.values() for step in form.steps]
ROWS = [step.row for step in ALL_STEPS if step.row is not None]
SECTIONS = [*ROWS, *(section for step in ALL_STEPS for section in step.sections)]
FIELDS = sorted({field.path.replace("#", "0") for section in SECTIONS for field in section.fields})
ODD = ["", "0", "-1", "1e999", "nan", "inf", "event", "guardrail", "any_time", "[0, 1]", "9999-12-31", "1_0"]
TEXTS = st.one_of(
    st.sampled_from(ODD), st.text(max_size=8), st.integers(-(10**30), 10**30).map(str), st.floats().map(str)
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([*FORMS]),
    st.dictionaries(st.sampled_from([*FIELDS, "control", "rollback"]), TEXTS, max_size=12),
)
def test_whatever_is_typed_is_read_and_judged_without_a_traceback(kind: Any, posted: dict[str, str]) -> None:
    body: dict[str, Any] = {"version": 1, kind: None}
    for step in FORMS[kind].steps:
        body = configure.read(step, body, posted)
        json.dumps(body, allow_nan=False)
        for violation in (*violations(body, step.keys), *violations(body)):
            assert violation.message
        for section, _ in configure.sections(step, body):
            assert all(isinstance(configure.as_text(field, body), str) for field in section.fields)
        assert kind_of(body) == kind


# --- from the draft to the experiment ---------------------------------------------------------------------------------
def test_a_draft_given_to_review_waits_and_exports_as_it_was_shown(owner: Client, lake: Source) -> None:
    draft = filled(owner, lake)
    text = drafts.definition_of(draft).text
    experiment = applied(owner, draft)
    assert (experiment.state, experiment.source) == ("in_review", lake)
    assert export("typed").text == text
    assert not Draft.objects.exists()
    assert [entry.verb for entry in AuditEntry.objects.order_by("pk")] == ["defined", "submitted for review"]
    assert {entry.actor for entry in AuditEntry.objects.all()} == {"owner@example.com"}
    (again,) = apply([definitions.parse(text.encode(), "typed.yaml", Path())], timezone.now())
    assert again.action == "unchanged"


def test_an_editor_cannot_start_one_by_giving_it_a_day_that_has_come(lake: Source) -> None:
    editor = signed_in("editor")
    draft = filled(editor, lake)
    response = editor.post(f"/drafts/{draft.pk}/apply/", {"revision": draft.revision, "do": "wait"})
    assert response.status_code == 409
    assert "Give it to review instead" in words(response)
    assert not Experiment.objects.exists()
    assert applied(editor, draft).state == "in_review"


def test_a_day_to_come_may_start_it_by_itself(owner: Client, lake: Source) -> None:
    draft = filled(owner, lake, timing={"start_date": "2099-01-05"})
    assert applied(owner, draft, do="wait").state == "draft"


def test_a_running_plan_is_amended_with_a_reason_by_those_who_may_decide(owner: Client, lake: Source) -> None:
    experiment = applied(owner, filled(owner, lake))
    experiment.start(by="owner@example.com", now=NOW)
    with pytest.raises(NotAllowed):
        drafts.begin_from("typed", person("editor"), NOW, copied=False)
    draft = begun(owner, of="typed")
    assert typed(owner, draft, "rule", **{"decision.min_weeks": "3"}).status_code == 302
    page = owner.get(f"/drafts/{draft.pk}/review/")
    assert "decision.min_weeks 0 → 3" in words(page)
    refused = owner.post(f"/drafts/{draft.pk}/apply/", {"revision": draft.revision + 1, "reason": " "})
    assert (refused.status_code, "say why" in words(refused)) == (409, True)
    old = owner.post(f"/drafts/{draft.pk}/apply/", {"revision": draft.revision, "reason": "A long reason."})
    assert (old.status_code, ">A long reason.</textarea>" in old.content.decode()) == (409, True)
    editor = signed_in("editor").post(f"/drafts/{draft.pk}/apply/", {"revision": draft.revision + 1, "reason": "x"})
    assert editor.status_code == 403
    applied(owner, draft, reason="Three weeks are needed.")
    assert Amendment.objects.get().reason == "Three weeks are needed."
    assert Experiment.objects.get().current_plan.load().decision.min_weeks == 3


def test_an_editor_may_not_take_an_experiment_over(owner: Client, lake: Source) -> None:
    applied(owner, filled(owner, lake))
    editor = signed_in("editor")
    draft = begun(editor, of="typed")
    typed(editor, draft, "basics", owner="editor@example.com")
    draft.refresh_from_db()
    assert editor.post(f"/drafts/{draft.pk}/apply/", {"revision": draft.revision}).status_code == 403
    assert Experiment.objects.get().owner == "owner@example.com"


def test_a_copy_is_another_experiment_of_ones_own(owner: Client, lake: Source) -> None:
    applied(owner, filled(owner, lake))
    editor = signed_in("editor")
    draft = begun(editor, **{"of": "typed", "as": "copy"})
    assert (draft.experiment, draft.key, draft.source) == (None, "", lake)
    assert (draft.name, draft.body["owner"]) == ("Copy of Typed in", "editor@example.com")
    assert {"experiment", "start_date"} <= {violation.field for violation in drafts.problems(draft)}
    assert typed(editor, draft, "basics", experiment="typed").status_code == 422
    assert typed(editor, draft, "basics", experiment="second").status_code == 302
    typed(editor, draft, "timing")
    assert applied(editor, draft).key == "second"
    assert Experiment.objects.count() == 2


def test_a_draft_of_an_older_state_is_refused(owner: Client, lake: Source) -> None:
    experiment = applied(owner, filled(owner, lake))
    draft = begun(owner, of="typed")
    experiment.refresh_from_db()
    experiment.withdraw(by="owner@example.com", now=NOW)
    with pytest.raises(CannotDraft, match="was changed since this draft was begun"):
        drafts.apply_draft(draft, by=person("owner"), now=NOW, revision=0)


def test_two_windows_on_one_draft_do_not_overwrite_each_other(owner: Client, lake: Source) -> None:
    draft = filled(owner, lake)
    old = str(draft.revision)
    assert typed(owner, draft, "basics", name="First").status_code == 302
    posted = {**STEPS["basics"], "name": "Second", "revision": old, "do": "next"}
    response = owner.post(f"/drafts/{draft.pk}/basics/", posted)
    assert (response.status_code, "Not saved: this draft was changed meanwhile" in words(response)) == (409, True)
    assert "Saved, and not right yet" not in words(response)
    assert 'value="Second"' in response.content.decode()
    assert Draft.objects.get().name == "First"
    over = re.search(r'name="over" value="(\d+)"', response.content.decode())
    assert over is not None
    assert owner.post(f"/drafts/{draft.pk}/basics/", {**posted, "over": over[1]}).status_code == 302
    assert Draft.objects.get().name == "Second"
    assert owner.post(f"/drafts/{draft.pk}/apply/", {"revision": old}).status_code == 409


def test_a_draft_is_discarded_once_that_is_confirmed(owner: Client, lake: Source) -> None:
    draft = filled(owner, lake)
    page = owner.get(f"/drafts/{draft.pk}/discard/")
    assert "Discard the draft Typed in?" in words(page)
    assert "owner@example.com began it" in words(page)
    assert Draft.objects.count() == 1
    assert owner.post(f"/drafts/{draft.pk}/discard/").status_code == 302
    assert Draft.objects.count() == 0


def test_a_definition_larger_than_a_file_may_be_is_refused(owner: Client, lake: Source) -> None:
    draft = filled(owner, lake, basics={"hypothesis": "words " * 50_000})
    page = owner.get(f"/drafts/{draft.pk}/review/")
    assert "a definition has at most 262,144" in words(page)
    assert owner.post(f"/drafts/{draft.pk}/apply/", {"revision": draft.revision}).status_code == 422


def test_a_definition_file_can_be_pasted(owner: Client, lake: Source) -> None:
    text = drafts.definition_of(filled(owner, lake)).text
    draft = begun(owner, text=text)
    assert (draft.source, drafts.definition_of(draft).text) == (lake, text)
    assert begun(owner, text=text.replace("name: lake", "exposures: e.parquet, facts: f.parquet")).source is None


def test_pasted_metrics_of_the_catalog_are_written_out(owner: Client, lake: Source) -> None:
    measured = {"key": "lines", "kind": "mean", "better": "higher", "column": "lines"}
    metrics.publish(measured, "", by="owner@example.com", now=NOW)
    text = yaml.safe_dump({"experiment": "pasted", "metrics": [{"use": "lines", "role": "primary"}]})
    draft = begun(owner, text=text)
    assert draft.body["metrics"] == [{**measured, "role": "primary"}]
    assert not drafts.problems(draft, ("metrics",))
    response = owner.post("/new/", {"text": text.replace("lines", "sales")})
    assert (response.status_code, "metrics[0].use" in words(response)) == (409, True)


def test_sources_that_were_registered_on_a_page_can_be_chosen(owner: Client) -> None:
    uploaded = shop("shop")
    draft = begun(owner)
    assert f'value="{uploaded.pk}"' in owner.get(f"/drafts/{draft.pk}/data/").content.decode()
    filled_in = filled(owner, uploaded)
    assert yaml.safe_load(drafts.definition_of(filled_in).text)["source"] == {"name": "shop"}


def test_a_copy_reads_the_same_database(owner: Client) -> None:
    for place in (
        {"kind": "postgres", "dsn": "shop", "schema": "logs", "exposures": "exposed", "facts": "orders"},
        {"kind": "postgres", "dsn": "holdfast"},
    ):
        raw = {**small_data.definition(), "experiment": f"of-{place['dsn']}", "source": place}
        (one,) = apply([definitions.parse(yaml.safe_dump(raw).encode(), "small.yaml", Path())], BEFORE)
        draft = begun(owner, of=one.key, **{"as": "change"})
        assert drafts.difference(draft) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("- 1", "a definition is a mapping"),
        ("? 2024-01-01\n: 1\n", ""),
    ],
)
def test_what_is_no_definition_is_not_taken(owner: Client, text: str, message: str) -> None:
    response = owner.post("/new/", {"text": text})
    assert response.status_code in (302, 409)
    assert message in words(response)
    assert response.status_code == 302 or escape(text) in response.content.decode()  # nobody pastes it again


def test_a_pasted_definition_of_odd_shape_can_be_looked_at_and_typed_over(owner: Client, lake: Source) -> None:
    odd = "experiment: odd\nsource: lake\nvariants: [1, 2]\nmetrics: x\nwindows: 5\ndecision: [1]\nhorizont: 3\n"
    draft = begun(owner, text=odd)
    for name in FORMS["experiment"].names:
        assert owner.get(f"/drafts/{draft.pk}/{name}/").status_code == 200
    assert "unknown key `horizont`" in words(owner.get(f"/drafts/{draft.pk}/review/"))
    for name in STEPS:
        assert typed(owner, draft, name, do="go:review", chosen_source=str(lake.pk)).status_code == 302
    draft.refresh_from_db()
    assert {violation.field for violation in drafts.problems(draft)} == {"version", "horizont"}


def test_the_database_refuses_a_draft_that_saw_nothing_of_its_experiment(owner: Client, lake: Source) -> None:
    experiment = applied(owner, filled(owner, lake))
    draft = begun(owner, of="typed")
    with pytest.raises(IntegrityError, match="draft_of_an_experiment_has_seen_it"), transaction.atomic():
        Draft.objects.filter(pk=draft.pk).update(seen_revision=None)
    with pytest.raises(IntegrityError, match="draft_dates_are_in_order"), transaction.atomic():
        Draft.objects.filter(pk=draft.pk).update(updated_at=BEFORE)
    assert draft.experiment == experiment


def test_odd_texts_are_kept_or_refused_and_never_break_the_page(owner: Client, lake: Source) -> None:
    draft = filled(owner, lake)
    for odd in ("\x00", "1e999", "9" * 5000, "<script>alert(1)</script>", "é\u2028", "[0]"):
        fields = {"windows.late[1]": odd, "horizon_weeks": odd, "start_date": odd}
        for address in ("timing/", "timing/check/"):
            posted = {**STEPS["timing"], **fields, "revision": Draft.objects.get().revision}
            response = owner.post(f"/drafts/{draft.pk}/{address}", posted)
            assert response.status_code in (200, 422)
            assert b"<script>alert" not in response.content
    assert owner.get(f"/drafts/{draft.pk}/review/").status_code == 200
    assert owner.get(f"/drafts/{draft.pk}/nothing/").status_code == 404
    assert owner.get("/drafts/999999/basics/").status_code == 404


def test_a_metric_of_the_catalog_is_taken_over_and_asks_only_how_it_is_judged(owner: Client) -> None:
    measured = {"key": "visits", "kind": "mean", "column": "lines", "better": "higher", "cap": 20}
    metrics.publish(measured, "Visits a week.", by="editor@example.com", now=NOW)
    draft = begun(owner)
    assert '<option value="visits">visits</option>' in owner.get(f"/drafts/{draft.pk}/metrics/").content.decode()
    posted = typed(owner, draft, "metrics", do="use", shared_metric="visits")
    assert posted.headers["Location"].endswith("/metrics/")
    draft.refresh_from_db()
    assert draft.body["metrics"][-1] == {**measured, "cap": 20.0}
    refused = typed(owner, draft, "metrics", do="use", shared_metric="visit")
    assert refused.status_code == 409
    assert "did you mean `visits`?" in refused.content.decode()
