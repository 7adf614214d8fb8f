"""The forms of experiments and holdouts: how what was typed becomes a definition.

A field's name is the path at which the definition has its value, so a violation names its field. Fields that do not
belong to what was chosen (the margin of a metric that is no guardrail) are hidden, and what stands in them is not read.
"""

import copy
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from experiments.definitions.partial import kind_of, put, value_at
from experiments.form_steps import METRICS, ROW, RULE, TIMING, VARIANTS, Field, FieldKind, Section, Step

#: The most rows of one step: a form has at most a thousand fields.
MOST_ROWS = 50

#: Posted beside the fields: where the data are, which variant is the control, who says what asks for a rollback, the
#: members that were chosen from those there are.
SOURCE, CONTROL, ROLLBACK, MEMBERS = "chosen_source", "control", "rollback", "chosen_members"
DEFAULT_ROLLBACK, OWN_ROLLBACK = "default", "own"

#: One of several names with the comma after it; in quotation marks it may have commas itself.
_NAME = re.compile(r'\s*(?:"((?:[^"]|"")*)"\s*|([^,]*))(?:,|\Z)')

_WHOLE = re.compile(r"[+-]?\d{1,15}")

#: The keys of a metric that belong to its kind, and to none of the others.
_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "mean": ("column", "cap"), "active": ("column",), "ratio": ("numerator", "denominator", "cap"),
    "event": ("event", "adjust"),
}  # fmt: skip
_ANY_KIND = ("column", "numerator", "denominator", "cap", "event", "adjust")


def sections(step: Step, body: Mapping[str, Any]) -> Iterator[tuple[Section, int | None]]:
    """The sections of a step with this definition in it, and the number of the row that one is."""
    yield from ((section, None) for section in step.sections)
    if step.row is not None:
        for number in range(len(rows_of(step, body))):
            yield _numbered(step.row, number), number


def rows_of(step: Step, body: Mapping[str, Any]) -> Sequence[Any]:
    found = value_at(body, step.rows)
    return found if isinstance(found, list) else []


def _numbered(section: Section, number: int) -> Section:
    fields = tuple(replace(field, path=_at(field.path, number)) for field in section.fields)
    return replace(section, fields=fields, path=_at(section.path, number))


def _at(path: str, number: int) -> str:
    return path.replace(f"[{ROW}]", f"[{number}]")


def as_text(field: Field, body: Mapping[str, Any]) -> str:
    """What stands in a field. Of several names, one with a comma in it stands in quotation marks."""
    value = value_at(body, field.path)
    if isinstance(value, list):
        return ", ".join(_quoted(str(one)) for one in value)
    return "" if value is None else str(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if "," in name or name.startswith('"') else name


def _names(text: str) -> list[str]:
    """Names between commas, as ``as_text`` writes them."""
    found = [quoted.replace('""', '"') if quoted else plain.strip() for quoted, plain in _NAME.findall(text)]
    return [name for name in found if name]


# --- what was typed ---------------------------------------------------------------------------------------------------
def read(step: Step, body: Mapping[str, Any], posted: Mapping[str, str]) -> dict[str, Any]:
    """Return the definition with what was posted for a step; keys that the form does not know stay as they are."""
    found: dict[str, Any] = copy.deepcopy(dict(body))
    if step.row is not None:
        put(found, step.rows, [_rest(row) for row in _resized(rows_of(step, body), _rows_posted(step, posted))])
    for section, _ in sections(step, found):
        for field in section.fields:
            _take(found, field, _clean(posted.get(field.path, "")), body)
    found.setdefault(kind_of(body), None)  # without a key, what it is to be could not be told
    return _fitted(step, found, posted)


def members_read(body: Mapping[str, Any], chosen: Sequence[str], typed: str) -> str:
    """Return the members that were chosen from a list or typed, as a text: those there were keep their places."""
    names = list(dict.fromkeys([*chosen, *(name.strip() for name in typed.split(",") if name.strip())]))
    before = body.get("members")
    kept = [name for name in before if name in names] if isinstance(before, list) else []
    return ", ".join(dict.fromkeys([*kept, *names]))


def with_row(
    step: Step, body: Mapping[str, Any], row: Mapping[str, Any] | None = None, without: int | None = None
) -> dict[str, Any]:
    """Return the definition with one more row on a step, or ``without`` the row of this number.

    A ``row`` that is filled in takes the place of those in which nothing has been said of what they are.
    """
    found: dict[str, Any] = copy.deepcopy(dict(body))
    rows = list(rows_of(step, found))
    if row is not None:
        rows = [*(one for one in rows if one.get("key")), dict(row)][:MOST_ROWS]
    elif without is None:
        rows = [*rows, {}][:MOST_ROWS]
    else:
        del rows[without : without + 1]
    put(found, step.rows, rows)
    return found


def _rows_posted(step: Step, posted: Mapping[str, str]) -> int:
    numbers = [int(found[1]) for name in posted if (found := re.match(rf"{re.escape(step.rows)}\[(\d{{1,3}})\]", name))]
    return min(max(numbers, default=-1) + 1, MOST_ROWS)


def _resized(rows: Sequence[Any], size: int) -> list[Any]:
    return [*rows[:size], *([{}] * (size - len(rows)))]


def _rest(row: Any) -> dict[str, Any]:
    """What a row has beside the fields of the form: the payload of a variant."""
    return {"payload": row["payload"]} if isinstance(row, Mapping) and "payload" in row else {}


def _clean(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\x00", "").strip()


def _take(body: dict[str, Any], field: Field, text: str, before: Mapping[str, Any]) -> None:
    """Put what was typed where it belongs; an empty field takes the key away, and leaves a gap in a window.

    Where it shows what stood there ``before``, that stays: a browser takes line ends out of names, and we blanks at
    both ends, and a definition may come from a file that has them.
    """
    stood = value_at(before, field.path)
    shown = _clean(as_text(field, before))
    same = stood and _only_texts(stood) and text in (shown, _clean(shown.replace("\n", "").replace("\r", "")))
    value = stood if same else _typed(field.kind, text)
    if value is not None or field.path.endswith("]"):
        put(body, field.path, value)
        return
    way, _, last = field.path.rpartition(".")
    place = value_at(body, way) if way else body
    if isinstance(place, dict):
        place.pop(last, None)


def _only_texts(value: Any) -> bool:
    return all(isinstance(one, str) for one in (value if isinstance(value, list) else [value]))


def _typed(kind: FieldKind, text: str) -> Any:
    """The value of a text; one that is not of the kind stays text, and is refused as such."""
    if not text:
        return None
    if kind == "names":
        return _names(text) or None
    if kind in ("integer", "number") and _WHOLE.fullmatch(text):
        return int(text)
    if kind == "number":
        try:
            number = float(text)
        except ValueError:
            return text
        return number if math.isfinite(number) and "_" not in text else text
    return text


def _fitted(step: Step, body: dict[str, Any], posted: Mapping[str, str]) -> dict[str, Any]:
    """Leave out what does not belong to what was chosen."""
    if step.name == VARIANTS.name:
        for number, variant in enumerate(body["variants"]):
            if posted.get(CONTROL) == str(number):
                variant["control"] = True
    if step is METRICS:
        body["metrics"] = [_fitted_metric(metric) for metric in body["metrics"]]
    if step.name == TIMING.name:
        windows = body.get("windows") or {}
        body["windows"] = {name: weeks for name, weeks in windows.items() if weeks != [None, None]}
    if step.name == RULE.name:
        rule = body["decision"]
        rule.pop("spending" if rule.get("looks") == "any_time" else "planned_units", None)
        if posted.get(ROLLBACK, DEFAULT_ROLLBACK) == DEFAULT_ROLLBACK:
            rule.pop("rollback", None)
    return body


def _fitted_metric(metric: dict[str, Any]) -> dict[str, Any]:
    own = _OF_KIND.get(str(metric.get("kind")), _ANY_KIND)
    found = {key: value for key, value in metric.items() if key not in _ANY_KIND or key in own}
    if found.get("role") != "guardrail":
        found.pop("margin", None)
    if found.get("kind") == "event":
        found.pop("weight", None)
        if isinstance(found.get("event"), dict) and found["event"].get("type") != "inactivity":
            found["event"].pop("gap_weeks", None)
    return found
