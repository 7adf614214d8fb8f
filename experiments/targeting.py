"""Who may enter an experiment: a small typed language of conditions on attributes. Pure; nothing is evaluated as code.

A rule is one of these, as YAML or JSON:

    {attribute: country, in: [de, fr]}           one operator a condition
    {attribute: age, at_least: 18}
    {all: [RULE, ...]}   {any: [RULE, ...]}   {not: RULE}

Operators: equals, in, at_least, at_most, above, below, starts_with, exists. Text is compared with text, numbers with
numbers and booleans with booleans; an attribute that is missing or of another type meets no condition but ``exists:
false`` (so ``not`` of such a condition is met).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Value = str | float | bool
Operator = Literal["equals", "in", "at_least", "at_most", "above", "below", "starts_with", "exists"]
OPERATORS: tuple[Operator, ...] = (
    "equals", "in", "at_least", "at_most", "above", "below", "starts_with", "exists",
)  # fmt: skip

#: The types that an operator compares; the others compare all.
_COMPARES: Mapping[Operator, tuple[str, ...]] = {
    "starts_with": ("text",), "exists": ("a boolean",),
    "at_least": ("a number", "text"), "at_most": ("a number", "text"),
    "above": ("a number", "text"), "below": ("a number", "text"),
}  # fmt: skip

#: Rules nested deeper, or longer than this, are a mistake.
DEEPEST = 10
MOST_VALUES = 10_000


class BadRule(ValueError):
    """A rule that is none. ``field`` is its path below ``targeting``; the message says what is allowed."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Condition:
    """One attribute compared with one or several values."""

    attribute: str
    operator: Operator
    values: tuple[Value, ...]

    def met(self, attributes: Mapping[str, Any]) -> bool:
        found = attributes.get(self.attribute)
        if self.operator == "exists":
            return (found is not None) == self.values[0]
        return any(_compared(self.operator, found, value) for value in self.values)


@dataclass(frozen=True)
class Combined:
    """Several rules of which all, any, or none must hold."""

    how: Literal["all", "any", "not"]
    rules: tuple["Rule", ...]

    def met(self, attributes: Mapping[str, Any]) -> bool:
        if self.how == "not":
            return not self.rules[0].met(attributes)
        return (all if self.how == "all" else any)(rule.met(attributes) for rule in self.rules)


Rule = Condition | Combined


def _compared(operator: Operator, found: Any, value: Value) -> bool:
    if _type(found) != _type(value):
        return False
    if operator in ("equals", "in"):
        return bool(found == value)
    if operator == "starts_with":
        return str(found).startswith(str(value))
    outcomes = {
        "at_least": found >= value, "at_most": found <= value, "above": found > value, "below": found < value,
    }  # fmt: skip
    return bool(outcomes[operator])


def _type(value: Any) -> str | None:
    """Return what a value is compared as, None for what cannot be compared (a list, nothing, not a number)."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int | float) and value == value:
        return "a number"
    return None


def parse(raw: Any, field: str = "targeting", depth: int = 0) -> Rule:
    """Return the rule that plain values stand for. Raises BadRule."""
    if depth > DEEPEST:
        raise BadRule(field, f"is nested deeper than {DEEPEST} rules")
    if not isinstance(raw, Mapping):
        raise BadRule(field, f"a rule is a mapping with `attribute`, `all`, `any` or `not` (found {raw!r})")
    for how in ("all", "any", "not"):
        if how in raw:
            return _combined(raw, how, field, depth)
    return _condition(raw, field)


def _combined(raw: Mapping[str, Any], how: Literal["all", "any", "not"], field: str, depth: int) -> Combined:
    if len(raw) > 1:
        raise BadRule(field, f"`{how}` stands alone in a rule (found {', '.join(map(str, raw))})")
    inner, path = raw[how], f"{field}.{how}"
    if how == "not":
        return Combined("not", (parse(inner, path, depth + 1),))
    if not isinstance(inner, list) or not inner:
        raise BadRule(path, f"must be a list of one rule or more (found {inner!r})")
    return Combined(how, tuple(parse(rule, f"{path}[{place}]", depth + 1) for place, rule in enumerate(inner)))


def _condition(raw: Mapping[str, Any], field: str) -> Condition:
    attribute = raw.get("attribute")
    if not isinstance(attribute, str) or not attribute:
        raise BadRule(f"{field}.attribute", f"must be the name of an attribute (found {attribute!r})")
    given = [key for key in raw if key != "attribute"]
    if len(given) != 1 or given[0] not in OPERATORS:
        found = ", ".join(map(str, given)) or "none"
        raise BadRule(field, f"needs one of the operators {', '.join(OPERATORS)} (found {found})")
    operator: Operator = given[0]
    value, path = raw[operator], f"{field}.{operator}"
    values = tuple(value) if operator == "in" and isinstance(value, list) else (value,)
    if operator == "in" and not isinstance(value, list):
        raise BadRule(path, f"must be a list (found {value!r})")
    _check_values(operator, values, path)
    return Condition(attribute, operator, values)


def _check_values(operator: Operator, values: Sequence[Any], path: str) -> None:
    if not 1 <= len(values) <= MOST_VALUES:
        raise BadRule(path, f"must have 1 to {MOST_VALUES:,} values (found {len(values):,})")
    types = {_type(value) for value in values}
    if None in types:
        raise BadRule(path, "values are text, numbers or booleans")
    if len(types) > 1:
        raise BadRule(path, f"values must be of one type (found {' and '.join(sorted(map(str, types)))})")
    wanted = _COMPARES.get(operator)
    if wanted and not types <= set(wanted):
        raise BadRule(path, f"`{operator}` compares {' or '.join(wanted)} (found {values[0]!r})")
