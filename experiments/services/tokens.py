"""Tokens of the API: made and revoked by the people whose rights they have, each act in the audit log.

A token does what its scopes name, as far as its owner may do it: ``services.access`` is asked at every request, so a
person who loses a role takes it from all tokens at once.
"""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from experiments.models import ApiToken, AuditEntry, Person
from experiments.models.audit import PERSON
from experiments.models.token import SCOPES, Scope, digest_of
from experiments.services import access
from experiments.services.access import Action, NotAllowed

#: Every secret begins like this, so that scanners of repositories and logs find it.
MARK = "hf_"
SECRET_BYTES = 32
#: Letters that are shown afterwards: the mark and 8 more. 35 letters, 210 bits, stay unknown.
SHOWN = len(MARK) + 8
LONGEST_NAME = 100
LONGEST_DAYS = 3660
#: Tokens of one person that can be used at a time.
MOST_TOKENS = 50

#: What each scope takes of the owner.
ACTIONS: Mapping[Scope, Action] = {"read": "read", "apply": "edit", "refresh": "refresh", "events": "edit"}

IN_WORDS: Mapping[Scope, str] = {
    "read": "read experiments, scorecards, decisions and the catalog",
    "apply": "apply definitions",
    "refresh": "ask for looks",
    "events": "send events",
}


class CannotMakeToken(Exception):
    """A token cannot be made as asked. The message says why."""


class NoSuchToken(LookupError):
    """There is no such token, or it is not theirs who asks."""


class BadToken(Exception):
    """A secret opens nothing. The message says why, and no more than whoever has the secret may know."""


class TooManyRequests(Exception):
    """The token was used as often as it may be. ``retry_after``: seconds until it can be used again."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class NewToken:
    """A token with its secret, which is shown once and kept nowhere."""

    token: ApiToken
    secret: str


def of_person(person: Person) -> QuerySet[ApiToken]:
    """The tokens that somebody sees: their own, an admin everybody's. Newest first."""
    found = ApiToken.objects.select_related("owner").filter(owner__demo_run=person.demo_run)
    return found if access.refusal(person, "administer") is None else found.filter(owner=person)


@transaction.atomic
def create(
    owner: Person, name: str, scopes: Collection[str], days: int | None, *, by: str, now: datetime
) -> NewToken:  # fmt: skip
    """Make a token that lives ``days`` days, or until it is revoked. Raises CannotMakeToken, NotAllowed."""
    Person.objects.select_for_update().get(pk=owner.pk)
    _check(owner, name.strip(), scopes, days, now)
    secret = MARK + secrets.token_urlsafe(SECRET_BYTES)
    token = ApiToken.objects.create(
        owner=owner, name=name.strip(), prefix=secret[:SHOWN], digest=digest_of(secret),
        scopes=[scope for scope in SCOPES if scope in scopes], created_at=now,
        expires_at=None if days is None else now + timedelta(days=days),
    )  # fmt: skip
    _record(token, "token made", by, now, scopes=", ".join(token.scopes), expires=_day(token.expires_at))
    return NewToken(token, secret)


def revoke(number: int, *, by: Person, now: datetime) -> ApiToken:
    """Revoke a token of one's own, or as an admin anybody's. Raises NoSuchToken."""
    token = seen(number, by)
    end([token], by=by.email, now=now)
    return token


def seen(number: int, person: Person) -> ApiToken:
    """Return one of the tokens that somebody sees. Raises NoSuchToken."""
    token = of_person(person).filter(pk=number).first()
    if token is None:
        raise NoSuchToken("there is no such token")
    return token


def find(prefix: str) -> ApiToken:
    """Return the token whose secret begins like this. Raises NoSuchToken."""
    found = list(ApiToken.objects.select_related("owner").filter(prefix__startswith=prefix)[:2]) if prefix else []
    if len(found) != 1:
        raise NoSuchToken(f"{'no token begins' if not found else 'several tokens begin'} with {prefix!r}")
    return found[0]


@transaction.atomic
def end(tokens: Collection[ApiToken], *, by: str, now: datetime) -> None:
    """Revoke tokens, whoever asks. Those that are revoked already stay as they are."""
    for token in tokens:
        if ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=now):
            token.revoked_at = now
            _record(token, "token revoked", by, now)


def opened(secret: str, now: datetime, *, by_minute: bool = True) -> ApiToken:
    """Return the token of a secret, and count the request where there is a limit of them by the minute.

    Raises BadToken, TooManyRequests.
    """
    token = ApiToken.objects.select_related("owner").filter(digest=digest_of(secret)).first()
    if token is None:
        raise BadToken("this token is not known here")
    if not token.is_good(now):
        raise BadToken(f"this token is {token.state(now)}")
    if not token.owner.may_sign_in(settings.HOLDFAST_DEMO_RUN):
        raise BadToken("the account of this token is closed")
    if not by_minute:
        token.note_use(now)
        return token
    most = settings.HOLDFAST_API_REQUESTS_PER_MINUTE
    if not token.count_use(now, most):
        raise TooManyRequests(f"this token may be used {most} times a minute", 60 - now.second)
    return token


def in_words(token: ApiToken) -> str:
    """What a token may be used for."""
    return "; ".join(IN_WORDS[scope] for scope in SCOPES if scope in token.scopes)


def require(token: ApiToken, scope: Scope) -> None:
    """Raise NotAllowed unless a token has a scope and its owner the right behind it."""
    if scope not in token.scopes:
        raise NotAllowed(f"this token has the scope {', '.join(token.scopes)}; to {IN_WORDS[scope]} takes {scope}")
    access.require(token.owner, ACTIONS[scope])


def _check(owner: Person, name: str, scopes: Collection[str], days: int | None, now: datetime) -> None:
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise CannotMakeToken(f"name is {name!r}; it must have 1 to {LONGEST_NAME} letters, on one line")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        found = f"scope is {unknown[0]!r}" if unknown else "there is no scope"
        raise CannotMakeToken(f"{found}; choose from {', '.join(SCOPES)}")
    if days is not None and not 1 <= days <= LONGEST_DAYS:
        raise CannotMakeToken(f"days is {days}; it must be from 1 to {LONGEST_DAYS}")
    for scope in SCOPES:
        if scope in scopes:
            access.require(owner, ACTIONS[scope])
    if sum(token.is_good(now) for token in owner.tokens.all()) >= MOST_TOKENS:
        raise CannotMakeToken(f"{owner.email} has {MOST_TOKENS} tokens; revoke one first")


def _day(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%d}"


def _record(token: ApiToken, verb: str, by: str, now: datetime, **told: str) -> None:
    """A token is something of a person's: the entry is about them."""
    AuditEntry.objects.record(
        by=by, verb=verb, kind=PERSON, key=token.owner.email, now=now,
        after={"token": f"{token.prefix}…", "name": token.name, **told},
    )  # fmt: skip
