"""What is left out and counted: every unit once, for the first reason that holds; and data that are refused whole."""

import math
import uuid
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.plan import Metric
from analysis.triangle import EXCLUSIONS, Triangle
from experiments.sources.base import SourceProblem
from tests.sources import worlds
from tests.sources.adapters import ADAPTERS, Adapter
from tests.sources.worlds import Recipe, World, day

every_adapter = pytest.mark.parametrize("adapter", ADAPTERS, ids=str)

TWO_WEEKS_BEFORE = Recipe("hand-made", 0, pre_weeks=2)
CALENDAR = Recipe("hand-made by week", 0, pre_weeks=2, clock="calendar")

#: One unit in each variant, so that no variant is empty.
BOTH = [("c", "control", day(0)), ("t", "treatment", day(0))]
#: Facts on several weekdays that change no count.
SOME = [("c", day(0)), ("t", day(1)), ("c", day(2))]


def read(adapter: Adapter, world: World, folder: Path, as_of: date) -> Triangle:
    with adapter.open(world, folder) as source:
        return source.read(world.plan, as_of)


def left_out(triangle: Triangle) -> dict[str, int]:
    return {reason: count for reason, count in triangle.excluded.items() if count}


def counted(triangle: Triangle) -> dict[str, int]:
    return {variant.key: triangle.units(variant.key) for variant in triangle.plan.variants}


@every_adapter
def test_a_unit_is_left_out_once_for_the_first_reason_that_holds(adapter: Adapter, tmp_path: Path) -> None:
    exposures = [
        *BOTH,
        ("before", "control", day(-1)),
        ("before, again after the start", "control", day(-1)),
        ("before, again after the start", "control", day(3)),
        ("before and unknown", "ghost", day(-8)),
        ("before and in two variants", "control", day(-1)),
        ("before and in two variants", "treatment", day(1)),
        ("after", "control", day(21)),
        ("after and unknown", "ghost", day(22)),
        ("after and in two variants", "control", day(21)),
        ("after and in two variants", "treatment", day(23)),
        ("last day", "control", day(20)),
        ("last day", "control", day(40)),
        ("unknown", "ghost", day(4)),
        ("Control is not control", "Control", day(4)),
        ("no variant", None, day(5)),
        ("unknown, then known", "ghost", day(6)),
        ("unknown, then known", "control", day(7)),
        ("known, then unknown", "control", day(6)),
        ("known, then unknown", "ghost", day(7)),
        ("known, then none", "control", day(6)),
        ("known, then none", None, day(7)),
        ("two variants", "control", day(2)),
        ("two variants", "treatment", day(30)),
        ("two variants at once", "treatment", day(2)),
        ("two variants at once", "control", day(2)),
        ("three rows of one variant", "treatment", day(2)),
        ("three rows of one variant", "treatment", day(2)),
        ("three rows of one variant", "treatment", day(9)),
    ]
    triangle = read(adapter, worlds.of_rows(exposures, SOME, TWO_WEEKS_BEFORE), tmp_path, day(63))
    assert counted(triangle) == {"control": 2, "treatment": 2}
    assert left_out(triangle) == {
        "exposed_before_start": 4, "exposed_after_enrollment": 3, "unknown_variant": 4, "two_variants": 4,
    }  # fmt: skip
    assert list(triangle.excluded) == list(EXCLUSIONS)


@every_adapter
def test_a_unit_in_two_variants_counts_until_the_second_is_seen(adapter: Adapter, tmp_path: Path) -> None:
    exposures = [*BOTH, ("x", "control", day(3)), ("x", "treatment", day(17)), ("x", "control", day(18))]
    world = worlds.of_rows(exposures, SOME, TWO_WEEKS_BEFORE)
    before, after = (read(adapter, world, tmp_path / str(end), day(end)) for end in (17, 18))
    assert (counted(before), left_out(before)) == ({"control": 2, "treatment": 1}, {})
    assert (counted(after), left_out(after)) == ({"control": 1, "treatment": 1}, {"two_variants": 1})


@every_adapter
def test_exposures_that_are_not_read_yet_leave_their_units_unknown(adapter: Adapter, tmp_path: Path) -> None:
    exposures = [*BOTH, ("x", "control", day(10))]
    world = worlds.of_rows(exposures, [*SOME, ("x", day(5)), ("x", day(8))], TWO_WEEKS_BEFORE)
    early, late = (read(adapter, world, tmp_path / str(end), day(end)) for end in (10, 11))
    assert left_out(early) == {"facts_of_unknown_units": 2}
    assert left_out(late) == {}


@every_adapter
def test_days_inside_the_lag_are_not_read(adapter: Adapter, tmp_path: Path) -> None:
    exposures = [*BOTH, ("x", "control", day(3)), ("x", "treatment", day(10)), ("y", "control", day(9))]
    recipe = Recipe("lagging", 0, pre_weeks=2, lag_days=2)
    world = worlds.of_rows(exposures, [*SOME, ("c", day(9)), ("c", day(10))], recipe)
    early, late = (read(adapter, world, tmp_path / str(end), day(end)) for end in (12, 13))
    assert (counted(early)["control"], early.data.last, early.data.rows) == (3, day(9), 4)
    assert (counted(late)["control"], late.data.last, late.data.rows) == (2, day(10), 5)


@every_adapter
def test_facts_of_units_never_exposed_are_counted_but_not_used(adapter: Adapter, tmp_path: Path) -> None:
    world = worlds.of_rows(BOTH, [*SOME, ("nobody", day(0), 9.0), (None, day(1), 9.0)], TWO_WEEKS_BEFORE)
    triangle = read(adapter, world, tmp_path, day(63))
    assert left_out(triangle) == {"facts_of_unknown_units": 2}
    assert triangle.data.rows == 5
    total = triangle.moments("control", (0,)) + triangle.moments("treatment", (0,))
    assert total.mean[triangle.layout.week(triangle.plan.series[0], 0)] * total.n == pytest.approx(3.0)


@every_adapter
@pytest.mark.parametrize(
    ("recipe", "first"),
    # On the unit's clock the two weeks before day 10; by calendar the two weeks before its cohort's week, from day 7.
    [(TWO_WEEKS_BEFORE, 10 - 14), (CALENDAR, 7 - 14)],
    ids=["unit", "calendar"],
)
def test_the_pre_period_begins_on_its_first_day(adapter: Adapter, recipe: Recipe, first: int, tmp_path: Path) -> None:
    facts = [*SOME, ("x", day(first), 4.0), ("x", day(first - 1), 100.0), ("x", day(-400), 100.0)]
    world = worlds.of_rows([*BOTH, ("x", "control", day(10))], facts, recipe)
    triangle = read(adapter, world, tmp_path, day(63))
    assert left_out(triangle) == {"facts_before_pre_period": 2}
    assert triangle.data.first == day(-400)
    assert triangle.moments("control", (1,)).mean[triangle.layout.pre(triangle.plan.series[0])] == 4.0 / 2


@every_adapter
def test_without_a_pre_period_every_earlier_fact_is_before_it(adapter: Adapter, tmp_path: Path) -> None:
    facts = [*SOME, ("x", day(10), 5.0), ("x", day(9), 100.0)]
    world = worlds.of_rows([*BOTH, ("x", "control", day(10))], facts, Recipe("none", 0, pre_weeks=0))
    triangle = read(adapter, world, tmp_path, day(63))
    assert left_out(triangle) == {"facts_before_pre_period": 1}
    assert triangle.moments("control", (1,)).mean[triangle.layout.week(triangle.plan.series[0], 0)] == 5.0


@every_adapter
def test_nulls_are_counted_and_read_as_zero(adapter: Adapter, tmp_path: Path) -> None:
    facts = [*SOME, ("c", day(3), None, 2.0, None), ("c", day(3), 7.0, None, 1.0), ("nobody", day(3), None)]
    triangle = read(adapter, worlds.of_rows(BOTH, facts, TWO_WEEKS_BEFORE), tmp_path, day(63))
    assert triangle.excluded["nulls"] == 4
    series = triangle.plan.series[0]
    assert triangle.moments("control", (0,)).mean[triangle.layout.week(series, 0)] == 1.0 + 1.0 + 7.0


@every_adapter
def test_duplicate_rows_add_up(adapter: Adapter, tmp_path: Path) -> None:
    facts = [*SOME, *[("c", day(3), 2.0, 3.0, 0.0)] * 3]
    triangle = read(adapter, worlds.of_rows(BOTH, facts, TWO_WEEKS_BEFORE), tmp_path, day(63))
    part, layout = triangle.moments("control", (0,)), triangle.layout
    by_kind = {
        (series.kind, series.column, series.cap): part.mean[layout.week(series, 0)] for series in triangle.plan.series
    }
    assert by_kind["sum", "lines", None] == 2 * 1.0 + 3 * 2.0
    assert by_kind["sum", "lines", 4.5] == 4.5
    assert by_kind["sum", "sales", None] == 2 * 1.0 + 3 * 3.0
    assert by_kind["rows", "", None] == 5
    assert by_kind["active", "used", None] == 1


@every_adapter
def test_a_unit_is_active_if_any_row_is_above_zero_even_if_the_week_sums_to_less(
    adapter: Adapter, tmp_path: Path
) -> None:
    facts = [("t", day(0)), ("c", day(1), 1.0, 1.0, 1.0), ("c", day(2), 1.0, 1.0, -5.0), ("c", day(8), 1.0, 1.0, -5.0)]
    triangle = read(adapter, worlds.of_rows(BOTH, facts, TWO_WEEKS_BEFORE), tmp_path, day(63))
    series = next(series for series in triangle.plan.series if series.kind == "active")
    means = triangle.moments("control", (0,)).mean
    assert [means[triangle.layout.week(series, week)] for week in (0, 1, 2)] == [1, 0, 0]


@every_adapter
def test_units_without_any_fact_count_with_zeros(adapter: Adapter, tmp_path: Path) -> None:
    exposures = [*BOTH, *[(f"silent {number}", "control", day(number)) for number in range(3)]]
    triangle = read(adapter, worlds.of_rows(exposures, SOME, TWO_WEEKS_BEFORE), tmp_path, day(63))
    assert counted(triangle) == {"control": 4, "treatment": 1}
    assert triangle.moments("control", (0,)).mean[triangle.layout.week(triangle.plan.series[0], 0)] == 2 / 4


@every_adapter
def test_a_look_before_the_first_exposure_has_no_units_and_no_numbers(adapter: Adapter, tmp_path: Path) -> None:
    triangle = read(adapter, worlds.of_rows(BOTH, [*SOME, ("c", day(-3))], TWO_WEEKS_BEFORE), tmp_path, day(0))
    assert counted(triangle) == {"control": 0, "treatment": 0}
    assert left_out(triangle) == {"facts_of_unknown_units": 1}
    assert (triangle.data.first, triangle.data.last, triangle.data.rows) == (day(-3), day(-3), 1)


def _changed(table: str, column: str, row: int, value: Any) -> Callable[[World], World]:
    def change(world: World) -> World:
        frame = getattr(world, table).astype({column: object})
        frame.loc[row, column] = value
        if isinstance(value, float):
            frame[column] = frame[column].astype(float)
        return world.with_rows(**{table: frame})

    return change


def _every(table: str, column: str, values: Callable[[pd.Series], Any]) -> Callable[[World], World]:
    def change(world: World) -> World:
        frame = getattr(world, table)
        return world.with_rows(**{table: frame.assign(**{column: values(frame[column])})})

    return change


def _without(table: str, column: str) -> Callable[[World], World]:
    return lambda world: world.with_rows(**{table: getattr(world, table).drop(columns=column)})


def _rows(table: str, count: int) -> Callable[[World], World]:
    return lambda world: world.with_rows(**{table: getattr(world, table).iloc[:count]})


#: What is wrong with the data, and words that the message must have.
REFUSED: dict[str, tuple[Callable[[World], World], list[str]]] = {
    "no unit column": (_without("exposures", "unit_id"), ["unit_id"]),
    "no variant column": (_without("exposures", "variant"), ["variant"]),
    "no time of exposure": (_without("exposures", "exposed_at"), ["exposed_at"]),
    "no unit column in facts": (_without("facts", "unit_id"), ["unit_id"]),
    "no time of facts": (_without("facts", "at"), ["`at`"]),
    "no metric column": (_without("facts", "sales"), ["sales"]),
    "no exposures": (_rows("exposures", 0), ["no rows"]),
    "no facts": (_rows("facts", 0), ["no rows"]),
    "an infinite value": (_changed("facts", "lines", 1, math.inf), ["lines", "1 row", "inf"]),
    "a value of minus infinity": (_changed("facts", "sales", 1, -math.inf), ["sales", "1 row", "inf"]),
    "text in a metric column": (_every("facts", "used", lambda found: ["many"] * len(found)), ["used", "many"]),
    "numbers written as text": (_every("facts", "used", lambda found: ["7"] * len(found)), ["used", "text"]),
    "an exposure without a unit": (_changed("exposures", "unit_id", 0, None), ["unit_id", "1 row"]),
    "an exposure without a time": (_changed("exposures", "exposed_at", 1, None), ["exposed_at", "1 row"]),
    "a fact without a time": (_changed("facts", "at", 1, None), ["`at`", "1 row"]),
    "a fact after today": (_changed("facts", "at", 1, worlds.TODAY.replace(year=2031)), ["`at`", "1 row", "2031"]),
    "an exposure after today": (_changed("exposures", "exposed_at", 1, date(2031, 1, 1)), ["exposed_at", "2031"]),
    "text that is no date": (_every("facts", "at", lambda found: ["31/31/2024"] * len(found)), ["`at`", "31/31/2024"]),
    "numbers for dates": (_every("facts", "at", lambda found: range(len(found))), ["`at`"]),
    "ids that are numbers in one table": (_every("facts", "unit_id", lambda found: range(len(found))), ["unit_id"]),
    "ids that are floats": (_every("facts", "unit_id", lambda found: [1.5] * len(found)), ["unit_id"]),
    "a variant without units": (_every("exposures", "variant", lambda found: ["control"] * len(found)), ["treatment"]),
    "unknown variants only": (_every("exposures", "variant", lambda found: ["a", "b"]), ["control", "treatment"]),
    "facts of one weekday on the unit's clock": (
        _every("facts", "at", lambda found: [day(7 * number) for number in range(len(found))]),
        ["clock: calendar"],
    ),
}


@every_adapter
@pytest.mark.parametrize("wrong", REFUSED)
def test_data_are_refused_whole(adapter: Adapter, wrong: str, tmp_path: Path) -> None:
    change, words = REFUSED[wrong]
    world = change(worlds.of_rows(BOTH, SOME, TWO_WEEKS_BEFORE))
    with pytest.raises(SourceProblem) as raised:
        read(adapter, world, tmp_path, day(63))
    for word in words:
        assert word in str(raised.value)


@every_adapter
@pytest.mark.parametrize("values", [[1.0, math.nan, 2.0], [1.0, math.nan, 1.0], [math.nan] * 3], ids=str)
def test_a_value_that_is_not_a_number_is_refused(adapter: Adapter, values: list[float], tmp_path: Path) -> None:
    """NaN, which frames hold for null, is written as itself here.

    Where all other values are the same, a Parquet file's statistics say that the column holds nothing else.
    """
    world = worlds.of_rows(BOTH, SOME, TWO_WEEKS_BEFORE)
    spec = adapter.load(world, tmp_path)
    adapter.write(spec, "facts", world.facts.assign(lines=values), "text", False)
    with pytest.raises(SourceProblem, match=r"lines.*nan"), adapter.reopen(spec) as source:
        source.read(world.plan, day(63))


@every_adapter
def test_uuids_and_text_ids_are_not_joined(adapter: Adapter, tmp_path: Path) -> None:
    """DuckDB would cast one to the other and join what looks alike."""
    ids = {"c": str(uuid.UUID(int=1)), "t": str(uuid.UUID(int=2))}
    world = worlds.of_rows(
        [(ids[unit], variant, at) for unit, variant, at in BOTH],
        [(ids[unit], at) for unit, at in SOME],
        TWO_WEEKS_BEFORE,
    )
    spec = adapter.load(world, tmp_path)
    adapter.write(spec, "exposures", world.exposures, "uuid", True)
    with pytest.raises(SourceProblem, match="unit_id"), adapter.reopen(spec) as source:
        source.read(world.plan, day(63))


@every_adapter
def test_facts_of_one_weekday_are_read_by_calendar(adapter: Adapter, tmp_path: Path) -> None:
    world = worlds.of_rows(BOTH, [("c", day(7 * week)) for week in range(4)], CALENDAR)
    triangle = read(adapter, world, tmp_path, day(63))
    series = triangle.plan.series[0]
    means = triangle.moments("control", (0,)).mean
    assert [means[triangle.layout.week(series, week)] for week in range(6)] == [1, 1, 1, 1, 0, 0]


@every_adapter
def test_a_metric_on_a_column_that_does_not_exist_names_the_metric(adapter: Adapter, tmp_path: Path) -> None:
    metrics = (Metric("clicks", "mean", "higher", "primary", column="Lines"),)
    world = worlds.of_rows(BOTH, SOME, TWO_WEEKS_BEFORE, metrics=metrics)
    with pytest.raises(SourceProblem, match=r"`Lines`.*clicks"):
        read(adapter, world, tmp_path, day(63))
