"""Keys of programs that ask for flags: made, revoked, and how often each may ask. Only hashes are kept."""

import hashlib
import secrets
import threading
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

from django.db import transaction

from experiments.models import AuditEntry, SdkKey
from experiments.models.audit import SDK_KEY

PREFIXES = {"server": "hfs_", "client": "hfc_"}
HINT = 10
LONGEST_NAME = 100


class CannotChangeKey(Exception):
    """A key cannot be made or revoked. The message says why."""


class NoSuchKey(LookupError):
    """There is no key of this number."""


def digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


@transaction.atomic
def create(name: str, kind: str, origins: Sequence[str], *, by: str, now: datetime) -> str:
    """Make a key and return its text, which is shown this once. Raises CannotChangeKey."""
    if not 0 < len(name.strip()) <= LONGEST_NAME:
        raise CannotChangeKey(f"a key has a name of 1 to {LONGEST_NAME} characters")
    if kind not in PREFIXES:
        raise CannotChangeKey(f"a key is for a {' or a '.join(PREFIXES)} (found {kind})")
    if kind == "server" and origins:
        raise CannotChangeKey("a server key is a secret and has no origins; pages need a client key")
    if kind == "client" and not origins:
        raise CannotChangeKey("a client key needs the origins of its pages, such as https://shop.example.com")
    if SdkKey.objects.filter(name=name.strip(), revoked_at__isnull=True).exists():
        raise CannotChangeKey(f"there is a key `{name.strip()}`; revoke it first, or take another name")
    allowed = sorted({_origin(origin) for origin in origins})
    text = PREFIXES[kind] + secrets.token_urlsafe(32)
    SdkKey.objects.create(
        name=name.strip(), kind=kind, hint=text[:HINT], digest=digest(text), origins=allowed, created_at=now
    )
    AuditEntry.objects.record(
        by=by, verb="made", kind=SDK_KEY, key=name.strip(), now=now, after={"kind": kind, "origins": allowed}
    )
    return text


@transaction.atomic
def revoke(name: str, *, by: str, now: datetime) -> None:
    """End a key for good. Raises CannotChangeKey."""
    rows = SdkKey.objects.filter(name=name, revoked_at__isnull=True)
    key = rows.select_for_update().first()
    if key is None:
        raise CannotChangeKey(f"there is no key `{name}` in use")
    _end(key, by, now)


@transaction.atomic
def revoke_number(number: int, *, by: str, now: datetime) -> None:
    """End the key of a number for good, whatever is called the same now. Raises NoSuchKey, CannotChangeKey."""
    key = SdkKey.objects.select_for_update().filter(pk=number).first()
    if key is None:
        raise NoSuchKey("there is no such key")
    if key.revoked_at is not None:
        raise CannotChangeKey(f"the key `{key.name}` was revoked on {key.revoked_at:%Y-%m-%d}")
    _end(key, by, now)


def find(number: int) -> SdkKey:
    """Return a key, revoked or not. Raises NoSuchKey."""
    key = SdkKey.objects.filter(pk=number).first()
    if key is None:
        raise NoSuchKey("there is no such key")
    return key


def _end(key: SdkKey, by: str, now: datetime) -> None:
    key.revoked_at = max(now, key.created_at)
    key.save(update_fields=["revoked_at"])
    AuditEntry.objects.record(by=by, verb="revoked", kind=SDK_KEY, key=key.name, now=now)


def everything() -> list[SdkKey]:
    """All keys, the revoked ones too, oldest first."""
    return list(SdkKey.objects.all())


def _origin(text: str) -> str:
    """An origin as browsers send it: scheme, host, and a port that is not the scheme's own."""
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError as error:
        raise CannotChangeKey(f"`{text}` is not an origin: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.username:
        raise CannotChangeKey(f"`{text}` is not an origin such as https://shop.example.com or http://localhost:3000")
    if parts.query or parts.fragment or "*" in parts.hostname:
        raise CannotChangeKey(f"`{text}` is not one origin; name each by itself, without a path")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != usual else "")


class Limiter:
    """How often each key may ask: ``per_second`` on average, and as many at once. In this process alone."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def wait(self, key: str, moment: float) -> float:
        """Return 0 and count the request, or the seconds after which it may be made. ``moment`` is in seconds."""
        with self._lock:
            left, since = self._buckets.get(key, (self._per_second, moment))
            left = min(self._per_second, left + (moment - since) * self._per_second)
            if left >= 1:
                self._buckets[key] = (left - 1, moment)
                return 0.0
            self._buckets[key] = (left, moment)
            return (1 - left) / self._per_second
