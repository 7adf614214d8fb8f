"""The forms read back what they show: any definition goes through every step and stays what it is."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from experiments import configure, definitions
from experiments.definitions.partial import kind_of
from experiments.form_steps import FORMS, Field, Step
from tests.experiments.test_export import definitions as made_up
from tests.experiments.test_export import parsed


def sent(field: Field, shown: str) -> str:
    """What a browser sends of a field that nobody touched: inputs have no line ends, areas send CRLF."""
    lines = shown.replace("\r\n", "\n").replace("\r", "\n")
    return lines.replace("\n", "\r\n") if field.kind == "long" else lines.replace("\n", "")


@settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])
@given(made_up())
def test_a_definition_that_goes_through_every_step_of_its_form_stays_what_it_is(values: dict[str, Any]) -> None:
    body: dict[str, Any] = json.loads(json.dumps(values, default=str))
    form = FORMS[kind_of(body)]
    posted = {configure.ROLLBACK: "own" if "rollback" in body["decision"] else "default"}
    if form.kind == "experiment":
        posted[configure.CONTROL] = str([one["control"] for one in body["variants"]].index(True))
    for step in form.steps:
        for section, _ in configure.sections(step, body):
            posted |= {field.path: sent(field, configure.as_text(field, body)) for field in section.fields}
        body = configure.read(step, body, posted)
    assert definitions.parse_mapping(body, "form", Path("/data")).plan == parsed(values).plan


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("a, b", ["a", "b"]), ('"a,b", c', ["a,b", "c"]), ('a"b, {, %s', ['a"b', "{", "%s"]), (" a ,, ", ["a"]),
        ('"say ""x"", y"', ['say "x", y']), (",", None), ('"open, c', ['"open', "c"]),
        ("x" * 200_000 + ", y", ["x" * 200_000, "y"]),
    ],
)  # fmt: skip
def test_names_with_commas_in_them_are_typed_in_quotation_marks(typed: str, names: list[str] | None) -> None:
    step = FORMS["experiment"].step("data")
    assert isinstance(step, Step)
    assert configure.read(step, {}, {"segments": typed}).get("segments") == names
