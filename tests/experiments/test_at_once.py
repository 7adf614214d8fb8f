"""Twenty processes try the same at one moment: one of them does it, and the others are told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.results import Action
from experiments.models import AuditEntry, CannotChange, Decision, Experiment, Person
from experiments.services import decisions
from experiments.services.apply import apply
from experiments.services.results import find_experiment
from tests.experiments import cards
from tests.experiments.crowd import crowd
from tests.experiments.looks import NOW, definition
from tests.experiments.stored import stored
from tests.people import person

pytestmark = pytest.mark.django_db(transaction=True)

PROCESSES = 20
WON = "won"


def told(act: Callable[[], object]) -> str:
    """What became of it, in a line."""
    try:
        act()
    except CannotChange as refusal:
        return str(refusal)
    return WON


def start() -> Callable[[], str]:
    experiment = find_experiment("small")
    return lambda: told(lambda: experiment.start(by="owner@example.com", now=NOW))


def roll_back() -> Callable[[], str]:
    return decision("roll_back")


def keep_running() -> Callable[[], str]:
    """No state changes with it, and still only one may say so on what all of them have read."""
    return decision("keep_running")


def decision(action: Action) -> Callable[[], str]:
    found, owner = decisions.situation("honeymoon", "treatment"), Person.objects.get()
    return lambda: told(
        lambda: decisions.decide(
            "honeymoon", "treatment", action, reason="as discussed", look_id=found.look_id,
            revision=found.experiment.revision, by=owner, now=NOW,
        )
    )  # fmt: skip


def losers(said: list[str]) -> set[str]:
    assert len(said) == PROCESSES
    assert said.count(WON) == 1, said
    return {line for line in said if line != WON}


def test_of_twenty_starts_one_starts(tmp_path: Path) -> None:
    person("owner")
    apply([definition(tmp_path, start_date="2030-01-07")], NOW)
    Experiment.objects.get().submit(by="editor@example.com", now=NOW)
    apply([definition(tmp_path)], NOW)  # the start is moved to a day that has come
    assert losers(crowd(PROCESSES, start)) == {"small was changed meanwhile: it is running now. Read it again"}
    assert Experiment.objects.get().state == "running"
    assert AuditEntry.objects.filter(verb="started").count() == 1


def test_of_twenty_decisions_one_is_made() -> None:
    person("owner")
    stored(cards.honeymoon())
    assert all("rolled back" in line for line in losers(crowd(PROCESSES, roll_back)))
    assert Experiment.objects.get().outcome == "rolled_back"
    assert Decision.objects.count() == 1
    assert AuditEntry.objects.filter(verb="decided").count() == 1


def test_of_twenty_decisions_that_change_no_state_one_is_made() -> None:
    person("owner")
    stored(cards.honeymoon())
    assert Experiment.objects.get().revision == 1
    assert all("changed" in line for line in losers(crowd(PROCESSES, keep_running)))
    assert Decision.objects.count() == 1
