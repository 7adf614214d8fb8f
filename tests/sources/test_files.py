"""Files as people have them: several to a table that differ, and CSV, which says nothing of its types.

What cannot be read for sure is refused. A number that was guessed is worse than none.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from analysis.triangle import Triangle
from experiments.sources.base import SourceProblem, SourceSpec
from experiments.sources.registry import open_source
from tests.sources import worlds
from tests.sources.worlds import Files, Recipe, World, day

PLAIN = Recipe("files", 0, pre_weeks=0)
EXPOSURES = [("c", "control", day(0)), ("t", "treatment", day(0))]
FACTS = [("c", day(0), 1, 10, 0), ("t", day(1), 2, 20, 0), ("c", day(2), 3, 30, 0)]

formats = pytest.mark.parametrize("format", ["parquet", "csv"])


def world(recipe: Recipe = PLAIN) -> World:
    return worlds.of_rows(EXPOSURES, FACTS, recipe)


def more(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["unit_id", "at", "lines", "sales", "used"])


def read(folder: Path, *frames: pd.DataFrame, format: str, recipe: Recipe = PLAIN) -> Triangle:
    """Read a table of facts that lies in one file for each frame."""
    spec = worlds.write(world(recipe), folder)
    for number, frame in enumerate(frames):
        worlds.write_table(folder / f"part-{number}.{format}", frame)
    parts = SourceSpec("files", spec.exposures, f"part-*.{format}", folder)
    with open_source(parts, worlds.TODAY) as source:
        return source.read(world(recipe).plan, day(63))


def first_week(triangle: Triangle, column: str, variant: str = "control") -> float:
    series = next(series for series in triangle.plan.series if (series.column, series.cap) == (column, None))
    part = triangle.moments(variant, (0,))
    return float(part.mean[triangle.layout.week(series, 0)] * part.n)


@formats
def test_files_with_columns_in_another_order_are_matched_by_name(format: str, tmp_path: Path) -> None:
    other = more(("c", day(3), 4, 40, 0))[["sales", "used", "lines", "unit_id", "at"]]
    swapped = more(("c", day(4), 5, 50, 0))[["unit_id", "at", "sales", "lines", "used"]]
    try:
        triangle = read(tmp_path, world().facts, swapped, other, format=format)
    except SourceProblem:
        # DuckDB may not unify text and numbers of CSV columns in other places: refused is not wrong.
        assert format == "csv"
        triangle = read(tmp_path, world().facts, swapped, more(("c", day(3), 4, 40, 0)), format=format)
    assert first_week(triangle, "lines") == 1 + 3 + 4 + 5
    assert first_week(triangle, "sales") == 10 + 30 + 40 + 50


@formats
@pytest.mark.parametrize("first", ["whole", "decimal"])
def test_whole_numbers_in_one_file_do_not_round_the_decimals_of_another(
    format: str, first: str, tmp_path: Path
) -> None:
    frames = [world().facts, more(("c", day(3), 0.5, 0.25, 0))]
    if first == "decimal":
        frames.reverse()
    try:
        triangle = read(tmp_path, *frames, format=format)
    except SourceProblem:
        return
    assert first_week(triangle, "lines") == 1 + 3 + 0.5
    assert first_week(triangle, "sales") == 10 + 30 + 0.25


@pytest.mark.parametrize("first", ["dates", "times"])
def test_times_with_a_zone_beside_dates_fall_on_the_day_of_the_plans_zone(first: str, tmp_path: Path) -> None:
    """20:00 UTC of day 6 is day 7, week 1, in Tokyo."""
    recipe = Recipe("files in Tokyo", 0, pre_weeks=0, timezone="Asia/Tokyo")
    at = datetime.combine(day(6), datetime.min.time(), UTC).replace(hour=20)
    frames = [world().facts, more(("c", at, 100, 1000, 0))]
    if first == "times":
        frames.reverse()
    try:
        triangle = read(tmp_path, *frames, format="parquet", recipe=recipe)
    except SourceProblem:
        return
    assert first_week(triangle, "lines") == 1 + 3


@formats
@pytest.mark.parametrize("lacking", [0, 1])
def test_a_file_that_lacks_a_column_is_refused(format: str, lacking: int, tmp_path: Path) -> None:
    frames = [world().facts, world().facts]
    frames[lacking] = frames[lacking].drop(columns="sales")
    with pytest.raises(SourceProblem):
        read(tmp_path, *frames, format=format)


@pytest.mark.parametrize(("format", "richer"), [("parquet", 0), ("parquet", 1), ("csv", 1)])
def test_a_file_with_further_columns_is_read(format: str, richer: int, tmp_path: Path) -> None:
    frames = [world().facts, world().facts]
    frames[richer] = frames[richer].assign(note="x")
    assert first_week(read(tmp_path, *frames, format=format), "lines") == 2 * (1 + 3)


def test_parquet_and_csv_are_not_mixed_in_a_table(tmp_path: Path) -> None:
    spec = worlds.write(world(), tmp_path)
    worlds.write_table(tmp_path / "part-0.csv", world().facts)
    worlds.write_table(tmp_path / "part-1.parquet", world().facts)
    with pytest.raises(SourceProblem, match="mixed"):
        open_source(SourceSpec("files", spec.exposures, "part-*", tmp_path), worlds.TODAY)


def csv(folder: Path, facts: str, exposures: str | None = None) -> Triangle:
    """Read CSV text as it stands."""
    spec = worlds.write(world(), folder)
    (folder / "facts.csv").write_text("unit_id,at,lines,sales,used\n" + facts)
    if exposures is not None:
        (folder / "exposures.csv").write_text("unit_id,variant,exposed_at\n" + exposures)
    found = spec.exposures if exposures is None else "exposures.csv"
    with open_source(SourceSpec("files", found, "facts.csv", folder), worlds.TODAY) as source:
        return source.read(world().plan, day(63))


ROWS = "t,2024-02-27,2,20,0\nc,2024-02-28,3,30,0\n"


def test_apostrophes_in_csv_are_part_of_the_value(tmp_path: Path) -> None:
    """The quote of CSV is the double one: 'c' and c are two units, as they are in Parquet."""
    exposures = "'c',control,2024-02-26\n't',treatment,2024-02-26\nc,control,2024-02-26\n"
    triangle = csv(tmp_path, "'c',2024-02-26,1,10,0\n't',2024-02-27,2,20,0\nc,2024-02-28,3,30,0\n", exposures)
    assert (triangle.units("control"), triangle.units("treatment")) == (2, 1)


def test_ids_with_leading_zeros_are_not_numbers(tmp_path: Path) -> None:
    exposures = "007,control,2024-02-26\n7,treatment,2024-02-26\n"
    triangle = csv(tmp_path, "007,2024-02-26,1,10,0\n7,2024-02-27,2,20,0\n007,2024-02-28,3,30,0\n", exposures)
    assert (triangle.units("control"), triangle.units("treatment")) == (1, 1)
    assert first_week(triangle, "lines") == 1 + 3


@formats
@pytest.mark.parametrize(
    "written",
    ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%m-%d-%y", "%Y/%m/%d", "%Y%m%d", "%d %b %Y", "%Y-%m-%d %I:%M %p", "%Y-%m"],
)
def test_days_that_are_not_written_as_iso_are_counted_and_refused(format: str, written: str, tmp_path: Path) -> None:
    """03/04/2024 is in March for some and in April for others. In these data both fit, or only one of them does."""
    for number, days in enumerate([(8, 9, 10), (14, 20, 30)]):
        frame = more(*((unit, day(at).strftime(written), 1, 1, 1) for unit, at in zip("ctc", days, strict=True)))
        with pytest.raises(SourceProblem, match=r"column `at`: (3 rows are not dates, such as|is of type BIGINT)"):
            read(tmp_path / str(number), frame, format=format)


@formats
def test_one_day_that_is_not_written_as_iso_is_found_among_others(format: str, tmp_path: Path) -> None:
    rows = [("c", str(day(number % 7)), 1, 1, 1) for number in range(30_000)]
    with pytest.raises(SourceProblem, match=r"`at`: 1 rows are not dates, such as '03/04/2024'; write 2024-03-31"):
        read(tmp_path, more(*rows, ("t", "03/04/2024", 1, 1, 1)), format=format)


@formats
@pytest.mark.parametrize("at", ["2024-02-30", "2024-13-01", "2024-02-27T25:00:00", "2024-02-27 10:00:00+99:00"])
def test_days_that_are_not_in_the_calendar_are_refused(format: str, at: str, tmp_path: Path) -> None:
    with pytest.raises(SourceProblem, match=r"`at`: 1 rows are not dates, such as '2024"):
        read(tmp_path, more(("c", at, 1, 1, 1), ("t", "2024-02-27", 1, 1, 1)), format=format)


@pytest.mark.parametrize("at", ["0044-03-15 (BC)", "-infinity", "infinity"])
def test_days_outside_the_calendar_are_refused(at: str, tmp_path: Path) -> None:
    with pytest.raises(SourceProblem):
        csv(tmp_path, f"c,{at},1,10,0\n" + ROWS)


def test_days_long_ago_are_before_the_pre_period(tmp_path: Path) -> None:
    triangle = csv(tmp_path, "c,1901-01-01,1,10,0\n" + ROWS)
    assert triangle.excluded["facts_before_pre_period"] == 1
    assert (str(triangle.data.first), first_week(triangle, "lines")) == ("1901-01-01", 3)


@pytest.mark.parametrize("rows", ["c,2024-02-29,nan,1,1\n", "c,2024-02-29,inf,1,1\n", 'c,2024-02-29,"1,000",1,1\n'])
def test_what_is_no_number_in_csv_is_refused(rows: str, tmp_path: Path) -> None:
    with pytest.raises(SourceProblem, match="lines"):
        csv(tmp_path, ROWS + rows)


def test_a_csv_value_of_another_type_far_down_is_found_before_a_number_is_read(tmp_path: Path) -> None:
    """Types guessed from the first 20,480 rows would fail, or round, on a later one."""
    whole = "t,2024-02-27,2,20,0\nc,2024-02-28,3,30,0\n" * 10_500
    assert first_week(csv(tmp_path / "a", whole + "c,2024-02-28,0.5,0,0\n"), "lines") == 3 * 10_500 + 0.5
    with pytest.raises(SourceProblem, match="lines"):
        csv(tmp_path / "b", whole + "c,2024-02-28,many,0,0\n")


@pytest.mark.parametrize(("path", "words"), [("folder", "is a folder"), ("notes.txt", "not a kind of file")])
def test_what_is_no_table_of_rows_is_refused(path: str, words: str, tmp_path: Path) -> None:
    spec = worlds.write(world(), tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("unit_id\n")
    with pytest.raises(SourceProblem, match=words):
        open_source(SourceSpec("files", spec.exposures, path, tmp_path), worlds.TODAY)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceProblem, match="nowhere"):
        open_source(SourceSpec("files", "e.csv", "f.csv", tmp_path / "nowhere"), worlds.TODAY)


def test_a_source_of_another_kind_or_with_a_name_says_what_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(SourceProblem, match=r"`abacus`.*files"):
        open_source(SourceSpec("abacus", "e", "f", tmp_path), worlds.TODAY)
    with pytest.raises(SourceProblem, match="`main`"):
        open_source(SourceSpec("files", "e", "f", tmp_path, name="main"), worlds.TODAY)


def test_the_fingerprint_changes_with_the_data_and_only_then(tmp_path: Path) -> None:
    spec = worlds.write(world(), tmp_path)

    def fingerprint() -> str:
        with open_source(spec, worlds.TODAY) as source:
            found = source.inspect(world().plan).fingerprint
            assert source.fingerprint(world().plan) == found
            return found

    before = fingerprint()
    assert fingerprint() == before
    worlds.write_table(tmp_path / spec.facts, more(*FACTS, ("c", day(3), 1, 1, 1)))
    assert fingerprint() != before


def test_an_open_source_notices_files_that_are_changed_added_and_removed(tmp_path: Path) -> None:
    recipe = Recipe("parts", 0, pre_weeks=0, files=Files(parts=2))
    spec = worlds.write(world(recipe), tmp_path)
    with open_source(spec, worlds.TODAY) as source:
        before = source.fingerprint(world().plan)
        worlds.write_table(tmp_path / "facts-2.parquet", world().facts)
        assert source.fingerprint(world().plan) != before
        (tmp_path / "facts-2.parquet").unlink()
        assert source.fingerprint(world().plan) == before
        os.utime(tmp_path / "facts-1.parquet", ns=(1, 1))
        assert source.fingerprint(world().plan) != before
        (tmp_path / "facts-1.parquet").unlink()
        with pytest.raises(SourceProblem, match=r"facts-1\.parquet: cannot be read any more: No such file"):
            source.fingerprint(world().plan)


def test_a_file_that_was_read_and_is_gone_since_is_noticed(tmp_path: Path) -> None:
    """The files are those of the plan again, but more was read."""
    recipe = Recipe("parts", 0, pre_weeks=0, files=Files(parts=2))
    spec = worlds.write(world(recipe), tmp_path)
    worlds.write_table(tmp_path / "facts-2.parquet", world().facts)
    with open_source(spec, worlds.TODAY) as source:
        (tmp_path / "facts-2.parquet").unlink()
        with pytest.raises(SourceProblem, match=r"facts-2\.parquet"):
            source.fingerprint(world().plan)


def test_the_last_day_is_that_of_exposures_and_facts_together(tmp_path: Path) -> None:
    late = worlds.of_rows([*EXPOSURES, ("d", "control", day(9))], FACTS, PLAIN)
    for number, (found, last) in enumerate([(world(), day(2)), (late, day(9))]):
        with open_source(worlds.write(found, tmp_path / str(number)), worlds.TODAY) as source:
            assert source.inspect(found.plan).last == last


TOO_LONG = "a" * 300  # out of reach for everybody, as a folder is that may not be entered for most


@pytest.mark.parametrize(("folder", "facts"), [(TOO_LONG, "facts.parquet"), (".", f"{TOO_LONG}.parquet")])
def test_what_is_out_of_reach_is_said(folder: str, facts: str, tmp_path: Path) -> None:
    spec = worlds.write(world(), tmp_path)
    with pytest.raises(SourceProblem, match="cannot be read: File name too long"):
        open_source(SourceSpec("files", spec.exposures, facts, tmp_path / folder), worlds.TODAY)
