"""Accounts: made and changed by admins, on the command line or on their page, each change in the audit log."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from axes.utils import reset as forget_failed_logins
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from experiments.models import AuditEntry, Experiment, Person
from experiments.models.audit import EXPERIMENT, PERSON
from experiments.models.person import ROLES, Role
from experiments.services import tokens

#: Whose name stands in the audit log where a login at the provider changed an account.
PROVIDER = "sign-in provider"

#: Letters and digits that are not taken for one another.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
GROUPS, GROUP_LENGTH = 4, 5

#: The accounts of the demo by name, with their roles. The examples belong to owner@example.com.
DEMO_CAST: Mapping[str, Role | None] = {"owner": "owner", "editor": "editor", "viewer": "viewer", "outsider": None}


class CannotChangePerson(Exception):
    """An account cannot be made or changed as asked. The message says why."""


@dataclass(frozen=True)
class Account:
    """An account with the one-time password that was just given to it. It is kept nowhere in clear."""

    email: str
    role: str | None
    password: str


def everybody() -> tuple[Person, ...]:
    """All people by e-mail address, those of a demo left out."""
    return tuple(Person.objects.filter(demo_run__isnull=True))


def find(email: str) -> Person | None:
    """Return somebody's account, None if there is none.

    Raises CannotChangePerson for what is no e-mail address, and for an account of the demo, which is nobody's.
    """
    person = Person.objects.filter(email=_address(email)).first()
    if person is not None and person.demo_run is not None:
        raise CannotChangePerson(f"{person.email} is an account of the demo; take another address")
    return person


@transaction.atomic
def create(email: str, role: Role | None, *, by: str, now: datetime, name: str = "") -> Account:
    """Make an account with a one-time password, to be changed at the first login. Raises CannotChangePerson."""
    address = _address(email)
    if Person.objects.filter(email=address).exists():
        raise CannotChangePerson(f"{address} has an account already")
    password = one_time_password()
    person = Person(email=address, name=name.strip(), role=_role(role), created_at=now, must_change_password=True)
    person.set_password(password)
    person.save()
    _record(person, "account made", by, now, after={"role": role})
    return Account(address, role, password)


@transaction.atomic
def known_to_provider(email: str, *, name: str, now: datetime) -> Person:
    """Return the person who signs in elsewhere under this address; a new one has no role and no password.

    A one-time password that was not used yet is void from here on. Raises CannotChangePerson.
    """
    address = _address(email)
    person, made = Person.objects.select_for_update().get_or_create(
        email=address, defaults={"name": name.strip()[:200], "created_at": now, "password": make_password(None)}
    )
    if made:
        _record(person, "account made", PROVIDER, now, after={"role": None})
    elif person.must_change_password:
        person.must_change_password = False
        person.set_unusable_password()
        person.save(update_fields=["password", "must_change_password"])
        _record(person, "one-time password dropped", PROVIDER, now)
    return person


@transaction.atomic
def renew_password(person: Person, *, by: str, now: datetime) -> Account:
    """Give somebody a new one-time password; sessions and tokens end, and failed logins are forgotten."""
    password = one_time_password()
    person.set_password(password)
    person.must_change_password = True
    person.save(update_fields=["password", "must_change_password"])
    forget_failed_logins(username=person.email)
    tokens.end(list(person.tokens.all()), by=by, now=now)  # whoever had the old password may have made some
    _record(person, "one-time password given", by, now)
    return Account(person.email, person.role, password)


@transaction.atomic
def choose_password(person: Person, password: str, now: datetime) -> None:
    """Somebody takes a password of their own. Raises ValidationError for a weak one."""
    validate_password(password, person)
    person.set_password(password)
    person.must_change_password = False
    person.save(update_fields=["password", "must_change_password"])
    _record(person, "password chosen", person.email, now)


@transaction.atomic
def change_role(person: Person, role: Role | None, *, by: str, now: datetime) -> None:
    """Give somebody another role, or take theirs away. Raises CannotChangePerson for the last admin."""
    stored = _locked(person)
    if stored.role == _role(role):
        return
    _keep_an_admin(stored, stays=role == "admin")
    before, stored.role = stored.role, role
    stored.save(update_fields=["role"])
    _record(stored, "role changed", by, now, {"role": before}, {"role": role})


@transaction.atomic
def set_active(person: Person, *, active: bool, by: str, now: datetime) -> None:
    """Disable somebody's account, which ends their sessions, or enable it again. Raises CannotChangePerson."""
    stored = _locked(person)
    if stored.is_active == active:
        return
    _keep_an_admin(stored, stays=active)
    stored.is_active = active
    stored.save(update_fields=["is_active"])
    _record(stored, "account enabled" if active else "account disabled", by, now)


@transaction.atomic
def assign(experiment: Experiment, person: Person, *, by: str, now: datetime) -> None:
    """Make somebody an owner of an experiment besides the one in its definition."""
    if not experiment.owners.filter(pk=person.pk).exists():
        experiment.owners.add(person)
        _record_owner(experiment, "owner assigned", person, by, now)


@transaction.atomic
def unassign(experiment: Experiment, person: Person, *, by: str, now: datetime) -> None:
    """Take an assignment back."""
    if experiment.owners.filter(pk=person.pk).exists():
        experiment.owners.remove(person)
        _record_owner(experiment, "owner removed", person, by, now)


@transaction.atomic
def demo_cast(run: str, now: datetime) -> tuple[Account, ...]:
    """Make the accounts of a demo, or take over those of an earlier one: good in the run of this name alone.

    Raises CannotChangePerson where somebody real has one of the addresses.
    """
    return tuple(_demo_account(f"{name}@example.com", role, run, now) for name, role in DEMO_CAST.items())


def one_time_password() -> str:
    """Return a random password: 20 letters and digits, 99 bits."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))
    return "-".join(groups)


def forget_old_sessions(now: datetime) -> None:
    """Delete the sessions that have run out."""
    Session.objects.filter(expire_date__lt=now).delete()


def _demo_account(email: str, role: Role | None, run: str, now: datetime) -> Account:
    person = Person.objects.filter(email=email).first() or Person(email=email, demo_run=run, created_at=now)
    if person.demo_run is None:
        raise CannotChangePerson(f"{email} is the account of a person here, so the demo cannot use it")
    password = one_time_password()
    person.name, person.role, person.is_active, person.demo_run = email.partition("@")[0].capitalize(), role, True, run
    person.set_password(password)
    person.save()
    forget_failed_logins(username=email)
    _record(person, "demo account made", "demo", now, after={"role": role})
    return Account(email, role, password)


def _address(email: str) -> str:
    address = email.strip().lower()
    try:
        validate_email(address)
    except ValidationError:
        raise CannotChangePerson(f"{email!r} is not an e-mail address") from None
    return address


def _role(role: str | None) -> str | None:
    if role is not None and role not in ROLES:
        raise CannotChangePerson(f"there is no role {role!r}; there are {', '.join(ROLES)}")
    return role


def _locked(person: Person) -> Person:
    """The account as it is now. All admins are locked with it, so that two of them cannot remove each other."""
    list(Person.objects.select_for_update().filter(role="admin").order_by("pk"))
    return Person.objects.select_for_update().get(pk=person.pk)


def _keep_an_admin(person: Person, *, stays: bool) -> None:
    if person.role != "admin" or not person.is_active or stays:
        return
    if not Person.objects.filter(role="admin", is_active=True).exclude(pk=person.pk).exists():
        raise CannotChangePerson(f"{person.email} is the last admin; make somebody else one first")


def _record(
    person: Person,
    verb: str,
    by: str,
    now: datetime,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    AuditEntry.objects.record(
        by=by, verb=verb, kind=PERSON, key=person.email, now=now, before=before, after=after
    )  # fmt: skip


def _record_owner(experiment: Experiment, verb: str, person: Person, by: str, now: datetime) -> None:
    AuditEntry.objects.record(
        by=by, verb=verb, kind=EXPERIMENT, key=experiment.key, now=now, after={"owner": person.email}
    )
