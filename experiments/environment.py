"""What the environment says, read by ``settings`` alone: a value that cannot be meant is fatal, and is named."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

from experiments import kept


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, "") or default


def secret(name: str) -> str:
    """See ``kept.secret``."""
    try:
        return kept.secret(name)
    except kept.SecretProblem as problem:
        raise ImproperlyConfigured(f"{problem}.") from None


def needed(name: str, because: str) -> str:
    """A secret that has to be there since another variable is."""
    value = secret(name)
    if not value:
        raise ImproperlyConfigured(f"{because} is set, so {name} has to be set too.")
    return value


def flag(name: str, *, default: bool = False) -> bool:
    value = os.environ.get(name, "") or str(int(default))
    if value not in ("0", "1"):
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be 0 or 1.")
    return value == "1"


def whole_number(name: str, default: int, smallest: int = 1) -> int:
    value = os.environ.get(name, "") or str(default)
    if not value.isascii() or not value.isdecimal() or int(value) < smallest:
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be a whole number, {smallest} or more.")
    return int(value)


def names(name: str, default: list[str]) -> list[str]:
    return [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()] or default


def folders(name: str) -> list[Path]:
    """Full paths with commas between; the root is too much to name."""
    found = [Path(part) for part in names(name, [])]
    for folder in found:
        if not folder.is_absolute() or len(folder.parts) < 2:
            raise ImproperlyConfigured(f"{name} names {str(folder)!r}; folders are full paths below /, with commas.")
    return found


def one_of(name: str, allowed: tuple[str, ...], default: str) -> str:
    value = text(name, default)
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be one of {', '.join(allowed)}.")
    return value


def web_address(name: str, loopback: list[str]) -> str:
    """An https address; plain http may be spoken to this machine alone."""
    value = text(name)
    parts = urlsplit(value)
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    if value and not (host and (parts.scheme == "https" or (parts.scheme == "http" and host in loopback))):
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be an address that begins with https://.")
    return value


def database(url: str, password: str) -> dict[str, Any]:
    """Django's entry for the database at ``url``. ``password`` is for an address that has none in it."""
    try:
        parts: dict[str, Any] = dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError:  # its message repeats the address, password and all
        raise ImproperlyConfigured(
            "DATABASE_URL is not the address of a PostgreSQL database. It looks like "
            "postgresql://user:password@host:5432/name."
        ) from None
    name = parts.pop("dbname", None)
    if not name and "service" not in parts:
        raise ImproperlyConfigured("DATABASE_URL names no database: add its name at the end, as in .../holdfast.")
    if password and parts.get("password"):
        raise ImproperlyConfigured("DATABASE_URL has a password in it, and HOLDFAST_DATABASE_PASSWORD is set too.")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name or "",
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", "") or password,
        "HOST": parts.pop("host", ""),
        "PORT": str(parts.pop("port", "")),
        "OPTIONS": parts,
    }
