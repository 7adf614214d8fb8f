"""Units of the past, read from facts alone, against user rows in pandas: exposures are made from first facts."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from analysis.past import Past
from analysis.plan import Metric, Plan
from analysis.triangle import Triangle, combine
from experiments.sources.base import Columns, HistoryTooShort, SourceProblem, SourceSpec
from tests.sources import agreement, brute_force, worlds
from tests.sources.adapters import ADAPTERS, FILES, Adapter
from tests.sources.worlds import FAR_FROM_ZERO, RECIPES, Names, Recipe, World, day

#: Sums of a few thousand doubles in another order.
MOMENTS = 1e-9

#: Repeated and partitioned reads add the same numbers in another order.
REPEATED = 1e-12

#: Days from a world's first day to the start that is planned: whole weeks, and after all facts.
LATER = 70

#: Weeks of facts before the start, without the pre-period: three of enrollment and a part of the horizon of six.
SHORT = 7

every_adapter = pytest.mark.parametrize("adapter", ADAPTERS, ids=str)


def later(world: World) -> Plan:
    return replace(world.plan, start_date=day(LATER))


def shortened(world: World, plan: Plan) -> World:
    """The world with the facts of the last weeks before the plan's start only."""
    zone, first = ZoneInfo(plan.timezone), plan.start_date - timedelta(weeks=SHORT + plan.pre_weeks)
    kept = [brute_force.moment(value, zone).date() >= first for value in world.facts[world.columns.at]]
    return world.with_rows(facts=world.facts[kept].reset_index(drop=True))


def with_first_facts(world: World, past: Past) -> World:
    """The world with its exposures replaced: each unit on the day of its first fact in the weeks of enrollment."""
    columns, zone = world.columns, ZoneInfo(past.plan.timezone)
    seen = pd.DataFrame({
        "unit": world.facts[columns.unit].to_numpy(),
        "day": [brute_force.moment(value, zone).date() for value in world.facts[columns.at]],
    })  # fmt: skip
    last = past.plan.start_date + timedelta(days=7 * past.plan.enrollment_weeks)
    first = seen[[past.plan.start_date <= found < last for found in seen["day"]]].groupby("unit")["day"].min()
    exposures = pd.DataFrame({columns.unit: first.index, columns.variant: "control", columns.exposed_at: first.array})
    return replace(world.with_rows(exposures), plan=past.plan)


def read(adapter: Adapter, world: World, plan: Plan, folder: Path) -> tuple[Past, Triangle]:
    with adapter.open_history(world, folder) as source:
        past = source.enroll(plan)
        return past, source.read(past.plan, past.as_of)


@every_adapter
@pytest.mark.parametrize("length", ["whole horizon", "short"])
@pytest.mark.parametrize("recipe", [*RECIPES, FAR_FROM_ZERO], ids=str)
def test_moments_of_past_units_equal_those_of_user_rows(
    adapter: Adapter, recipe: Recipe, length: str, tmp_path: Path
) -> None:
    world = worlds.world(recipe)
    plan = later(world)
    if length == "short":
        world = shortened(world, plan)
    past, triangle = read(adapter, world, plan, tmp_path)
    expected = brute_force.look(with_first_facts(world, past), past.as_of)
    weeks = agreement.lived(past.plan, past.as_of)
    assert (min(weeks.values()) == plan.horizon_weeks) == (length == "whole horizon")
    assert min(weeks.values()) >= 1
    assert past.as_of - timedelta(days=plan.lag_days) <= plan.start_date
    assert weeks == expected.lived
    assert triangle.units("control") == len(expected.rows) > 30
    assert triangle.excluded == expected.excluded
    assert (triangle.data.first, triangle.data.last, triangle.data.rows) == (
        expected.first, expected.last, expected.fact_rows,
    )  # fmt: skip
    agreement.assert_same_cells(
        agreement.of_triangle(triangle), agreement.of_rows(expected), past.plan, weeks, MOMENTS
    )  # fmt: skip


@every_adapter
def test_the_number_of_partitions_changes_no_number(adapter: Adapter, tmp_path: Path) -> None:
    world = worlds.world(RECIPES[0])
    with adapter.open_history(world, tmp_path) as source:
        past = source.enroll(later(world))
        source.inspect(past.plan)
        whole = source.read(past.plan, past.as_of)
        parts = [source.read_partition(past.plan, past.as_of, number, 5) for number in range(5)]
        agreement.assert_same_triangle(combine([source.read_tallies(past.plan, past.as_of), *parts]), whole, REPEATED)


@every_adapter
def test_units_can_be_enrolled_again_for_another_start(adapter: Adapter, tmp_path: Path) -> None:
    world = worlds.world(RECIPES[0])
    with adapter.open_history(world, tmp_path) as source:
        source.enroll(replace(later(world), start_date=day(49)))
        past = source.enroll(later(world))
        again = source.read(past.plan, past.as_of)
    _, once = read(adapter, world, later(world), tmp_path / "once")
    agreement.assert_same_triangle(again, once, REPEATED)


# --- By hand ----------------------------------------------------------------------------------------------------------
HAND = Recipe("hand-made", 0, pre_weeks=1)

#: Rows of a unit from four weeks before the start to the tenth week after it, on changing weekdays.
STEADY = [("steady", day(8 * step - 28)) for step in range(13)]

#: Three weeks of enrollment and a horizon of six before it begin on day 0.
NINE_WEEKS = day(63)


def hand_made(*facts: tuple[object, ...], recipe: Recipe = HAND) -> World:
    return worlds.of_rows([("unread", "ghost", day(0))], [*STEADY, *facts], recipe)


def cohorts(adapter: Adapter, world: World, plan: Plan, folder: Path) -> tuple[int, ...]:
    _, triangle = read(adapter, world, plan, folder)
    return tuple(triangle.cohort_units("control", cohort) for cohort in range(plan.enrollment_weeks))


@every_adapter
def test_a_unit_is_exposed_once_on_its_first_fact_in_the_enrollment(adapter: Adapter, tmp_path: Path) -> None:
    plan = replace(hand_made().plan, start_date=NINE_WEEKS)
    world = hand_made(
        ("before only", day(-1)),
        ("before and in the second week", day(-1)), ("before and in the second week", day(9)),
        ("twice in the first week", day(1)), ("twice in the first week", day(6)),
        ("first and third week", day(6)), ("first and third week", day(14)),
        ("first day of the second week", day(7)),
        ("last day of the third week", day(20)),
        ("after the enrollment", day(21)),
        (None, day(3)),
    )  # fmt: skip
    past, triangle = read(adapter, world, plan, tmp_path)
    assert past.plan.start_date == day(0)
    # The steady unit has facts on days 4, 12 and 20.
    assert [triangle.cohort_units("control", cohort) for cohort in range(3)] == [3, 2, 1]
    assert triangle.units("control") == 6


@every_adapter
@pytest.mark.parametrize(
    "columns", [Columns(at="ts", exposed_at="ts"), Columns(variant="lines"), Columns("v", "u", "t", "at")]
)
def test_columns_may_be_called_the_same_in_both_tables(adapter: Adapter, columns: Columns, tmp_path: Path) -> None:
    recipe = replace(HAND, names=Names(columns))
    plan = replace(hand_made().plan, start_date=NINE_WEEKS)
    assert cohorts(adapter, hand_made(recipe=recipe), plan, tmp_path) == (1, 0, 0)


@every_adapter
def test_what_only_exposures_have_is_not_asked_for(adapter: Adapter, tmp_path: Path) -> None:
    recipe = replace(HAND, names=Names(Columns(left_at="left")))
    metrics = tuple(replace(one, adjust=("age",)) for one in hand_made().plan.metrics)
    plan = replace(hand_made().plan, start_date=NINE_WEEKS, segments=("country",), metrics=metrics)
    assert cohorts(adapter, hand_made(recipe=recipe), plan, tmp_path) == (1, 0, 0)


# --- Times to event ---------------------------------------------------------------------------------------------------
@every_adapter
@pytest.mark.parametrize("recipe", [RECIPES[0], RECIPES[1], RECIPES[4]], ids=str)
def test_events_of_past_units_are_those_of_the_same_units_with_exposures_of_their_own(
    adapter: Adapter, recipe: Recipe, tmp_path: Path
) -> None:
    world = worlds.world(recipe)
    past, triangle = read(adapter, world, later(world), tmp_path / "past")
    exposed = with_first_facts(world, past)
    with adapter.open(exposed, tmp_path / "exposed") as source:
        known = source.read(past.plan, past.as_of)
    assert set(triangle.events) == set(past.plan.events) == set(known.events)
    for event in past.plan.events:
        counted = [found.event_counts(event, "control", cohort) for found in (triangle, known) for cohort in range(3)]
        assert sum(counts.n for counts in counted[:3]) == triangle.units("control")
        for mine, other in zip(counted[:3], counted[3:], strict=True):
            assert (mine.weeks == other.weeks).all()
            assert (mine.pauses == other.pauses).all()


@every_adapter
def test_a_plan_of_events_alone_has_its_units(adapter: Adapter, tmp_path: Path) -> None:
    events = tuple(metric for metric in hand_made().plan.metrics if metric.kind == "event")
    plan = replace(hand_made().plan, start_date=NINE_WEEKS, metrics=events)
    _, triangle = read(adapter, hand_made(), plan, tmp_path)
    assert triangle.units("control") == 1
    assert triangle.event_counts(plan.events[0], "control", 0).n == 1


# --- Refused ----------------------------------------------------------------------------------------------------------
def refused(adapter: Adapter, world: World, plan: Plan, folder: Path, kind: type[SourceProblem] = SourceProblem) -> str:
    with pytest.raises(kind) as raised:
        read(adapter, world, plan, folder)
    assert type(raised.value) is kind
    return str(raised.value)


@every_adapter
def test_a_history_that_is_too_short_is_refused(adapter: Adapter, tmp_path: Path) -> None:
    said = refused(adapter, hand_made(), hand_made().plan, tmp_path, HistoryTooShort)
    assert "the history is too short: before 2024-02-26 there are facts from 2024-01-29 on, 28 days" in said
    assert "a plan needs 34 days" in said
    assert "pre_weeks 1, enrollment_weeks 3" in said


@every_adapter
def test_weeks_without_any_unit_are_refused(adapter: Adapter, tmp_path: Path) -> None:
    facts = [("one", day(-300)), ("two", day(68))]
    world = worlds.of_rows([], facts, HAND)
    said = refused(adapter, world, replace(world.plan, start_date=NINE_WEEKS), tmp_path, HistoryTooShort)
    assert "no unit has a fact in the 3 weeks from 2024-02-26 on" in said


@every_adapter
def test_broken_facts_are_refused_as_ever(adapter: Adapter, tmp_path: Path) -> None:
    late = replace(hand_made().plan, start_date=NINE_WEEKS)
    missing = replace(late, metrics=(Metric("x", "mean", "higher", "primary", "long", column="nowhere"),))
    assert "column `nowhere` is missing" in refused(adapter, hand_made(), missing, tmp_path / "a")
    future = hand_made(("f", worlds.TODAY + timedelta(days=1)))
    assert "dated after today" in refused(adapter, future, late, tmp_path / "b")
    infinite = hand_made(("f", day(1), float("inf")))
    assert "are not finite numbers" in refused(adapter, infinite, late, tmp_path / "c")
    mondays = worlds.of_rows([], [("u", day(7 * week - 28)) for week in range(15)], HAND)
    assert "all facts fall on a Monday" in refused(adapter, mondays, late, tmp_path / "d")
    floating = hand_made()
    floating = floating.with_rows(facts=floating.facts.assign(unit_id=1.5))
    assert "unit ids are integers, text or uuids" in refused(adapter, floating, late, tmp_path / "e")
    nameless = floating.with_rows(facts=floating.facts.drop(columns="unit_id"))
    assert "column `unit_id` is missing" in refused(adapter, nameless, late, tmp_path / "f")


def test_missing_files_of_facts_are_named_and_exposures_are_not_looked_for(tmp_path: Path) -> None:
    spec = SourceSpec("files", "exposures.parquet", "facts.parquet", tmp_path)
    with pytest.raises(SourceProblem, match=r"facts\.parquet: there is no such file \(source\.facts"):
        FILES.reopen_history(spec)
    with pytest.raises(SourceProblem, match="there is no such folder"):
        FILES.reopen_history(replace(spec, folder=tmp_path / "nowhere"))
    with pytest.raises(SourceProblem, match="no source is registered as `shop`"):
        FILES.reopen_history(replace(spec, name="shop"))


@every_adapter
def test_nothing_is_read_before_units_are_enrolled(adapter: Adapter, tmp_path: Path) -> None:
    with adapter.open_history(hand_made(), tmp_path) as source, pytest.raises(SourceProblem, match="exposures made of"):
        source.inspect(hand_made().plan)


def test_a_file_that_goes_away_is_a_problem_of_the_data(tmp_path: Path) -> None:
    with FILES.open_history(hand_made(), tmp_path) as source:
        for file in tmp_path.glob("facts-*"):
            file.unlink()
        with pytest.raises(SourceProblem, match="the data cannot be read"):
            source.enroll(hand_made().plan)
