"""Which units a source has, in which variant and since when, against loops over rows; and the same id everywhere."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from experiments.assignment import fingerprint
from experiments.sources.base import Source, SourceProblem
from tests.sources import brute_force, worlds
from tests.sources.adapters import ADAPTERS, FILES, Adapter
from tests.sources.worlds import RECIPES, Recipe, World, day

every_adapter = pytest.mark.parametrize("adapter", ADAPTERS, ids=str)

#: Every type of id and of time, zones, lags, three variants, and names that are SQL.
CHOSEN = tuple(RECIPES[place] for place in (2, 3, 4, 8, 9, 10, 11, 12, 14))

Row = tuple[int, str, int]


def rows_of(world: World, as_of: date) -> Iterator[tuple[Any, str | None, int]]:
    """Unit, known variant and day from the start of every exposure that can be read."""
    columns, plan = world.columns, world.plan
    known = {variant.key for variant in plan.variants}
    for row in world.exposures.to_dict("records"):
        when = brute_force.moment(row[columns.exposed_at], ZoneInfo(plan.timezone)).date()
        if when < as_of - timedelta(days=plan.lag_days):
            found = row[columns.variant]
            yield row[columns.unit], found if found in known else None, (when - plan.start_date).days


def expected(world: World, as_of: date, *, counted: bool) -> list[Row]:
    by_unit: dict[Any, dict[str | None, int]] = {}
    for unit, variant, number in rows_of(world, as_of):
        days = by_unit.setdefault(unit, {})
        days[variant] = min(number, days.get(variant, number))
    found = []
    for unit, days in by_unit.items():
        enrolled = 0 <= min(days.values()) < 7 * world.plan.enrollment_weeks
        if counted and not (len(days) == 1 and enrolled):
            continue
        found += [(fingerprint(str(unit)), variant, number) for variant, number in days.items() if variant is not None]
    return sorted(found)


def read(source: Source, world: World, as_of: date, *, counted: bool) -> list[Row]:
    keys, rows = [variant.key for variant in world.plan.variants], []
    with source:
        for part in source.unit_days(world.plan, as_of, counted=counted):
            assert part.units.dtype == np.uint64
            columns = (part.units.tolist(), part.variants.tolist(), part.days.tolist())
            rows += [(unit, keys[variant], number) for unit, variant, number in zip(*columns, strict=True)]
    return sorted(rows)


@every_adapter
@pytest.mark.parametrize("recipe", CHOSEN, ids=str)
def test_units_and_their_first_days_are_those_of_the_rows(adapter: Adapter, recipe: Recipe, tmp_path: Path) -> None:
    world = worlds.world(recipe)
    spec = adapter.load(world, tmp_path)
    for when in ("early", "mid"):
        as_of = worlds.as_of(recipe, when)
        for counted in (True, False):
            found = read(adapter.reopen(spec), world, as_of, counted=counted)
            assert found == expected(world, as_of, counted=counted)
            assert len(found) > 100


@every_adapter
def test_units_that_count_are_those_of_the_triangle(adapter: Adapter, tmp_path: Path) -> None:
    world = worlds.world(RECIPES[0])
    plan = replace(world.plan, segments=())
    spec = adapter.load(world, tmp_path)
    for days in (10, 21, 33, 45):
        as_of = day(days)
        with adapter.reopen(spec) as source:
            triangle = source.read(plan, as_of)
        found = read(adapter.reopen(spec), world, as_of, counted=True)
        for variant in plan.variants:
            assert sum(key == variant.key for _, key, _ in found) == triangle.units(variant.key)


@every_adapter
def test_a_row_that_could_be_passed_over_unseen_is_refused(adapter: Adapter, tmp_path: Path) -> None:
    world = worlds.world(Recipe("plain", 1, units=20))
    for column, value, said in (
        ("exposed_at", None, "have no date"), ("exposed_at", worlds.TODAY + timedelta(days=1), "dated after today"),
        ("unit_id", None, "no unit id"),
    ):  # fmt: skip
        broken = world.exposures.copy().astype(object)
        broken.loc[3, column] = value
        spec = adapter.load(world.with_rows(exposures=broken), tmp_path)
        with pytest.raises(SourceProblem, match=said):
            read(adapter.reopen(spec), world, day(21), counted=False)
    spec = adapter.load(world.with_rows(exposures=world.exposures.drop(columns=["variant"])), tmp_path)
    with pytest.raises(SourceProblem, match="column `variant` is missing"):
        read(adapter.reopen(spec), world, day(21), counted=True)


def test_text_that_is_no_date_is_refused_where_dates_are_text(tmp_path: Path) -> None:
    world = worlds.world(Recipe("dates as text in CSV", 7, times="text_date", units=20, files=worlds.Files("csv")))
    broken = world.exposures.copy()
    broken.loc[3, "exposed_at"] = "03/04/2024"
    with pytest.raises(SourceProblem, match="1 rows are not dates, such as '03/04/2024'"):
        read(FILES.open(world.with_rows(exposures=broken), tmp_path), world, day(21), counted=False)
