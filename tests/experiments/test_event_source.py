"""Events that were sent, read back by looks: the same numbers as from the same rows in files."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.plan import Metric, Plan
from experiments.models import read_scorecard
from experiments.services.apply import apply
from experiments.sources.base import OWN, OWN_TABLES, Columns, SourceProblem, SourceSpec
from experiments.sources.registry import open_history, open_source
from tests.experiments import event_batches as batches
from tests.experiments.event_batches import exposure, fact, stored
from tests.experiments.looks import AS_OF, assert_same, definition, fresh, mailbox, taken
from tests.experiments.small_data import SmallData
from tests.sources import agreement, worlds
from tests.sources.worlds import Recipe, World, day

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)

#: Sums of the same doubles in another order.
SAME = 1e-9

SPEC = SourceSpec("postgres", *OWN_TABLES, dsn=OWN, schema="public")


@pytest.fixture(autouse=True)
def tables() -> Iterator[None]:
    yield
    batches.empty_tables()


def shop(recipe: Recipe) -> tuple[World, list[dict[str, Any]]]:
    """A world that can be sent (variants are named, facts say something), and its rows as events."""
    drawn = worlds.world(recipe)
    exposures = drawn.exposures[drawn.exposures["variant"].notna()].assign(
        country=lambda rows: np.where(rows.index % 3 == 0, "de", "fr"), age=lambda rows: rows.index % 60 + 0.5
    )
    facts = drawn.facts[drawn.facts[["lines", "sales", "used"]].notna().any(axis=1)]
    metrics = tuple(
        replace(one, adjust=("age",)) if one.kind == "event" else one for one in drawn.plan.metrics
    )  # fmt: skip
    world = replace(drawn.with_rows(exposures, facts), plan=replace(drawn.plan, segments=("country",), metrics=metrics))
    events: list[dict[str, Any]] = [
        {"type": "exposure", "id": f"e{place}", "unit": row["unit_id"], "at": row["exposed_at"].isoformat(),
         "experiment": world.plan.key, "variant": row["variant"],
         "attributes": {"country": row["country"], "age": row["age"]}}
        for place, row in enumerate(exposures.to_dict("records"))
    ]  # fmt: skip
    events += [
        {"type": "fact", "id": f"f{place}", "unit": row["unit_id"], "at": row["at"].isoformat(),
         "values": {name: None if pd.isna(row[name]) else row[name] for name in ("lines", "sales", "used")}}
        for place, row in enumerate(facts.to_dict("records"))
    ]  # fmt: skip
    return world, events


@pytest.mark.parametrize("timezone", ["UTC", "America/New_York"])
def test_events_read_like_the_same_rows_in_files(timezone: str, tmp_path: Path) -> None:
    world, events = shop(Recipe("sent", 61, times="timestamptz", timezone=timezone, pre_weeks=2, units=200))
    other = [{**event, "id": f"x{event['id']}", "experiment": "another"} for event in events if "experiment" in event]
    stored(events + other, NOW)
    plan = world.plan
    with open_source(worlds.write(world, tmp_path), worlds.TODAY) as files, open_source(SPEC, worlds.TODAY) as sent:
        assert sent.inspect(plan).last == files.inspect(plan).last
        for when in ("mid", "full"):
            as_of = worlds.as_of(world.recipe, when)
            expected, found = files.read(plan, as_of), sent.read(plan, as_of)
            agreement.assert_same_triangle(found, expected, SAME)
            assert (found.facts, found.segments) == (expected.facts, expected.segments)
            assert found.rows is not None
            assert expected.rows is not None
            assert sorted(found.rows.covariates[:, 0]) == sorted(expected.rows.covariates[:, 0])
    later = replace(plan, start_date=day(70), segments=(), metrics=plan.metrics[:2])
    with open_history(worlds.write(world, tmp_path), worlds.TODAY) as files, open_history(SPEC, worlds.TODAY) as sent:
        past = files.enroll(later)
        assert sent.enroll(later) == past
        agreement.assert_same_triangle(sent.read(past.plan, past.as_of), files.read(past.plan, past.as_of), SAME)


def test_units_of_sent_events_are_those_of_the_same_rows_in_files(tmp_path: Path) -> None:
    world, events = shop(Recipe("sent", 61, times="timestamptz", timezone="America/New_York", units=200))
    stored(events + [{**event, "id": f"x{event['id']}", "experiment": "another"} for event in events[:50]], NOW)
    as_of = worlds.as_of(world.recipe, "mid")
    with open_source(worlds.write(world, tmp_path), worlds.TODAY) as files, open_source(SPEC, worlds.TODAY) as sent:
        for counted in (True, False):
            found, expected = (
                sorted(
                    row
                    for part in source.unit_days(world.plan, as_of, counted=counted)
                    for row in zip(part.units.tolist(), part.variants.tolist(), part.days.tolist(), strict=True)
                )
                for source in (sent, files)
            )
            assert found == expected
            assert found


def test_a_look_of_sent_events_is_that_of_the_same_rows_in_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = SmallData(tmp_path)
    key = data.definition["experiment"]
    data.write()
    expected = fresh(data, AS_OF)
    stored([
        {"type": "exposure", "id": f"e{unit}", "unit": unit, "at": f"{at}T12:00:00Z", "experiment": key,
         "variant": variant}
        for unit, variant, at in zip(*data.exposures.values(), strict=True)
    ], NOW)  # fmt: skip
    stored([
        {"type": "fact", "id": f"f{place}", "unit": unit, "at": f"{at}T12:00:00Z",
         "values": {"lines": float(lines), "sales": float(sales)}}
        for place, (unit, at, lines, sales) in enumerate(zip(*data.facts.values(), strict=True))
    ], NOW)  # fmt: skip
    sent = definition(tmp_path, source={"kind": "postgres", "dsn": "holdfast"})
    apply([sent], NOW)
    with mailbox(monkeypatch) as box:
        look = taken(box, key, AS_OF)
    assert look.state == "done", look.error
    assert_same(read_scorecard(look), expected, SAME)


def small_plan(**changes: Any) -> Plan:
    metrics = (Metric("orders", "mean", "higher", "primary", column="orders"),)
    return replace(worlds.plan_of(Recipe("shop", 0, pre_weeks=0)), key="shop", metrics=metrics, **changes)


def at(number: int) -> str:
    return datetime.combine(day(number), datetime.min.time(), UTC).isoformat()


def small_events() -> list[dict[str, Any]]:
    exposures = [exposure(number, NOW, at=at(0)) for number in range(4)]
    return exposures + [fact(number, NOW, unit=f"unit-{number}", at=at(number)) for number in range(4)]


def test_a_look_is_not_disturbed_by_events_of_today() -> None:
    stored(small_events(), NOW)
    today = day(20)

    def fingerprint() -> str:
        with open_source(SPEC, today) as source:
            return source.inspect(small_plan()).fingerprint

    before = fingerprint()
    stored([fact(50, NOW, at=at(20))], NOW)
    assert fingerprint() == before
    stored([fact(51, NOW, at=at(19))], NOW)
    assert fingerprint() != before


def test_what_was_not_sent_is_said() -> None:
    def refused(plan: Plan) -> str:
        with pytest.raises(SourceProblem) as raised, open_source(SPEC, worlds.TODAY) as source:
            source.inspect(plan)
        return str(raised.value)

    assert "no fact was sent yet" in refused(small_plan())
    stored(small_events(), NOW)
    assert "no exposure of `other` was sent yet" in refused(replace(small_plan(), key="other"))
    wanting = small_plan(segments=("region",))
    assert "column `region` is missing (it is a declared segment)" in refused(wanting)
    metrics = (Metric("clicks", "mean", "higher", "primary", column="clicks"),)
    assert "column `clicks` is missing (metric `clicks`)" in refused(replace(small_plan(), metrics=metrics))


def test_no_other_table_of_our_own_database_can_be_read() -> None:
    stored(small_events(), NOW)
    spec = replace(
        SPEC, exposures="experiments_person", facts="experiments_person", columns=Columns(variant="password")
    )
    with open_source(spec, worlds.TODAY) as source, pytest.raises(SourceProblem, match="column `password` is missing"):
        source.inspect(small_plan())
