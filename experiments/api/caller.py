"""Who calls: the one place that decides it for programs."""

import hashlib
import hmac

from django.conf import settings
from django.http import HttpRequest


class NotCalled(Exception):
    """The caller is not known. The message says what is missing."""


def caller_of(request: HttpRequest) -> str:
    """Return who sends a request, by the server key it carries. Raises NotCalled; without a key set up, always."""
    expected = settings.HOLDFAST_SERVER_KEY_SHA256
    if not expected:
        raise NotCalled("no server key is set up here (HOLDFAST_SERVER_KEY_SHA256), so nobody may send events")
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise NotCalled("the header `Authorization: Bearer <server key>` is missing")
    found = hashlib.sha256(key.strip().encode()).hexdigest()
    if not hmac.compare_digest(found, expected):
        raise NotCalled("the server key is not the one that is set up here")
    return "server"
