"""Signing in at an OpenID Connect provider: a small real one answers over HTTP and signs its tokens."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client

from experiments.models import AuditEntry, Person
from tests.people import login as password_login
from tests.people import person

pytestmark = pytest.mark.django_db

CLIENT, SECRET = "holdfast", "the secret of the client"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Provider(ThreadingHTTPServer):
    """Who signs in is ``user``; ``claims`` are changed before they are signed by ``sign``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.user: dict[str, Any] = {
            "sub": "7", "email": "Someone@Example.com", "email_verified": True, "name": "Some One"
        }  # fmt: skip
        self.info: dict[str, Any] | None = None
        self.claims: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
        self.sign: Callable[[dict[str, Any]], str] = lambda claims: jwt.encode(claims, KEY, "RS256", {"kid": "one"})
        self.codes: dict[str, str] = {}

    def answer(self, path: str, query: dict[str, str], form: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        if path == "/.well-known/openid-configuration":
            return 200, {}, {
                "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token", "userinfo_endpoint": f"{self.url}/userinfo",
                "jwks_uri": f"{self.url}/keys", "token_endpoint_auth_methods_supported": ["client_secret_post"],
            }  # fmt: skip
        if path == "/authorize":
            assert query["client_id"] == CLIENT
            assert query["code_challenge_method"] == "S256"
            assert "openid" in query["scope"].split()
            code = secrets.token_urlsafe()
            self.codes[code] = query["code_challenge"]
            back = {"code": code, "state": query["state"]}
            return 302, {"Location": f"{query['redirect_uri']}?{urlencode(back)}"}, None
        if path == "/token":
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            assert self.codes.pop(form["code"]) == base64.urlsafe_b64encode(digest).decode().rstrip("=")
            assert (form["client_id"], form["client_secret"]) == (CLIENT, SECRET)
            now = int(time.time())
            claims = {**self.user, "iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300}
            token = self.sign(self.claims(claims))
            return 200, {}, {"access_token": "access", "token_type": "Bearer", "id_token": token}
        if path == "/userinfo":
            return 200, {}, self.user if self.info is None else self.info
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
        return 200, {}, {"keys": [{**public, "kid": "one", "alg": "RS256", "use": "sig"}]}


class Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length", 0))
        query, form = (
            {key: values[0] for key, values in parse_qs(text).items()}
            for text in (parts.query, self.rfile.read(length).decode())
        )
        status, headers, body = self.server.answer(parts.path, query, form)
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body is not None:
            self.wfile.write(json.dumps(body).encode())

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def provider(settings: Any) -> Iterator[Provider]:
    with Provider() as opened:
        threading.Thread(target=opened.serve_forever, args=(0.01,), daemon=True).start()
        settings.HOLDFAST_OIDC_URL, settings.HOLDFAST_OIDC_NAME = opened.url, "Our Company"
        app = {"provider_id": "sso", "name": "Our Company", "client_id": CLIENT, "secret": SECRET}
        settings.SOCIALACCOUNT_PROVIDERS = {
            "openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [{**app, "settings": {"server_url": opened.url}}]}
        }
        yield opened
        opened.shutdown()


def sent_back(browser: Client, where: str = "/login/sso/") -> str:
    """Go to the provider, sign in there, and return the address that it leads back to."""
    there = browser.get(where)
    assert there.status_code == 302, there.content
    back = requests.get(there.headers["Location"], allow_redirects=False, timeout=10)
    address = urlsplit(back.headers["Location"])
    assert address.netloc == "testserver"
    return f"{address.path}?{address.query}"


def sign_in(browser: Client, where: str = "/login/sso/") -> Any:
    return browser.get(sent_back(browser, where))


def test_the_login_page_leads_to_the_provider_where_there_is_one(provider: Provider, settings: Any) -> None:
    page = Client().get("/login/?next=/metrics/").content.decode()
    assert 'href="/login/sso/?next=/metrics/">Sign in with Our Company</a>' in page
    settings.HOLDFAST_OIDC_URL = ""
    assert "login/sso" not in Client().get("/login/").content.decode()
    assert Client().get("/login/sso/").status_code == 404
    assert Client().get("/login/sso/callback/").status_code == 404


def test_a_new_person_is_an_outsider_until_an_admin_gives_a_role(provider: Provider) -> None:
    browser = Client()
    response = sign_in(browser)
    assert (response.status_code, response.headers["Location"]) == (302, "/")
    made = Person.objects.get()
    assert (made.email, made.role, made.has_usable_password()) == ("someone@example.com", None, False)
    entry = AuditEntry.objects.get(object_key=made.email)
    assert (entry.verb, entry.actor) == ("account made", "sign-in provider")
    refused = browser.get("/")
    assert refused.status_code == 403
    assert b"an admin gives it one" in refused.content
    Person.objects.update(role="viewer")
    assert browser.get("/").status_code == 200


def test_who_is_known_here_keeps_the_role_and_gets_the_page_that_was_asked_for(provider: Provider) -> None:
    known = person("editor")
    provider.user = {"sub": "8", "email": "EDITOR@example.com", "email_verified": True}
    browser = Client()
    assert sign_in(browser, "/login/sso/?next=/metrics/").headers["Location"] == "/metrics/"
    assert browser.get("/metrics/").status_code == 200
    assert browser.session["_auth_user_id"] == str(known.pk)
    assert browser.session["_auth_user_backend"] == "experiments.accounts.PersonBackend"
    assert Person.objects.count() == 1


def test_the_same_subject_is_the_same_person_whatever_address_it_has_later(provider: Provider) -> None:
    sign_in(Client())
    first = Person.objects.get()
    provider.user = {"sub": "7", "email": "married@example.com", "email_verified": False}
    browser = Client()
    assert sign_in(browser).status_code == 302
    assert browser.session["_auth_user_id"] == str(first.pk)
    assert Person.objects.count() == 1


def test_an_unused_one_time_password_is_void_after_a_login_at_the_provider(provider: Provider) -> None:
    known = person("viewer")
    Person.objects.update(must_change_password=True)
    provider.user = {"sub": "9", "email": known.email, "email_verified": True}
    browser = Client()
    sign_in(browser)
    assert browser.get("/").status_code == 200
    assert password_login(known.email)[0] == 200  # the login page again, not signed in
    assert AuditEntry.objects.filter(object_key=known.email, verb="one-time password dropped").count() == 1


def signed_in(browser: Client) -> bool:
    return "_auth_user_id" in browser.session


@pytest.mark.parametrize(
    "user",
    [
        {"sub": "7", "email": "viewer@example.com"},
        {"sub": "7", "email": "viewer@example.com", "email_verified": False},
        {"sub": "7", "email": "viewer@example.com", "email_verified": "false"},
        {"sub": "7", "email_verified": True},
        {"sub": "7", "email": "no address", "email_verified": True},
    ],
)
def test_an_address_that_the_provider_does_not_vouch_for_lets_nobody_in(
    provider: Provider, user: dict[str, Any]
) -> None:
    person("viewer")
    provider.user = user
    browser = Client()
    response = sign_in(browser)
    assert response.status_code == 403
    assert not signed_in(browser)
    assert Person.objects.count() == 1


@pytest.mark.parametrize("changes", [{"is_active": False}, {"demo_run": "a run"}])
def test_a_closed_account_stays_closed(provider: Provider, changes: dict[str, Any]) -> None:
    person("viewer")
    provider.user = {"sub": "8", "email": "viewer@example.com", "email_verified": True}
    assert sign_in(Client()).status_code == 302
    Person.objects.update(**changes)
    browser = Client()
    response = sign_in(browser)
    assert response.status_code == 403
    assert b"This account is disabled" in response.content
    assert not signed_in(browser)


FORGERIES: dict[str, Callable[[Provider], None]] = {
    "signed by another key": lambda it: setattr(
        it, "sign", lambda claims: jwt.encode(claims, OTHER_KEY, "RS256", {"kid": "one"})
    ),
    "signed by an unknown key": lambda it: setattr(
        it, "sign", lambda claims: jwt.encode(claims, OTHER_KEY, "RS256", {"kid": "two"})
    ),
    "signed by nobody": lambda it: setattr(it, "sign", lambda claims: jwt.encode(claims, "", "none")),
    "signed with a password": lambda it: setattr(
        it, "sign", lambda claims: jwt.encode(claims, "p" * 64, "HS256", {"kid": "one"})
    ),
    "not a token": lambda it: setattr(it, "sign", lambda claims: "nonsense"),
    "no token": lambda it: setattr(it, "sign", lambda claims: ""),
    "for another client": lambda it: setattr(it, "claims", lambda claims: {**claims, "aud": "another"}),
    "by another issuer": lambda it: setattr(it, "claims", lambda claims: {**claims, "iss": "https://evil.example"}),
    "too old": lambda it: setattr(it, "claims", lambda claims: {**claims, "exp": int(time.time()) - 60}),
    "about somebody else": lambda it: setattr(it, "info", {**it.user, "sub": "8"}),
    "about nobody": lambda it: setattr(it, "info", {"email": "viewer@example.com", "email_verified": True}),
}


@pytest.mark.parametrize("how", FORGERIES)
def test_a_forged_answer_lets_nobody_in(provider: Provider, how: str) -> None:
    FORGERIES[how](provider)
    browser = Client()
    response = sign_in(browser)
    assert response.status_code == 403, how
    assert b"Not signed in" in response.content
    assert not signed_in(browser)
    assert not Person.objects.exists()


def test_an_answer_to_another_browser_is_refused(provider: Provider) -> None:
    stolen = sent_back(Client())
    browser = Client()
    assert browser.get(stolen).status_code == 403
    assert not signed_in(browser)
    for broken in (
        "/login/sso/callback/",
        "/login/sso/callback/?code=x&state=y",
        "/login/sso/callback/?error=access_denied",
    ):
        assert Client().get(broken).status_code == 403


def test_an_answer_is_taken_once(provider: Provider) -> None:
    browser = Client()
    address = sent_back(browser)
    assert browser.get(address).status_code == 302
    browser.post("/logout/")
    assert browser.get(address).status_code == 403


def test_who_cancels_at_the_provider_is_told_so(provider: Provider) -> None:
    browser = Client()
    state = parse_qs(urlsplit(browser.get("/login/sso/").headers["Location"]).query)["state"][0]
    response = browser.get("/login/sso/callback/", {"error": "access_denied", "state": state})
    assert response.status_code == 403
    assert b"The provider did not say who you are" in response.content


def test_a_provider_that_is_away_gives_a_page_and_no_traceback(provider: Provider, settings: Any) -> None:
    apps = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"]
    apps[0]["settings"]["server_url"] = "http://127.0.0.1:1"
    response = Client().get("/login/sso/")
    assert response.status_code == 403
    assert b"The provider cannot be reached" in response.content


def test_the_page_to_go_to_afterwards_is_one_of_ours(provider: Provider) -> None:
    for elsewhere in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
        assert sign_in(Client(), f"/login/sso/?{urlencode({'next': elsewhere})}").headers["Location"] == "/"
