"""Data that are refused: exit code 1, and the file, the column, what was found and what is allowed are named."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.experiments.commands import analyze, refused, run
from tests.experiments.small_data import LAST_DAY, START, SmallData, rows_of, write_table

#: The column of a file whose name is SQL.
EVIL = 'x"; DROP TABLE facts; --'


@pytest.fixture
def data(tmp_path: Path) -> SmallData:
    return SmallData(tmp_path)


def spoiled(column: list[Any], value: Any, *rows: int) -> list[Any]:
    """A column with another value in some rows."""
    return [value if number in rows else old for number, old in enumerate(column)]


# --- files ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["exposures", "facts"])
def test_a_missing_file_is_named(name: str, data: SmallData) -> None:
    path = data.write()
    file = data.folder / f"{name}.parquet"
    file.unlink()
    refused(path, f"{file}: there is no such file", f"source.{name}")


def test_a_glob_that_finds_nothing_is_named(data: SmallData) -> None:
    path = data.write()
    path.write_text(path.read_text().replace("facts.parquet", "facts-*.parquet"))
    refused(path, f"{data.folder / 'facts-*.parquet'}: there is no such file", "source.facts")


@pytest.mark.parametrize("name", ["exposures", "facts"])
def test_an_empty_parquet_file_is_named(name: str, data: SmallData) -> None:
    path = data.write()
    (data.folder / f"{name}.parquet").write_bytes(b"")
    refused(path, f"{data.folder / name}.parquet: ", "0 bytes")


@pytest.mark.parametrize("name", ["exposures", "facts"])
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_file_without_rows_is_named(name: str, suffix: str, data: SmallData) -> None:
    data.definition["source"][name] = f"{name}.{suffix}"
    path = data.write()
    table = pa.table(getattr(data, name))
    write_table(data.folder / f"{name}.{suffix}", table.slice(0, 0).to_pydict() if suffix == "csv" else empty(table))
    refused(path, f"{data.folder / name}.{suffix}: ", "no rows")


def empty(table: pa.Table) -> dict[str, Any]:
    return {name: pa.array([], type=table.schema.field(name).type) for name in table.column_names}


def test_a_parquet_file_that_is_none_is_named(data: SmallData) -> None:
    path = data.write()
    (data.folder / "facts.parquet").write_text("unit_id,at,lines\n")
    refused(path, f"{data.folder / 'facts.parquet'}: cannot be read")


def test_a_truncated_parquet_file_is_named(data: SmallData) -> None:
    path = data.write()
    file = data.folder / "facts.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    refused(path, f"{file}: cannot be read")


def test_a_folder_in_place_of_a_file_is_named(data: SmallData) -> None:
    path = data.write()
    (data.folder / "facts.parquet").unlink()
    (data.folder / "facts.parquet").mkdir()
    refused(path, f"{data.folder / 'facts.parquet'}: is a folder", "source.facts")


def test_a_kind_of_file_that_is_not_read_is_named(data: SmallData) -> None:
    path = data.write()
    (data.folder / "facts.xlsx").write_bytes(b"PK")
    path.write_text(path.read_text().replace("facts.parquet", "facts.xlsx"))
    refused(path, f"{data.folder / 'facts.xlsx'}: ", ".parquet, .csv")


def test_a_kind_of_source_that_is_not_there_is_named(data: SmallData) -> None:
    path = data.write()
    path.write_text(path.read_text().replace("kind: files", "kind: oracle"))
    refused(path, "source.kind: `oracle`", "allowed", "files")


# --- columns ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("exposures", "unit_id"), ("exposures", "variant"), ("exposures", "exposed_at"),
        ("facts", "unit_id"), ("facts", "at"), ("facts", "lines"), ("facts", "sales"),
    ],
)  # fmt: skip
def test_a_missing_column_is_named_with_the_columns_there_are(name: str, column: str, data: SmallData) -> None:
    table = getattr(data, name)
    table[f"my_{column}"] = table.pop(column)
    refused(data.write(), f"{name}.parquet: column `{column}` is missing", f"my_{column}")


def test_a_missing_column_whose_name_is_sql_is_named(data: SmallData) -> None:
    data.metric(0, column=EVIL)
    refused(data.write(), f"facts.parquet: column `{EVIL}` is missing", "unit_id, at, lines, sales")


@pytest.mark.parametrize("where", ["segments", "adjust", "left_at"])
def test_other_declared_columns_must_be_there_too(where: str, data: SmallData) -> None:
    if where == "segments":
        data.definition["segments"] = ["country"]
    elif where == "left_at":
        data.definition["source"]["columns"] = {"left_at": "country"}
    else:
        event = {"type": "occurrence", "column": "lines"}
        data.definition["metrics"].append(
            {"key": "e", "kind": "event", "event": event, "better": "lower", "role": "secondary", "adjust": ["country"]}
        )
    refused(data.write(), "exposures.parquet: column `country` is missing", "unit_id, variant, exposed_at")


def test_text_in_a_numeric_column_is_counted_and_shown(data: SmallData) -> None:
    lines = [str(value) for value in data.facts["lines"]]
    data.facts["lines"] = spoiled(lines, "many", 5, 6)
    refused(data.write(), "facts.parquet: column `lines`: is text", "2 rows are not numbers", "'many'", "`lines`")


def test_text_in_a_numeric_csv_column_is_counted_and_shown(data: SmallData) -> None:
    data.definition["source"]["facts"] = "facts.csv"
    data.facts["lines"] = spoiled([str(value) for value in data.facts["lines"]], "many", 7000)
    refused(data.write(), "facts.csv: column `lines`: is text", "1 rows are not numbers", "'many'")


def test_a_metric_column_of_another_type_is_refused(data: SmallData) -> None:
    data.facts["lines"] = data.facts["at"]
    refused(data.write(), "facts.parquet: column `lines`: is of type DATE", "numbers")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_values_that_are_not_finite_are_counted_and_shown(value: str, suffix: str, data: SmallData) -> None:
    data.definition["source"]["facts"] = f"facts.{suffix}"
    data.facts["lines"] = spoiled(list(data.facts["lines"]), float(value), 10, 20, 30)
    refused(data.write(), f"facts.{suffix}: column `lines`: 3 rows are not finite numbers", f"such as {value}")


# --- units and variants -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("variant", ["control", "treatment"])
def test_all_units_in_one_variant_are_refused(variant: str, data: SmallData) -> None:
    data.exposures["variant"] = [variant] * 200
    other = {"control": "treatment", "treatment": "control"}[variant]
    refused(
        data.write(), f"exposures.parquet: column `variant`: no unit is in variant {other}", f"{variant} (200 rows)"
    )


def test_units_in_unknown_variants_alone_are_refused(data: SmallData) -> None:
    data.exposures["variant"] = ["A", "B"] * 100
    refused(
        data.write(),
        "exposures.parquet: column `variant`: no unit is in variant control, treatment",
        "A (100 rows), B (100 rows)",
    )


def test_integer_ids_against_text_ids_are_refused(data: SmallData) -> None:
    data.exposures["unit_id"] = list(range(200))
    refused(
        data.write(), "column `unit_id`: unit ids are ", "integers in", "text in", "exposures.parquet", "facts.parquet"
    )


def test_ids_of_a_type_that_is_none_are_refused(data: SmallData) -> None:
    data.exposures["unit_id"] = [float(number) for number in range(200)]
    refused(data.write(), "exposures.parquet: column `unit_id`: is of type DOUBLE", "integers, text or uuids")


def test_exposures_without_a_unit_are_counted(data: SmallData) -> None:
    data.exposures["unit_id"] = spoiled(data.exposures["unit_id"], None, 3, 4)
    refused(data.write(), "exposures.parquet: column `unit_id`: 2 rows have no unit id")


# --- days -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "column"), [("facts", "at"), ("exposures", "exposed_at")])
def test_days_after_today_are_counted_and_shown(name: str, column: str, data: SmallData) -> None:
    late = datetime.now(UTC).date() + timedelta(days=10)
    table = getattr(data, name)
    table[column] = spoiled(table[column], late, 100, 101)
    refused(data.write(), f"{name}.parquet: column `{column}`: 2 rows are dated after today", str(late))


@pytest.mark.parametrize(("name", "column"), [("facts", "at"), ("exposures", "exposed_at")])
def test_rows_without_a_day_are_counted(name: str, column: str, data: SmallData) -> None:
    table = getattr(data, name)
    table[column] = spoiled(table[column], None, 100)
    refused(data.write(), f"{name}.parquet: column `{column}`: 1 rows have no date")


@pytest.mark.parametrize("text", ["01/31/2024", "31.01.2024", "Jan 31 2024", "soon", "2024-02-30", ""])
@pytest.mark.parametrize(("name", "column"), [("facts", "at"), ("exposures", "exposed_at")])
def test_text_that_is_no_iso_date_is_counted_and_shown(name: str, column: str, text: str, data: SmallData) -> None:
    table = getattr(data, name)
    table[column] = spoiled([day.isoformat() for day in table[column]], text, 50, 60)
    refused(data.write(), f"{name}.parquet: column `{column}`: 2 rows are not dates", repr(text), "2024-03-31")


def test_days_as_numbers_are_refused(data: SmallData) -> None:
    data.facts["at"] = [int(day.strftime("%Y%m%d")) for day in data.facts["at"]]
    refused(data.write(), "facts.parquet: column `at`: is of type BIGINT", "dates")


def test_weekly_facts_under_the_clock_of_the_unit_are_refused_with_advice(data: SmallData) -> None:
    data.facts = rows_of(data.facts, [day.weekday() == 0 for day in data.facts["at"]])
    refused(data.write(), "facts.parquet: all facts fall on a Monday", "`clock: calendar`")
    data.definition["clock"] = "calendar"
    assert analyze(data.write()).code == 0


# --- as_of ------------------------------------------------------------------------------------------------------------
def test_an_as_of_before_start_names_both_dates(data: SmallData) -> None:
    refused(
        data.write(),
        f"{data.path}: as_of 2023-12-31 is before start_date 2024-01-01",
        options=("--as-of", "2023-12-31"),
    )


def test_an_as_of_in_the_future_is_refused(data: SmallData) -> None:
    refused(data.write(), f"{data.path}: as_of 2999-01-01 is in the future", options=("--as-of", "2999-01-01"))


def test_data_that_end_before_start_are_refused_with_their_last_day(data: SmallData) -> None:
    data.definition["start_date"] = START + timedelta(days=200)
    last = START + timedelta(days=LAST_DAY)
    refused(data.write(), f"{data.path}: the data end on {last}", f"before start_date {START + timedelta(days=200)}")


@pytest.mark.parametrize("text", ["yesterday", "31.12.2023", "20231231", "2023-12-31T00:00", "2023-02-30", ""])
def test_an_as_of_that_is_no_iso_date_is_wrong_usage(text: str, data: SmallData) -> None:
    done = run("analyze", data.write(), "--as-of", text)
    assert done.code == 2
    assert not done.out
    assert "Traceback" not in done.err
    assert f"{text!r} is not a date; write it as YYYY-MM-DD" in done.err


# --- nothing is partly read -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("spoil", ["nan", "text"])
def test_a_bad_row_after_as_of_is_refused_all_the_same(spoil: str, data: SmallData) -> None:
    lines = list(data.facts["lines"])
    last = max(range(len(lines)), key=lambda number: data.facts["at"][number])
    change: dict[str, Callable[[], list[Any]]] = {
        "nan": lambda: spoiled(lines, float("nan"), last),
        "text": lambda: spoiled([str(value) for value in lines], "many", last),
    }
    data.facts["lines"] = change[spoil]()
    refused(data.write(), "facts.parquet: column `lines`", options=("--as-of", "2024-01-20"))
