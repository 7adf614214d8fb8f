"""The life of an experiment: its states, the dates that belong to each, and what the database holds them to.

    draft -> in_review -> running -> enrollment_closed -> decided -> archived

A draft starts by itself on its start date; one in review waits for somebody to start it. A decided experiment is read
on, and may be decided otherwise. What was never started may be archived too.
"""

from collections.abc import Mapping
from typing import Literal, get_args

from django.db.models import F, Q

from analysis.results import Action
from experiments.models.constraints import all_there, none_there, one_of

State = Literal["draft", "in_review", "running", "enrollment_closed", "decided", "archived"]
Outcome = Literal["launched", "launched_with_holdback", "rolled_back", "stopped"]
Verb = Literal["submit", "withdraw", "start", "decide", "archive"]

DRAFT, IN_REVIEW, RUNNING, ENROLLMENT_CLOSED, DECIDED, ARCHIVED = get_args(State)

#: States in which weekly looks are due: reading goes on after a decision.
READ = (RUNNING, ENROLLMENT_CLOSED, DECIDED)

#: What a decision makes of an experiment. With several treatments the first of these that one of them has.
OUTCOMES: Mapping[Action, Outcome] = {
    "launch": "launched",
    "launch_with_holdback": "launched_with_holdback",
    "roll_back": "rolled_back",
    "stop": "stopped",
}

#: What can be done in each state. Starting also waits for the start date.
VERBS: Mapping[str, tuple[Verb, ...]] = {
    DRAFT: ("submit", "start", "archive"),
    IN_REVIEW: ("start", "withdraw", "archive"),
    RUNNING: ("decide",),
    ENROLLMENT_CLOSED: ("decide",),
    DECIDED: ("decide", "archive"),
    ARCHIVED: (),
}

WORDS: Mapping[str, str] = {
    "draft": "draft",
    "in_review": "in review",
    "running": "running",
    "enrollment_closed": "enrollment closed",
    "launched": "launched",
    "launched_with_holdback": "launched with holdback",
    "rolled_back": "rolled back",
    "stopped": "stopped",
    "archived": "archived",
}

_NOT_STARTED = none_there("started_at", "enrollment_closed_at", "decided_at", "outcome")
_DECIDED = all_there("started_at", "decided_at", "outcome", "plan")

FITS_ITS_DATES = (
    (Q(state__in=(DRAFT, IN_REVIEW)) & _NOT_STARTED & none_there("archived_at"))
    | (
        Q(state=RUNNING)
        & all_there("started_at", "plan")
        & none_there("enrollment_closed_at", "decided_at", "outcome", "archived_at")
    )
    | (
        Q(state=ENROLLMENT_CLOSED)
        & all_there("started_at", "enrollment_closed_at", "plan")
        & none_there("decided_at", "outcome", "archived_at")
    )
    | (Q(state=DECIDED) & _DECIDED & none_there("archived_at"))
    | (Q(state=ARCHIVED) & all_there("archived_at") & (_DECIDED | _NOT_STARTED))
)

OUTCOME_IS_KNOWN = one_of("outcome", tuple(OUTCOMES.values())) | Q(outcome__isnull=True)


def _in_order(first: str, second: str) -> Q:
    """``second`` is not before ``first``, where both are there."""
    return Q(**{f"{second}__gte": F(first)}) | Q(**{f"{first}__isnull": True}) | Q(**{f"{second}__isnull": True})


DATES_ARE_IN_ORDER = (
    _in_order("started_at", "enrollment_closed_at")
    & _in_order("started_at", "decided_at")
    & _in_order("decided_at", "archived_at")
)
