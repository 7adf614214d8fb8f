"""Whatever is written into a definition file, it is read or refused with a reason: no other error, ever."""

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.plan import Metric
from experiments.definitions import Definition, DefinitionProblem, NotInCatalog, parse, plan_from_json, plan_to_json
from experiments.services.apply import CannotApply, apply
from tests.experiments import small_data
from tests.experiments.looks import NOW

QUICK = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
LONG = settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))

#: Values that a key may be given and most of them must not have.
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["", "\x00", "percentile", "2024-01-01", "lines", "rows", "latest", "0x10", "1e999", "\ud7ff\u202e"]
    ),
    st.dates(),
    st.datetimes(),
    st.lists(st.integers(-3, 600), max_size=3),
    st.dictionaries(
        st.sampled_from(["use", "version", "key", "type", "column", "name"]), st.text(max_size=5), max_size=3
    ),
)
TREES = st.recursive(
    ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


class Plain(yaml.SafeDumper):
    """Writes what stands twice twice: aliases are refused, and nothing behind them would be tried."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def written(value: Any) -> bytes:
    text: str = yaml.dump(value, Dumper=Plain, sort_keys=False, allow_unicode=True)
    return text.encode("utf-8", "surrogatepass")


class OneMetric:
    """A catalog with the metric ``lines``."""

    def metric(self, key: str, version: int | None, user: str) -> Metric:
        if key != "lines" or version not in (None, 1):
            raise NotInCatalog(f"there is no metric `{key}`")
        return Metric("lines", "mean", "higher", "diagnostic", column="lines")


def read(content: bytes) -> Definition | None:
    """The definition, None where it is refused as it should be: with a reason, in words, about this file."""
    said = None
    try:
        found = parse(content, "fuzzed.yaml", Path("/nowhere"), OneMetric())
    except DefinitionProblem as problem:
        said = problem
    if said is None:
        assert plan_from_json(plan_to_json(found.plan)).key == found.plan.key
        return found
    assert said.violations
    assert all(one.message for one in said.violations)
    assert str(said).startswith("fuzzed.yaml: ")
    return None


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of everything in a definition."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def full() -> dict[str, Any]:
    """A definition that uses most of what there is."""
    made = small_data.definition()
    made["metrics"] += [
        {"key": "churn", "kind": "event", "event": {"type": "inactivity", "gap_weeks": 2, "column": "lines"},
         "better": "lower", "role": "guardrail", "term": "long", "margin": 0.02, "adjust": ["age"]},
    ]  # fmt: skip
    made["metrics"][0] = {"use": "lines", "role": "primary", "term": "short", "weight": 0.4}
    made["segments"] = ["country"]
    made["decision"] = {"alpha": 0.05, "rollback": [{"metric": "active", "window": "latest", "below": -0.03}]}
    made["targeting"] = {"all": [{"attribute": "country", "in": ["de", "fr"]}]}
    made["phases"] = [{"week": 0, "share": 0.5}, {"week": 1, "share": 1}]
    made["annotations"] = [{"date": small_data.START, "text": "a day"}]
    made["source"]["columns"] = {"unit": "unit_id", "left_at": "left_at"}
    return made


VALID = full()
TEXT = written(VALID)
PLACES = list(places(VALID))[1:]


@st.composite
def spoiled(draw: st.DrawFn) -> dict[str, Any]:
    """The full definition with up to three things replaced, taken away, renamed or doubled."""
    made = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(PLACES))
        place: Any = made
        for step in way:
            # What stood here may have been replaced by something of another kind.
            if not isinstance(place, dict | list):
                break
            if isinstance(place, list) and not (isinstance(step, int) and step < len(place)):
                break
            place = place.get(step) if isinstance(place, dict) else place[step]
        kind = draw(st.sampled_from(["replace", "take", "add", "double"]))
        if isinstance(place, dict) and not isinstance(last, int):
            if kind == "take":
                place.pop(last, None)
            else:
                place[last if kind == "replace" else draw(st.text(min_size=1, max_size=8))] = draw(TREES)
        elif isinstance(place, list) and isinstance(last, int):
            if kind == "double" and place:
                place.append(copy.deepcopy(place[-1]))
            elif last < len(place):
                place[last] = draw(TREES)
    return made


#: What YAML has besides plain values.
YAML = [
    b"&a ", b"*a", b"? ", b"<<: ", b"!!python/object:os.system ", b"- - -", b"%YAML 9\n---\n", b"\t", b"{[",
    b"!!binary x", b"!!timestamp 9999-99-99", b"!!int 1_", b"!!set {a}", b"!!omap [a]", b"1:2:3", b"0b", b"!!float .",
    b"|9", b"\xef\xbb\xbf",
]  # fmt: skip


@st.composite
def cut(draw: st.DrawFn) -> bytes:
    """The text of a definition with bytes put in, taken away or changed."""
    content = bytearray(TEXT)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 30)))
        content[start:end] = draw(st.binary(max_size=12) | st.sampled_from(YAML))
    return bytes(content)


def test_the_definition_that_is_fuzzed_is_a_valid_one() -> None:
    found = read(TEXT)
    assert found is not None
    assert [metric.key for metric in found.plan.metrics] == ["lines", "active", "price", "churn"]


@pytest.mark.parametrize("tag", ["!!timestamp", "!!int", "!!float", "!!bool", "!!python/name:os.system", "!own", "!"])
def test_tags_are_refused_by_line(tag: str) -> None:
    with pytest.raises(DefinitionProblem, match=r"line 2, column \d+: not valid YAML: tags \(!!name\) are not allowed"):
        parse(f"version: 1\nname: {tag} odd\n".encode(), "fuzzed.yaml", Path("/nowhere"))


@given(st.binary(max_size=400) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
@QUICK
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    read(content)


@given(cut())
@QUICK
def test_a_valid_file_with_damaged_bytes_is_read_or_refused(content: bytes) -> None:
    read(content)


@given(TREES)
@QUICK
def test_any_tree_of_values_is_read_or_refused(tree: Any) -> None:
    read(written(tree))


@given(spoiled())
@QUICK
def test_a_valid_file_with_odd_values_is_read_or_refused(made: dict[str, Any]) -> None:
    read(written(made))


@pytest.mark.django_db
@given(spoiled())
@settings(QUICK, max_examples=60)
def test_what_is_read_is_applied_or_refused(made: dict[str, Any]) -> None:
    definition = read(written(made))
    if definition is None:
        return
    with contextlib.suppress(CannotApply):
        apply([definition], NOW, dry_run=True)


@pytest.mark.slow
@given(st.one_of(st.binary(max_size=2000), cut(), spoiled().map(written)))
@LONG
def test_many_more_are_read_or_refused(content: bytes) -> None:
    read(content)
