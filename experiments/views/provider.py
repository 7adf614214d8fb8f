"""Signing in at an OpenID Connect provider: django-allauth's views, and what they leave out is checked here."""

import logging
from typing import Any

import jwt
from allauth.socialaccount.internal import jwtkit
from allauth.socialaccount.models import SocialApp, SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_GET
from requests import RequestException

from experiments.accounts import refusal
from experiments.views.guard import ANYBODY, needs

log = logging.getLogger(__name__)

#: Signatures by a key that only the provider has. With others anybody who knows its public key could sign.
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})


class SignedAdapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]  # allauth ships no types
    """Takes nothing from the provider without a signed ID token, and user info only about the person in it."""

    def complete_login(self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any) -> Any:
        signed = kwargs["response"].get("id_token")
        if not signed:
            raise OAuth2Error("there is no ID token in the provider's answer")
        claims = self._decode_id_token(app, signed)
        said = self._fetch_user_info(token.token)
        if not claims.get("sub") or said.get("sub") != claims["sub"]:
            raise OAuth2Error("the user info is about somebody else than the ID token")
        return self.get_provider().sociallogin_from_response(request, {"userinfo": said, "id_token": claims})

    def _decode_id_token(self, app: SocialApp, id_token: str) -> dict[str, Any]:
        try:
            algorithm = jwt.get_unverified_header(id_token).get("alg")
        except jwt.PyJWTError as error:
            raise OAuth2Error("the ID token is none") from error
        if algorithm not in ALGORITHMS:
            raise OAuth2Error(f"the ID token is signed by {algorithm!r}")
        found: dict[str, Any] = jwtkit.verify_and_decode(
            credential=id_token,
            keys_url=self.openid_config["jwks_uri"],
            issuer=self.openid_config["issuer"],
            audience=app.client_id,
            lookup_kid=jwtkit.lookup_kid_jwk,
        )
        return found


@needs(ANYBODY)
@require_GET
def login(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Send somebody to the provider."""
    return _answer(OAuth2LoginView, request, provider_id)


@needs(ANYBODY)
@require_GET
def callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Take somebody back from the provider, who has signed in there."""
    return _answer(OAuth2CallbackView, request, provider_id)


def _answer(view: Any, request: HttpRequest, provider_id: str) -> HttpResponse:
    if not settings.HOLDFAST_OIDC_URL:
        raise Http404("nobody signs in at a provider here")
    try:
        response: HttpResponse = view.adapter_view(SignedAdapter(request, provider_id))(request)
    except (
        RequestException,
        KeyError,
        ValueError,
        TypeError,
    ):  # away, or an answer of another kind
        log.warning("the provider cannot be used", exc_info=True)
        return refusal(request, "The provider cannot be reached.")
    return response
