from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from experiments.management.base import HoldfastCommand, command_line
from experiments.models import ApiToken
from experiments.models.token import SCOPES
from experiments.services import people, tokens
from experiments.services.access import NotAllowed
from experiments.services.people import CannotChangePerson
from experiments.services.tokens import CannotMakeToken, NoSuchToken

DEFAULT_DAYS = 90


class Command(HoldfastCommand):
    help = (
        "Make a token of the API for somebody: `token EMAIL --name notebooks --scope read` prints its secret once. The "
        "token acts for that person, within its scopes: read; apply (definitions); refresh (ask for looks); events. "
        "Without EMAIL all tokens are listed. A new one-time password revokes all tokens of a person."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", nargs="?", metavar="EMAIL", help="whose rights it has; without it, all are listed")
        parser.add_argument("--name", default="", help="what it is for")
        parser.add_argument("--scope", action="append", choices=SCOPES, default=[], help="may be given several times")
        life = parser.add_mutually_exclusive_group()
        life.add_argument("--days", type=int, default=DEFAULT_DAYS, help="how long it lives (default: %(default)s)")
        life.add_argument("--forever", action="store_true", help="it lives until it is revoked")
        parser.add_argument("--revoke", metavar="PREFIX", help="end the token that begins like this")

    def handle(self, *args: Any, email: str | None, revoke: str | None, **options: Any) -> None:
        if email is not None and revoke is not None:
            raise CommandError("give EMAIL for a new token or --revoke PREFIX, not both", returncode=2)
        if email is None and revoke is None and (options["name"] or options["scope"]):
            raise CommandError("whose token? Give an e-mail address", returncode=2)
        try:
            for line in self._lines(email, revoke, options):
                self.stdout.write(line)
        except (CannotChangePerson, CannotMakeToken, NoSuchToken, NotAllowed) as problem:
            raise CommandError(str(problem)) from problem

    def _lines(self, email: str | None, revoke: str | None, options: dict[str, Any]) -> Iterator[str]:
        by, now = command_line(), timezone.now()
        if revoke is not None:
            token = tokens.find(revoke)
            tokens.end([token], by=by, now=now)
            yield f"{token}: revoked"
        elif email is not None:
            yield from _made(email, options, by)
        else:
            yield from _listed()


def _made(email: str, options: dict[str, Any], by: str) -> Iterator[str]:
    owner = people.find(email)
    if owner is None:
        raise CannotMakeToken(f"there is no account for {email}; make one with: manage.py person {email} --role ROLE")
    days = None if options["forever"] else options["days"]
    made = tokens.create(owner, options["name"], options["scope"], days, by=by, now=timezone.now())
    yield f"{made.token}: may {tokens.in_words(made.token)}"
    yield f"token: {made.secret}"
    yield "It is shown this once."


def _listed() -> Iterator[str]:
    found = ApiToken.objects.select_related("owner").filter(owner__demo_run__isnull=True)
    if not found:
        yield "There are no tokens yet. Make one with: manage.py token EMAIL --name NAME --scope read"
    now = timezone.now()
    for token in found:
        used = f"last used {token.last_used_at:%Y-%m-%d}" if token.last_used_at else "never used"
        yield f"{token.prefix}… {token.owner.email:<40} {','.join(token.scopes):<26} {token.state(now):<8} {used}"
