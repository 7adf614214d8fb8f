"""The door: every request passes it, and ``services.access`` says who may go on. What is not declared is closed.

A view declares what it needs with ``@needs``. Without a declaration it needs the right to read, and nothing but reading
gets through.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.template.loader import render_to_string
from django.utils.cache import add_never_cache_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.defaults import permission_denied
from django_htmx.http import HttpResponseClientRefresh

from experiments.models import Person
from experiments.services import access, results
from experiments.services.access import Action, NotAllowed, Permissions
from experiments.views import by_key

View = TypeVar("View", bound=Callable[..., HttpResponse])

READING = ("GET", "HEAD", "OPTIONS")

#: What a view can need besides the actions of ``access``.
ANYBODY: Final = "anybody"
AN_ACCOUNT: Final = "an account"
A_KEY: Final = "a key"


def needs(what: str) -> Callable[[View], View]:
    """Declare what it takes to use a view: an action of ``access``, ANYBODY, AN_ACCOUNT or A_KEY."""

    def declared(view: View) -> View:
        view.needs = what  # type: ignore[attr-defined]  # decorators above this one take it over with functools.wraps
        return view

    return declared


class Guard:
    """Middleware that lets a request through to its view, sends it to the login, or refuses it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        by_key.finish(request, response)
        if response.status_code == 405 and request.method in READING and not response.content:
            response.content = render_to_string("405.html", request=request)  # what takes forms alone has no page
        if request.user.is_authenticated:
            add_never_cache_headers(response)  # nothing is left in the browser for whoever sits there next
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponse], args: Any, kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        what = getattr(view, "needs", None)
        if what == ANYBODY:
            return None
        if what == A_KEY:  # a session does not help, so nothing can be done in somebody's name by another site
            return by_key.admit(request, kwargs.get("key"))
        if not request.user.is_authenticated:
            return _to("account_login", request)
        if what == AN_ACCOUNT:
            return None
        if request.user.must_change_password:
            return _to("account_change_password", request)
        try:
            if what is None and request.method not in READING:
                raise NotAllowed("nothing can be changed here")
            _require(request, what or "read", kwargs.get("key"))
        except NotAllowed as refusal:  # answered here: raised, it would be logged like a mistake of ours
            return permission_denied(request, refusal)
        return None


def _require(request: HttpRequest, action: Action, key: str | None) -> None:
    """Raise NotAllowed. Whether an experiment exists is told to those who may read."""
    access.require(request.user, action)
    if key is not None and action in access.WITH_ONES_OWN:
        try:
            access.require(request.user, action, results.find_experiment(key))
        except results.NoSuchExperiment:
            return  # the view says so, and who may ask is settled


def _to(name: str, request: HttpRequest) -> HttpResponse:
    """Send a page to another one first; a fragment has its whole page asked for again, which is then sent there."""
    if getattr(request, "htmx", False):
        return HttpResponseClientRefresh()
    where = request.get_full_path() if request.method in READING else _form_of(request)
    return HttpResponseRedirect(f"{resolve_url(name)}?{urlencode({'next': where})}")


def _form_of(request: HttpRequest) -> str:
    """The page from which something was sent: whoever is signed in again finds the form there."""
    came = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(came, {request.get_host()}, require_https=request.is_secure()):
        return resolve_url(settings.LOGIN_REDIRECT_URL)
    parts = urlsplit(came)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def person_of(request: HttpRequest) -> Person:
    """Who asks, in a view that nobody reaches without an account."""
    assert isinstance(request.user, Person)
    return request.user


def who(request: HttpRequest) -> dict[str, Any]:
    """What every template knows of whoever reads the page."""
    user = getattr(request, "user", None)
    person = user if isinstance(user, Person) else None
    may = None if person is None else Permissions(person)
    return {"person": person, "may": may, "email_works": settings.HOLDFAST_EMAIL, "provider": _provider()}


def _provider() -> str | None:
    """The name of the provider that people may sign in at."""
    return settings.HOLDFAST_OIDC_NAME if settings.HOLDFAST_OIDC_URL else None
