"""The forms read back what they show: any definition goes through every step and stays what it is."""

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, assume, given, settings

from experiments import configure, definitions
from experiments.definitions.partial import kind_of
from experiments.form_steps import FORMS
from tests.experiments.test_export import definitions as made_up
from tests.experiments.test_export import parsed


def plain(value: Any) -> bool:
    """Whether nothing in a definition is a text that an input of a browser could not hold as it is."""
    if isinstance(value, dict):
        return all(plain(inner) for inner in value.values())
    if isinstance(value, list):
        return all(plain(inner) and (not isinstance(inner, str) or "," not in inner) for inner in value)
    return not isinstance(value, str) or (value == value.strip() and "\r" not in value)


@settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])
@given(made_up())
def test_a_definition_that_goes_through_every_step_of_its_form_stays_what_it_is(values: dict[str, Any]) -> None:
    body: dict[str, Any] = json.loads(json.dumps(values, default=str))
    assume(plain(body))
    form = FORMS[kind_of(body)]
    posted = {configure.ROLLBACK: "own" if "rollback" in body["decision"] else "default"}
    if form.kind == "experiment":
        posted[configure.CONTROL] = str([one["control"] for one in body["variants"]].index(True))
    for step in form.steps:
        for section, _ in configure.sections(step, body):
            posted |= {field.path: configure.as_text(field, body) for field in section.fields}
        body = configure.read(step, body, posted)
    assert definitions.parse_mapping(body, "form", Path("/data")).plan == parsed(values).plan
