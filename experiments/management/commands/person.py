from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from experiments.management.base import HoldfastCommand, command_line
from experiments.models import Person
from experiments.models.person import ROLES, Role
from experiments.services import people
from experiments.services.people import Account, CannotChangePerson

NO_ROLE = "none"


class Command(HoldfastCommand):
    help = (
        "Make somebody's account, or change it: `person EMAIL --role owner` makes one and prints a one-time password, "
        "or gives another role to the one that is there. Without EMAIL all accounts are listed. Roles: a viewer reads; "
        "an editor also works on drafts and asks for looks; an owner also starts, decides on and archives experiments "
        "of their own; an admin does everything. Every change is in the audit log."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", nargs="?", metavar="EMAIL", help="whose account; without it, all are listed")
        parser.add_argument("--role", choices=(*ROLES, NO_ROLE), help="the role; `none` sees nothing")
        parser.add_argument("--name", default="", help="the person's name, for a new account")
        parser.add_argument(
            "--new-password", action="store_true", help="print a new one-time password, and end all sessions"
        )
        state = parser.add_mutually_exclusive_group()
        state.add_argument("--disable", action="store_true", help="close the account, and end all sessions")
        state.add_argument("--enable", action="store_true", help="open it again")

    def handle(self, *args: Any, email: str | None, role: str | None, **options: Any) -> None:
        if email is None:
            if role or options["new_password"] or options["disable"] or options["enable"]:
                raise CommandError("whose account? Give an e-mail address", returncode=2)
            self.stdout.write("\n".join(_listed()))
            return
        try:
            for line in _changed(email, role, options):
                self.stdout.write(line)
        except CannotChangePerson as problem:
            raise CommandError(str(problem)) from problem


def _changed(email: str, role: str | None, options: dict[str, Any]) -> Iterator[str]:
    by, now = command_line(), timezone.now()
    wanted: Role | None = None if role in (None, NO_ROLE) else role  # type: ignore[assignment]  # argparse has checked it
    person = people.find(email)
    if person is None:
        if role is None:
            raise CannotChangePerson(f"there is no account for {email}; say which --role a new one is to have")
        yield from _handed_over(people.create(email, wanted, by=by, now=now, name=options["name"]))
        return
    if role is not None:
        people.change_role(person, wanted, by=by, now=now)
        yield f"{person.email}: {wanted or 'no role'}"
    if options["disable"] or options["enable"]:
        people.set_active(person, active=options["enable"], by=by, now=now)
        yield f"{person.email}: {'enabled' if options['enable'] else 'disabled'}"
    if options["new_password"]:
        yield from _handed_over(people.renew_password(person, by=by, now=now))
    elif role is None and not options["disable"] and not options["enable"]:
        yield _line(person)


def _handed_over(account: Account) -> Iterator[str]:
    yield f"{account.email}: {account.role or 'no role'}"
    yield f"one-time password: {account.password}"
    yield "It is shown this once, and has to be changed at the first login."


def _listed() -> Iterator[str]:
    everybody = people.everybody()
    if not everybody:
        yield "Nobody has an account yet. Make one with: manage.py person EMAIL --role admin"
    for person in everybody:
        yield _line(person)


def _line(person: Person) -> str:
    seen = f"last login {person.last_login:%Y-%m-%d}" if person.last_login else "never signed in"
    state = "" if person.is_active else ", disabled"
    return f"{person.email:<40} {person.role or 'no role':<8} {seen}{state}"
