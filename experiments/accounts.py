"""How people sign in: what django-allauth, django-axes and Django's sessions are told about Holdfast's accounts."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest
from django.utils import timezone

from experiments.models import Person
from experiments.services import people


class PersonBackend(ModelBackend):
    """Asked at every login and at every request of a session: an account that is refused is signed out at once."""

    def user_can_authenticate(self, user: Any) -> bool:
        return isinstance(user, Person) and user.may_sign_in(settings.HOLDFAST_DEMO_RUN)


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    """Nobody signs up: accounts are made by an admin with `manage.py person`."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def set_password(self, user: Person, password: str) -> None:
        people.choose_password(user, password, timezone.now())

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return str(self.get_login_redirect_url(request))


def login_name(request: HttpRequest, credentials: Mapping[str, Any] | None) -> str:
    """The e-mail address that somebody tries to sign in with: failures are counted whatever its case."""
    typed = (credentials or {}).get("email") or request.POST.get("login", "")
    return str(typed).strip().lower()


def client_address(request: HttpRequest) -> str:
    """Where a request comes from: what the outermost of our own proxies was called from, whatever the caller claims."""
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    proxies = settings.HOLDFAST_PROXIES
    found = hops[-proxies] if 0 < proxies <= len(hops) else ""
    try:
        return str(ip_address(found))
    except ValueError:
        return str(request.META.get("REMOTE_ADDR", ""))
