"""The cohort triangle: earlier looks, partitions and exclusions, against a count of single units."""

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pytest

from analysis.moments import Layout, Moments
from analysis.triangle import (
    EXCLUSIONS,
    CannotRebuild,
    Cell,
    DataSpan,
    FactCount,
    FactWeek,
    Tally,
    Triangle,
    combine,
)
from tests.analysis.unit_rows import LINES, START, draw_rows, make_plan, matrix, triangle_of_rows

PLAN = make_plan(metrics=(LINES,))

#: Sums of some hundred numbers of the same size.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Unit:
    """A unit: its first variant and exposure day, and the day it met another variant (None: never)."""

    variant: str
    exposed: int
    crossed: int | None
    vector: np.ndarray


def draw_units(count: int, seed: int) -> list[Unit]:
    rng = np.random.default_rng(seed)
    units = []
    for _ in range(count):
        exposed = int(rng.integers(7 * PLAN.enrollment_weeks))
        crossed = exposed + int(rng.integers(60)) if rng.random() < 0.2 else None
        vector = rng.poisson(5, size=Layout.of(PLAN).columns).astype(float)
        units.append(Unit(str(rng.choice(["control", "a"])), exposed, crossed, vector))
    return units


def triangle_of_units(units: list[Unit], day: int) -> Triangle:
    """What a source that reads the days before ``day`` knows of the units."""
    rows: dict[Cell, list[np.ndarray]] = {}
    tallies: dict[int, Tally] = {}
    for unit in units:
        if unit.exposed >= day:
            continue
        seen = unit.crossed is not None and unit.crossed < day
        week = unit.crossed // 7 if seen and unit.crossed is not None else None
        rows.setdefault(Cell(unit.variant, unit.exposed // 7, week), []).append(unit.vector)
        if week is not None:
            tallies[week] = tallies.get(week, Tally()) + Tally(excluded={"two_variants": 1})
    cells = {cell: Moments.of(np.array(vectors)) for cell, vectors in rows.items()}
    return Triangle(PLAN, START + timedelta(days=day), cells, tallies, {}, None)


@pytest.mark.parametrize("lag", [0, 7, 10])
def test_an_earlier_look_counts_units_as_they_were_known_then(lag: int) -> None:
    """A unit that met a second variant later still counts, one that had met it is left out and counted as such."""
    plan = replace(PLAN, lag_days=lag)
    units = draw_units(400, seed=1)
    now = replace(triangle_of_units(units, 90), plan=plan, as_of=START + timedelta(days=90 + lag))
    for week in range(1, 12):
        then = now.at(START + timedelta(days=7 * week + lag))
        fresh = triangle_of_units(units, 7 * week)
        for variant in ("control", "a"):
            counted = [
                unit
                for unit in units
                if unit.variant == variant
                and unit.exposed < 7 * week
                and (unit.crossed is None or unit.crossed >= 7 * week)
            ]
            assert then.units(variant) == len(counted) == fresh.units(variant)
            cohorts = tuple(cohort for cohort in range(PLAN.enrollment_weeks) if cohort < week)
            assert then.moments(variant, cohorts).mean == pytest.approx(
                np.mean([unit.vector for unit in counted], axis=0), rel=ROUNDING
            )
        crossed = sum(unit.crossed is not None and unit.crossed < 7 * week for unit in units)
        assert then.excluded["two_variants"] == crossed


def test_units_that_crossed_by_a_day_within_a_week_are_left_out_on_that_day() -> None:
    units = draw_units(300, seed=2)
    for day in (24, 25, 31, 40):
        triangle = triangle_of_units(units, day)
        counted = sum(unit.exposed < day and (unit.crossed is None or unit.crossed >= day) for unit in units)
        assert triangle.units("control") + triangle.units("a") == counted


def test_looking_back_at_the_same_day_gives_the_same_triangle() -> None:
    triangle = triangle_of_units(draw_units(50, seed=3), 40)
    assert triangle.at(triangle.as_of) is triangle


@pytest.mark.parametrize("days", [41, 47, 20, 22])
def test_a_later_day_or_one_off_the_weekly_grid_cannot_be_rebuilt(days: int) -> None:
    triangle = triangle_of_units(draw_units(50, seed=3), 40)
    with pytest.raises(CannotRebuild, match="is not a weekly look before 2024-02-10"):
        triangle.at(START + timedelta(days=days))


def test_an_earlier_look_forgets_the_facts_that_came_later() -> None:
    day = START + timedelta(days=21)
    triangle = Triangle(
        PLAN, day, {}, {
            -1: Tally(rows=4, last=START - timedelta(days=3), nulls=1),
            0: Tally(rows=11, last=START + timedelta(days=6), excluded={"unknown_variant": 2}),
            2: Tally(rows=7, last=START + timedelta(days=20), nulls=3, excluded={"unknown_variant": 1}),
        },
        {FactWeek(-1, 0): FactCount(3, 2), FactWeek(0, 0): FactCount(4, 0), FactWeek(0, 2): FactCount(6, 1)},
        START - timedelta(days=9),
    )  # fmt: skip
    assert triangle.data == DataSpan(START - timedelta(days=9), START + timedelta(days=20), 22)
    assert triangle.excluded == {
        "exposed_before_start": 0, "exposed_after_enrollment": 0, "two_variants": 0, "unknown_variant": 3,
        "facts_of_unknown_units": 9, "facts_before_pre_period": 3, "nulls": 4,
    }  # fmt: skip
    then = triangle.at(START + timedelta(days=7))
    assert then.data == DataSpan(START - timedelta(days=9), START + timedelta(days=6), 15)
    # The unit of the third count was exposed in week 2: until then its facts of week 0 were those of an unknown unit.
    assert then.excluded == {
        "exposed_before_start": 0, "exposed_after_enrollment": 0, "two_variants": 0, "unknown_variant": 2,
        "facts_of_unknown_units": 8, "facts_before_pre_period": 2, "nulls": 1,
    }  # fmt: skip
    assert list(triangle.excluded) == list(EXCLUSIONS)


def test_a_first_fact_that_came_later_is_not_known_at_an_earlier_look() -> None:
    first = START + timedelta(days=10)
    triangle = Triangle(PLAN, START + timedelta(days=21), {}, {1: Tally(rows=1, last=first)}, {}, first)
    assert triangle.at(START + timedelta(days=14)).data == DataSpan(first, first, 1)
    assert triangle.at(START + timedelta(days=7)).data == DataSpan(None, None, 0)


def test_an_earlier_look_equals_a_fresh_read_of_the_rows_that_existed() -> None:
    plan = make_plan()
    rows = draw_rows(plan, 500, seed=4)
    now = triangle_of_rows(plan, rows)
    then = now.at(START + timedelta(days=14))
    assert then.units("control") == np.isin(rows.cohort[rows.variant == "control"], (0, 1)).sum()
    assert then.moments("a", (2,)).n == 0


def test_partitions_of_units_add_up_to_the_whole() -> None:
    plan = make_plan()
    rows = draw_rows(plan, 600, seed=5)
    vectors = matrix(plan, rows)
    parts = []
    for remainder in range(4):
        inside = np.arange(600) % 4 == remainder
        cells = {}
        for variant in ("control", "a"):
            for cohort in range(3):
                chosen = inside & (rows.variant == variant) & (rows.cohort == cohort)
                cells[Cell(variant, cohort)] = Moments.of(vectors[chosen])
        tallies = {remainder: Tally(rows=remainder + 1, last=START + timedelta(days=remainder), nulls=remainder)}
        facts = {FactWeek(0, 0): FactCount(remainder, 1)}
        first = START + timedelta(days=remainder) if remainder else None
        parts.append(Triangle(plan, START + timedelta(days=90), cells, tallies, facts, first))
    whole = combine(parts)
    for variant in ("control", "a"):
        found = whole.moments(variant, (0, 1, 2))
        expected = vectors[rows.variant == variant]
        assert found.n == len(expected)
        assert found.mean == pytest.approx(expected.mean(axis=0), rel=ROUNDING)
        size = np.abs(expected).max() ** 2
        assert np.abs(found.covariance - np.cov(expected, rowvar=False)).max() < ROUNDING * size
    assert whole.data == DataSpan(START + timedelta(days=1), START + timedelta(days=3), 10)
    assert whole.facts == {FactWeek(0, 0): FactCount(6, 4)}
    assert whole.excluded["nulls"] == 6


def test_tallies_add_counts_and_keep_the_last_day() -> None:
    left = Tally(rows=1, last=date(2024, 1, 2), nulls=3, excluded={"unknown_variant": 1})
    right = Tally(rows=2, excluded={"unknown_variant": 2, "two_variants": 5})
    expected = Tally(rows=3, last=date(2024, 1, 2), nulls=3, excluded={"two_variants": 5, "unknown_variant": 3})
    assert left + right == expected
    assert right + left == expected
    assert Tally() + Tally() == Tally()


def test_moments_of_a_variant_that_nobody_was_exposed_to_are_those_of_no_units() -> None:
    triangle = triangle_of_units(draw_units(20, seed=6), 30)
    assert triangle.moments("b", (0, 1, 2)).n == 0
    assert triangle.moments("control", ()).n == 0
    assert triangle.units("b") == 0
