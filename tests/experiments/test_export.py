"""Definitions there and back: whatever can be defined is written so that reading it again gives the same."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.definitions import Definition, DefinitionProblem, definition_text, parse
from experiments.models import Experiment, Source
from experiments.services.apply import apply
from experiments.services.export import CannotExport, export
from tests.experiments.commands import run
from tests.experiments.looks import NOW, definition
from tests.experiments.small_data import SmallData
from tests.people import signed_in

FOLDER = Path("/data")
BEFORE = datetime(2023, 12, 1, tzinfo=UTC)

# --- definitions made up by hypothesis --------------------------------------------------------------------------------
KEYS = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,12}", fullmatch=True)
#: Names that YAML could take for something else, and any others.
NAMES = st.one_of(
    st.sampled_from(
        ["null", "yes", "1", "1e3", "0x1F", "2024-01-01", "a: b", "# no", "- x", "{a}", "*a", "12:30", "~"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=30),
)
PLAIN_NAMES = st.from_regex(r"[a-z][a-z_]{0,10}", fullmatch=True).filter(lambda name: name != "latest")
SHARES = st.floats(0.001, 1) | st.just(1)
WEIGHTS = st.one_of(st.integers(1, 100), st.floats(1e-9, 1e9))
DAYS = st.dates(date(2000, 1, 1), date(2100, 1, 1))
INSIDE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
#: What variants deliver is of one type for all of them, or nothing.
PAYLOADS: list[st.SearchStrategy[Any]] = [
    st.booleans(), NAMES, st.integers(-(10**12), 10**12), st.floats(allow_nan=False, allow_infinity=False),
    st.dictionaries(NAMES, INSIDE, max_size=3) | st.lists(INSIDE, max_size=3),
]  # fmt: skip


@st.composite
def delivered(draw: st.DrawFn, sides: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The variants with payloads, or without."""
    of_a_type = draw(st.none() | st.sampled_from(PAYLOADS))
    return [side if of_a_type is None else {**side, "payload": draw(of_a_type)} for side in sides]


@st.composite
def variants(draw: st.DrawFn) -> list[dict[str, Any]]:
    keys = draw(st.lists(KEYS, min_size=2, max_size=4, unique=True))
    known = draw(st.booleans())
    control = draw(st.integers(0, len(keys) - 1))
    found: list[dict[str, Any]] = [{"key": key, "control": place == control} for place, key in enumerate(keys)]
    for variant in found:
        if known:
            variant["weight"] = draw(WEIGHTS)
    return draw(delivered(found))


@st.composite
def metrics(draw: st.DrawFn, windows: list[str], horizon: int) -> dict[str, Any]:
    kind = draw(st.sampled_from(["mean", "active", "ratio", "event"]))
    role = draw(st.sampled_from(["primary", "secondary", "guardrail", "diagnostic"]))
    metric: dict[str, Any] = {"kind": kind, "role": role, "better": draw(st.sampled_from(["higher", "lower"]))}
    if kind in ("mean", "active"):
        metric["column"] = draw(NAMES)
    if kind == "ratio":
        metric |= {"numerator": draw(NAMES), "denominator": draw(NAMES | st.just("rows"))}
    if kind == "event":
        ends = draw(st.booleans())
        gap = {"gap_weeks": draw(st.integers(1, horizon))} if ends else {}
        metric["event"] = {"type": "inactivity" if ends else "occurrence", "column": draw(NAMES), **gap}
        metric["adjust"] = draw(st.lists(NAMES, max_size=2))
    if kind in ("mean", "ratio"):
        metric["cap"] = draw(st.none() | WEIGHTS)
    if kind != "event":
        metric["weight"] = draw(st.none() | SHARES)
    if role == "guardrail":
        metric["margin"] = draw(st.floats(0.001, 0.99))
    metric["term"] = draw(st.sampled_from([None, "short", "long"]))
    metric["window"] = draw(st.none() | st.sampled_from(windows))
    return metric


def decisions(keys: list[str], windows: list[str], *, held: bool) -> st.SearchStrategy[dict[str, Any]]:
    criterion = {
        "metric": st.sampled_from(keys), "window": st.sampled_from([*windows, "latest"]), "below": st.floats(-1, 1),
    }  # fmt: skip
    rollback = st.lists(st.fixed_dictionaries(criterion), max_size=2, unique_by=lambda one: tuple(sorted(one.items())))
    weekly = st.fixed_dictionaries({"spending": st.sampled_from([None, "pocock", "obrien_fleming"])})
    any_time = st.fixed_dictionaries({"looks": st.just("any_time"), "planned_units": st.integers(1, 10**10)})
    shared = {"alpha": st.floats(0.001, 0.49), "power": st.floats(0.01, 0.99), "min_weeks": st.integers(0, 520)}
    rules = st.fixed_dictionaries(shared, optional={"rollback": rollback if keys else st.just([])})
    return st.tuples(rules, weekly if held else weekly | any_time).map(lambda parts: {**parts[0], **parts[1]})


@st.composite
def entries(draw: st.DrawFn, enrollment: int) -> dict[str, Any]:
    """Reserved keys: who enters, and what readers are told."""
    shares = sorted(draw(st.lists(SHARES, min_size=1, max_size=min(3, enrollment))))
    phases = [{"week": week, "share": share} for week, share in enumerate(shares)]
    rule = st.fixed_dictionaries({"attribute": NAMES, "in": st.lists(NAMES, min_size=1, max_size=2, unique=True)})
    found = {
        "layer": KEYS, "share": SHARES, "phases": st.just(phases), "salt": KEYS, "model_version": NAMES,
        "training_data": st.sampled_from(["shared", "diverted", "co-diverted"]), "exploration": NAMES | SHARES,
        "annotations": st.lists(st.fixed_dictionaries({"date": DAYS, "text": NAMES}), max_size=2),
        "segments": st.lists(NAMES, max_size=2, unique=True), "targeting": rule,
    }  # fmt: skip
    return draw(st.fixed_dictionaries({}, optional=found))  # type: ignore[arg-type]


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, Any]:
    early, gap, late, rest = (draw(st.integers(low, 20)) for low in (1, 0, 1, 0))
    windows = {"early": [0, early], "late": [early + gap, early + gap + late]}
    windows |= {name: [0, 1] for name in draw(st.lists(PLAIN_NAMES, max_size=2)) if name not in windows}
    horizon = early + gap + late + rest
    keys = draw(st.lists(KEYS, min_size=1, max_size=3, unique=True))
    found = [{"key": key, **draw(metrics(list(windows), horizon))} for key in keys]
    columns = draw(st.fixed_dictionaries({}, optional=dict.fromkeys(("unit", "at", "left_at"), NAMES)))
    paths = {"exposures": draw(NAMES), "facts": draw(NAMES), "columns": columns}
    start, enrollment, held = draw(DAYS), draw(st.integers(1, 20)), draw(st.booleans())
    decided = [one["key"] for one in found if one["kind"] != "event"]
    shared = {
        "version": 1, "name": draw(NAMES), "owner": draw(NAMES), "unit": draw(NAMES), "hypothesis": draw(NAMES),
        "start_date": start, "horizon_weeks": horizon, "pre_weeks": draw(st.integers(0, 104)),
        "enrollment_weeks": enrollment, "timezone": draw(st.sampled_from(["UTC", "Europe/Berlin"])),
        "source": {**draw(st.sampled_from([paths, {"name": "lake"}])), "lag_days": draw(st.integers(0, 90))},
        "windows": windows, "metrics": found,
        "decision": draw(decisions(decided, list(windows), held=held)),
        **draw(entries(enrollment)),
    }  # fmt: skip
    later = date.fromordinal(start.toordinal() + draw(st.integers(1, 1000)))
    if not held:
        clock = draw(st.sampled_from(["unit", "calendar"]))
        own = {"clock": clock, "holdout": draw(st.none() | KEYS), "planned_end_date": draw(st.none() | st.just(later))}
        return {**shared, "experiment": draw(KEYS), "variants": draw(variants()), **own}
    sides = draw(delivered([{"key": "held_out", "control": True}, {"key": "launched"}]))
    if draw(st.booleans()):
        sides = [{**side, "weight": draw(WEIGHTS)} for side in sides]
    members = draw(st.lists(KEYS, max_size=3))
    optional = {"variants": sides} if draw(st.booleans()) else {}
    fraction = draw(st.floats(0.001, 0.5))
    return {**shared, **optional, "holdout": draw(KEYS), "fraction": fraction, "planned_end_date": later,
            "members": members}  # fmt: skip


def parsed(values: dict[str, Any]) -> Definition:
    """The definition as it would be read from a file that somebody wrote."""
    return parse(yaml.safe_dump(values, sort_keys=False, allow_unicode=False).encode(), "made.yaml", FOLDER)


def again(defined: Definition) -> Definition:
    return parse(definition_text(defined.plan, defined.source).encode(), "made.yaml", FOLDER)


SLOW_IS_FINE = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@SLOW_IS_FINE
@given(definitions())
def test_reading_what_was_written_gives_the_same_plan_and_source(values: dict[str, Any]) -> None:
    first = parsed(values)
    second = again(first)
    assert second.plan == first.plan
    assert second.source == first.source
    assert definition_text(second.plan, second.source) == definition_text(first.plan, first.source)


@pytest.mark.django_db
@settings(SLOW_IS_FINE, max_examples=10, suppress_health_check=[*HealthCheck])
@given(definitions())
def test_apply_takes_back_what_was_exported_and_changes_nothing(values: dict[str, Any]) -> None:
    Source.objects.get_or_create(
        key="lake",
        defaults={
            "kind": "files", "folder": "/lake", "exposures": "e.parquet", "facts": "f.parquet", "unit_column": "u",
            "variant_column": "v", "exposed_at_column": "e", "at_column": "a",
        },
    )  # fmt: skip
    values["start_date"] = date(2098, 1, 1)
    values["planned_end_date"] = date(2099, 1, 1) if "holdout" in values and "experiment" not in values else None
    key = fresh_key(values)
    # Nobody else is there: no holdout to respect, and buckets of one's own.
    values |= {name: key for name in ("layer", "salt") if name in values}
    if "experiment" in values:
        values["holdout"] = None
    apply([parsed(values)], BEFORE)
    exported = export(key)
    (taken_back,) = apply([parse(exported.text.encode(), f"{key}.yaml", FOLDER)], BEFORE)
    assert (taken_back.action, taken_back.changes) == ("unchanged", ())


def fresh_key(values: dict[str, Any]) -> str:
    """A key that no earlier example of this run has."""
    kind = "experiment" if "experiment" in values else "holdout"
    values[kind] = f"e{Experiment.objects.count()}-{kind}"
    return str(values[kind])


@pytest.mark.django_db
def test_a_large_number_comes_back_as_the_number_it_was(tmp_path: Path) -> None:
    """jsonb gives 1e16 back as a whole number, beyond those that a payload may be."""
    variants = [
        {"key": "control", "control": True, "payload": {"a": [-1e16]}},
        {"key": "treatment", "payload": {"a": [1e300]}},
    ]
    apply([definition(tmp_path, variants=variants, start_date=date(2099, 1, 5))], BEFORE)
    (taken_back,) = apply([parse(export("small").text.encode(), "small.yaml", tmp_path)], BEFORE)
    assert (taken_back.action, taken_back.changes) == ("unchanged", ())


# --- the canonical form -----------------------------------------------------------------------------------------------
CANONICAL = """\
version: 1
experiment: small
name: A small experiment
owner: owner@example.com
unit: user
variants:
- {key: control, weight: 50, control: true}
- {key: treatment, weight: 50}
start_date: 2024-01-01
enrollment_weeks: 2
horizon_weeks: 6
pre_weeks: 2
clock: unit
timezone: UTC
source: {kind: files, exposures: exposures.parquet, facts: facts.parquet}
windows:
  early: [0, 2]
  late: [4, 6]
metrics:
- {key: lines, kind: mean, column: lines, better: higher, role: primary, term: short}
- {key: active, kind: active, column: lines, better: higher, role: primary, term: long}
- {key: price, kind: ratio, numerator: sales, denominator: lines, better: higher, role: guardrail, margin: 0.02}
decision:
  alpha: 0.05
  power: 0.8
  looks: weekly
  min_weeks: 0
  rollback:
  - {metric: lines, window: latest, below: -0.05}
  - {metric: active, window: latest, below: -0.05}
"""


@pytest.fixture
def define(tmp_path: Path) -> Callable[..., Definition]:
    return lambda **changes: definition(tmp_path, **changes)


def test_the_canonical_form_has_the_order_of_the_contract_and_what_rolls_back(
    define: Callable[..., Definition],
) -> None:
    small = define()
    assert definition_text(small.plan, small.source) == CANONICAL


def test_an_experiment_may_say_by_when_it_is_to_be_decided(define: Callable[..., Definition]) -> None:
    dated = define(planned_end_date=date(2024, 2, 1))
    assert dated.plan.planned_end_date == date(2024, 2, 1)
    assert "planned_end_date: 2024-02-01\n" in definition_text(dated.plan, dated.source)
    with pytest.raises(DefinitionProblem, match="planned_end_date: 2024-01-01 is not after start_date 2024-01-01"):
        define(planned_end_date=date(2024, 1, 1))


def test_numbers_of_all_sizes_are_written_without_losing_a_digit(define: Callable[..., Definition]) -> None:
    for weight in (1e-7, 0.1, math.pi, 2.0**53 + 2, 1e22):
        one, other = {"key": "control", "weight": weight, "control": True}, {"key": "treatment", "weight": 1}
        found = define(variants=[one, other])
        text = definition_text(found.plan, found.source)
        assert parse(text.encode(), "small.yaml", FOLDER).plan.variants[0].weight == weight


@pytest.mark.parametrize(
    "place",
    [
        {"kind": "postgres", "dsn": "shop", "exposures": "exposed", "facts": "orders", "columns": {"unit": "user"}},
        {"kind": "postgres", "dsn": "shop", "schema": "logs", "exposures": "exposed", "facts": "orders"},
        {"kind": "postgres", "dsn": "holdfast"},
    ],
)
def test_databases_are_written_as_they_were_named(define: Callable[..., Definition], place: dict[str, Any]) -> None:
    found = define(source=place)
    assert yaml.safe_load(definition_text(found.plan, found.source))["source"] == place
    assert again(found).source == replace(found.source, folder=FOLDER)


# --- command and download ---------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_the_command_prints_the_file_and_says_to_what_its_paths_are_relative(tmp_path: Path) -> None:
    data = SmallData(tmp_path / "small")
    data.write()
    assert run("apply", data.path).code == 0
    done = run("export", "small")
    assert (done.code, done.out, done.err) == (0, CANONICAL, f"The paths in it are relative to {data.folder}.\n")
    data.path.write_text(done.out)
    assert run("apply", data.path).out == "experiment small: unchanged\n"


@pytest.mark.django_db(transaction=True)
def test_an_unknown_key_is_refused_in_one_line() -> None:
    done = run("export", "nothing")
    assert (done.code, done.out) == (1, "")
    assert "nothing" in done.err


@pytest.mark.django_db
def test_the_download_is_the_same_file(define: Callable[..., Definition]) -> None:
    apply([define()], NOW)
    response = signed_in("viewer").get("/experiments/small/definition.yaml")
    assert response.content.decode() == CANONICAL
    assert response.headers["Content-Disposition"] == 'attachment; filename="small.yaml"'
    assert signed_in("viewer").get("/experiments/nothing/definition.yaml").status_code == 404


@pytest.mark.django_db
def test_a_plan_that_no_file_can_say_is_not_exported_as_something_else(define: Callable[..., Definition]) -> None:
    apply([define()], BEFORE)
    plan = Experiment.objects.get().current_plan
    plan.body["metrics"][0]["column"] = ""
    plan.save()
    with pytest.raises(CannotExport, match="metrics"):
        export("small")
    assert signed_in("viewer").get("/experiments/small/definition.yaml").status_code == 409
