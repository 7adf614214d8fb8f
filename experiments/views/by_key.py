"""The door for programs: a key in a header instead of a session, how often it may ask, and what web pages may read."""

import logging
import math
import time

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_vary_headers

from experiments.services.assignment import FLAGS, Caller
from experiments.services.keys import Limiter, digest

log = logging.getLogger(__name__)

#: Of this process, so several processes let through several times as much.
LIMITER = Limiter(settings.HOLDFAST_FLAG_RATE)

ALLOWED_HEADERS = "Authorization, Content-Type, If-None-Match, X-API-Key"
EXPOSED_HEADERS = "ETag, Retry-After"
PREFLIGHT_SECONDS = 600


def problem(status: int, details: str, *, code: str = "GENERAL", key: str | None = None) -> JsonResponse:
    """What a program is told that gets no answer: never a page, always the same three fields."""
    body = {"errorCode": code, "errorDetails": details}
    return JsonResponse(body if key is None else {"key": key, **body}, status=status)


def admit(request: HttpRequest, flag: str | None) -> HttpResponse | None:
    """Return None for a request that may go on, and the answer to any other."""
    request.META["holdfast.by_key"] = True
    try:
        return _preflight(request) if request.method == "OPTIONS" else _refusal(request, flag)
    except Exception:
        log.exception("a key could not be checked")
        return problem(500, "the key cannot be checked now; try again later", key=flag)


def finish(request: HttpRequest, response: HttpResponse) -> None:
    """Let the page that asked read the answer, refusals too, if a client key names its origin."""
    if not request.META.get("holdfast.by_key"):
        return
    patch_vary_headers(response, ["Origin"])
    origin = request.META.get("holdfast.origin")
    if origin:
        response["Access-Control-Allow-Origin"] = origin
        response["Access-Control-Expose-Headers"] = EXPOSED_HEADERS


def _preflight(request: HttpRequest) -> HttpResponse:
    """A browser asks without the key, so any page that some client key names may go on and send it."""
    if not _known_origin(request):
        return problem(403, "no client key names this origin")
    response = HttpResponse(status=204)
    response["Access-Control-Allow-Methods"] = "POST"
    response["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
    response["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return response


def _refusal(request: HttpRequest, flag: str | None) -> HttpResponse | None:
    _known_origin(request)
    text = _text(request)
    if text is None:
        response = problem(401, "send a key in the header Authorization: Bearer KEY, or X-API-Key", key=flag)
        response["WWW-Authenticate"] = "Bearer"
        return response
    digested = digest(text)
    caller = FLAGS.get(time.monotonic()).callers.get(digested)
    if caller is None:
        response = problem(401, "this key is not known, or was revoked", key=flag)
        response["WWW-Authenticate"] = "Bearer"
        return response
    wrong = _wrong_place(caller, request.headers.get("Origin"))
    if wrong is not None:
        return problem(403, wrong, key=flag)
    seconds = LIMITER.wait(digested, time.monotonic())
    if seconds:
        response = problem(429, f"more than {settings.HOLDFAST_FLAG_RATE} requests a second with this key", key=flag)
        response["Retry-After"] = str(math.ceil(seconds))
        return response
    return None


def _text(request: HttpRequest) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("X-API-Key", "").strip() or None


def _wrong_place(caller: Caller, origin: str | None) -> str | None:
    """Why a key may not be used from where the request comes. Programs other than browsers send no origin."""
    if origin is None:
        return None
    if caller.kind == "server":
        return "a server key is a secret, and a web page has sent it; revoke it, and make a client key for pages"
    return None if origin in caller.origins else f"the key is not for pages of {origin}"


def _known_origin(request: HttpRequest) -> bool:
    origin = request.headers.get("Origin")
    if origin is None or origin not in FLAGS.get(time.monotonic()).origins:
        return False
    request.META["holdfast.origin"] = origin
    return True
