"""What people do with an experiment's state: give to review, take back, start, put away."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from experiments.models import CannotChange, Decision, Experiment, Person, Traffic
from experiments.models.experiment import CannotArchive
from experiments.models.states import DRAFT, READ, Verb
from experiments.services import access, traffic
from experiments.services.access import Action
from experiments.services.results import find_experiment

#: What each verb takes, and the method that does it. Deciding is more than a change of state: see ``decisions``.
ACTIONS: Mapping[Verb, Action] = {
    "submit": "edit", "withdraw": "edit", "start": "decide", "decide": "decide", "archive": "decide",
}  # fmt: skip
METHODS: Mapping[Verb, Callable[..., None]] = {
    "submit": Experiment.submit,
    "withdraw": Experiment.withdraw,
    "start": Experiment.start,
    "archive": Experiment.archive,
}


@dataclass(frozen=True)
class Standing:
    """How an experiment stands, for its scorecard: its state in words, who decided what, and what one may do."""

    name: str
    state: str
    can_decide: bool
    can_refresh: bool
    decided: Mapping[str, Decision]


def standing(key: str, person: Person, now: datetime) -> Standing:
    """Return how an experiment stands, as one person sees it. Raises NoSuchExperiment."""
    experiment = find_experiment(key)
    return Standing(
        experiment.name, experiment.standing, "decide" in offers(experiment, person, now),
        can_refresh(experiment, person, now), experiment.last_decisions(),
    )  # fmt: skip


def change(key: str, verb: Verb, *, by: Person, now: datetime, revision: int | None = None) -> Experiment:
    """Do a verb. ``revision`` is the one that was looked at: if it is not the newest, nothing is done.

    Raises NoSuchExperiment, NotAllowed, CannotChange.
    """
    experiment = find_experiment(key)
    access.require(by, ACTIONS[verb], experiment)
    check_revision(experiment, revision)
    if verb == "archive":
        _check_released(experiment)
    with transaction.atomic():
        METHODS[verb](experiment, by=by.email, now=now)
        if verb == "archive":
            traffic.let_go(experiment, now)
    return experiment


def _check_released(experiment: Experiment) -> None:
    """A holdout that was put away would go on holding units out unread, and releasing it takes a reason of its own."""
    if experiment.kind == "holdout" and experiment.started_at is not None:
        holding = Traffic.objects.filter(experiment=experiment).first()
        if holding is not None and holding.released_on is None:
            raise CannotArchive(
                f"{experiment.key} still holds units out: release it first, "
                f"`python manage.py traffic {experiment.key} --release WHY`"
            )


def offers(experiment: Experiment, person: Person, now: datetime) -> tuple[Verb, ...]:
    """Return what a person can do with an experiment now."""
    possible = experiment.offers(now)
    return tuple(verb for verb in possible if access.refusal(person, ACTIONS[verb], experiment) is None)


def can_refresh(experiment: Experiment, person: Person, now: datetime) -> bool:
    """Whether a person can ask for a look now. A draft whose day has come starts with its first look."""
    begun = experiment.state in READ or (experiment.state == DRAFT and "start" in experiment.offers(now))
    return begun and access.refusal(person, "refresh", experiment) is None


def check_revision(experiment: Experiment, revision: int | None) -> None:
    """Raise CannotChange if the experiment is no longer as it was when somebody looked at it."""
    if revision is not None and revision != experiment.revision:
        raise CannotChange(
            f"{experiment.key} was changed since this page was opened: it is {experiment.standing} now. Read it again"
        )
