"""Testers are left out of results, whatever kept their exposures: files, or the events that a program sent."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.results import Scorecard
from experiments.assignment import fingerprint
from experiments.models import Look, Traffic, read_scorecard
from experiments.services import entry
from experiments.services.apply import apply
from tests.experiments import event_batches as batches
from tests.experiments.commands import run
from tests.experiments.event_batches import stored
from tests.experiments.looks import AS_OF, NOW, Mailbox, applied, assert_same, definition, fresh, mailbox, taken
from tests.experiments.small_data import START, SmallData, rows_of

pytestmark = pytest.mark.django_db(transaction=True)

#: A unit of the small experiment in treatment, and one that nothing else is known of.
INSIDE, STRANGE = "user-0003", "somebody"


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with mailbox(monkeypatch) as opened:
        yield opened
    batches.empty_tables()


def with_stranger(data: SmallData) -> SmallData:
    """The same data and a unit with enormous values, exposed by a program that does not know who tests."""
    data.exposures = {name: [*column, value] for (name, column), value in zip(
        data.exposures.items(), (STRANGE, "treatment", START + timedelta(days=1)), strict=True)}  # fmt: skip
    days = [START + timedelta(days=day) for day in range(-7, 40)]
    data.facts = {name: [*column, *values] for (name, column), values in zip(
        data.facts.items(), ([STRANGE] * 47, days, [1e4] * 47, [9e4] * 47), strict=True)}  # fmt: skip
    return data


def without(data: SmallData, unit: str) -> SmallData:
    data.exposures = rows_of(data.exposures, [one != unit for one in data.exposures["unit_id"]])
    data.facts = rows_of(data.facts, [one != unit for one in data.facts["unit_id"]])
    return data


def in_files(data: SmallData) -> str:
    return applied(data)


def as_events(data: SmallData) -> str:
    key = str(data.definition["experiment"])
    exposures: list[dict[str, Any]] = [
        {"type": "exposure", "id": f"e{place}", "unit": unit, "at": f"{at}T12:00:00Z", "experiment": key,
         "variant": variant}
        for place, (unit, variant, at) in enumerate(zip(*data.exposures.values(), strict=True))
    ]  # fmt: skip
    facts: list[dict[str, Any]] = [
        {"type": "fact", "id": f"f{place}", "unit": unit, "at": f"{at}T12:00:00Z",
         "values": {"lines": float(lines), "sales": float(sales)}}
        for place, (unit, at, lines, sales) in enumerate(zip(*data.facts.values(), strict=True))
    ]  # fmt: skip
    stored(exposures + facts, NOW)
    apply([definition(data.folder, source={"kind": "postgres", "dsn": "holdfast"})], NOW)
    return key


def untouched(data: SmallData) -> Scorecard:
    """The same of one pass over files that no tester is in."""
    data.write()
    return replace(fresh(data, AS_OF), fact_rows=0, excluded={})


def numbers(look: Look) -> Scorecard:
    """All estimates and checks: not how many rows the data have, nor who was left out, which testers do change."""
    card = read_scorecard(look)
    return replace(card, fact_rows=0, excluded={})


def left_out(look: Look) -> int:
    return read_scorecard(look).excluded.get("forced_testers", 0)


def force(key: str, unit: str, variant: str | None = "treatment") -> None:
    entry.force(key, unit, variant, by="x", now=NOW)


@pytest.mark.parametrize("kept", [in_files, as_events])
def test_a_testers_exposure_and_facts_change_no_number(kept: Any, tmp_path: Path, box: Mailbox) -> None:
    """The witness is the same experiment whose data never had that unit."""
    plain = untouched(SmallData(tmp_path / "plain"))
    key = kept(with_stranger(SmallData(tmp_path / "sent")))
    with_it = taken(box, key, AS_OF)
    assert left_out(with_it) == 0
    assert numbers(with_it).units["treatment"] == plain.units["treatment"] + 1
    force(key, STRANGE)
    found = taken(box, key, AS_OF)
    assert found.pk != with_it.pk  # who is left out is part of what a look read
    assert left_out(found) == 1
    assert_same(numbers(found), plain, 1e-9)


def test_who_had_entered_before_is_out_from_then_on_and_counts_again_once_no_tester(
    tmp_path: Path, box: Mailbox
) -> None:
    key = applied(SmallData(tmp_path / "whole"))
    before = taken(box, key, AS_OF)
    whole = numbers(before)
    force(key, INSIDE, "control")
    found = taken(box, key, AS_OF)
    assert left_out(found) == 1
    assert numbers(found).units["treatment"] == whole.units["treatment"] - 1
    assert_same(numbers(before), whole)  # what was said stays said
    force(key, INSIDE, None)
    again = taken(box, key, AS_OF)
    assert left_out(again) == 0
    assert_same(numbers(again), whole)
    assert_same(numbers(found), untouched(without(SmallData(tmp_path / "less"), INSIDE)))


@pytest.mark.parametrize("kept", [in_files, as_events])
def test_enrollment_is_frozen_for_whom_the_exposures_name_less_testers(kept: Any, tmp_path: Path) -> None:
    data = with_stranger(SmallData(tmp_path / "sent"))
    data.exposures = {name: [*column, *more] for (name, column), more in zip(
        data.exposures.items(), (["early", "odd"], ["control", "blue"], [START - timedelta(days=1), START]),
        strict=True)}  # fmt: skip
    key = kept(data)
    force(key, INSIDE)
    inside = {*SmallData(tmp_path).exposures["unit_id"], STRANGE} - {INSIDE}
    assert entry.freeze_exposed(key, by="x", now=NOW) == len(inside)
    traffic = Traffic.objects.get(experiment__key=key)
    entered = np.frombuffer(bytes(traffic.entered or b""), dtype=entry.STORED)
    assert sorted(int(one) for one in entered) == sorted(fingerprint(unit) for unit in inside)
    batches.empty_tables()


def test_exposures_that_cannot_be_read_freeze_nothing(tmp_path: Path) -> None:
    data = SmallData(tmp_path)
    key = in_files(data)
    (tmp_path / "exposures.parquet").unlink()
    done = run("traffic", key, "--freeze-exposed")
    assert done.code == 1
    assert "the exposures of small cannot be read" in done.err
    data.write()
    assert run("traffic", key, "--freeze-exposed").out.startswith("small: frozen; 200 units are in")


def test_a_tester_of_another_experiment_is_like_everybody(tmp_path: Path, box: Mailbox) -> None:
    data = SmallData(tmp_path)
    key = applied(data)
    other = SmallData(tmp_path / "other")
    other.definition["experiment"] = "other"
    force(applied(other), INSIDE)
    assert left_out(taken(box, key, AS_OF)) == 0


def test_a_name_with_a_quote_is_a_name(tmp_path: Path, box: Mailbox) -> None:
    key = applied(SmallData(tmp_path))
    force(key, "o'); DROP TABLE experiments_look; --")
    assert left_out(taken(box, key, date(2024, 2, 5))) == 0
