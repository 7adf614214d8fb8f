"""The API as programs use it: a client that sends a token."""

from collections.abc import Callable
from typing import Any, get_args

import yaml
from django.test import Client
from pydantic import BaseModel

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


def ask(client: Client, address: str) -> Any:
    """Post an address with nothing to say. Django's client would send an empty form, which is a body."""
    return client.post(address, content_type="application/json")


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


def undescribed(value: Any, model: Any, where: str = "") -> set[str]:
    """Fields of a JSON value that the schema lacks, or the other way round."""
    kinds = [one for one in get_args(model) if one is not type(None)]
    if isinstance(value, list):
        of_list = kinds[0] if type(None) in get_args(model) else model
        return set().union(*(undescribed(one, get_args(of_list)[0], where) for one in value))
    models = [one for one in (model, *kinds) if isinstance(one, type) and issubclass(one, BaseModel)]
    if not isinstance(value, dict) or not models:
        return set()
    fields = models[0].model_fields
    found = {f"{where}.{name}" for name in set(value) ^ set(fields)}
    return found.union(*(undescribed(one, fields[name].annotation, f"{where}.{name}")
                         for name, one in value.items() if name in fields))  # fmt: skip
