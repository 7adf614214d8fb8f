"""The cast: an account for each role, and browsers in which they are signed in."""

from datetime import UTC, datetime

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.test import Client

from experiments.models import Person

#: Whose key is whose e-mail address: owner@example.com owns the experiments of the tests.
CAST = {"viewer": "viewer", "editor": "editor", "owner": "owner", "admin": "admin", "outsider": None}
PASSWORD = "correct horse battery staple"
MADE_AT = datetime(2018, 1, 1, tzinfo=UTC)


def person(name: str) -> Person:
    """The member of the cast with this name, made if need be; another name is another owner."""
    role = CAST.get(name, "owner")
    found, _ = Person.objects.get_or_create(
        email=f"{name}@example.com",
        defaults={"role": role, "created_at": MADE_AT, "password": make_password(PASSWORD)},
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


def login(email: str, password: str = PASSWORD, browser: Client | None = None, **request: str) -> tuple[int, str]:
    """Try to sign in; the status and the page."""
    response = (browser or Client()).post(
        "/login/", {"login": email, "password": password}, **request  # type: ignore[arg-type]
    )  # fmt: skip
    return response.status_code, response.content.decode()
