"""Definitions in the making: values by their paths, and what is wrong with the part that somebody is filling in.

A path is the one that violations name: ``variants[0].weight``. The rules and their words are those of definition files.
"""

import copy
import re
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from experiments.definitions.errors import DefinitionProblem, Violation
from experiments.definitions.parse import parse_mapping

DefinitionKind = Literal["experiment", "holdout"]

#: How violations of a definition that is typed into a form begin; readers see their fields instead.
FORM = "form"

_PART = re.compile(r"([^.\[\]]+)|\[(\d{1,4})\]")

#: What stands for keys that are filled in later, so that the rules which join keys can be asked already.
_LATER: Mapping[str, Any] = {
    "name": "later",
    "owner": "later",
    "source": {"name": "later"},
    "variants": [{"key": "control", "weight": 1, "control": True}, {"key": "treatment", "weight": 1}],
    "start_date": "2000-01-03",
    "enrollment_weeks": 520,
    "horizon_weeks": 520,
    "windows": {"early": [0, 1], "late": [1, 2]},
    "metrics": [{"key": "later", "kind": "mean", "column": "later", "better": "higher", "role": "primary"}],
}

#: What is different of a holdout: its variants follow from its fraction, and it has an end.
_LATER_OF_HOLDOUT: Mapping[str, Any] = {
    **{key: value for key, value in _LATER.items() if key != "variants"},
    "fraction": 0.1,
    "planned_end_date": "9999-12-31",
}


def kind_of(body: Mapping[str, Any]) -> DefinitionKind:
    """What a definition defines, by the key that it has, even without a value; experiments may name a holdout too."""
    return "holdout" if "holdout" in body and "experiment" not in body else "experiment"


def parts(path: str) -> list[str | int]:
    """Split a path: ``variants[0].weight`` is variants, 0, weight."""
    return [int(number) if number else name for name, number in _PART.findall(path)]


def top(path: str) -> str:
    """The key of the definition that a path lies in, empty for the whole of it."""
    return str((parts(path) or [""])[0])


def value_at(body: Any, path: str) -> Any:
    """The value at a path, None where there is none."""
    for part in parts(path):
        inside = isinstance(body, list) and isinstance(part, int) and part < len(body)
        body = body[part] if inside else body.get(part) if isinstance(body, Mapping) else None
    return body


def put(body: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a path, making what lies on the way; places of a list that nobody set are None."""
    way = parts(path)
    place: Any = body
    for part, following in pairwise(way):
        found = _inside(place, part)
        if not isinstance(found, list if isinstance(following, int) else dict):
            found = [] if isinstance(following, int) else {}
            _set(place, part, found)
        place = found
    _set(place, way[-1], value)


def _inside(place: Any, part: str | int) -> Any:
    if isinstance(part, int):
        return place[part] if part < len(place) else None
    return place.get(part)


def _set(place: Any, part: str | int, value: Any) -> None:
    if isinstance(part, int):
        place.extend([None] * (part + 1 - len(place)))
    place[part] = value


def violations(body: Mapping[str, Any], keys: Collection[str] | None = None) -> tuple[Violation, ...]:
    """What is wrong with a definition, as its parser says; with ``keys``, with these keys of it alone.

    Rules that join keys are asked only of a definition whose values are well-formed. So where others than ``keys`` are
    not, valid ones take their place.
    """
    found = _broken(body)
    if keys is None:
        return found
    mine = _within(found, keys)
    others = _others(found, keys)
    return mine if mine or not others else _within(_broken(_patched(body, others)), keys)


def completed(body: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any] | None:
    """The definition with valid values for what is wrong or missing outside ``keys``; None if one of them is."""
    found = _broken(body)
    whole = _patched(body, _others(found, keys))
    return None if _within(found, keys) or _broken(whole) else whole


def _others(found: Iterable[Violation], keys: Collection[str]) -> set[str]:
    return {top(violation.field) for violation in found} - set(keys)


def _patched(body: Mapping[str, Any], others: Collection[str]) -> dict[str, Any]:
    kind = kind_of(body)
    later = {**(_LATER if kind == "experiment" else _LATER_OF_HOLDOUT), kind: "later"}
    kept = {key: value for key, value in body.items() if key not in others}
    # Without a planned end nothing would say how long a holdout follows its units.
    needed = {*others, "horizon_weeks"} if "planned_end_date" in others and "horizon_weeks" not in kept else others
    return kept | {key: copy.deepcopy(later[key]) for key in needed if key in later}


def _within(found: Iterable[Violation], keys: Collection[str]) -> tuple[Violation, ...]:
    return tuple(violation for violation in found if top(violation.field) in keys)


def _broken(body: Mapping[str, Any]) -> tuple[Violation, ...]:
    """Violations of a definition; one without a key is of the kind that ``kind_of`` says."""
    kind = kind_of(body)
    keyless = () if body.get(kind) is not None else (Violation(kind, "is missing"),)
    try:
        parse_mapping({**body, kind: "later"} if keyless else body, FORM, Path())
    except DefinitionProblem as problem:
        return (*keyless, *problem.violations)
    return keyless
