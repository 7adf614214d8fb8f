"""The form of an experiment: its steps and fields, and how what was typed becomes a definition.

A field's name is the path at which the definition has its value, so a violation names its field. Fields that do not
belong to what was chosen (the margin of a metric that is no guardrail) are hidden, and what stands in them is not read.
"""

import copy
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from experiments.definitions.partial import put, top, value_at

Kind = Literal["text", "long", "integer", "number", "day", "choice", "names"]

#: Stands for the number of a row in the paths of a step's rows.
ROW = "#"

#: The most rows of one step: a form has at most a thousand fields.
MOST_ROWS = 50

#: Posted beside the fields: where the data are, which variant is the control, who says what asks for a rollback.
SOURCE, CONTROL, ROLLBACK = "chosen_source", "control", "rollback"
DEFAULT_ROLLBACK, OWN_ROLLBACK = "default", "own"

_WHOLE = re.compile(r"[+-]?\d{1,15}")


@dataclass(frozen=True)
class Field:
    """One input. ``only`` names the choices that it belongs to, as classes of the style sheet."""

    path: str
    label: str
    kind: Kind = "text"
    help: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    only: str = ""


@dataclass(frozen=True)
class Section:
    """Fields that belong together. ``path`` takes the violations of no field of its own."""

    title: str
    fields: tuple[Field, ...]
    path: str = ""
    help: str = ""


@dataclass(frozen=True)
class Step:
    """One page of the form. ``keys`` of the definition are filled in on it; ``rows`` is a list with a section each."""

    name: str
    title: str
    lead: str
    keys: tuple[str, ...]
    sections: tuple[Section, ...] = ()
    rows: str = ""
    row: Section | None = None


def _choices(*values: str) -> tuple[tuple[str, str], ...]:
    return tuple((value, value.replace("_", " ")) for value in values)


_OPTIONAL = ("", "—")

BASICS = Step(
    "basics", "Basics", "What is tried, and what it should do.", ("experiment", "name", "hypothesis", "owner", "unit"),
    (
        Section("What", (
            Field("name", "Name"),
            Field("experiment", "Key", help="Its name in addresses and commands: small letters, digits, dot, dash, _."),
            Field("hypothesis", "Hypothesis", "long", "What changes for whom, by how much, and what it must not cost."),
        )),
        Section("Who", (
            Field("owner", "Owner", help="The e-mail address of whoever starts it and decides on it."),
            Field("unit", "Unit", help="What is assigned and followed: user, household, device."),
        )),
    ),
)  # fmt: skip

DATA = Step(
    "data", "Data", "Where exposures and facts are read.",
    ("source", "clock", "timezone", "segments", "layer", "share", "holdout"),
    (
        Section("Source", (
            Field("source.lag_days", "Lag in days", "integer", "The newest days that are not complete yet."),
            Field("clock", "Clock", "choice", "Calendar if facts come by the week.", _choices("unit", "calendar")),
            Field("timezone", "Time zone", help="Where a day begins, such as UTC or Europe/Berlin."),
            Field("segments", "Segments", "names", "Columns of the exposures, with commas. Optional."),
        ), "source"),
        Section("Traffic", (
            Field("layer", "Layer", help="Experiments of one layer share out its units. Optional."),
            Field("share", "Share", "number", "Of the layer's units: 0.5 is half of them. Optional."),
            Field("holdout", "Holdout", help="Key of the holdout whose units are left out. Optional."),
        ), "", "Two experiments on the same units disturb each other unless one layer keeps them apart."),
    ),
)  # fmt: skip

VARIANTS = Step(
    "variants", "Variants", "The sides that are compared, and how units are split.", ("variants",), (), "variants",
    Section("Variant", (
        Field("variants[#].key", "Key"),
        Field("variants[#].weight", "Weight", "number", "50 and 50, or 9 and 1."),
    ), "variants[#]"),
)  # fmt: skip

METRICS = Step(
    "metrics", "Metrics", "What decides, what must not get worse, and what is only watched.", ("metrics",), (),
    "metrics",
    Section("Metric", (
        Field("metrics[#].key", "Key"),
        Field("metrics[#].kind", "Kind", "choice", "A unit's sum a week, its share of active weeks, a ratio of sums, "
              "or the time to an event.", _choices("mean", "active", "ratio", "event")),
        Field("metrics[#].column", "Column", only="mean active"),
        Field("metrics[#].numerator", "Numerator", only="ratio"),
        Field("metrics[#].denominator", "Denominator", help="A column, or: rows.", only="ratio"),
        Field("metrics[#].event.type", "Event", "choice", choices=_choices("inactivity", "occurrence"), only="event"),
        Field("metrics[#].event.column", "Column of the event", only="event"),
        Field("metrics[#].event.gap_weeks", "Gap in weeks", "integer", "So long without any is inactivity.",
              only="inactivity"),
        Field("metrics[#].better", "Better", "choice", choices=_choices("higher", "lower")),
        Field("metrics[#].role", "Role", "choice", "Primary decides; a guardrail must not get worse.",
              _choices("primary", "secondary", "guardrail", "diagnostic")),
        Field("metrics[#].margin", "Margin", "number", "The relative loss that is tolerated: 0.02 is 2 %.",
              only="guardrail"),
        Field("metrics[#].term", "Term", "choice", "Short: the early window decides. Long: the late one.",
              (_OPTIONAL, ("short", "short"), ("long", "long"))),
        Field("metrics[#].window", "Window", help="Only if another one decides. Optional."),
        Field("metrics[#].weight", "Weight", "number", "In the objective of all metrics together. Optional.",
              only="mean active ratio"),
        Field("metrics[#].cap", "Cap", "number", "Upper limit of a unit's week. Optional.", only="mean ratio"),
        Field("metrics[#].adjust", "Adjust for", "names", "Columns of the exposures, with commas. Optional.",
              only="event"),
    ), "metrics[#]"),
)  # fmt: skip

TIMING = Step(
    "timing", "Timing", "When it starts, how long units are followed, and which weeks decide.",
    ("start_date", "planned_end_date", "enrollment_weeks", "horizon_weeks", "pre_weeks", "windows"),
    (
        Section("Dates", (
            Field("start_date", "Start", "day", "The first day on which a unit can be exposed."),
            Field("planned_end_date", "Planned end", "day", "By when it has to be decided. Optional."),
            Field("enrollment_weeks", "Enrollment weeks", "integer", "Later exposures are left out, and counted."),
            Field("horizon_weeks", "Horizon in weeks", "integer", "So long each unit is followed after its exposure."),
            Field("pre_weeks", "Pre-period in weeks", "integer", "Feeds the CUPED adjustment; 0 switches it off."),
        )),
        Section("Early window", (
            Field("windows.early[0]", "From week", "integer"),
            Field("windows.early[1]", "to before week", "integer"),
        ), "windows.early", "Weeks since exposure, counted from 0. It decides for short-term metrics."),
        Section("Late window", (
            Field("windows.late[0]", "From week", "integer"),
            Field("windows.late[1]", "to before week", "integer"),
        ), "windows.late", "It decides for long-term metrics and guardrails."),
    ),
)  # fmt: skip

RULE = Step(
    "rule", "Decision rule", "How sure one has to be, and what ends it early.", ("decision",),
    (
        Section("Claims", (
            Field("decision.alpha", "Alpha", "number", "The rate of false claims over all looks: 0.05 is 5 %."),
            Field("decision.power", "Power", "number", "How surely a true effect should be found: 0.8 is 80 %."),
            Field("decision.looks", "Looks", "choice", "Weekly looks share alpha; any time holds at every moment.",
                  _choices("weekly", "any_time")),
            Field("decision.spending", "Spending", "choice", "How weekly looks share alpha.",
                  (_OPTIONAL, ("obrien_fleming", "O'Brien-Fleming"), ("pocock", "Pocock")), "weekly"),
            Field("decision.planned_units", "Planned units", "integer", "Where intervals are tightest.",
                  only="any-time"),
            Field("decision.min_weeks", "No launch before week", "integer", "Weeks since the start."),
        ), "decision"),
    ),
    "decision.rollback",
    Section("Criterion", (
        Field("decision.rollback[#].metric", "Metric"),
        Field("decision.rollback[#].window", "Window", help="early, late, or latest: the newest matured week."),
        Field("decision.rollback[#].below", "Surely below", "number", "The lift as a fraction: -0.05 is -5 %."),
    ), "decision.rollback[#]"),
)  # fmt: skip

STEPS = (BASICS, DATA, VARIANTS, METRICS, TIMING, RULE)
BY_NAME: Mapping[str, Step] = {step.name: step for step in STEPS}
REVIEW = "review"
NAMES = (*BY_NAME, REVIEW)

#: The keys of a metric that belong to its kind, and to none of the others.
_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "mean": ("column", "cap"), "active": ("column",), "ratio": ("numerator", "denominator", "cap"),
    "event": ("event", "adjust"),
}  # fmt: skip
_ANY_KIND = ("column", "numerator", "denominator", "cap", "event", "adjust")


def after(name: str) -> str:
    """The step that follows; the review follows the last one."""
    return NAMES[min(NAMES.index(name) + 1, len(NAMES) - 1)]


def step_of(path: str) -> str:
    """The step on which a violation's field is filled in; the review for keys that no step has."""
    return next((step.name for step in STEPS if top(path) in step.keys), REVIEW)


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
    """What stands in a field."""
    value = value_at(body, field.path)
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return "" if value is None else str(value)


# --- what was typed ---------------------------------------------------------------------------------------------------
def read(step: Step, body: Mapping[str, Any], posted: Mapping[str, str]) -> dict[str, Any]:
    """Return the definition with what was posted for a step; keys that the form does not know stay as they are."""
    found = {key: copy.deepcopy(value) for key, value in body.items()}
    if step.row is not None:
        put(found, step.rows, [_rest(row) for row in _resized(rows_of(step, body), _rows_posted(step, posted))])
    for section, _ in sections(step, found):
        for field in section.fields:
            _take(found, field, _clean(posted.get(field.path, "")))
    return _fitted(step, found, posted)


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


def _take(body: dict[str, Any], field: Field, text: str) -> None:
    """Put what was typed where it belongs; an empty field takes the key away, and leaves a gap in a window."""
    value = _typed(field.kind, text)
    if value is not None or field.path.endswith("]"):
        put(body, field.path, value)
        return
    way, _, last = field.path.rpartition(".")
    place = value_at(body, way) if way else body
    if isinstance(place, dict):
        place.pop(last, None)


def _typed(kind: Kind, text: str) -> Any:
    """The value of a text; one that is not of the kind stays text, and is refused as such."""
    if not text:
        return None
    if kind == "names":
        return [name.strip() for name in text.split(",") if name.strip()] or None
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
    if step is VARIANTS:
        for number, variant in enumerate(body["variants"]):
            if posted.get(CONTROL) == str(number):
                variant["control"] = True
    if step is METRICS:
        body["metrics"] = [_fitted_metric(metric) for metric in body["metrics"]]
    if step is TIMING:
        windows = body.get("windows") or {}
        body["windows"] = {name: weeks for name, weeks in windows.items() if weeks != [None, None]}
    if step is RULE:
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
