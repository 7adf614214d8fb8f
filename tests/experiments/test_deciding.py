"""Decisions: the evidence they rest on, frozen; what they take; and the log that shows what became true."""

import json
import tomllib
from dataclasses import asdict, replace
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analysis import decay
from analysis.results import Scorecard
from experiments import __version__
from experiments.models import AuditEntry, CannotChange, CannotDecide, Decision, Experiment, Look, evidence
from experiments.processes import CHECKOUT
from experiments.services import decisions
from experiments.services.access import NotAllowed
from experiments.services.results import NoSuchExperiment
from tests.experiments import cards
from tests.experiments.stored import applied, decide, new_look, renamed, stored
from tests.people import person

pytestmark = pytest.mark.django_db

EARLY = date(2017, 9, 4)


# --- what a decision rests on -----------------------------------------------------------------------------------------
def test_a_decision_freezes_the_numbers_the_plan_the_data_and_the_versions() -> None:
    card = cards.honeymoon()
    made = decide(stored(card), "roll_back")
    frozen = Decision.objects.get().evidence
    assert frozen is not None
    assert frozen.effects == tuple(row for row in card.effects if row.variant == "treatment")
    assert frozen.reversals == card.reversals
    assert frozen.rollback == card.rollback
    assert frozen.conflicts == card.conflicts
    assert frozen.oec == card.oec[0]
    assert frozen.checks == card.checks
    assert frozen.recommendation == card.recommendations[0]
    assert (frozen.plan_version, frozen.plan_digest) == (1, Experiment.objects.get().current_plan.digest)
    assert (frozen.first_fact, frozen.last_fact, frozen.fact_rows) == (
        card.first_fact, card.last_fact, card.fact_rows,
    )  # fmt: skip
    assert (frozen.look, frozen.planned_looks, frozen.as_of) == (30, 30, card.as_of)
    assert (frozen.software, frozen.prior_version) == (__version__, decay.PRIOR_VERSION)
    assert dict(frozen.units) == dict(card.units)
    assert (made.recommended, made.look) == ("roll_back", Look.objects.get())
    assert made.follows_advice


def test_the_evidence_is_the_same_after_its_way_through_json() -> None:
    stored(cards.honeymoon())
    before = evidence.of_look(Look.objects.select_related("plan__experiment").get(), "treatment")
    document = json.loads(json.dumps(evidence.to_json(before), allow_nan=False))
    assert asdict(evidence.from_json(document)) == asdict(before)


def test_the_version_that_is_frozen_is_the_one_of_the_package() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert __version__ == project["version"]


def test_another_version_of_the_document_is_refused() -> None:
    with pytest.raises(ValueError, match="evidence of version 7 cannot be read; this Holdfast reads version 1"):
        evidence.from_json({"version": 7})


def test_a_document_of_the_first_version_can_still_be_read() -> None:
    """Decisions are kept for good. A change of the rows that breaks this needs another version of the document."""
    document = {
        "version": 1, "software": "0.1.0", "prior_version": 1, "key": "old", "variant": "treatment",
        "plan_version": 1, "plan_digest": "ab" * 32, "as_of": "2017-12-31", "look": 30, "planned_looks": 30,
        "fingerprint": "f", "first_fact": None, "last_fact": None, "fact_rows": 0, "units": {"control": 10},
        "excluded": {"nulls": 0}, "checks": [{"check": "srm", "state": "ok", "p_value": 0.4, "detail": "as designed"}],
        "effects": [{
            "n_control": 10, "n_treatment": 10, "control_mean": 15.7, "treatment_mean": 16.2, "adjusted": True,
            "effect": 0.47, "effect_se": 0.08, "effect_low": 0.31, "effect_high": 0.63, "p_value": 0.00001,
            "lift": 0.03, "lift_low": 0.02, "lift_high": 0.04, "unadjusted_effect": 0.47, "unadjusted_se": 0.12,
            "state": "ok", "reason": None, "metric": "lines", "role": "primary", "term": "short",
            "variant": "treatment", "window": "early", "start_week": 0, "end_week": 4, "readable_from": "2017-07-24",
        }],
        "reversals": [{
            "metric": "lines", "variant": "treatment", "state": "confirmed", "readable_from": "2017-12-24",
            "n_control": 10, "n_treatment": 10,
        }],
        "conflicts": [], "oec": None,
        "rollback": [{"metric": "lines", "variant": "treatment", "window": "latest", "below": -0.03, "met": True}],
        "recommendation": {"variant": "treatment", "action": "roll_back", "reasons": ["a rollback criterion is met"]},
    }  # fmt: skip
    read = evidence.from_json(document)
    lines = read.effect("lines", "early")
    assert lines is not None
    assert (lines.lift, lines.readable_from) == (0.03, date(2017, 7, 24))
    assert read.effect("lines", "late") is None


# --- what a decision takes --------------------------------------------------------------------------------------------
def test_what_is_decided_otherwise_needs_a_reason() -> None:
    key = stored(cards.honeymoon())
    for reason in ("", "  \n "):
        with pytest.raises(CannotDecide, match="the recommendation is roll back: say why it is decided otherwise"):
            decide(key, "launch", reason)
    assert not Decision.objects.exists()
    made = decide(key, "launch", "  The loss is a bug that was fixed. ")
    assert (made.action, made.recommended, made.follows_advice) == ("launch", "roll_back", False)
    assert made.reason == "The loss is a bug that was fixed."
    assert AuditEntry.objects.latest("pk").reason == made.reason


def test_a_look_without_a_recommendation_needs_a_reason_too() -> None:
    key = stored(replace(cards.honeymoon(), recommendations=()))
    with pytest.raises(CannotDecide, match="nothing is recommended: say why"):
        decide(key, "stop")
    assert decide(key, "stop", "enough").recommended is None


def test_only_owners_of_the_experiment_and_admins_decide() -> None:
    key = stored(cards.honeymoon())
    for name in ("viewer", "editor", "outsider", "somebody"):
        with pytest.raises(NotAllowed):
            decide(key, "roll_back", by=name)
    assert not Decision.objects.exists()
    assert decide(key, "roll_back", by="admin").by == person("admin")


def test_a_newer_look_has_to_be_read_first() -> None:
    key = stored(cards.honeymoon(EARLY))
    read = decisions.situation(key, "treatment").look_id
    stored(cards.honeymoon())
    with pytest.raises(CannotDecide, match="there is the look as of 2017-12-31 since this page was opened"):
        decide(key, "roll_back", look_id=read)


def test_a_change_since_the_page_was_opened_has_to_be_read_first() -> None:
    key = stored(cards.honeymoon())
    with pytest.raises(CannotChange, match="changed since this page was opened"):
        decide(key, "roll_back", revision=0)


def test_without_any_look_it_can_only_be_ended_and_for_a_reason() -> None:
    key = applied(cards.honeymoon())
    with pytest.raises(CannotDecide, match="no look to decide on; without one it can only be stopped or rolled back"):
        decide(key, "launch", "I know it works")
    with pytest.raises(CannotDecide, match="nothing is recommended: say why"):
        decide(key, "roll_back")
    made = decide(key, "roll_back", "it breaks the page")
    assert (made.look, made.evidence, made.recommended) == (None, None, None)
    assert Experiment.objects.get().outcome == "rolled_back"
    (entry,) = decisions.log()
    assert (entry.evidence, entry.since) == (None, None)


def test_an_unknown_treatment_is_named_with_those_there_are() -> None:
    key = stored(cards.honeymoon())
    with pytest.raises(CannotDecide, match="honeymoon has no treatment `control`; it has treatment"):
        decisions.situation(key, "control")
    with pytest.raises(NoSuchExperiment):
        decisions.situation("other", "treatment")


def test_a_decision_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    key = stored(cards.honeymoon())
    entries = AuditEntry.objects.count()

    def fail(self: Decision, **options: Any) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(Decision, "save", fail)
    with pytest.raises(RuntimeError):
        decide(key, "roll_back")
    assert Experiment.objects.get().state == "running"
    assert AuditEntry.objects.count() == entries


# --- the log ----------------------------------------------------------------------------------------------------------
def launched_early() -> str:
    """Launched at week 14 on an early win, and read on to the end."""
    key = stored(cards.honeymoon(EARLY))
    decide(key, "launch", "The early win is large.")
    stored(cards.honeymoon())
    return key


def test_reading_goes_on_after_a_decision_and_the_log_shows_what_became_true() -> None:
    launched_early()
    early, last = cards.honeymoon(EARLY), cards.honeymoon()
    (entry,) = decisions.log()
    assert entry.since is not None
    assert (entry.since.as_of, entry.since.recommended) == (cards.AS_OF, "roll_back")
    followed = {(one.metric.key, one.window.name): one for one in entry.since.followed}
    assert list(followed) == [
        ("lines", "early"), ("lines", "late"), ("active", "early"), ("active", "late"), ("head_share", "late"),
    ]  # fmt: skip
    late = followed["lines", "late"]
    assert (late.then, late.now) == (row_of(early, "lines", "late"), row_of(last, "lines", "late"))
    assert late.then is not None
    assert late.then.state == "not_yet"
    assert (late.reversal_then, late.reversal_now) == ("immature", "confirmed")


def row_of(card: Scorecard, metric: str, window: str) -> Any:
    return next(row for row in card.effects if (row.metric, row.window) == (metric, window))


def test_what_was_frozen_stays_whatever_is_computed_later() -> None:
    key = launched_early()
    before = Decision.objects.get().document
    Look.objects.filter(as_of=EARLY).update(fingerprint="recomputed")
    decide(key, "roll_back")
    first, second = reversed(decisions.log(key))
    assert first.decision.document == before
    assert first.evidence is not None
    assert first.evidence.as_of == EARLY
    assert second.evidence is not None
    assert (second.evidence.as_of, second.since) == (cards.AS_OF, None)


def test_without_a_newer_look_nothing_is_known_since() -> None:
    decide(stored(cards.honeymoon()), "roll_back")
    new_look("honeymoon", cards.AS_OF + timedelta(days=7), number=31)
    (entry,) = decisions.log()
    assert entry.since is None


def test_the_log_is_read_a_page_at_a_time_and_by_experiment() -> None:
    keys = [stored(renamed(cards.honeymoon(), f"number-{number}", "One of many")) for number in range(3)]
    for key in keys:
        decide(key, "roll_back")
    newest = decisions.log(limit=2)
    assert [entry.decision.experiment.key for entry in newest] == ["number-2", "number-1"]
    older = decisions.log(older_than=newest[-1].decision.pk)
    assert [entry.decision.experiment.key for entry in older] == ["number-0"]
    assert [entry.decision.experiment.key for entry in decisions.log("number-1")] == ["number-1"]


def test_the_log_takes_as_many_queries_for_many_decisions_as_for_one() -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            decisions.log()
        return len(captured)

    launched_early()
    one = queries()
    for number in range(4):
        key = stored(renamed(cards.honeymoon(EARLY), f"number-{number}", "One of many"))
        decide(key, "launch", "why not")
        stored(renamed(cards.honeymoon(), key, "One of many"))
    assert len(decisions.log()) == 5
    assert queries() == one


def test_rollback_criteria_are_shown_at_every_look_the_newest_data_of_each_day() -> None:
    key = launched_early()
    readings = decisions.criteria_by_look(key)
    expected = [
        (card.as_of, row) for card in (cards.honeymoon(), cards.honeymoon(EARLY)) for row in card.rollback
    ]  # fmt: skip
    assert [(reading.as_of, reading.row) for reading in readings] == expected
    assert any(reading.row.distance is not None and reading.row.distance < 0 for reading in readings)
