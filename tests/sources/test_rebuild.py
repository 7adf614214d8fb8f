"""A look depends on plan, data and day alone: earlier looks are rebuilt, and later or reordered rows change nothing."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis import scorecard
from analysis.triangle import CannotRebuild, Triangle
from tests.sources import agreement, worlds
from tests.sources.adapters import ADAPTERS, Adapter
from tests.sources.worlds import ENROLLMENT_WEEKS, HORIZON_WEEKS, START, Recipe, World

#: The same numbers added in another order, by cells of other units.
REBUILT = 1e-12

#: Estimates are differences of such numbers, divided by variances.
ESTIMATED = 1e-9

every_adapter = pytest.mark.parametrize("adapter", ADAPTERS, ids=str)

REBUILDS = (
    Recipe("unit", 31),
    Recipe("calendar", 32, clock="calendar", pre_weeks=3),
    Recipe("lag", 33, lag_days=9, pre_weeks=0),
    Recipe("zone", 34, times="timestamptz", timezone="America/New_York", weights=(60, 20, 20), pre_weeks=1),
    Recipe("calendar with a lag of weeks", 35, clock="calendar", lag_days=14, times="timestamp"),
)

#: Small enough to be written and read often.
SMALL = Recipe("small", 36, units=60, pre_weeks=1)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory):
    @cache
    def reading(adapter: Adapter, recipe: Recipe, as_of: date) -> Triangle:
        with adapter.open(worlds.world(recipe), tmp_path_factory.mktemp("world")) as source:
            return source.read(worlds.plan_of(recipe), as_of)

    return reading


def weekly_grid(recipe: Recipe, before: date) -> Iterator[date]:
    """The days on which a whole number of weeks from the start has been read."""
    first = START + timedelta(days=recipe.lag_days)
    return (first + timedelta(days=7 * week) for week in range(30) if first + timedelta(days=7 * week) < before)


@every_adapter
@pytest.mark.parametrize(
    ("recipe", "when"),
    [*((recipe, "full") for recipe in REBUILDS), (REBUILDS[0], "mid"), (REBUILDS[1], "mid")],
    ids=str,
)
def test_an_earlier_look_is_rebuilt_as_it_was(adapter: Adapter, recipe: Recipe, when: str, read) -> None:
    """At every week, exclusions included, from a triangle on the weekly grid and from one off it."""
    later = read(adapter, recipe, worlds.as_of(recipe, when))
    crossed = {cell.crossed_week for cell in later.cells} - {None}
    assert len(crossed) > 3, "the world has too few units in two variants to say anything"
    looks = list(weekly_grid(recipe, later.as_of))
    assert len(looks) >= 6
    for as_of in looks:
        rebuilt, taken = later.at(as_of), read(adapter, recipe, as_of)
        agreement.assert_same_triangle(rebuilt, taken, REBUILT)
        for variant in taken.plan.variants:
            assert rebuilt.units(variant.key) == taken.units(variant.key)
        assert_same_scorecard(rebuilt, taken)


@every_adapter
@pytest.mark.parametrize("recipe", [REBUILDS[2], REBUILDS[4]], ids=str)
def test_a_look_that_reads_nothing_after_the_start_is_rebuilt_or_refused(
    adapter: Adapter, recipe: Recipe, read
) -> None:
    """With a lag, the days read end before the start until the lag has passed."""
    later = read(adapter, recipe, worlds.as_of(recipe, "full"))
    for weeks in range(1, 4):
        as_of = START + timedelta(days=recipe.lag_days - 7 * weeks)
        try:
            rebuilt = later.at(as_of)
        except CannotRebuild:
            continue
        agreement.assert_same_triangle(rebuilt, read(adapter, recipe, as_of), REBUILT)


def assert_same_scorecard(actual: Triangle, expected: Triangle) -> None:
    found, wanted = scorecard.build(actual), scorecard.build(expected)
    assert (found.units, found.excluded, found.look) == (wanted.units, wanted.excluded, wanted.look)
    for rows in ("checks", "effects", "reversals"):
        for left, right in zip(getattr(found, rows), getattr(wanted, rows), strict=True):
            for name, value in vars(right).items():
                if isinstance(value, float):
                    assert getattr(left, name) == pytest.approx(value, rel=ESTIMATED, abs=ESTIMATED), (left, name)
                else:
                    assert getattr(left, name) == value, (left, name)


@every_adapter
def test_a_rebuilt_look_can_be_rebuilt_again(adapter: Adapter, read) -> None:
    recipe = REBUILDS[0]
    full = read(adapter, recipe, worlds.as_of(recipe, "full"))
    early, middle = START + timedelta(days=21), START + timedelta(days=42)
    agreement.assert_same_triangle(full.at(middle).at(early), full.at(early), 0)


@every_adapter
def test_a_later_day_and_one_off_the_grid_are_not_rebuilt(adapter: Adapter, read) -> None:
    recipe = REBUILDS[2]
    triangle = read(adapter, recipe, worlds.as_of(recipe, "mid"))
    assert triangle.at(triangle.as_of) is triangle
    with pytest.raises(CannotRebuild, match=str(triangle.as_of)):
        triangle.at(triangle.as_of + timedelta(days=1))
    # The grid counts the days that are read: with a lag of nine days, whole weeks after start + 2.
    for as_of in weekly_grid(recipe, triangle.as_of - timedelta(days=7)):
        triangle.at(as_of)
        with pytest.raises(CannotRebuild, match="weekly look"):
            triangle.at(as_of + timedelta(days=1))


def reread(adapter: Adapter, world: World, folder: Path, as_of: date) -> Triangle:
    with adapter.open(world, folder) as source:
        return source.read(world.plan, as_of)


few = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@every_adapter
@few
@given(
    days=st.integers(1, 7 * (ENROLLMENT_WEEKS + HORIZON_WEEKS)),
    shifts=st.lists(st.integers(0, 20), min_size=1, max_size=30),
    seed=st.integers(0, 99),
)
def test_rows_of_the_day_of_the_look_and_later_change_nothing(
    adapter: Adapter, days: int, shifts: list[int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Known units in other variants, new units, huge values and nulls: all of them are still to come."""
    world, as_of = worlds.world(SMALL), START + timedelta(days=days)
    random = np.random.default_rng(seed)
    known = world.exposures[world.columns.unit].to_numpy()
    units = [str(random.choice(known)) if number % 3 else f"new {number}" for number in range(len(shifts))]
    later = [as_of + timedelta(days=shift) for shift in shifts]
    variants = random.choice(["control", "treatment", "ghost"], len(shifts))
    exposures = pd.DataFrame({"exposed_at": later, "unit_id": units, "variant": variants})
    values = random.choice([1e12, -1e12, np.nan], (3, len(shifts)))
    facts = pd.DataFrame({"at": later, "unit_id": units, "lines": values[0], "sales": values[1], "used": values[2]})
    added = world.with_rows(pd.concat([exposures, world.exposures]), pd.concat([facts, world.facts]))
    folder = tmp_path_factory.mktemp("later")
    before, after = (reread(adapter, rows, folder / name, as_of) for name, rows in (("a", world), ("b", added)))
    agreement.assert_same_triangle(after, before, REBUILT)
    assert after.tallies == before.tallies
    assert after.facts == before.facts


@every_adapter
@few
@given(days=st.integers(1, 80), seed=st.integers(0, 99))
def test_the_order_of_rows_changes_nothing(
    adapter: Adapter, days: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world, as_of = worlds.world(SMALL), START + timedelta(days=days)
    shuffled = world.with_rows(
        world.exposures.sample(frac=1, random_state=seed), world.facts.sample(frac=1, random_state=seed)
    )
    folder = tmp_path_factory.mktemp("shuffled")
    before, after = (reread(adapter, rows, folder / name, as_of) for name, rows in (("a", world), ("b", shuffled)))
    agreement.assert_same_triangle(after, before, REBUILT)
    assert after.cells.keys() == before.cells.keys()


@every_adapter
@few
@given(share=st.floats(0, 1), pieces=st.integers(2, 5), seed=st.integers(0, 99))
def test_rows_split_into_duplicates_that_add_up_change_nothing(
    adapter: Adapter, share: float, pieces: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """But the number of rows, and with it an average per row, which is left out here."""
    world = worlds.world(SMALL)
    metrics = tuple(metric for metric in world.plan.metrics if metric.denominator != "rows")
    world = replace(world, plan=replace(world.plan, metrics=metrics))
    values = ["lines", "sales", "used"]
    whole = world.facts[values].notna().all(axis=1) & (np.random.default_rng(seed).random(len(world.facts)) < share)
    part = world.facts[whole].assign(**{name: world.facts.loc[whole, name] / pieces for name in values})
    split = world.with_rows(facts=pd.concat([world.facts[~whole], *[part] * pieces]))
    as_of, folder = worlds.as_of(SMALL, "full"), tmp_path_factory.mktemp("split")
    before, after = (reread(adapter, rows, folder / name, as_of) for name, rows in (("a", world), ("b", split)))
    assert after.excluded | {"facts_of_unknown_units": 0, "facts_before_pre_period": 0} == before.excluded | {
        "facts_of_unknown_units": 0, "facts_before_pre_period": 0,
    }  # fmt: skip
    assert (after.data.first, after.data.last) == (before.data.first, before.data.last)
    read_rows = (world.facts["at"] < as_of).to_numpy()
    assert after.data.rows == before.data.rows + (pieces - 1) * (whole & read_rows).sum()
    agreement.assert_same_cells(
        agreement.of_triangle(after), agreement.of_triangle(before), world.plan,
        agreement.lived(world.plan, as_of), REBUILT,
    )  # fmt: skip


@every_adapter
@few
@given(repeats=st.integers(1, 4), seed=st.integers(0, 99))
def test_exposures_repeated_in_the_same_variant_change_nothing(
    adapter: Adapter, repeats: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world, as_of = worlds.world(SMALL), worlds.as_of(SMALL, "mid")
    again = world.exposures.sample(frac=0.5, random_state=seed)
    later = again.assign(exposed_at=[at + timedelta(days=seed % 9) for at in again["exposed_at"]])
    more = world.with_rows(pd.concat([world.exposures, *[again] * repeats]))
    folder = tmp_path_factory.mktemp("again")
    before, after = (reread(adapter, rows, folder / name, as_of) for name, rows in (("a", world), ("b", more)))
    agreement.assert_same_triangle(after, before, REBUILT)
    # Rows dated later may only bring a second variant forward for units that have one already.
    moved = reread(adapter, world.with_rows(pd.concat([world.exposures, later])), folder / "c", as_of)
    assert moved.excluded["two_variants"] >= before.excluded["two_variants"]
    assert {cell.cohort for cell in moved.cells} == {cell.cohort for cell in before.cells}
