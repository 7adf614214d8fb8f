"""When a row happened: days begin in the plan's zone, whatever the type of the time column; weeks on both clocks."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.triangle import Triangle
from experiments.sources.base import SourceSpec
from tests.sources import agreement, brute_force, worlds
from tests.sources.adapters import ADAPTERS, FILES, Adapter
from tests.sources.worlds import HORIZON_WEEKS, Recipe, day

every_adapter = pytest.mark.parametrize("adapter", ADAPTERS, ids=str)

FAR_EAST, TOKYO = timezone(timedelta(hours=14)), timezone(timedelta(hours=9))


def local(days: int, hour: int = 0, minute: int = 0, second: int = 0, micro: int = 0) -> datetime:
    """A time on the clock, in days from the start and time of day."""
    return datetime.combine(day(days), time(hour, minute, second, micro))


def weekly(triangle: Triangle, variant: str, cohort: int) -> list[float]:
    """Sums over the variant's units of ``lines`` by week since exposure, the pre-period's average first."""
    series = triangle.plan.series[0]
    part = triangle.moments(variant, (cohort,))
    columns = [triangle.layout.pre(series), *(triangle.layout.week(series, week) for week in range(HORIZON_WEEKS))]
    return [round(float(value), 9) for value in part.mean[columns] * part.n]


def read(
    adapter: Adapter, folder: Path, recipe: Recipe, exposures: Sequence[Any], facts: Sequence[Any], end: int = 80
) -> Triangle:
    world = worlds.of_rows(exposures, facts, recipe)
    with adapter.open(world, folder) as source:
        return source.read(world.plan, day(end))


#: An exposure of "t" so that no variant is empty, and a fact of another weekday.
def others(written: Callable[[datetime], Any]) -> tuple[list[Any], list[Any]]:
    return [("t", "treatment", written(local(1)))], [("t", written(local(2))), ("t", written(local(3)))]


@pytest.mark.parametrize("lag_days", [0, 3, 10])
@pytest.mark.parametrize("clock", ["unit", "calendar"])
def test_on_every_day_cohorts_have_lived_the_weeks_that_the_rules_say(clock: str, lag_days: int) -> None:
    plan = worlds.plan_of(Recipe("lived", 0, clock=clock, lag_days=lag_days))
    for number in range(-10, 100):
        assert agreement.lived(plan, day(number)) == brute_force.lived(plan, day(number)), number


def test_the_last_unit_of_a_cohort_has_lived_its_week_thirteen_days_after_the_cohort_began() -> None:
    """Exposed on the cohort's last day, day 6, its week 0 ends with day 12; by calendar it ends with day 6."""
    for clock, first in (("unit", 13), ("calendar", 7)):
        plan = worlds.plan_of(Recipe("first", 0, clock=clock))
        assert [agreement.lived(plan, day(number))[0] for number in (first - 1, first)] == [0, 1]


@every_adapter
def test_weeks_of_the_unit_begin_on_its_own_day_of_exposure(adapter: Adapter, tmp_path: Path) -> None:
    exposures, facts = others(datetime.date)
    exposures.append(("c", "control", day(3)))
    facts += [("c", day(number), 10.0**position) for position, number in enumerate((2, 3, 9, 10, 44))]
    triangle = read(adapter, tmp_path, Recipe("unit", 0, pre_weeks=1), exposures, facts)
    assert weekly(triangle, "control", 0) == [1, 10 + 100, 1000, 0, 0, 0, 10000]


@every_adapter
def test_weeks_by_calendar_begin_on_the_weekday_of_the_start(adapter: Adapter, tmp_path: Path) -> None:
    exposures, facts = others(datetime.date)
    exposures.append(("c", "control", day(10)))
    facts += [("c", day(number), 10.0**position) for position, number in enumerate((6, 7, 13, 14, 49))]
    triangle = read(adapter, tmp_path, Recipe("calendar", 0, pre_weeks=1, clock="calendar"), exposures, facts)
    assert weekly(triangle, "control", 1) == [1, 10 + 100, 1000, 0, 0, 0, 0]
    # Day 49 is calendar week 7: week 6 of cohort 1, one past the horizon.
    assert triangle.data.last == day(49)


@every_adapter
@pytest.mark.parametrize(
    "written",
    [
        lambda time: time.replace(tzinfo=UTC),
        lambda time: time.replace(tzinfo=UTC).isoformat(),
        lambda time: time.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z"),
        lambda time: time.replace(tzinfo=UTC).isoformat(sep=" ").replace("+00:00", "+00"),
        lambda time: time.replace(tzinfo=UTC).astimezone(FAR_EAST).isoformat(),
    ],
    ids=["timestamp", "text with offset", "text with Z", "text with a short offset", "text from elsewhere"],
)
def test_times_with_a_zone_fall_on_the_day_of_the_plans_zone(
    adapter: Adapter, written: Callable[[datetime], Any], tmp_path: Path
) -> None:
    """Kolkata is five and a half hours ahead: its day ends at 18:30 UTC."""
    exposures, facts = others(written)
    exposures += [("c", "control", written(local(6, 18, 29, 59))), ("d", "control", written(local(6, 18, 30)))]
    facts += [("c", written(local(12, 18, 29, 59)), 5.0), ("c", written(local(12, 18, 30)), 7.0)]
    facts += [("d", written(local(6, 18, 29, 59)), 3.0), ("d", written(local(6, 18, 30)), 11.0)]
    recipe = Recipe("zone", 0, pre_weeks=1, timezone="Asia/Kolkata")
    triangle = read(adapter, tmp_path, recipe, exposures, facts)
    assert weekly(triangle, "control", 0)[:3] == [0, 5, 7]
    assert weekly(triangle, "control", 1)[:2] == [3, 11]


@every_adapter
@pytest.mark.parametrize(
    "written", [lambda time: time, datetime.isoformat, lambda time: str(time)[:19]], ids=["timestamp", "T", "blank"]
)
def test_times_without_a_zone_are_in_the_plans_zone_already(
    adapter: Adapter, written: Callable[[datetime], Any], tmp_path: Path
) -> None:
    exposures, facts = others(written)
    exposures += [("c", "control", written(local(6, 23, 59, 59, 999999))), ("d", "control", written(local(7)))]
    facts += [("c", written(local(6)), 2.0), ("c", written(local(5, 23, 59, 59)), 3.0)]
    triangle = read(adapter, tmp_path, Recipe("no zone", 0, pre_weeks=1, timezone="Pacific/Auckland"), exposures, facts)
    assert weekly(triangle, "control", 0)[:2] == [3, 2]
    assert triangle.moments("control", (1,)).n == 1


@every_adapter
def test_text_with_and_without_a_zone_may_stand_in_one_column(adapter: Adapter, tmp_path: Path) -> None:
    exposures, facts = others(datetime.isoformat)
    exposures.append(("c", "control", "2024-02-27"))
    facts += [("c", at, 10.0**position) for position, at in enumerate((
        "2024-02-27", "2024-03-04 23:30:00", "2024-03-04T23:30:00Z", "2024-03-05T23:30:00+09:00",
        "2024-03-11T23:59:59-01:00",
    ))]  # fmt: skip
    triangle = read(adapter, tmp_path, Recipe("mixed", 0, pre_weeks=0, timezone="Europe/Berlin"), exposures, facts)
    assert weekly(triangle, "control", 0)[1:4] == [1 + 10, 100 + 1000, 10000]


@every_adapter
def test_days_of_23_and_25_hours_are_days(adapter: Adapter, tmp_path: Path) -> None:
    """New York sets clocks on 2024-03-10 (day 13): an instant a week and an hour after midnight is still that day."""
    recipe = Recipe("summer time", 0, pre_weeks=0, timezone="America/New_York")
    exposures = [("t", "treatment", datetime(2024, 2, 27, 12, tzinfo=UTC))]
    exposures.append(("c", "control", datetime(2024, 3, 9, 5, 0, tzinfo=UTC)))
    facts = [("t", datetime(2024, 2, 28, 12, tzinfo=UTC))]
    for position, at in enumerate((
        datetime(2024, 3, 16, 3, 59, 59, tzinfo=UTC),  # 23:59:59 on Friday, six days later
        datetime(2024, 3, 16, 4, 0, tzinfo=UTC),  # midnight, the seventh day later, an hour less by the clock
    )):  # fmt: skip
        facts.append(("c", at, 10.0**position))
    assert weekly(read(adapter, tmp_path, recipe, exposures, facts), "control", 1)[1:3] == [1, 10]


@every_adapter
def test_the_day_of_the_look_itself_is_not_read(adapter: Adapter, tmp_path: Path) -> None:
    exposures, facts = others(lambda time: time)
    exposures += [("c", "control", local(9, 23, 59, 59)), ("d", "control", local(10))]
    facts += [("c", local(9, 23, 59, 59), 5.0), ("c", local(10), 7.0)]
    triangle = read(adapter, tmp_path, Recipe("end", 0, pre_weeks=0), exposures, facts, end=10)
    assert triangle.units("control") == 1
    assert weekly(triangle, "control", 1)[1] == 5
    assert (triangle.data.last, triangle.data.rows) == (day(9), 3)


@every_adapter
def test_the_first_exposure_wins_by_the_instant_not_by_the_written_day(adapter: Adapter, tmp_path: Path) -> None:
    """00:30 on day 7 in Tokyo is before 20:00 on day 6 in UTC."""
    exposures = [("t", "treatment", local(1).isoformat())]
    exposures += [("c", "control", local(6, 20).replace(tzinfo=UTC).isoformat())]
    exposures += [("c", "control", local(7, 0, 30).replace(tzinfo=TOKYO).isoformat())]
    exposures += [("c", "treatment", local(7, 12).replace(tzinfo=UTC).isoformat())]
    facts = [("t", local(2).isoformat()), ("t", local(3).isoformat())]
    recipe = Recipe("order", 0, pre_weeks=0)
    early = read(adapter, tmp_path / "early", recipe, exposures, facts, end=7)
    late = read(adapter, tmp_path / "late", recipe, exposures, facts, end=8)
    assert early.moments("control", (0,)).n == 1
    assert (late.units("control"), late.excluded["two_variants"]) == (0, 1)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_every_precision_of_a_timestamp_in_a_file_is_read(unit: str, tmp_path: Path) -> None:
    exposures, facts = others(lambda time: time)
    exposures.append(("c", "control", local(3, 23, 59, 59)))
    facts += [("c", local(10, 0, 0, 0), 5.0), ("c", local(9, 23, 59, 59), 7.0)]
    world = worlds.of_rows(exposures, facts, Recipe("precision", 0, pre_weeks=0))
    spec = FILES.load(world, tmp_path)
    retyped(spec, {"exposures": ("exposed_at", pa.timestamp(unit)), "facts": ("at", pa.timestamp(unit))})
    with FILES.reopen(spec) as source:
        triangle = source.read(world.plan, day(80))
    assert weekly(triangle, "control", 0)[1:3] == [7, 5]


def retyped(spec: SourceSpec, columns: dict[str, tuple[str, pa.DataType]]) -> None:
    """Write Parquet files again with another type of one column each."""
    for table, (column, kind) in columns.items():
        path = spec.folder / getattr(spec, table)
        found = pq.read_table(path)
        place = found.schema.get_field_index(column)
        pq.write_table(found.set_column(place, column, found[column].cast(kind)), path)


@every_adapter
def test_exposures_and_facts_may_be_of_different_types_of_time(adapter: Adapter, tmp_path: Path) -> None:
    exposures = [("t", "treatment", day(1)), ("c", "control", day(3))]
    facts = [("t", local(2).replace(tzinfo=UTC)), ("c", local(3, 4, 59).replace(tzinfo=UTC), 3.0)]
    facts.append(("c", local(3, 5).replace(tzinfo=UTC), 5.0))
    recipe = Recipe("types", 0, pre_weeks=1, timezone="America/New_York")
    assert weekly(read(adapter, tmp_path, recipe, exposures, facts), "control", 0)[:2] == [3, 5]


@every_adapter
def test_weeks_before_the_start_are_counted_down_not_toward_zero(adapter: Adapter, tmp_path: Path) -> None:
    """Integer division that rounds toward zero would put days -6 to -1 into week 0."""
    exposures, facts = others(datetime.date)
    exposures.append(("c", "control", day(0)))
    facts += [("c", day(-number), 10.0**position) for position, number in enumerate((1, 6, 7, 8, 14, 15))]
    for clock in ("unit", "calendar"):
        recipe = Recipe(clock, 0, pre_weeks=2, clock=clock)
        triangle = read(adapter, tmp_path / clock, recipe, exposures, facts)
        assert weekly(triangle, "control", 0)[:2] == [11111 / 2, 0]
        assert triangle.excluded["facts_before_pre_period"] == 1
        assert np.isclose(sum(tally.rows for tally in triangle.tallies.values()), 8)
