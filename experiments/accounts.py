"""How people sign in, here or at a provider: what django-allauth, django-axes and Django are told about accounts."""

import logging
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from experiments.models import Person
from experiments.services import people

log = logging.getLogger(__name__)


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


class ProviderAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    """Who signs in at the provider is the person with the e-mail address that it vouches for, from then on for good."""

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Find or make the person. Raises ImmediateHttpResponse, a page that says why, for who may not come in."""
        if not sociallogin.is_existing:
            vouched = [address.email for address in sociallogin.email_addresses if address.verified is True]
            if not vouched:
                raise ImmediateHttpResponse(refusal(request, "The provider does not vouch for an e-mail address."))
            name = str(sociallogin.user.name or "") if isinstance(sociallogin.user, Person) else ""
            try:
                person = people.known_to_provider(vouched[0], name=name, now=timezone.now())
            except people.CannotChangePerson as problem:
                raise ImmediateHttpResponse(refusal(request, f"{problem}.")) from None
            if not person.may_sign_in(settings.HOLDFAST_DEMO_RUN):
                raise ImmediateHttpResponse(refusal(request, "This account is disabled; ask an admin."))
            sociallogin.connect(request, person)
        elif not sociallogin.user.may_sign_in(settings.HOLDFAST_DEMO_RUN):
            raise ImmediateHttpResponse(refusal(request, "This account is disabled; ask an admin."))
        sociallogin.user.backend = f"{PersonBackend.__module__}.{PersonBackend.__name__}"

    def on_authentication_error(self, request: HttpRequest, provider: Any, **about: Any) -> None:
        """Say that it did not work. What exactly was wrong with an answer is for the log."""
        log.warning("no login by the provider: %s: %s", about.get("error"), about.get("exception"))
        raise ImmediateHttpResponse(refusal(request, "The provider did not say who you are."))


def refusal(request: HttpRequest, why: str) -> HttpResponse:
    return render(request, "account/refused.html", {"why": why}, status=403)


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
