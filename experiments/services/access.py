"""Who may do what. Every page, fragment, download and verb asks here; nowhere else is it decided.

    viewer  reads
    editor  also applies and edits drafts, sources and metrics, gives drafts to review, and asks for looks
    owner   also starts, decides on and archives the experiments that are theirs
    admin   everything, and people and the keys of programs

An account without a role may do nothing. An experiment is theirs whom its definition names as owner, or an admin has
assigned. The command line asks for nobody's role: who can run commands on the server can do anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied

from experiments.models import Experiment, Person
from experiments.models.person import Role

Action = Literal["read", "edit", "refresh", "decide", "administer"]

_READ: frozenset[Action] = frozenset({"read"})
_EDIT: frozenset[Action] = _READ | {"edit", "refresh"}
_OWN: frozenset[Action] = _EDIT | {"decide"}

ALLOWED: Mapping[Role, frozenset[Action]] = {
    "viewer": _READ,
    "editor": _EDIT,
    "owner": _OWN,
    "admin": _OWN | {"administer"},
}

#: Owners do these with their own experiments only.
WITH_ONES_OWN: frozenset[Action] = frozenset({"decide"})

IN_WORDS: Mapping[Action, str] = {
    "read": "read anything here",
    "edit": "change drafts, sources and metrics",
    "refresh": "ask for looks",
    "decide": "start, decide on or archive experiments",
    "administer": "manage people and keys of programs",
}


class NotAllowed(PermissionDenied):
    """Somebody may not do this. The message says who may."""


def refusal(person: Person | AnonymousUser, action: Action, experiment: Experiment | None = None) -> str | None:
    """Return why somebody may not do this, None if they may.

    An action that owners do with their own experiments only is refused them here if ``experiment`` is not theirs;
    without one the question is whether they could do it at all.
    """
    if not isinstance(person, Person):
        return "sign in first"
    if person.role is None:
        return "this account has no role yet; an admin gives it one"
    role = cast(Role, person.role)
    if action not in ALLOWED[role]:
        able = " or ".join(name for name, actions in ALLOWED.items() if action in actions)
        return f"your role is {role}, and to {IN_WORDS[action]} takes {able}"
    owned_only = action in WITH_ONES_OWN and "administer" not in ALLOWED[role]
    if owned_only and experiment is not None and not experiment.is_owned_by(person):
        return f"{experiment.key} belongs to {experiment.owner}; its owners and admins {IN_WORDS[action]}"
    return None


def require(person: Person | AnonymousUser, action: Action, experiment: Experiment | None = None) -> None:
    """Raise NotAllowed unless somebody may do this."""
    why = refusal(person, action, experiment)
    if why is not None:
        raise NotAllowed(why)


def to_change(experiment: Experiment) -> Action:
    """What is started is changed by those who may start it."""
    return "decide" if experiment.started_at else "edit"


def require_change(person: Person | AnonymousUser, experiment: Experiment | None, owner: str) -> None:
    """Raise NotAllowed unless somebody may give an experiment, None for a new one, a definition with this owner.

    Who may edit drafts may not take an experiment over, nor change what runs.
    """
    require(person, "edit")
    if experiment is not None:
        require(person, "decide" if experiment.owner != owner else to_change(experiment), experiment)


@dataclass(frozen=True)
class Permissions:
    """What one person may do, for pages that show or leave out what leads to it."""

    person: Person

    @property
    def read(self) -> bool:
        return refusal(self.person, "read") is None

    @property
    def edit(self) -> bool:
        return refusal(self.person, "edit") is None

    @property
    def refresh(self) -> bool:
        return refusal(self.person, "refresh") is None

    @property
    def administer(self) -> bool:
        return refusal(self.person, "administer") is None

    def decide(self, experiment: Experiment) -> bool:
        return refusal(self.person, "decide", experiment) is None
