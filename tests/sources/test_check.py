"""Checking a source: every kind of wrong row is found, counted as plain Python counts it, and shown with an example."""

from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from experiments import definitions
from experiments.services.analyze import analyze
from experiments.services.scorecards import to_json
from experiments.sources.base import Columns, SourceSpec
from experiments.sources.duckdb_check import check_files
from experiments.sources.findings import Finding
from tests.experiments.small_data import START, SmallData

TODAY = date(2024, 6, 1)


def checked(data: SmallData, columns: Columns | None = None, *, planned: bool = False) -> dict[str, Finding]:
    """What a check finds, by what it is about; of several the first."""
    path = data.write()
    spec = SourceSpec("files", "exposures.parquet", "facts.parquet", data.folder, columns or Columns(), confined=True)
    plans = [definitions.load(path).plan] if planned else []
    found: dict[str, Finding] = {}
    for finding in check_files(spec, TODAY, "UTC", plans):
        found.setdefault(finding.about, finding)
    return found


@pytest.fixture
def data(tmp_path: Path) -> SmallData:
    return SmallData(tmp_path)


def with_exposure(data: SmallData, unit: Any, variant: Any, day: Any) -> None:
    for name, value in (("unit_id", unit), ("variant", variant), ("exposed_at", day)):
        data.exposures[name].append(value)


def spoil(column: Any, row: int, value: Any) -> list[Any]:
    return [value if place == row else old for place, old in enumerate(column)]


def test_sound_data_have_nothing_refused_or_left_out(data: SmallData) -> None:
    found = checked(data, planned=True)
    assert {about for about, one in found.items() if one.severity in ("refused", "left_out")} == {"before_pre_period"}
    assert found["variants"].message == "the variants are control (100 units), treatment (100 units)"
    assert found["counted_units"].message == "small: counts 100 in control, 100 in treatment"
    assert found["span"].message.startswith(f"facts go from {min(data.facts['at'])} to {max(data.facts['at'])}")
    before = [
        at < dict(zip(data.exposures["unit_id"], data.exposures["exposed_at"], strict=True))[unit]
        for unit, at in zip(data.facts["unit_id"], data.facts["at"], strict=True)
    ]
    assert found["before_exposure"].count == sum(before)


def test_what_a_plan_leaves_out_is_counted_as_its_looks_count_it(data: SmallData) -> None:
    with_exposure(data, "early", "control", START - timedelta(days=3))
    for number in range(2):
        with_exposure(data, f"late-{number}", "control", START + timedelta(days=20))
    for number in range(3):
        with_exposure(data, f"odd-{number}", "Treatment", START)
    for number in range(4):
        with_exposure(data, f"user-{number:04d}", ["treatment", "control"][number % 2], START + timedelta(days=30))
    data.definition["pre_weeks"] = 1
    found = checked(data, planned=True)
    excluded = to_json(analyze(data.path, None, lambda plan: TODAY))["excluded"]
    for about, reason in (
        ("exposed_before_start", "exposed_before_start"), ("exposed_after_enrollment", "exposed_after_enrollment"),
        ("unknown_variant", "unknown_variant"), ("two_variants", "two_variants"),
    ):  # fmt: skip
        assert found[about].count == excluded[reason], about
        assert found[about].severity == "left_out"
    assert found["before_pre_period"].count == excluded["facts_before_pre_period"]
    assert [found[name].count for name in ("exposed_before_start", "exposed_after_enrollment", "unknown_variant")] == [
        1,
        2,
        3,
    ]
    assert found["unknown_variant"].example == "odd-0 in 'Treatment'"
    assert found["alike_variants"].message.startswith("variants 'treatment' and 'Treatment' differ in case")
    assert found["two_variants"].count == 4
    assert found["two_variants"].example.startswith("user-0000 in control and treatment, 2024-01-01 to 2024-01-31")


def test_facts_of_strangers_and_silent_units_are_counted(data: SmallData) -> None:
    for name in data.facts:
        data.facts[name] = list(data.facts[name])
    strangers = [place for place, unit in enumerate(data.facts["unit_id"]) if unit == "user-0003"]
    data.facts["unit_id"] = [
        "nobody" if place in strangers else unit for place, unit in enumerate(data.facts["unit_id"])
    ]
    found = checked(data, planned=True)
    assert (found["unknown_units"].count, found["unknown_units"].example) == (len(strangers), "nobody")
    assert (found["silent_units"].count, found["silent_units"].example) == (1, "user-0003")
    excluded = to_json(analyze(data.path, None, lambda plan: TODAY))["excluded"]
    assert found["unknown_units"].count == excluded["facts_of_unknown_units"]


def test_no_fact_of_any_unit_is_refused_with_both_ways_of_writing_ids(data: SmallData) -> None:
    data.facts["unit_id"] = [unit.upper() for unit in data.facts["unit_id"]]
    found = checked(data)["unknown_units"]
    assert (found.severity, found.count, found.example) == ("refused", len(data.facts["unit_id"]), "USER-0000")
    assert "ids look like 'user-0000'" in found.message


def test_repeated_units_and_same_rows_are_counted(data: SmallData) -> None:
    with_exposure(data, "user-0000", "control", START + timedelta(days=9))
    for name in data.facts:
        data.facts[name] = [*data.facts[name], data.facts[name][0]]
    found = checked(data)
    rows = Counter(zip(*data.facts.values(), strict=True))
    assert found["same_rows"].count == sum(count - 1 for count in rows.values())
    assert (found["repeated_units"].count, found["repeated_units"].example) == (1, "user-0000")


def test_days_without_facts_are_counted(data: SmallData) -> None:
    gone = {START + timedelta(days=number) for number in (5, 6, 20)}
    kept = [at not in gone for at in data.facts["at"]]
    data.facts = {
        name: [value for value, there in zip(column, kept, strict=True) if there] for name, column in data.facts.items()
    }
    found = checked(data)["gaps"]
    assert (found.count, found.example) == (3, "2024-01-06")


def test_weekly_facts_are_told_and_refused_under_the_clock_of_the_unit(data: SmallData) -> None:
    monday = lambda day: day - timedelta(days=day.weekday())  # noqa: E731
    data.facts["at"] = [monday(at) for at in data.facts["at"]]
    data.exposures["exposed_at"] = [monday(at) for at in data.exposures["exposed_at"]]
    found = checked(data, planned=True)
    assert "all facts fall on a Monday" in found["weekly"].message
    data.definition["clock"] = "calendar"
    assert "refused" not in {one.severity for one in checked(data, planned=True).values()}


@pytest.mark.parametrize(
    ("table", "column", "value", "about", "severity", "words"),
    [
        ("exposures", "unit_id", None, "ids", "refused", "1 rows have no unit id"),
        ("facts", "unit_id", None, "no_unit", "left_out", "1 rows have no unit id"),
        ("exposures", "exposed_at", None, "exposures dates", "refused", "1 rows have no date in `exposed_at`"),
        ("facts", "at", None, "facts dates", "refused", "1 rows have no date in `at`"),
        ("facts", "at", date(2031, 1, 1), "facts dates", "refused", "1 rows are dated after today (2024-06-01)"),
        ("facts", "at", date(24, 1, 1), "early_dates", "noted", "1 rows are dated before 1970"),
        ("exposures", "variant", None, "no_variant", "left_out", "1 rows have no variant"),
        ("exposures", "variant", " ", "no_variant", "left_out", "1 rows have no variant"),
        ("facts", "lines", None, "nulls", "noted", "1 rows have no `lines`, which is read as zero"),
        ("facts", "lines", float("nan"), "not_finite", "refused", "1 rows of `lines` are not finite numbers"),
        ("facts", "lines", 2e100, "not_finite", "refused", "1 rows of `lines` are not finite numbers below 1e+100"),
        ("facts", "lines", float("inf"), "not_finite", "refused", "1 rows of `lines` are not finite numbers"),
    ],
)  # fmt: skip
def test_one_wrong_value_is_found(
    data: SmallData, table: str, column: str, value: Any, about: str, severity: str, words: str
) -> None:
    part = getattr(data, table)
    part[column] = spoil(part[column], 7, value)
    found = checked(data)[about]
    assert (found.table, found.severity, found.count) == (table, severity, 1)
    assert words in found.message


def test_text_in_place_of_dates_and_numbers_is_found_with_an_example(data: SmallData) -> None:
    data.facts["at"] = spoil([str(at) for at in data.facts["at"]], 3, "31/12/2024")
    data.facts["lines"] = spoil([str(value) for value in data.facts["lines"]], 5, "n/a")
    found = checked(data)
    assert (found["facts dates"].count, found["facts dates"].example) == (1, "31/12/2024")
    assert (found["text_numbers"].count, found["text_numbers"].example) == (1, "n/a")


def test_columns_that_a_plan_wants_and_cannot_use_are_all_named(data: SmallData) -> None:
    data.definition["segments"] = ["country"]
    data.facts["sales"] = [str(value) for value in data.facts["sales"]]
    path = data.write()
    spec = SourceSpec("files", "exposures.parquet", "facts.parquet", data.folder)
    found = [
        one for one in check_files(spec, TODAY, "UTC", [definitions.load(path).plan]) if one.about == "plan_column"
    ]
    assert [one.example for one in found] == ["country", "sales"]
    assert "small: " in found[0].message


def test_a_missing_variant_is_refused(data: SmallData) -> None:
    data.exposures["variant"] = ["control"] * len(data.exposures["variant"])
    found = checked(data, planned=True)["no_units"]
    assert (found.severity, found.message) == ("refused", "small: no unit is counted in variant treatment")


def test_units_that_left_are_read_and_checked(data: SmallData) -> None:
    exposed = data.exposures["exposed_at"]
    data.exposures["left_at"] = [exposed[0] - timedelta(days=1), *(None for _ in exposed[1:])]
    found = checked(data, Columns(left_at="left_at"))["left_at"]
    assert (found.severity, found.count, found.example) == ("noted", 1, "user-0000")
    assert "attrition cannot be checked" in checked(data)["left_at"].message


def test_a_missing_file_and_a_missing_column_are_findings(data: SmallData) -> None:
    found = checked(data, Columns(variant="arm", at="when"))
    assert (
        "column `arm` is missing" in found["columns"].message or "column `when` is missing" in found["columns"].message
    )
    (data.folder / "facts.parquet").unlink()
    spec = SourceSpec("files", "exposures.parquet", "facts.parquet", data.folder, confined=True)
    (only,) = check_files(spec, TODAY, "UTC", [])
    assert (only.table, only.about) == ("facts", "unreadable")
    (data.folder / "facts.parquet").write_bytes(b"PAR1 no more")
    (only,) = check_files(spec, TODAY, "UTC", [])
    assert (only.table, only.about) == ("facts", "unreadable")


def test_ids_of_two_types_stop_what_rests_on_them_and_nothing_else(data: SmallData) -> None:
    data.facts["unit_id"] = [int(unit[-4:]) for unit in data.facts["unit_id"]]
    found = checked(data, planned=True)
    assert found["ids"].message.startswith("unit ids are text in exposures and integers in facts")
    assert {"span", "variants"} <= found.keys()
    assert not {"unknown_units", "counted_units"} & found.keys()


def test_steps_are_told_in_their_order(data: SmallData) -> None:
    path = data.write()
    steps: list[tuple[int, int, str]] = []
    spec = SourceSpec("files", "exposures.parquet", "facts.parquet", data.folder)
    check_files(spec, TODAY, "UTC", [definitions.load(path).plan], lambda *step: steps.append(step))
    assert [done for done, _, _ in steps] == list(range(len(steps)))
    assert {total for _, total, _ in steps} == {len(steps)}
    assert steps[-1][2] == "reading as small does"
