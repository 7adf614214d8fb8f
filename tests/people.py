"""The cast: an account for each role, made without the cost of a good password hash, and browsers signed in as them."""

from datetime import UTC, datetime

from django.conf import settings
from django.test import Client

from experiments.models import Person

#: Whose key is whose e-mail address: owner@example.com owns the experiments of the tests.
CAST = {"viewer": "viewer", "editor": "editor", "owner": "owner", "admin": "admin", "outsider": None}
MADE_AT = datetime(2018, 1, 1, tzinfo=UTC)


def person(name: str) -> Person:
    """The member of the cast with this name, made if need be; another name is another owner."""
    role = CAST.get(name, "owner")
    found, _ = Person.objects.get_or_create(
        email=f"{name}@example.com", defaults={"role": role, "created_at": MADE_AT, "password": "!"}
    )
    return found


def signed_in(name: str) -> Client:
    """A browser in which a member of the cast has signed in."""
    client = Client()
    client.force_login(person(name), backend="experiments.accounts.PersonBackend")
    return client


def session_cookie(name: str) -> tuple[str, str]:
    """The cookie of such a browser: its name and value."""
    cookie = settings.SESSION_COOKIE_NAME
    return cookie, signed_in(name).cookies[cookie].value
