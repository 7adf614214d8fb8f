"""CSV as it comes: which lines are rows, what separates values, and which type the text of a column has.

Text has a type only if there is one way to read it. A table whose lines cannot all be read is refused.
"""

import gzip
from pathlib import Path

import pytest

from experiments.sources.base import SourceProblem, SourceSpec
from experiments.sources.duckdb import DuckDBSource
from experiments.sources.registry import open_source
from tests.sources import worlds
from tests.sources.worlds import Recipe, day

PLAN = worlds.plan_of(Recipe("csv", 0, pre_weeks=0))
EXPOSURES = "unit_id,variant,exposed_at\nc,control,2024-02-26\nt,treatment,2024-02-26\n"
HEADER = "unit_id,at,lines,sales,used\n"
ROWS = "c,2024-02-26,1,10,0\nt,2024-02-27,2,20,0\nc,2024-02-28,4,30,0\n"


def opened(folder: Path, *facts: str | bytes, exposures: str = EXPOSURES, kind: str = "csv") -> DuckDBSource:
    """Open files of facts that hold this text."""
    folder.mkdir(exist_ok=True)
    (folder / "exposures.csv").write_text(exposures)
    for number, text in enumerate(facts):
        content = text if isinstance(text, bytes) else text.encode()
        (folder / f"facts-{number}.{kind}").write_bytes(
            gzip.compress(content) if kind.lower().endswith(".gz") else content
        )
    source = open_source(SourceSpec("files", "exposures.csv", f"facts-*.{kind}", folder), worlds.TODAY)
    assert isinstance(source, DuckDBSource)
    return source


def lines(folder: Path, *facts: str | bytes, exposures: str = EXPOSURES, kind: str = "csv") -> dict[str, float]:
    """Read facts, and return the sum of ``lines`` in week 0 of each variant."""
    with opened(folder, *facts, exposures=exposures, kind=kind) as source:
        triangle = source.read(PLAN, day(63))
    week = triangle.layout.week(PLAN.series[0], 0)
    moments = {key: triangle.moments(key, (0,)) for key in ("control", "treatment")}
    return {key: float(part.mean[week] * part.n) for key, part in moments.items()}


def refusal(folder: Path, *facts: str | bytes, **options: str) -> str:
    with pytest.raises(SourceProblem) as refused:
        lines(folder, *facts, **options)
    return str(refused.value)


BOTH = {"control": 5.0, "treatment": 2.0}


# --- headers ----------------------------------------------------------------------------------------------------------
def test_a_later_file_without_a_header_is_refused_with_the_column_it_lacks(tmp_path: Path) -> None:
    words = refusal(tmp_path, HEADER + ROWS, "c,2024-02-29,3,500,1\n")
    assert words.startswith(f"{tmp_path}/facts-1.csv: column `unit_id` is missing: the first line is c, 2024-02-29, 3")
    assert f"unit_id, at, lines, sales, used in {tmp_path}/facts-0.csv" in words


def test_a_first_file_without_a_header_is_refused_with_the_values_it_begins_with(tmp_path: Path) -> None:
    words = refusal(tmp_path / "one", ROWS)
    assert "facts-0.csv: column `unit_id` is missing (it holds the unit ids); the file has c, 2024-02-26, 1" in words
    words = refusal(tmp_path / "two", ROWS, HEADER + ROWS)
    assert "facts-1.csv: column `c` is missing" in words
    assert "2024-02-26, 1, 10, 0 in" in words


def test_no_header_is_found_out_where_all_columns_are_text(tmp_path: Path) -> None:
    exposures = "c,control,monday\nt,treatment,monday\n"
    assert "exposures.csv: column `unit_id` is missing" in refusal(tmp_path, HEADER + ROWS, exposures=exposures)


@pytest.mark.parametrize("lacking", [1, 2])
def test_a_file_that_lacks_a_column_of_the_first_one_is_named(lacking: int, tmp_path: Path) -> None:
    files = [HEADER + ROWS] * 3
    files[lacking] = "unit_id,at,lines,used\nc,2024-02-26,1,0\n"
    words = refusal(tmp_path, *files)
    assert words.startswith(f"{tmp_path}/facts-{lacking}.csv: column `sales` is missing")


def test_columns_are_matched_by_name(tmp_path: Path) -> None:
    swapped = "used,note,lines,at,unit_id,sales\n0,99,3,2024-02-29,c,77\n"
    assert lines(tmp_path, HEADER + ROWS, swapped, HEADER + ROWS) == {"control": 13, "treatment": 4}


@pytest.mark.parametrize("header", ["unit_id,at,lines,sales,lines\n", "unit_id,at,lines,sales,Lines\n"])
def test_a_name_that_is_in_the_header_twice_is_refused(header: str, tmp_path: Path) -> None:
    words = refusal(tmp_path, header + ROWS)
    assert words.startswith(f"{tmp_path}/facts-0.csv: column `{header.strip().split(',')[-1]}` is in the header twice")


@pytest.mark.parametrize("first", ["\n", "\r\n", ",,,,\n", '"",""\n'])
def test_an_empty_first_line_is_refused(first: str, tmp_path: Path) -> None:
    assert "facts-0.csv: the first line is empty" in refusal(tmp_path, first + HEADER + ROWS)


def test_columns_without_a_name_are_left_out(tmp_path: Path) -> None:
    """As written by pandas with its index, and by sheets with a blank column."""
    rows = "".join(f"{number},{row},\n" for number, row in enumerate(ROWS.splitlines()))
    with opened(tmp_path, f",{HEADER.strip()},\n{rows}") as source:
        assert list(source._facts.types) == HEADER.strip().split(",")
    assert lines(tmp_path, f",{HEADER.strip()},\n{rows}", HEADER + ROWS) == {"control": 10, "treatment": 4}


def test_names_may_be_quoted_and_stand_in_blanks(tmp_path: Path) -> None:
    assert lines(tmp_path, '"unit_id", at ,"lines",sales,"used"\n' + ROWS) == BOTH


def test_a_file_with_a_header_alone_adds_no_rows_and_no_type(tmp_path: Path) -> None:
    assert lines(tmp_path, HEADER, HEADER + ROWS, HEADER.strip()) == BOTH
    assert "no rows" in refusal(tmp_path / "alone", HEADER, HEADER)


# --- lines and values -------------------------------------------------------------------------------------------------
def test_a_row_that_begins_like_a_comment_is_a_row(tmp_path: Path) -> None:
    exposures = EXPOSURES.replace("\nc,", "\n#c,")
    assert lines(tmp_path, HEADER + ROWS.replace("c,", "#c,"), exposures=exposures) == BOTH


def test_lines_above_the_header_are_refused(tmp_path: Path) -> None:
    assert "facts-0.csv" in refusal(tmp_path, "Facts of the week\n\n" + HEADER + ROWS)


@pytest.mark.parametrize("row", ["c,2024-02-29,3,500\n", "c,2024-02-29,3,500,1,7\n", "c\n"])
def test_a_row_of_another_length_is_refused_with_its_file_and_line(row: str, tmp_path: Path) -> None:
    words = refusal(tmp_path, HEADER + ROWS, HEADER + ROWS + row)
    number = row.count(",") + 1
    assert words == (
        f"{tmp_path}/facts-1.csv: line 5 has another number of columns than the header, {number} instead of 5: "
        f"{row.strip()}"
    )


def test_a_line_is_shown_in_part_and_without_what_a_terminal_would_obey(tmp_path: Path) -> None:
    words = refusal(tmp_path, HEADER + ROWS + "c\x1b[2J" + "x" * 500 + "\n")
    assert words.endswith(f"than the header, 1 instead of 5: c?[2J{'x' * 75}...")
    assert "is longer than 2000000 bytes: cxxx" in refusal(tmp_path / "long", HEADER + ROWS + "c" + "x" * 3_000_000)


def test_bytes_that_are_not_utf_8_are_refused_with_their_file_and_line(tmp_path: Path) -> None:
    words = refusal(tmp_path, HEADER.encode() + ROWS.encode() + b"\xe9,2024-02-28,4,30,0\n")
    assert words.startswith(f"{tmp_path}/facts-0.csv: line 5 is not UTF-8 text; save the file as UTF-8: ")
    assert "facts-0.csv" in refusal(tmp_path / "wide", (HEADER + ROWS).encode("utf-16"))


def test_a_quote_that_is_left_open_is_refused(tmp_path: Path) -> None:
    assert "facts-0.csv: line 5 has a quotation mark that nothing closes: " in refusal(
        tmp_path / "row", HEADER + ROWS + '"c,2024-02-28,4,30,0\n'
    )
    assert "facts-0.csv: cannot be read" in refusal(tmp_path / "header", '"' + HEADER + ROWS)


@pytest.mark.parametrize("kind", ["csv.gz", "CSV.GZ", "tsv.gz", "tsv", "CSV"])
def test_every_kind_of_file_is_read(kind: str, tmp_path: Path) -> None:
    text = HEADER + ROWS
    assert lines(tmp_path, text.replace(",", "\t") if "tsv" in kind else text, kind=kind) == BOTH


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "facts-1.csv.gz").write_bytes(gzip.compress((HEADER + ROWS).encode() * 99)[:-20])
    assert "facts-1.csv.gz: cannot be read" in refusal(tmp_path, HEADER + ROWS, kind="csv.gz")
    (tmp_path / "facts-1.csv.gz").write_bytes(b"unit_id")
    assert "facts-1.csv.gz: cannot be read" in refusal(tmp_path, HEADER + ROWS, kind="csv.gz")


@pytest.mark.parametrize("end", ["\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lines_may_end_in_any_way_and_a_byte_order_mark_is_no_part_of_a_name(
    end: str, mark: str, tmp_path: Path
) -> None:
    assert lines(tmp_path, (mark + HEADER + ROWS.rstrip()).replace("\n", end), HEADER + ROWS) == {
        "control": 10, "treatment": 4,
    }  # fmt: skip


def test_files_of_a_table_may_be_delimited_differently(tmp_path: Path) -> None:
    files = [(HEADER + ROWS).replace(",", delimiter) for delimiter in (",", ";", "\t", "|")]
    assert lines(tmp_path, *files) == {"control": 20, "treatment": 8}


def test_delimiters_and_line_ends_in_quotes_are_part_of_the_value(tmp_path: Path) -> None:
    exposures = 'unit_id;"variant";"a,b,c,d";exposed_at\n"c;\n1";control;"x;y";2024-02-26\nt;treatment;;2024-02-26\n'
    facts = HEADER + ROWS.replace("c,", '"c;\n1",')
    assert lines(tmp_path, facts, exposures=exposures) == BOTH


# --- types ------------------------------------------------------------------------------------------------------------
TYPES = {
    "BIGINT": [["1", "-20", "0"], [" 7 ", "9223372036854775807"], ["5", ""]],
    "DOUBLE": [["1", "0.5"], ["-1.25", ".5", "5.", "+3"], ["1e5", "2E-3"], ["nan", "-inf"], ["9223372036854775808"]],
    "BOOLEAN": [["true", "false"], ["True", "FALSE", ""]],
    "DATE": [["2024-03-31", " 2024-02-29", ""]],
    "TIMESTAMP": [["2024-03-31 10:00", "2024-03-31T10:00:00", "2024-03-31 10:00:00.123456"]],
    "TIMESTAMP WITH TIME ZONE": [["2024-03-31 10:00Z", "2024-03-31T10:00:00+02", "2024-03-31 10:00:00.5-0730"]],
    "VARCHAR": [
        ["007", "7"], ["01.5"], ["1_000"], ["1,000"], ["0x10"], ["1 2"], ["--1"], ["½"], ["٣"], ["t", "f"], ["yes"],
        ["true", "1"], ["", ""], ["NULL"], ["NA"], ["1", "x"], ["12:30"], ["infinity", "2024-03-31"],
        ["03/04/2024"], ["2024/03/31"], ["2024-3-31"], ["20240331", "2024-03-31"], ["2024-02-30"], ["0044-03-15 (BC)"],
        ["2024-03-31 10"], ["2024-03-31 10:00:00 PM"], ["2024-03-31 10:00 Europe/Berlin"], ["2024-03-31T10:00:00z"],
        ["2024-03-31 10:00+15:00"], ["2024-03-31", "2024-03-31 10:00"], ["2024-03-31 10:00", "2024-03-31 10:00Z"],
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "values"), [(kind, values) for kind, found in TYPES.items() for values in found])
def test_a_column_has_the_type_that_all_its_values_can_be_read_as(kind: str, values: list[str], tmp_path: Path) -> None:
    rows = "".join(f'c,2024-02-26,"{value}"\n' for value in values)
    with opened(tmp_path, "unit_id,at,found\n" + rows) as source:
        assert source._facts.types == {"unit_id": "VARCHAR", "at": "DATE", "found": kind}
        assert source._connection.execute("SELECT count(*) FROM facts").fetchall() == [(len(values),)]


def test_the_type_of_a_column_is_that_of_all_files_together(tmp_path: Path) -> None:
    other = "c,2024-02-28,0.5,,0\n"
    assert lines(tmp_path, HEADER + ROWS, HEADER + other) == {"control": 5.5, "treatment": 2}
    with opened(tmp_path, HEADER + ROWS, HEADER + other) as source:
        assert (source._facts.types["lines"], source._facts.types["sales"]) == ("DOUBLE", "BIGINT")
    words = refusal(tmp_path, HEADER + ROWS, HEADER + "c,2024-02-28,many,1,0\n")
    assert "column `lines`: is text, and metric `lines` needs numbers: 1 rows are not numbers, such as 'many'" in words


def test_ids_that_are_numbers_in_one_file_and_text_in_another_are_text(tmp_path: Path) -> None:
    exposures = "unit_id,variant,exposed_at\n7,control,2024-02-26\n007,treatment,2024-02-26\n"
    facts = [HEADER + ROWS.replace("c,", "7,").replace("t,", "7,"), HEADER + "007,2024-02-26,3,0,0\n"]
    assert lines(tmp_path, *facts, exposures=exposures) == {"control": 7, "treatment": 3}


def test_a_column_of_numbers_without_a_value_is_refused_as_such(tmp_path: Path) -> None:
    words = refusal(tmp_path, HEADER + "c,2024-02-26,,1,0\nt,2024-02-27,,1,0\n")
    assert "column `lines`: is text, and metric `lines` needs numbers: no row has a value" in words
    words = refusal(tmp_path / "padded", HEADER + "c,2024-02-26,01,1,0\nt,2024-02-27,2,1,0\n")
    assert "holds numbers written as text, such as '01'" in words


def test_days_and_times_with_and_without_a_zone_may_stand_in_different_files(tmp_path: Path) -> None:
    later = "c,2024-02-29T23:30:00,8,0,0\nt,2024-03-03T23:30:00Z,16,0,0\n"
    assert lines(tmp_path, HEADER + ROWS, HEADER + later) == {"control": 13, "treatment": 18}
