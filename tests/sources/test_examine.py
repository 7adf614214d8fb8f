"""Files of strangers: what is in them, what is refused, and that a file that harms its reader harms nobody else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.sources import content, examine
from experiments.sources.apart import examine_apart
from experiments.sources.base import SourceProblem, SourceSpec
from experiments.sources.duckdb_files import spec_files
from experiments.sources.examine import Examined

CSV = b"unit_id,at,lines\nann,2024-01-01,3\nbob,2024-01-02,\n"


def looked(folder: Path, name: str, written: bytes | pa.Table, **options: Any) -> Examined:
    """Examine what a stranger sent as ``name``; it lies under a name of ours."""
    file = folder / f"0123{Path(name).suffix.replace('tsv', 'csv')}"
    if isinstance(written, bytes):
        file.write_bytes(written)
    else:
        pq.write_table(written, file, **options)
    spill = folder / "spill"
    spill.mkdir(exist_ok=True)
    return examine.examine([file], name, str(spill), sent=True)


def refused(folder: Path, name: str, written: bytes | pa.Table, *fragments: str, **options: Any) -> None:
    with pytest.raises(SourceProblem) as caught:
        looked(folder, name, written, **options)
    message = str(caught.value)
    assert message.startswith(f"{name}: "), message
    assert str(folder) not in message, message
    for fragment in fragments:
        assert fragment in message, message


def test_a_table_has_its_columns_types_nulls_and_first_rows(tmp_path: Path) -> None:
    found = looked(tmp_path, "facts.csv", CSV)
    assert (found.label, found.rows) == ("facts.csv", 2)
    assert [(one.name, one.kind, one.nulls) for one in found.columns] == [
        ("unit_id", "VARCHAR", 0), ("at", "DATE", 0), ("lines", "BIGINT", 1),
    ]  # fmt: skip
    assert found.preview == (("ann", "2024-01-01", "3"), ("bob", "2024-01-02", None))
    assert examine.from_json(examine.to_json(found)) == found


def test_csv_and_parquet_of_the_same_table_look_the_same(tmp_path: Path) -> None:
    table = pa.table({"unit_id": ["ann", "bob"], "lines": pa.array([3, None], pa.int64())})
    parquet = looked(tmp_path, "facts.parquet", table)
    csv = looked(tmp_path, "facts.csv", b"unit_id,lines\nann,3\nbob,\n")
    assert (parquet.columns, parquet.preview) == (csv.columns, csv.preview)


def test_long_values_are_cut_where_they_are_shown(tmp_path: Path) -> None:
    found = looked(tmp_path, "facts.csv", b"a\n" + b"x" * 5000 + b"\n")
    assert found.preview == (("x" * (examine.LONGEST_VALUE - 1) + "…",),)


@pytest.mark.parametrize(
    ("name", "written", "fragment"),
    [
        ("facts.xlsx", CSV, "allowed are .parquet, .csv and .tsv"),
        ("facts", CSV, "allowed are .parquet, .csv and .tsv"),
        ("facts.csv", b"", "empty (0 bytes)"),
        ("facts.csv", b"PK\x03\x04rest", "a zip archive or an Excel workbook"),
        ("facts.parquet", b"PK\x03\x04rest", "a zip archive or an Excel workbook"),
        ("facts.csv", b"\x1f\x8b\x08rest", "compressed with gzip"),
        ("facts.csv", b"\n <!DOCTYPE html><html>", "a web page or XML"),
        ("facts.csv", b"\xef\xbb\xbf<?xml version='1.0'?>", "a web page or XML"),
        ("facts.csv", b"%PDF-1.7", "a PDF document"),
        ("facts.parquet", CSV, "it does not begin with PAR1"),
        ("facts.csv", b"PAR1" + CSV, "is Parquet, though its name says CSV"),
        ("facts.parquet", b"PAR1", "is cut off: it has 4 bytes"),
        ("facts.parquet", b"PAR1" + b"\0" * 40, "does not end as Parquet does"),
        ("facts.parquet", b"PAR1" + b"\0" * 40 + b"\xff\xff\xff\x7fPAR1", "does not end as Parquet does"),
        ("facts.parquet", b"PAR1" + b"\0" * 40 + b"\x04\0\0\0PARE", "encrypted"),
        ("facts.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("facts.csv", "größe\nä\n".encode("latin-1"), "not UTF-8 text"),
        ("facts.csv", b"a,b\n1,2\xc3", "cut off in the middle of a character"),
        ("facts.csv", b"a,b\n1,\0\n", "NUL byte at byte 6"),
        ("facts.csv", b"a," * 40_000, "the first line has more than 65,536 bytes"),
        ("facts.csv", b"\n1,2\n", "the first line is empty"),
        ("facts.csv", b"a,A\n1,2\n", "twice"),
        ("facts.csv", b"a,b\n", "no rows"),
        ("facts.csv", b"a,b\n1,2\n3\n", "line 3 has another number of columns than the header, 1 instead of 2: 3"),
        ("facts.csv", ",".join(f"c{place}" for place in range(1001)).encode() + b"\n" + b"," * 1000, "1,001 columns"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, written: bytes, fragment: str) -> None:
    refused(tmp_path, name, written, fragment)


def test_a_damaged_page_is_found_although_the_description_is_whole(tmp_path: Path) -> None:
    good = tmp_path / "good.parquet"
    pq.write_table(pa.table({"x": np.arange(5000.0)}), good, compression="zstd", use_dictionary=False)
    content_ = bytearray(good.read_bytes())
    content_[2000:2100] = b"\xaa" * 100
    refused(tmp_path, "facts.parquet", bytes(content_), "cannot be read")


def test_a_bomb_is_refused_by_what_it_says_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "HARMLESS_BYTES", 2**20)
    bomb = pa.table({"x": pa.array(["y" * 10_000_000])})
    options = {"compression": "zstd", "use_dictionary": False}
    refused(tmp_path, "facts.parquet", bomb, "bytes unpack to 10,000", "1,000 times", **options)


def test_a_bomb_that_lies_about_itself_meets_the_limit_of_memory(tmp_path: Path) -> None:
    bomb = pa.table({"x": pa.array(["y" * 10_000_000] * 50)})
    options = {"compression": "zstd", "use_dictionary": False}
    refused(tmp_path, "facts.parquet", bomb, "cannot be read: Out of Memory", **options)


def test_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "MOST_ROWS", 3)
    refused(tmp_path, "facts.parquet", pa.table({"x": [1, 2, 3, 4]}), "has 4 rows; at most 3")


def test_a_deep_column_is_refused(tmp_path: Path) -> None:
    kind = pa.int32()
    for _ in range(60):
        kind = pa.struct([("s", kind)])
    refused(tmp_path, "facts.parquet", pa.table({"x": pa.array([None], kind)}), "nested deeper than 4 levels")


def test_a_large_description_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "LARGEST_FOOTER", 100)
    refused(tmp_path, "facts.parquet", pa.table({"x": [1]}), "its description (footer) has")


# --- in a process of its own ------------------------------------------------------------------------------------------
def test_a_process_of_its_own_finds_and_refuses_the_same(tmp_path: Path) -> None:
    file = tmp_path / "0123.csv"
    file.write_bytes(CSV)
    assert examine_apart([file], "facts.csv", sent=True) == looked(tmp_path, "facts.csv", CSV)
    file.write_bytes(b"PK\x03\x04")
    with pytest.raises(SourceProblem, match="is a zip archive"):
        examine_apart([file], "facts.csv", sent=True)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.kill(os.getpid(), 11)", "ended without an answer"),
        ("import time; time.sleep(60)", "could not be read within 2 seconds"),
    ],
)
def test_a_process_that_crashes_or_hangs_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "sources").mkdir()
    for folder in ("experiments", "experiments/sources"):
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "experiments/sources/examine.py").write_text(code)
    monkeypatch.setattr("experiments.sources.apart._CHECKOUT", tmp_path)
    with pytest.raises(SourceProblem, match=message):
        examine_apart([tmp_path / "any.csv"], "facts.csv", sent=True, seconds=2)


# --- files on the server ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("pattern", ["../secret.csv", "/etc/passwd", "a/../../secret.csv", "facts\x00.csv", "../*.csv"])
def test_a_confined_source_names_no_path_outside(tmp_path: Path, pattern: str) -> None:
    spec = confined(tmp_path, pattern)
    with pytest.raises(SourceProblem, match="is not a path within the folder"):
        spec()


def test_a_link_does_not_lead_out_of_a_confined_source(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_bytes(CSV)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "facts.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(SourceProblem, match="leads out of"):
        confined(tmp_path, "*.csv")()
    (tmp_path / "data" / "facts.csv").unlink()
    (tmp_path / "data" / "facts.csv").write_bytes(CSV)
    assert [file.name for file in confined(tmp_path, "*.csv")()] == ["facts.csv"]


def confined(folder: Path, pattern: str) -> Callable[[], list[Path]]:
    spec = SourceSpec("files", "e.csv", pattern, folder / "data", confined=True)
    return lambda: spec_files(spec, "facts")
