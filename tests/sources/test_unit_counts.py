"""Segments, events, leavers and covariates in the one pass, against loops over rows."""

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.plan import Event, Metric
from analysis.triangle import Triangle, combine
from experiments.sources.base import Columns, SourceProblem
from tests.sources import agreement, brute_force, worlds
from tests.sources.adapters import ADAPTERS, Adapter
from tests.sources.worlds import ENROLLMENT_WEEKS, HORIZON_WEEKS, START, Names, Recipe, World

NAMES = Names(Columns(left_at="gone"))
RECIPES = (
    Recipe("unit clock", 51, names=NAMES),
    Recipe("calendar clock", 52, names=NAMES, clock="calendar", times="timestamp", lag_days=2),
    Recipe("a zone and three variants", 53, names=NAMES, times="timestamptz", timezone="America/New_York",
           weights=(60, 20, 20), pre_weeks=1, ids="int"),
    Recipe("text in CSV", 54, names=NAMES, times="text_date", pre_weeks=0, files=worlds.Files("csv", 2)),
)  # fmt: skip
EVENTS = (Event("inactivity", "used", 2), Event("inactivity", "lines", 1), Event("occurrence", "used"))

#: Means and products of the same rows, added in another order.
SAME = 1e-12

every_adapter = pytest.mark.parametrize("adapter", ADAPTERS, ids=str)
every_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=str)


def drawn(recipe: Recipe) -> World:
    """A world whose exposure rows carry segments, covariates and a day of leaving, different from row to row."""
    world, random = worlds.world(recipe), np.random.default_rng(recipe.seed)
    rows = len(world.exposures)
    exposures = world.exposures.assign(
        country=random.choice(["de", "fr", "ü =,'", None], rows),
        vip=random.choice([True, False], rows),
        age=np.where(random.random(rows) < 0.1, np.nan, random.integers(18, 80, rows)),
        prior=random.integers(0, 5, rows),
    )
    gone = random.random(rows) < 0.3
    days = pd.Series(random.integers(-5, worlds.LAST_DAY, rows)), pd.Series(np.zeros(rows, dtype=int))
    exposures["gone"] = [
        value if left else None for value, left in zip(worlds._times(recipe, *days), gone, strict=True)
    ]
    metrics = tuple(
        Metric(f"event-{place}", "event", "lower", "secondary", event=event, adjust=("age", "prior"))
        for place, event in enumerate(EVENTS)
    )
    plan = replace(world.plan, segments=("country", "vip"), metrics=(*world.plan.metrics[:3], *metrics))
    return replace(world, plan=plan).with_rows(exposures=exposures)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory):
    @cache
    def reading(adapter: Adapter, recipe: Recipe, as_of: date) -> tuple[World, Triangle]:
        world = drawn(recipe)
        with adapter.open(world, tmp_path_factory.mktemp("world")) as source:
            return world, source.read(world.plan, as_of)

    return reading


def first_rows(world: World, as_of: date) -> pd.DataFrame:
    """The first exposure row of each unit that counts: variant, cohort, and all that it carries."""
    found = brute_force.look(world, as_of).rows
    columns, zone = world.columns, brute_force.ZoneInfo(world.plan.timezone)
    rows: dict[Any, dict[str, Any]] = {}
    end = as_of - timedelta(days=world.plan.lag_days)
    for row in world.exposures.to_dict("records"):
        unit, day = row[columns.unit], brute_force.moment(row[columns.exposed_at], zone).date()
        if unit not in found.index or day >= end:
            continue
        known = ["(none)" if row["country"] is None else row["country"], "true" if row["vip"] else "false"]
        numbers = [row["age"], row["prior"]]
        # Of rows at the same instant the smallest is the first; an unknown age stands after all others.
        last = [np.inf if np.isnan(number) else number for number in numbers]
        order = (brute_force._order(row[columns.exposed_at], zone), known, last)
        kept = rows.setdefault(unit, {"order": order, "gone": None})
        if order <= kept["order"]:
            kept |= {"order": order, "country": known[0], "vip": known[1], "age": numbers[0], "prior": numbers[1]}
        if not pd.isna(row["gone"]):
            gone = max(brute_force.moment(row["gone"], zone).date(), day)
            kept["gone"] = gone if kept["gone"] is None else min(gone, kept["gone"])
    frame = pd.DataFrame.from_dict(rows, orient="index")
    return found.join(frame.drop(columns="order"))


@every_adapter
@every_recipe
@pytest.mark.parametrize("when", ["mid", "full"])
def test_units_are_counted_by_week_of_event_and_return(adapter: Adapter, recipe: Recipe, when: str, read) -> None:
    world, triangle = read(adapter, recipe, worlds.as_of(recipe, when))
    rows = brute_force.look(world, triangle.as_of).rows
    seen = 0
    for event in EVENTS:
        series = next(one for one in world.plan.series if (one.kind, one.column) == ("active", event.column))
        for (variant, cohort), frame in rows.groupby(["variant", "cohort"]):
            expected = Counter(
                event_of([unit[series, week] > 0 for week in range(HORIZON_WEEKS)], event)
                for _, unit in frame.iterrows()
            )
            counts = triangle.event_counts(event, variant, cohort).weeks
            found = {(int(k), int(r)): int(counts[k, r]) for k, r in np.argwhere(counts)}
            assert found == expected
            seen += len(found)
    assert seen > 40, "the world has too few different lives to say anything"


@every_adapter
@every_recipe
def test_pauses_before_exposure_are_counted_by_length(adapter: Adapter, recipe: Recipe, read) -> None:
    world, triangle = read(adapter, recipe, worlds.as_of(recipe, "full"))
    found = brute_force.look(world, triangle.as_of)
    facts = brute_force._facts(world, triangle.as_of - timedelta(days=recipe.lag_days))
    seen = brute_force._first_exposures(world, triangle.as_of - timedelta(days=recipe.lag_days))
    facts = facts[facts["unit"].isin(found.rows.index)]
    facts = facts.assign(week=brute_force._weeks(world.plan, facts, seen))
    for event in EVENTS[:2]:
        active = facts[(facts[brute_force._value(event.column)] > 0) & facts["week"].between(-recipe.pre_weeks, -1)]
        expected = Counter(
            later - week - 1
            for _, weeks in active.groupby("unit")["week"]
            for week, later in pairwise(sorted(set(weeks)))
            if later - week > 1
        )
        total = sum(triangle.event_counts(event, variant.key, cohort).pauses for variant in world.plan.variants
                    for cohort in range(ENROLLMENT_WEEKS))  # fmt: skip
        assert {int(length): int(total[length]) for length in np.flatnonzero(total)} == expected
        assert recipe.pre_weeks < 3 or len(expected) > 2


def event_of(active: list[bool], event: Event) -> tuple[int, int]:
    """The week of a unit's event and of its return, the horizon for none: by looking at one week after the other."""
    weeks = len(active)
    if event.type == "occurrence":
        return next((week for week in range(weeks) if active[week]), weeks), weeks
    for week in range(weeks - event.gap_weeks + 1):
        after = week + event.gap_weeks
        if not any(active[week:after]):
            return week, next((later for later in range(after, weeks) if active[later]), weeks)
    return weeks, weeks


@every_adapter
@every_recipe
def test_a_segment_holds_the_units_whose_first_exposure_says_so(adapter: Adapter, recipe: Recipe, read) -> None:
    world, triangle = read(adapter, recipe, worlds.as_of(recipe, "full"))
    rows = first_rows(world, triangle.as_of)
    names = {f"{column}={value}" for column in ("country", "vip") for value in rows[column]}
    assert set(triangle.segments) == names
    assert {"country=(none)", "country=ü =,'", "vip=true"} <= names
    look = brute_force.look(world, triangle.as_of)
    for column in ("country", "vip"):
        for value, units in rows.groupby(column).groups.items():
            part = triangle.of_segment(f"{column}={value}")
            expected = agreement.of_rows(replace(look, rows=look.rows.loc[units]))
            agreement.assert_same_cells(agreement.of_triangle(part), expected, world.plan, look.lived, SAME * 100)
            whole = sum(part.event_counts(EVENTS[0], variant.key, 1).n for variant in world.plan.variants)
            assert whole == (rows.loc[units, "cohort"] == 1).sum()


@every_adapter
@every_recipe
@pytest.mark.parametrize("when", ["mid", "full"])
def test_who_has_left_is_counted_by_variant_as_of_every_week(adapter: Adapter, recipe: Recipe, when: str, read) -> None:
    world, triangle = read(adapter, recipe, worlds.as_of(recipe, when))
    looks = [START + timedelta(days=recipe.lag_days + 7 * week) for week in range(2, 9)]
    assert triangle.left
    for day in [*(day for day in looks if day < triangle.as_of), triangle.as_of]:
        rows = first_rows(world, day)
        end = day - timedelta(days=recipe.lag_days)
        for variant in world.plan.variants:
            own = rows[rows["variant"] == variant.key]
            gone = sum(left is not None and left < end for left in own["gone"])
            assert triangle.at(day).left_units(variant.key) == gone, (day, variant.key)


@every_adapter
@every_recipe
def test_rows_of_units_carry_events_and_the_covariates_of_the_first_exposure(
    adapter: Adapter, recipe: Recipe, read
) -> None:
    world, triangle = read(adapter, recipe, worlds.as_of(recipe, "full"))
    found, rows = triangle.rows, first_rows(world, triangle.as_of)
    assert found is not None
    keys = [variant.key for variant in world.plan.variants]
    series = {event: next(one for one in world.plan.series if (one.kind, one.column) == ("active", event.column))
              for event in EVENTS}  # fmt: skip
    expected = sorted(
        (
            keys.index(unit["variant"]), int(unit["cohort"]),
            *(event_of([unit[series[event], week] > 0 for week in range(HORIZON_WEEKS)], event)[0] for event in EVENTS),
            -1.0 if np.isnan(unit["age"]) else unit["age"], float(unit["prior"]),
        )
        for _, unit in rows.iterrows()
    )  # fmt: skip
    actual = sorted(
        zip(
            found.variant.tolist(), found.cohort.tolist(), *(found.events[event].tolist() for event in EVENTS),
            np.nan_to_num(found.covariates[:, 0], nan=-1.0).tolist(), found.covariates[:, 1].tolist(), strict=True,
        )
    )  # fmt: skip
    assert actual == expected


@every_adapter
@every_recipe
def test_an_earlier_look_has_the_counts_it_had_then(adapter: Adapter, recipe: Recipe, read) -> None:
    """In the weeks lived by then, of the units that counted then."""
    _, later = read(adapter, recipe, worlds.as_of(recipe, "full"))
    day = START + timedelta(days=recipe.lag_days + 42)
    _, taken = read(adapter, recipe, day)
    rebuilt = later.at(day)
    assert rebuilt.rows is None
    for variant in taken.plan.variants:
        assert rebuilt.left_units(variant.key) == taken.left_units(variant.key)
        for cohort, lived in agreement.lived(taken.plan, day).items():
            for event in EVENTS:
                known = lived - event.gap_weeks + 1 if event.gap_weeks else lived
                found, wanted = (one.event_counts(event, variant.key, cohort).weeks for one in (rebuilt, taken))
                assert found.sum() == wanted.sum()
                assert (found[: max(known, 0)].sum(axis=1) == wanted[: max(known, 0)].sum(axis=1)).all()


@every_adapter
def test_partitions_change_no_count(adapter: Adapter, tmp_path: Path, read) -> None:
    recipe = RECIPES[0]
    world, whole = read(adapter, recipe, worlds.as_of(recipe, "full"))
    with adapter.open(world, tmp_path) as source:
        source.inspect(world.plan)
        parts = [source.read_tallies(world.plan, whole.as_of)]
        parts += [source.read_partition(world.plan, whole.as_of, number, 3) for number in range(3)]
    total = combine(parts)
    assert total.left == whole.left
    agreement.assert_same_triangle(total, whole, SAME)
    for event in EVENTS:
        for cell, counts in whole.events[event].items():
            assert (total.events[event][cell].weeks == counts.weeks).all()
            assert (total.events[event][cell].pauses == counts.pauses).all()
    assert total.rows is not None
    assert whole.rows is not None
    assert np.nansum(total.rows.covariates) == np.nansum(whole.rows.covariates)


# --- What is refused --------------------------------------------------------------------------------------------------
@every_adapter
@pytest.mark.parametrize(
    ("changes", "plan", "words"),
    [
        ({"country": range}, {}, "column `country`: has .* values, .* at most 50"),
        ({"gone": lambda rows: ["soon"] * rows}, {}, "column `gone`: .* rows are not dates, such as 'soon'"),
        ({"age": lambda rows: ["old"] * rows}, {}, "column `age`: is text"),
        ({"prior": lambda rows: [np.inf] * rows}, {}, "column `prior`: .* infinite"),
        ({}, {"segments": ("region",)}, "column `region` is missing"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_used_are_refused(
    adapter: Adapter, changes: dict[str, Any], plan: dict[str, Any], words: str, tmp_path: Path
) -> None:
    world = drawn(RECIPES[0])
    values = {name: make(len(world.exposures)) for name, make in changes.items()}
    world = replace(world.with_rows(exposures=world.exposures.assign(**values)), plan=replace(world.plan, **plan))
    with adapter.open(world, tmp_path) as source, pytest.raises(SourceProblem, match=words):
        source.inspect(world.plan)


def test_the_loops_themselves_find_the_first_gap_and_the_return() -> None:
    gap = Event("inactivity", "used", 2)
    assert event_of([True, False, True, False, False, True], gap) == (3, 5)
    assert event_of([False, False, False, True, False, False], gap) == (0, 3)
    assert event_of([True] * 6, gap) == (6, 6)
    assert event_of([True, True, True, True, True, False], gap) == (6, 6)
    assert event_of([False, True, True, False, False, False], Event("occurrence", "used")) == (1, 6)
    assert ENROLLMENT_WEEKS > 1
