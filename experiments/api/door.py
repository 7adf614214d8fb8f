"""The door of the API: every operation says which scope it takes, and everything else is refused here, in one place."""

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja.security import HttpBearer

from experiments.api.problems import Refused
from experiments.definitions.yaml_text import MAX_BYTES
from experiments.models import ApiToken
from experiments.models.token import Scope
from experiments.services import tokens


class Token(HttpBearer):
    """What an operation takes: ``auth=Token("read")``. Sessions open nothing here, so nothing can be forged with them.

    A request goes on if it has a token that is good (401), not used too often where uses are counted ``by_minute``
    (429), with the scope, whose owner has the right behind it (403), and a body of at most ``most`` bytes (413).
    """

    def __init__(self, scope: Scope, most: int = MAX_BYTES, *, by_minute: bool = True) -> None:
        super().__init__()
        self.scope, self.most, self.by_minute = scope, most, by_minute

    def authenticate(self, request: HttpRequest, token: str) -> ApiToken:
        opened = tokens.opened(token, timezone.now(), by_minute=self.by_minute)
        tokens.require(opened, self.scope)
        told = request.META.get("CONTENT_LENGTH") or ""
        length = int(told) if told.isdecimal() else 0  # without a length Django reads no body
        if length > self.most:
            raise Refused(413, f"the body has {length:,} bytes; at most {self.most:,} are read here")
        return opened


def token_of(request: HttpRequest) -> ApiToken:
    """The token of a request that has come through the door."""
    found: Any = getattr(request, "auth", None)
    assert isinstance(found, ApiToken)
    return found


def actor_of(request: HttpRequest) -> str:
    """Who asks, as the audit log has it."""
    token = token_of(request)
    return f"{token.owner.email} (token {token.prefix}…)"
