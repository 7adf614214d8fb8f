"""What pydantic finds wrong, in the words of the contract: the field, what was found, what is allowed."""

import difflib
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from experiments.definitions.errors import Violation


def _field(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def explained(detail: Mapping[str, Any], model: type[BaseModel]) -> Violation:
    """Turn one error of pydantic into a violation that says what was found and what is allowed."""
    location = tuple(part for part in detail["loc"] if not str(part).startswith(("constrained-", "function-")))
    kind, found = detail["type"], detail["input"]
    name = str(location[-1]) if location else ""
    if kind == "extra_forbidden":
        return Violation(_field(location), f"unknown key `{name}`" + _suggestion(name, _known(model, location)))
    if kind == "missing":
        return Violation(_field(location), "is missing")
    if name == "kind" and "percentile" in str(found):
        return Violation(_field(location), "percentiles are not supported yet; use mean, active, ratio or event")
    message = re.sub(r"^(Value error, |Input )", "", detail["msg"])
    if name == "dsn":
        return Violation(_field(location), message)  # what was found may be a password
    return Violation(_field(location), f"{message} (found {_shown(found)})")


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 60 else text[:57] + "..."


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; known keys are {', '.join(known)}"


def _known(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys allowed where ``location`` points, by following the model's annotations."""
    for part in location[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models(model.model_fields[part].annotation), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def _models(annotation: Any) -> typing.Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for inner in typing.get_args(annotation):
        yield from _models(inner)
