"""The API as programs use it: a client that sends a token."""

from collections.abc import Callable
from typing import Any

import yaml
from django.test import Client

from experiments.models import Look, Source
from experiments.services import tokens
from experiments.sources.base import Columns, SourceSpec
from tests.experiments import small_data
from tests.experiments.looks import NOW
from tests.people import person

ROOT = "/api/v1"

#: Takes the look of an experiment from beginning to end, and returns it.
AtOnce = Callable[[str], Look]
SCOPES = ("read", "apply", "refresh", "events")


def secret(name: str, *scopes: str) -> str:
    """A token of a member of the cast, with all scopes that they may have unless some are named."""
    owner = person(name)
    able = {"viewer": ("read",)}.get(name, SCOPES)
    return tokens.create(owner, "test", scopes or able, None, by=owner.email, now=NOW).secret


def program(name: str, *scopes: str) -> Client:
    """A program with a token of a member of the cast."""
    return Client(headers={"Authorization": f"Bearer {secret(name, *scopes)}"})


def registered(folder: Any, key: str = "warehouse") -> Source:
    """A registered source over the files of the small experiment."""
    source = Source(key=key)
    source.spec = SourceSpec("files", "exposures.parquet", "facts.parquet", folder, Columns())
    source.save()
    return source


def definition(**changes: Any) -> dict[str, Any]:
    """The small experiment as it may come through the API: it names its source."""
    return {**small_data.definition(), "source": {"name": "warehouse"}, **changes}


def as_yaml(value: Any) -> str:
    return str(yaml.safe_dump(value, sort_keys=False))
