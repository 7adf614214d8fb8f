"""Definitions that come from elsewhere than the command line: they name a registered source, never paths of ours."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from experiments import definitions
from experiments.definitions import Definition, DefinitionProblem
from experiments.definitions.errors import Violation
from experiments.models import Person
from experiments.services.apply import Applied, apply
from experiments.services.metrics import StoredCatalog

#: What messages call the text, in place of a file's name.
FILE = "definition"


def parse(content: bytes) -> Definition:
    """Validate a definition in YAML; `use:` takes metrics of the catalog.

    Raises DefinitionProblem, also where it says where data are.
    """
    definition = definitions.parse(content, FILE, Path(), StoredCatalog())
    spec = definition.source
    given = [name for name in ("exposures", "facts") if getattr(spec, name)]
    broken = [Violation(f"source.{name}", "paths are for the command line; name a registered source") for name in given]
    if spec.name is None and not broken:
        broken = [Violation("source.name", "is missing; name a registered source")]
    if broken:
        raise DefinitionProblem(FILE, broken)
    return definition


def from_json(content: bytes) -> bytes:
    """Return the YAML of a definition in JSON. Raises DefinitionProblem."""
    try:
        value = json.loads(content, object_pairs_hook=_once, parse_constant=_no_number)
        return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).encode()
    except (ValueError, RecursionError) as error:
        raise DefinitionProblem(FILE, [Violation("", f"not valid JSON: {error}")]) from error


def submit(
    content: bytes, key: str, *, person: Person, by: str, now: datetime, amend: str | None = None, dry_run: bool = False
) -> Applied:
    """Apply the definition of one experiment for a person. Raises DefinitionProblem, CannotApply, NotAllowed."""
    definition = parse(content)
    if definition.plan.key != key:
        kind = definition.plan.kind
        raise DefinitionProblem(FILE, [Violation(kind, f"is `{definition.plan.key}`, and the address says `{key}`")])
    return apply([definition], now, amend=amend, dry_run=dry_run, by=by, person=person)[0]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise ValueError(f"the key `{key}` stands twice")
        seen[key] = value
    return seen


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not a number")
