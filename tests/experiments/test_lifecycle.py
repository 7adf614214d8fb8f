"""The life of an experiment: what can be done in each state, what it says otherwise, and what is written down."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from analysis.results import Action
from experiments.models import AuditEntry, CannotChange, CannotStart, Decision, Experiment, Look, states
from experiments.models.experiment import CannotArchive, CannotClose, CannotDecide, CannotSubmit, CannotWithdraw
from experiments.services import lifecycle
from experiments.services.access import NotAllowed
from experiments.services.apply import CannotApply, apply
from experiments.services.refresh import CannotRefresh, plan_look
from tests.experiments import small_data
from tests.experiments.looks import NOW, definition
from tests.people import person

pytestmark = pytest.mark.django_db

FUTURE = date(2030, 1, 7)
ON_THE_DAY = datetime(2030, 1, 7, 12, tzinfo=UTC)
#: Enrollment lasts two weeks, from the first of January.
ENROLLING = datetime(2024, 1, 3, 12, tzinfo=UTC)
WHO = "owner@example.com"

Make = Callable[..., Experiment]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """An experiment as it is after it was applied at a moment."""

    def made(now: datetime = NOW, **changes: Any) -> Experiment:
        apply([definition(tmp_path, **changes)], now)
        return Experiment.objects.get(key=changes.get("experiment", "small"))

    return made


def in_state(make: Make, state: str) -> Experiment:
    """An experiment that came into a state by the verbs that lead there."""
    if state in ("draft", "in_review"):
        experiment = make(start_date=FUTURE)
        if state == "in_review":
            experiment.submit(by=WHO, now=NOW)
        return experiment
    experiment = make(now=ENROLLING)
    if state != "running":
        experiment.close_enrollment(by=WHO, now=NOW)
    if state in ("decided", "archived"):
        decided(experiment, "stop")
    if state == "archived":
        experiment.archive(by=WHO, now=NOW)
    return experiment


def decided(experiment: Experiment, action: Action, variant: str = "treatment", now: datetime = NOW) -> None:
    """A decision, and the row that remembers it."""
    look, _ = Look.objects.get_or_create(
        plan=experiment.current_plan, as_of=date(2024, 2, 26), fingerprint="test",
        defaults={"number": 8, "planned_looks": 8, "state": "done", "planned_at": NOW, "finished_at": NOW},
    )  # fmt: skip
    experiment.decide(variant, action, by=WHO, now=now, reason="because")
    Decision.objects.create(
        experiment=experiment, revision=experiment.revision, variant=variant, action=action, reason="because",
        by=person("owner"), decided_at=now, look=look, document={"version": 1},
    )  # fmt: skip


VERBS: dict[str, Callable[[Experiment, datetime], None]] = {
    "submit": lambda one, now: one.submit(by=WHO, now=now),
    "withdraw": lambda one, now: one.withdraw(by=WHO, now=now),
    "start": lambda one, now: one.start(by=WHO, now=now),
    "close": lambda one, now: one.close_enrollment(by=WHO, now=now),
    "decide": lambda one, now: one.decide("treatment", "launch", by=WHO, now=now),
    "archive": lambda one, now: one.archive(by=WHO, now=now),
}
REFUSALS = {
    "submit": CannotSubmit, "withdraw": CannotWithdraw, "start": CannotStart, "close": CannotClose,
    "decide": CannotDecide, "archive": CannotArchive,
}  # fmt: skip
#: Where each verb leads from each state; whatever is not here is refused.
LEADS_TO = {
    ("draft", "submit"): "in_review",
    ("draft", "start"): "running",
    ("draft", "archive"): "archived",
    ("in_review", "withdraw"): "draft",
    ("in_review", "start"): "running",
    ("in_review", "archive"): "archived",
    ("running", "close"): "enrollment_closed",
    ("running", "decide"): "decided",
    ("enrollment_closed", "decide"): "decided",
    ("decided", "decide"): "decided",
    ("decided", "archive"): "archived",
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("state", get_args(states.State))
def test_every_verb_in_every_state_leads_where_it_should_or_is_refused_in_words(
    make: Make, state: str, verb: str
) -> None:
    experiment = in_state(make, state)
    now = ON_THE_DAY if state in ("draft", "in_review") else NOW + timedelta(days=1)
    before, entries = experiment.revision, AuditEntry.objects.count()
    expected = LEADS_TO.get((state, verb))
    if expected is None:
        with pytest.raises(REFUSALS[verb], match="small"):
            VERBS[verb](experiment, now)
        assert Experiment.objects.get().state == state
        assert (Experiment.objects.get().revision, AuditEntry.objects.count()) == (before, entries)
        return
    VERBS[verb](experiment, now)
    stored = Experiment.objects.get()
    assert (stored.state, stored.revision) == (expected, before + 1)
    assert (experiment.state, experiment.revision) == (stored.state, stored.revision)
    assert AuditEntry.objects.count() == entries + 1
    entry = AuditEntry.objects.latest("pk")
    assert (entry.actor, entry.object_key, entry.at) == (WHO, "small", now)
    assert entry.after["state"] == stored.standing


def test_what_is_offered_is_what_the_verbs_take(make: Make) -> None:
    for state, verbs in states.VERBS.items():
        possible = {verb for came, verb in LEADS_TO if came == state} - {"close"}
        assert set(verbs) == possible, state
    draft = make(start_date=FUTURE)
    assert draft.offers(NOW) == ("submit", "archive")
    assert draft.offers(ON_THE_DAY) == ("submit", "start", "archive")


def test_an_experiment_without_a_primary_metric_cannot_start(make: Make, tmp_path: Path) -> None:
    metrics = [{**metric, "role": "secondary"} for metric in small_data.definition()["metrics"][:2]]
    draft = make(start_date=FUTURE, metrics=metrics)
    with pytest.raises(CannotStart, match="no primary metric"):
        draft.start(by=WHO, now=ON_THE_DAY)
    with pytest.raises(CannotApply, match=r"other.yaml: other has no primary metric"):
        apply([definition(tmp_path, experiment="other", metrics=metrics)], NOW)
    with pytest.raises(CannotRefresh, match="no primary metric"):
        plan_look("small", None, ON_THE_DAY)
    assert Experiment.objects.get().state == "draft"


def test_a_draft_in_review_does_not_start_by_itself(make: Make) -> None:
    experiment = in_state(make, "in_review")
    assert not experiment.start_if_due(ON_THE_DAY)
    with pytest.raises(CannotRefresh, match="is in review; it is read once somebody has started it"):
        plan_look("small", None, ON_THE_DAY)
    experiment.withdraw(by=WHO, now=ON_THE_DAY)
    assert experiment.start_if_due(ON_THE_DAY)
    assert AuditEntry.objects.latest("pk").actor == "holdfast"


def test_enrollment_closes_when_its_weeks_are_over_and_not_before(make: Make) -> None:
    experiment = make(now=ENROLLING)
    with pytest.raises(CannotClose, match="lasts until 2024-01-15"):
        experiment.close_enrollment(by=WHO, now=ENROLLING)
    assert not experiment.close_if_due(datetime(2024, 1, 14, 23, tzinfo=UTC))
    assert experiment.close_if_due(datetime(2024, 1, 15, tzinfo=UTC))
    assert experiment.standing == "enrollment closed"


def test_a_machine_whose_clock_is_late_does_not_turn_dates_around(make: Make) -> None:
    experiment = make()
    experiment.close_enrollment(by=WHO, now=NOW - timedelta(seconds=5))
    assert experiment.enrollment_closed_at == experiment.started_at == NOW


def test_of_several_treatments_all_have_to_be_decided(make: Make) -> None:
    variants = [
        {"key": "control", "weight": 50, "control": True},
        {"key": "mild", "weight": 25},
        {"key": "bold", "weight": 25},
    ]
    experiment = make(variants=variants)
    decided(experiment, "keep_running", "mild")
    decided(experiment, "roll_back", "bold")
    assert experiment.standing == "running"
    decided(experiment, "launch_with_holdback", "mild")
    assert (experiment.state, experiment.outcome) == ("decided", "launched_with_holdback")
    assert {key: last.action for key, last in experiment.last_decisions().items()} == {
        "mild": "launch_with_holdback",
        "bold": "roll_back",
    }
    with pytest.raises(CannotDecide, match="no treatment `huge`; it has mild, bold"):
        experiment.decide("huge", "launch", by=WHO, now=NOW)


def test_a_decision_may_be_followed_by_another_ending_and_by_nothing_else(make: Make) -> None:
    experiment = make()
    decided(experiment, "launch")
    first = experiment.decided_at
    with pytest.raises(CannotDecide, match=r"treatment of small was launched already$"):
        experiment.decide("treatment", "launch", by=WHO, now=NOW)
    with pytest.raises(CannotDecide, match="was launched already; only another ending"):
        experiment.decide("treatment", "keep_running", by=WHO, now=NOW)
    decided(experiment, "roll_back", now=NOW + timedelta(days=90))
    assert (experiment.standing, experiment.decided_at) == ("rolled back", first)


def test_keeping_it_running_changes_no_state_and_is_remembered(make: Make) -> None:
    experiment = make()
    decided(experiment, "keep_running")
    decided(experiment, "keep_running")
    assert (experiment.state, experiment.outcome, experiment.decided_at) == ("running", None, None)
    assert Decision.objects.count() == 2


def test_who_read_an_older_state_is_told_and_changes_nothing(make: Make) -> None:
    experiment = make()
    stale = Experiment.objects.get()
    decided(experiment, "launch")
    with pytest.raises(CannotDecide, match="changed meanwhile: it is launched now"):
        stale.decide("treatment", "stop", by=WHO, now=NOW)
    assert Experiment.objects.get().outcome == "launched"


def test_applying_another_definition_makes_what_was_read_stale(make: Make, tmp_path: Path) -> None:
    draft = make(start_date=FUTURE)
    draft.submit(by=WHO, now=NOW)
    apply([definition(tmp_path, start_date=FUTURE, horizon_weeks=8)], NOW)
    assert Experiment.objects.get().state == "in_review"
    with pytest.raises(CannotStart, match="changed meanwhile"):
        draft.start(by=WHO, now=ON_THE_DAY)
    apply([definition(tmp_path, start_date=FUTURE, horizon_weeks=8)], NOW)
    Experiment.objects.get().start(by=WHO, now=ON_THE_DAY)


def test_an_archived_experiment_is_left_alone(make: Make, tmp_path: Path) -> None:
    in_state(make, "archived")
    with pytest.raises(CannotApply, match="small is archived"):
        apply([definition(tmp_path, name="Another")], NOW)
    with pytest.raises(CannotRefresh, match="small is archived"):
        plan_look("small", None, NOW)


# --- the service ------------------------------------------------------------------------------------------------------
def test_a_verb_of_the_service_asks_for_the_right_role(make: Make) -> None:
    make(start_date=FUTURE)
    for name in ("viewer", "outsider"):
        with pytest.raises(NotAllowed):
            lifecycle.change("small", "submit", by=person(name), now=NOW)
    assert lifecycle.change("small", "submit", by=person("editor"), now=NOW).state == "in_review"
    for name in ("editor", "somebody"):
        with pytest.raises(NotAllowed):
            lifecycle.change("small", "start", by=person(name), now=ON_THE_DAY)
    lifecycle.change("small", "start", by=person("owner"), now=ON_THE_DAY)
    assert AuditEntry.objects.latest("pk").actor == "owner@example.com"


def test_a_page_of_an_older_revision_changes_nothing(make: Make) -> None:
    experiment = make(start_date=FUTURE)
    with pytest.raises(CannotChange, match="changed since this page was opened: it is draft now"):
        lifecycle.change("small", "archive", by=person("admin"), now=NOW, revision=experiment.revision + 1)
    assert Experiment.objects.get().state == "draft"


def test_an_assigned_owner_may_what_the_named_one_may(make: Make) -> None:
    experiment, other = make(), person("somebody")
    assert lifecycle.offers(experiment, other, NOW) == ()
    experiment.owners.add(other)
    assert lifecycle.offers(experiment, other, NOW) == ("decide",)
    assert lifecycle.offers(experiment, person("owner"), NOW) == ("decide",)
    assert lifecycle.offers(experiment, person("admin"), NOW) == ("decide",)
    assert lifecycle.offers(experiment, person("editor"), NOW) == ()
