"""Data that are unusual but right: what is left out is counted, and the numbers are those of plain numpy."""

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from tests.experiments.commands import Run, analyze
from tests.experiments.small_data import (
    HORIZON_WEEKS,
    LAST_DAY,
    PRE_WEEKS,
    START,
    UNITS,
    SmallData,
    Table,
    rows_of,
    stacked,
)
from tests.experiments.test_bad_input import EVIL

#: The same sums in another order differ in the last digits; estimates lose a few more of them.
SAME = 1e-9
#: A variance loses digits when values are large against their spread; these are not.
NUMPY = 1e-9


@pytest.fixture
def data(tmp_path: Path) -> SmallData:
    return SmallData(tmp_path)


def same_numbers(left: Run, right: Run) -> None:
    """Every number of every effect and of the trajectory agrees, and there are some."""
    for name in ("effects", "trajectory", "reversals"):
        told, expected = left.json[name], right.json[name]
        assert len(told) == len(expected) > 0
        for row, other in zip(told, expected, strict=True):
            for field, value in other.items():
                if isinstance(value, float):
                    assert row[field] == pytest.approx(value, rel=SAME, abs=1e-12), (name, field)
                elif not isinstance(value, dict):
                    assert row[field] == value, (name, field)
    assert any(row["effect"] for row in left.json["effects"])


def weekly_sums(data: SmallData, column: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Sums by unit and week since exposure, shape (units, weeks), and which units are in treatment."""
    numbers = {unit: number for number, unit in enumerate(data.exposures["unit_id"])}
    exposed = [(day - START).days for day in data.exposures["exposed_at"]]
    sums = np.zeros((len(numbers), HORIZON_WEEKS))
    for unit, day, value in zip(data.facts["unit_id"], data.facts["at"], data.facts[column], strict=True):
        if unit in numbers:
            week = ((day - START).days - exposed[numbers[unit]]) // 7
            if 0 <= week < HORIZON_WEEKS:
                sums[numbers[unit], week] += value
    return sums, np.array([variant == "treatment" for variant in data.exposures["variant"]])


def check_against_numpy(run: Run, data: SmallData, window: str, weeks: slice) -> None:
    """Plain difference of means with Welch's standard error, from the rows."""
    sums, treated = weekly_sums(data, "lines")
    values = sums[:, weeks].mean(axis=1)
    control, treatment = values[~treated], values[treated]
    se = np.sqrt(control.var(ddof=1) / len(control) + treatment.var(ddof=1) / len(treatment))
    row = run.effect("lines", window)
    assert (row["n_control"], row["n_treatment"]) == (len(control), len(treatment))
    assert row["control_mean"] == pytest.approx(control.mean(), rel=NUMPY)
    assert row["treatment_mean"] == pytest.approx(treatment.mean(), rel=NUMPY)
    assert row["unadjusted"]["effect"] == pytest.approx(treatment.mean() - control.mean(), rel=1e-8)
    assert row["unadjusted"]["effect_se"] == pytest.approx(se, rel=1e-8)


# --- numbers ----------------------------------------------------------------------------------------------------------
def test_plain_numbers_are_those_of_numpy(data: SmallData) -> None:
    run = analyze(data.write())
    check_against_numpy(run, data, "early", slice(0, 2))
    check_against_numpy(run, data, "late", slice(4, 6))


def test_values_of_a_quadrillion_give_the_numbers_of_numpy(data: SmallData) -> None:
    data.facts["lines"] = 1e15 * (1 + np.random.default_rng(7).normal(0, 0.1, len(data.facts["lines"])))
    run = analyze(data.write())
    check_against_numpy(run, data, "early", slice(0, 2))
    check_against_numpy(run, data, "late", slice(4, 6))
    assert run.effect("active", "late")["control_mean"] <= 1


def test_a_small_spread_on_a_large_value_is_kept(data: SmallData) -> None:
    random = np.random.default_rng(11)
    first = {unit: number for number, unit in reversed(list(enumerate(data.facts["unit_id"])))}
    one_a_unit = [first[unit] == number for number, unit in enumerate(data.facts["unit_id"])]
    data.facts = rows_of(data.facts, one_a_unit)
    data.facts["at"] = data.exposures["exposed_at"][:UNITS]
    data.facts["lines"] = 1e8 + random.normal(0, 1, UNITS)
    data.definition["windows"] = {"early": [0, 1], "late": [4, 6]}
    run = analyze(data.write(), "--as-of", START + timedelta(days=LAST_DAY + 1))
    check_against_numpy(run, data, "early", slice(0, 1))


@pytest.mark.parametrize("value", [1e160, 1e308])
def test_values_whose_squares_leave_the_range_of_numbers_never_harm_other_metrics(
    value: float, data: SmallData
) -> None:
    whole = analyze(data.write())
    data.facts["visits"] = np.where(np.arange(len(data.facts["at"])) % 2, value, 1.0)
    data.metric(0, column="visits")
    run = analyze(data.write())
    assert "Warning" not in run.err
    if run.code:
        assert run.code == 1
        assert "facts.parquet: column `visits`" in run.err
        return
    assert run.effect("lines", "late")["effect_se"] is None
    assert run.effect("price", "late")["effect"] == pytest.approx(whole.effect("price", "late")["effect"], rel=SAME)


def test_duplicate_fact_rows_add_up(data: SmallData) -> None:
    summed = analyze(data.write())
    halves = {**data.facts, "lines": data.facts["lines"] / 2, "sales": data.facts["sales"] / 2}
    data.facts = stacked(halves, halves)
    same_numbers(analyze(data.write()), summed)


def test_nulls_are_zeros_and_counted(data: SmallData) -> None:
    zeros = SmallData(data.folder / "zeros")
    zeros.facts["lines"] = np.where(np.arange(len(zeros.facts["lines"])) % 10, zeros.facts["lines"], 0.0)
    data.facts["lines"] = [None if number % 10 == 0 else v for number, v in enumerate(data.facts["lines"])]
    run = analyze(data.write())
    same_numbers(run, analyze(zeros.write()))
    assert run.json["excluded"]["nulls"] == sum(value is None for value in data.facts["lines"])


def test_integers_decimals_and_booleans_are_numbers(data: SmallData) -> None:
    data.facts["lines"] = data.facts["lines"].astype(int).astype(float)
    expected = analyze(data.write())
    data.facts["lines"] = pa.array(data.facts["lines"]).cast(pa.int16())
    data.facts["sales"] = pa.array(data.facts["sales"]).cast(pa.decimal128(18, 2), safe=False)
    same_numbers(analyze(data.write()), expected)


def test_a_column_whose_name_is_sql_is_a_column_like_others(data: SmallData) -> None:
    expected = analyze(data.write())
    for column in (EVIL, "SELECT", "at", "día", "a b"):
        odd = SmallData(data.folder / "odd")
        odd.facts = {"unit_id": odd.facts["unit_id"], "when": odd.facts["at"], column: odd.facts["lines"],
                     "sales": odd.facts["sales"]}  # fmt: skip
        odd.definition["source"]["columns"] = {"at": "when"}
        for number in (0, 1):
            odd.metric(number, column=column)
        odd.metric(2, denominator=column)
        same_numbers(analyze(odd.write()), expected)


# --- units ------------------------------------------------------------------------------------------------------------
def test_units_exposed_before_start_are_left_out_and_counted(data: SmallData) -> None:
    expected = analyze(data.write())
    early = {
        "unit_id": [f"early-{number}" for number in range(7)],
        "variant": ["control"] * 7,
        "exposed_at": [START - timedelta(days=1 + number) for number in range(7)],
    }
    data.exposures = stacked(data.exposures, early)
    run = analyze(data.write())
    same_numbers(run, expected)
    assert run.json["excluded"]["exposed_before_start"] == 7


def test_other_units_are_left_out_for_the_reason_that_is_theirs(data: SmallData) -> None:
    expected = analyze(data.write())
    day = START + timedelta(days=3)
    odd = {
        "unit_id": ["late-1", "late-2", "third-1", "twice-1", "twice-1"],
        "variant": ["control", "treatment", "third", "control", "treatment"],
        "exposed_at": [START + timedelta(days=14), START + timedelta(days=30), day, day, day + timedelta(days=9)],
    }
    strangers = rows_of(data.facts, [number < 5 for number in range(len(data.facts["at"]))])
    strangers["unit_id"] = ["stranger"] * 5
    data.exposures, data.facts = stacked(data.exposures, odd), stacked(data.facts, strangers)
    run = analyze(data.write())
    same_numbers(run, expected)
    excluded = run.json["excluded"]
    names = ("exposed_after_enrollment", "unknown_variant", "two_variants", "facts_of_unknown_units")
    assert [excluded[name] for name in names] == [2, 1, 1, 5]


def test_the_first_of_several_exposures_wins(data: SmallData) -> None:
    expected = analyze(data.write())
    again = {**data.exposures, "exposed_at": [day + timedelta(days=5) for day in data.exposures["exposed_at"]]}
    data.exposures = stacked(again, data.exposures)
    same_numbers(analyze(data.write()), expected)


def test_integer_ids_in_both_tables_are_as_good_as_text(data: SmallData) -> None:
    expected = analyze(data.write())
    for table, kind in ((data.exposures, pa.int64()), (data.facts, pa.int32())):
        table["unit_id"] = pa.array([int(unit.removeprefix("user-")) for unit in table["unit_id"]], type=kind)
    same_numbers(analyze(data.write()), expected)


# --- days -------------------------------------------------------------------------------------------------------------
def test_iso_text_is_as_good_as_dates(data: SmallData) -> None:
    expected = analyze(data.write())
    data.exposures["exposed_at"] = [day.isoformat() for day in data.exposures["exposed_at"]]
    data.facts["at"] = [f"{day.isoformat()}T23:59:59" for day in data.facts["at"]]
    same_numbers(analyze(data.write()), expected)


def test_csv_is_as_good_as_parquet(data: SmallData) -> None:
    expected = analyze(data.write())
    data.definition["source"] |= {"exposures": "exposures.csv", "facts": "facts.csv"}
    same_numbers(analyze(data.write()), expected)


def near_midnight(days: list[date], zone: str) -> pa.Array:
    """Instants in UTC that are ten minutes after the start or before the end of these local days, in turn."""
    clocks = [time(0, 10), time(23, 50)]
    local = [datetime.combine(day, clocks[number % 2], ZoneInfo(zone)) for number, day in enumerate(days)]
    return pa.array([moment.astimezone(ZoneInfo("UTC")) for moment in local], type=pa.timestamp("us", tz="UTC"))


def moved(table: Table, column: str, by: timedelta) -> Table:
    return {**table, column: [day + by for day in table[column]]}


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"])
@pytest.mark.parametrize("shift", [0, 63, 280])  # also over the changes of summer time in spring and autumn
def test_times_near_midnight_land_on_the_local_day(zone: str, shift: int, data: SmallData) -> None:
    by = timedelta(days=shift)
    data.definition |= {"start_date": START + by, "timezone": zone}
    data.exposures = moved(data.exposures, "exposed_at", by)
    data.facts = moved(data.facts, "at", by)
    expected = analyze(data.write())
    data.exposures["exposed_at"] = near_midnight(data.exposures["exposed_at"], zone)
    data.facts["at"] = near_midnight(data.facts["at"], zone)
    told = analyze(data.write())
    same_numbers(told, expected)
    assert told.json["data"] == expected.json["data"]
    data.definition["timezone"] = "UTC"
    elsewhere = analyze(data.write(), "--as-of", told.json["as_of"])
    assert elsewhere.effect("lines", "early")["effect"] != expected.effect("lines", "early")["effect"]


def test_text_with_a_zone_is_converted_too(data: SmallData) -> None:
    data.definition["timezone"] = "Europe/Berlin"
    expected = analyze(data.write())
    for table, column in ((data.exposures, "exposed_at"), (data.facts, "at")):
        instants = near_midnight(table[column], "Europe/Berlin").to_pylist()
        table[column] = [moment.isoformat() for moment in instants]
    same_numbers(analyze(data.write()), expected)


# --- as_of ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("day", [0, 1, 10, 26])
def test_an_as_of_at_which_nothing_is_mature_is_a_scorecard_of_not_yet_with_dates(day: int, data: SmallData) -> None:
    as_of = START + timedelta(days=day)
    run = analyze(data.write(), "--as-of", as_of)
    assert run.json["as_of"] == as_of.isoformat()
    late = [row for row in run.json["effects"] if row["window"] == "late"]
    assert late
    for row in late:
        assert (row["state"], row["effect"], row["readable_from"]) == ("not_yet", None, "2024-02-25")
        assert row["reason"]
    if day <= 10:
        assert {row["state"] for row in run.json["effects"]} == {"not_yet"}
        assert {row["readable_from"] for row in run.json["effects"]} == {"2024-01-28", "2024-02-25"}
    assert {row["state"] for row in run.json["reversals"]} == {"immature"}


def test_the_default_as_of_is_the_day_after_the_last_one_in_the_data(data: SmallData) -> None:
    last = START + timedelta(days=LAST_DAY)
    path = data.write()
    assert analyze(path).json["as_of"] == (last + timedelta(days=1)).isoformat()
    assert analyze(path).json["data"]["last"] == last.isoformat()
    late = {"unit_id": ["user-0001"], "variant": ["treatment"], "exposed_at": [last + timedelta(days=3)]}
    data.exposures = stacked(data.exposures, late)
    assert analyze(data.write()).json["as_of"] == (last + timedelta(days=4)).isoformat()


def test_an_earlier_as_of_reads_no_later_day(data: SmallData) -> None:
    as_of = START + timedelta(days=40)
    whole = analyze(data.write(), "--as-of", as_of)
    data.facts = rows_of(data.facts, [day < as_of for day in data.facts["at"]])
    same_numbers(analyze(data.write(), "--as-of", as_of), whole)


def test_lag_days_leave_the_last_days_unread(data: SmallData) -> None:
    last = START + timedelta(days=LAST_DAY + 1)
    expected = analyze(data.write(), "--as-of", last - timedelta(days=3))
    data.definition["source"]["lag_days"] = 3
    run = analyze(data.write(), "--as-of", last)
    told = [{**row, "readable_from": None, "reason": None} for row in run.json["effects"]]
    assert told == [{**row, "readable_from": None, "reason": None} for row in expected.json["effects"]]
    assert run.json["data"]["last"] == (last - timedelta(days=4)).isoformat()


def test_facts_before_the_pre_period_are_counted(data: SmallData) -> None:
    run = analyze(data.write())
    exposed = dict(zip(data.exposures["unit_id"], data.exposures["exposed_at"], strict=True))
    old = [
        day < exposed[unit] - timedelta(days=7 * PRE_WEEKS)
        for unit, day in zip(data.facts["unit_id"], data.facts["at"], strict=True)
    ]
    assert run.json["excluded"]["facts_before_pre_period"] == sum(old) > 0
