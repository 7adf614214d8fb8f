"""Definition files that are refused: exit code 1, and file, field, what was found and what is allowed are named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.definitions import Definition, DefinitionProblem, parse
from tests.experiments import small_data
from tests.experiments.commands import refused
from tests.experiments.small_data import SmallData

Change = Callable[[dict[str, Any]], None]


def weights(first: float, second: float) -> Change:
    def change(definition: dict[str, Any]) -> None:
        definition["variants"][0]["weight"], definition["variants"][1]["weight"] = first, second

    return change


def weightless(*numbers: int) -> Change:
    """Take the weights of some variants away, of three."""

    def change(definition: dict[str, Any]) -> None:
        definition["variants"].append({"key": "other", "weight": 50})
        for number in numbers:
            del definition["variants"][number]["weight"]

    return change


def decision(**keys: Any) -> Change:
    return at("decision", value=keys)


def at(*path: str | int, value: Any) -> Change:
    """Set one value deep in the definition."""

    def change(definition: dict[str, Any]) -> None:
        *way, last = path
        place: Any = definition
        for step in way:
            place = place[step]
        place[last] = value

    return change


def without(*path: str | int) -> Change:
    def change(definition: dict[str, Any]) -> None:
        *way, last = path
        place: Any = definition
        for step in way:
            place = place[step]
        del place[last]

    return change


def repeated(definition: dict[str, Any]) -> None:
    definition["metrics"].append(dict(definition["metrics"][0]))


def twin_variant(definition: dict[str, Any]) -> None:
    definition["variants"].append({"key": "treatment", "weight": 1})


def payloads(control: Any, treatment: Any) -> Change:
    def change(definition: dict[str, Any]) -> None:
        for variant, payload in zip(definition["variants"], (control, treatment), strict=True):
            variant["payload"] = payload

    return change


BROKEN: dict[str, tuple[Change, list[str]]] = {
    "unknown key": (
        at("horizon_week", value=6),
        ["horizon_week: unknown key `horizon_week`; did you mean `horizon_weeks`?"],
    ),
    "unknown key in a metric": (
        at("metrics", 0, "colum", value="lines"),
        ["metrics[0].colum: unknown key `colum`; did you mean `column`?"],
    ),
    "missing key": (without("start_date"), ["start_date: is missing"]),
    "weights of zero": (weights(0, 0), ["variants[0].weight:", "variants[1].weight:", "greater than 0", "found 0"]),
    "one weight of zero": (weights(50, 0), ["variants[1].weight:", "greater than 0", "found 0"]),
    "negative weight": (weights(50, -3), ["variants[1].weight:", "greater than 0", "found -3"]),
    "infinite weight": (weights(50, float("inf")), ["variants[1].weight:", "must be a finite number", "found inf"]),
    "weight as text": (at("variants", 0, "weight", value="50"), ["variants[0].weight:", "number", "found '50'"]),
    "weights of some variants": (
        weightless(1, 2),
        [
            "variants[1].weight: is missing for variant `treatment`; give every variant a weight, or none",
            "variants[2].weight: is missing for variant `other`",
        ],
    ),
    "no weight of the control": (weightless(0), ["variants[0].weight: is missing for variant `control`"]),
    "two controls": (
        at("variants", 1, "control", value=True),
        ["variants: 2 have `control: true` (control, treatment); exactly one must"],
    ),
    "no control": (
        without("variants", 0, "control"),
        ["variants: none has `control: true` (found control, treatment); exactly one must"],
    ),
    "one variant": (without("variants", 1), ["variants:", "at least 2"]),
    "a variant twice": (twin_variant, ["variants: `treatment` stands 2 times"]),
    "window outside the horizon": (
        at("windows", "late", value=[4, 9]),
        ["windows.late: [4, 9) ends outside the horizon of 6 weeks (horizon_weeks)"],
    ),
    "late window before the early one": (
        at("windows", value={"early": [4, 6], "late": [0, 2]}),
        ["windows.late: [0, 2) begins before the early window [4, 6) ends; it must begin in week 6 or later"],
    ),
    "empty window": (at("windows", "early", value=[2, 2]), ["windows.early: [2, 2) is empty"]),
    "no late window": (without("windows", "late"), ["windows.late: is missing"]),
    "unknown metric kind": (
        at("metrics", 0, "kind", value="median"),
        ["metrics[0].kind:", "'mean', 'active', 'ratio' or 'event'", "found 'median'"],
    ),
    "percentiles": (at("metrics", 0, "kind", value="percentile"), ["metrics[0].kind: percentiles are not supported"]),
    "guardrail without margin": (
        without("metrics", 2, "margin"),
        ["metrics[2].margin: is missing; guardrail `price` needs a relative margin such as 0.02 for 2 %"],
    ),
    "a metric twice": (repeated, ["metrics: `lines` stands 2 times; each may stand once"]),
    "a key that is no key": (at("experiment", value="Small One"), ["experiment:", "a-z, 0-9", "found 'Small One'"]),
    "a date that is none": (
        at("start_date", value="2024-02-30"),
        ["start_date:", "YYYY-MM-DD", "found '2024-02-30'"],
    ),
    "an unknown time zone": (
        at("timezone", value="Berlin"),
        ["timezone:", "such as UTC or Europe/Berlin", "found 'Berlin'"],
    ),
    "a horizon of zero": (at("horizon_weeks", value=0), ["horizon_weeks:", "greater than or equal to 1", "found 0"]),
    "metrics that are no list": (at("metrics", value="lines"), ["metrics:", "list", "found 'lines'"]),
    "nothing to measure": (at("metrics", value=[]), ["metrics:", "at least 1"]),
    "unknown looks": (
        decision(looks="daily"),
        ["decision.looks:", "'weekly' or 'any_time'", "found 'daily'"],
    ),
    "looks at any time without planned units": (
        decision(looks="any_time"),
        ["decision.planned_units: is missing; with `looks: any_time`"],
    ),
    "planned units of weekly looks": (
        decision(planned_units=1000),
        ["decision.planned_units: is not used with `looks: weekly`"],
    ),
    "no planned units": (
        decision(looks="any_time", planned_units=0),
        ["decision.planned_units:", "greater than or equal to 1", "found 0"],
    ),
    "half a planned unit": (
        decision(looks="any_time", planned_units=1000.5),
        ["decision.planned_units:", "integer", "found 1000.5"],
    ),
    "more planned units than people": (
        decision(looks="any_time", planned_units=10**400),
        ["decision.planned_units:", "less than or equal to 10000000000"],
    ),
    "unknown spending": (
        decision(spending="haybittle"),
        ["decision.spending:", "'obrien_fleming' or 'pocock'", "found 'haybittle'"],
    ),
    "spending at any time": (
        decision(looks="any_time", planned_units=1000, spending="pocock"),
        ["decision.spending: is not used with `looks: any_time`"],
    ),
    "a rollback criterion twice": (
        decision(rollback=[{"metric": "lines", "window": "latest", "below": -0.05} for _ in range(2)]),
        ["decision.rollback[1]: stands twice (lines, latest, below -0.05)"],
    ),
    "targeting that is code": (
        at("targeting", value="country == 'de'"),
        ["targeting: a rule is a mapping with `attribute`, `all`, `any` or `not` (found \"country == 'de'\")"],
    ),
    "an unknown operator": (
        at("targeting", value={"all": [{"attribute": "country", "like": "d%"}]}),
        ["targeting.all[0]: needs one of the operators equals, in,", "(found like)"],
    ),
    "a ramp that lets units drop out": (
        at("phases", value=[{"week": 0, "share": 0.5}, {"week": 1, "share": 0.1}]),
        ["phases[1].share: 0.1 is below 0.5: units would drop out"],
    ),
    "phases out of order": (
        at("phases", value=[{"week": 1, "share": 0.5}, {"week": 1, "share": 1}]),
        ["phases[1].week: 1 is not after week 1 of the phase before"],
    ),
    "a phase after enrollment": (
        at("phases", value=[{"week": 2, "share": 1}]),
        ["phases[0].week: 2 is not one of the 2 enrollment weeks from 0"],
    ),
    "a payload for some variants only": (
        at("variants", 1, "payload", value=1),
        [
            "variants[0].payload: must be a boolean, text, a whole number, a number, a list or a mapping",
            "found nothing",
        ],
    ),
    "payloads of two types": (
        payloads(1, "one"),
        ["variants: payloads must be of one type (found a whole number (control) and text (treatment))"],
    ),
    "a payload that is not finite": (
        payloads(1.0, float("inf")),
        ["variants[1].payload: must be a finite number (found inf)"],
    ),
    "a payload that is not exact everywhere": (
        payloads(1, 2**53 + 1),
        ["variants[1].payload: whole numbers lie within ±2^53 (found 9007199254740993)"],
    ),
    "a payload whose inside is none": (
        payloads([], [{"a": float("nan")}]),
        ["variants[1].payload: must be a finite number (found nan)"],
    ),
    "a payload with a key that is no text": (
        payloads({}, {1: "a"}),
        ["variants[1].payload: keys inside are text (found 1)"],
    ),
    "a variant called like none": (
        at("variants", 1, "key", value="held_out"),
        ["variants[1].key: `held_out` is what units are told that get no variant"],
    ),
    "a salt with a colon": (at("salt", value="a:b"), ["salt:", "a-z, 0-9", "found 'a:b'"]),
    "an event that is weighed": (
        at(
            "metrics",
            0,
            value={
                "key": "churn",
                "kind": "event",
                "event": {"type": "occurrence", "column": "lines"},
                "better": "lower",
                "role": "primary",
                "weight": 0.5,
            },
        ),
        ["metrics[0].weight: is not used: `churn` is a time to event, which has no lift to weigh"],
    ),
    "a database without a connection": (
        at("source", value={"kind": "postgres", "exposures": "e", "facts": "f"}),
        ["source.dsn: is missing; give the name of a connection, such as shop", "HOLDFAST_DSN_SHOP", "or holdfast"],
    ),
    "a database without tables": (
        at("source", value={"kind": "postgres", "dsn": "shop"}),
        ["source.exposures: is missing; give the name of a table or view", "source.facts: is missing"],
    ),
    "an address in place of a connection": (
        at("source", value={"kind": "postgres", "dsn": "postgresql://me@host/db", "exposures": "e", "facts": "f"}),
        ["source.dsn: must be the name of a connection, such as shop", "not written into definitions"],
    ),
    "a connection of files": (
        at("source", "dsn", value="shop"),
        ["source.dsn: belongs to kind postgres; the source is of kind files"],
    ),
    "a schema of files": (at("source", "schema", value="shop"), ["source.schema: belongs to kind postgres"]),
    "a misspelled schema": (
        at("source", "shema", value="shop"),
        ["source.shema: unknown key", "did you mean `schema`?"],
    ),
    "tables of our own database": (
        at("source", value={"kind": "postgres", "dsn": "holdfast", "facts": "experiments_person", "schema": "public"}),
        ["source.facts: is not used with `dsn: holdfast`", "source.schema: is not used", "events sent to Holdfast"],
    ),
    "columns of our own database": (
        at("source", value={"kind": "postgres", "dsn": "holdfast", "columns": {"unit": "password"}}),
        ["source.columns: is not used with `dsn: holdfast`"],
    ),
    "a connection of a registered source": (
        at("source", value={"name": "shop", "dsn": "shop"}),
        ["source.dsn: is not used; the source registered as `shop` says it"],
    ),
    "another version": (at("version", value=2), ["version:", "1", "found 2"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_named_with_field_value_and_what_is_allowed(case: str, tmp_path: Path) -> None:
    change, fragments = BROKEN[case]
    data = SmallData(tmp_path)
    change(data.definition)
    path = data.write()
    refused(path, f"Error: {path}: ", *fragments)


def test_a_password_in_a_definition_is_not_repeated(tmp_path: Path) -> None:
    data = SmallData(tmp_path)
    data.definition["source"] = {"kind": "postgres", "dsn": "postgresql://me:hunter2@host/db"}
    assert "hunter2" not in refused(data.write(), "source.dsn: must be the name of a connection")


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    data = SmallData(tmp_path)
    weights(0, -1)(data.definition)
    data.definition["horizon"] = 6
    message = refused(data.write(), "variants[0].weight", "variants[1].weight", "horizon: unknown key")
    assert message.count(str(data.path)) == 3


TEXTS: dict[str, tuple[bytes, list[str]]] = {
    "broken yaml": (b"version: 1\nexperiment: [small\nname: x\n", ["line 3", "not valid YAML"]),
    "a tab": (b"version: 1\n\texperiment: small\n", ["line 2", "not valid YAML"]),
    "alias bomb": (
        b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
        ["line 2, column 8", "aliases (*name) are not allowed"],
    ),
    "merge key": (b"base: &b {version: 1}\nmore:\n  <<: *b\n", ["line 3", "aliases (*name) are not allowed"]),
    "a key twice": (b"version: 1\nname: x\nversion: 2\n", ["line 3", "the key `version` stands twice"]),
    "deep nesting": (b"a: " + b"[" * 5000 + b"]" * 5000, ["line 1", "nested deeper than 20 levels"]),
    "code": (b"!!python/object/apply:os.system ['true']\n", ["line 1", "not valid YAML"]),
    "two documents": (b"version: 1\n---\nversion: 1\n", ["line 2", "not valid YAML"]),
    "latin-1": ("name: Prüfung".encode("latin-1"), ["not UTF-8 text (byte 8)"]),
    "utf-16": ("version: 1".encode("utf-16"), ["not UTF-8 text (byte 0)"]),
    "control characters": (b"name: \x07bell", ["not valid YAML"]),
    "empty": (b"", ["a definition is a mapping of keys to values; found nothing"]),
    "a list": (b"- version: 1\n", ["a definition is a mapping of keys to values; found a list"]),
    "neither kind": (b"version: 1\n", ["neither `experiment:` nor `holdout:` gives the key"]),
    "huge": (b"# " + b"x" * 300_000, ["the file has 300,002 bytes; a definition has at most 262,144"]),
    "a number too long": (b"version: " + b"9" * 5000, ["version"]),
}


@pytest.mark.parametrize("case", TEXTS)
def test_text_that_is_no_definition_is_refused_with_its_line(case: str, tmp_path: Path) -> None:
    content, fragments = TEXTS[case]
    path = tmp_path / "small.yaml"
    path.write_bytes(content)
    refused(path, f"Error: {path}: ", *fragments)


def test_a_definition_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.yaml"
    refused(path, f"Error: {path}: there is no such file")


def test_a_folder_in_place_of_a_definition_is_named(tmp_path: Path) -> None:
    refused(tmp_path, f"Error: {tmp_path}: ", "irectory")


def test_a_registered_source_is_for_the_server(tmp_path: Path) -> None:
    data = SmallData(tmp_path)
    path = data.write()
    text = path.read_text().replace("kind: files", "name: warehouse")
    path.write_text(text)
    refused(path, f"{path}: source.name: `warehouse` names a registered source", "`exposures` and `facts`")


VALID = yaml.safe_dump(small_data.definition(), sort_keys=False)
ODD = st.sampled_from(
    ["\x00", "\t", "\ufeff", ": ", "- ", "{", "}", "[", "]", "&a ", "*a", "!!set ", "!", "'", '"', "|", ">", "%", "@",
     "~", "null", "-1", "0", "1e999", ".nan", ".inf", "9" * 400, "2024-13-01", "2024-01-01T00:00:00Z", "true", "no",
     "0x1F", "1_000", "12:30:45", "<<: ", "? ", "---\n", "...\n", "\n", "  ", "é", "\ud7ff", "control", "late",
     "a" * 300]
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid definition after one to six cuts, copies, swaps of lines, insertions or broken bytes."""
    text = VALID
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(text)))
        length = draw(st.integers(0, 30))
        kind = draw(st.sampled_from(["cut", "copy", "insert", "value", "drop line", "move line"]))
        lines = text.splitlines(keepends=True)
        number = draw(st.integers(0, max(0, len(lines) - 1)))
        if kind == "cut":
            text = text[:place] + text[place + length :]
        elif kind == "copy":
            text = text[:place] + text[place : place + length] * 2 + text[place + length :]
        elif kind == "insert":
            text = text[:place] + draw(ODD) + text[place:]
        elif kind == "value" and lines and ":" in lines[number]:
            lines[number] = lines[number].split(":")[0] + ": " + draw(ODD | st.text(max_size=8)) + "\n"
            text = "".join(lines)
        elif lines:
            line = lines.pop(number)
            if kind == "move line":
                lines.insert(draw(st.integers(0, len(lines))), line)
            text = "".join(lines)
    content = text.encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        return content
    place = draw(st.integers(0, len(content)))
    return content[:place] + draw(st.binary(max_size=4)) + content[place:]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=mutated())
def test_no_text_is_answered_with_anything_but_a_definition_or_its_problems(content: bytes) -> None:
    try:
        definition = parse(content, "small.yaml", Path())
    except DefinitionProblem as problem:
        said = str(problem).splitlines()
    else:
        assert isinstance(definition, Definition)
        assert len(definition.plan.digest) == 64
        return
    assert said
    assert all(line.startswith("small.yaml: ") for line in said)
