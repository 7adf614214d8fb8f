"""Whatever is sent as a file, it is examined or refused with a reason, and a source of it can be checked."""

import tempfile
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from experiments.sources import mapping
from experiments.sources.base import Columns, SourceProblem, SourceSpec
from experiments.sources.duckdb_check import check_files
from experiments.sources.examine import Examined, examine
from tests.experiments import small_data
from tests.experiments.registered import csv_of, parquet_of

QUICK = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
LONG = settings(max_examples=1_500, deadline=None, suppress_health_check=list(HealthCheck))

EXPOSURES = csv_of(small_data.exposures(8))
FACTS = parquet_of(small_data.facts(8))

#: What CSV files are spoiled with.
BITS = st.binary(max_size=12) | st.sampled_from(
    [b'"', b"\n", b"\r", b"\0", b",", b";", b"\t", b"\xef\xbb\xbf", b"\xff\xfe", b"#", b"=1+1", b"<html>",
     b"1e999", b"nan", b"9999-12-31", b"0001-01-01", b"2024-02-30", b"2024-01-01T25:00:00", b"\xf0\x9f\x92\xa9"]
)  # fmt: skip
CELLS = st.one_of(
    st.text(max_size=12), st.integers(-(2**70), 2**70).map(str), st.floats().map(str), st.dates().map(str),
    st.datetimes().map(str),
    st.sampled_from(["", "null", "NaN", "true", "infinity", "-0", "007", "2024-01-01 00:00:00+99"]),
)  # fmt: skip


def looked(name: str, content: bytes, folder: Path) -> Examined | None:
    """What was found in a sent file, None where it is refused as it should be: by the name its sender knows."""
    file = folder / f"sent{Path(name).suffix}"
    file.write_bytes(content)
    said = None
    try:
        found = examine([file], name, str(folder / "spill"), sent=True)
    except SourceProblem as problem:
        said = str(problem)
    if said is None:
        assert found.rows > 0
        assert all(len(row) == len(found.columns) for row in found.preview)
        return found
    assert name in said
    assert str(folder) not in said
    return None


def through(exposures: bytes, facts: bytes, *names: str) -> None:
    """Examine two sent files, guess their columns, and check what comes of it."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "spill").mkdir()
        tables = [looked(name, content, folder) for name, content in zip(names, (exposures, facts), strict=True)]
        if tables[0] is None or tables[1] is None:
            return
        guessed = mapping.guess(tables[0], tables[1])
        list(mapping.check(guessed, tables[0], tables[1]))
        mapping.values(tables[1], guessed)
        kept = [f"{stem}{Path(name).suffix}" for stem, name in zip(("exposures", "facts"), names, strict=True)]
        for name, content in zip(kept, (exposures, facts), strict=True):
            (folder / name).write_bytes(content)
        spec = SourceSpec("files", kept[0], kept[1], folder, guessed, confined=True)
        for columns in (guessed, Columns()):
            for finding in check_files(spec_of(spec, columns), date(2024, 6, 1), "UTC", []):
                assert finding.message
                assert finding.count >= 0


def spec_of(spec: SourceSpec, columns: Columns) -> SourceSpec:
    return SourceSpec(spec.kind, spec.exposures, spec.facts, spec.folder, columns, confined=True)


@st.composite
def cut(draw: st.DrawFn, content: bytes) -> bytes:
    """A file with bytes put in, taken away, or changed."""
    made = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(made)))
        made[start : min(len(made), start + draw(st.integers(0, 40)))] = draw(BITS)
    return bytes(made)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A CSV file of odd names and odd cells, each row of the right length."""
    known = st.sampled_from(["unit_id", "variant", "exposed_at", "at", "lines"])
    names = draw(st.lists(known | st.text(max_size=6), min_size=1, max_size=5))
    rows = draw(st.lists(st.lists(CELLS, min_size=len(names), max_size=len(names)), min_size=1, max_size=5))
    lines = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in (names, *rows)]
    return "\n".join(lines).encode("utf-8", "replace")


KINDS = st.sampled_from(
    [pa.int8(), pa.uint64(), pa.float32(), pa.float64(), pa.string(), pa.binary(), pa.bool_(), pa.date32(),
     pa.timestamp("ns"), pa.timestamp("us", "Europe/Berlin"), pa.time64("us"), pa.duration("s"), pa.decimal128(20, 3),
     pa.list_(pa.int32()), pa.struct([("a", pa.int32())]), pa.dictionary(pa.int8(), pa.string()), pa.null()]
)  # fmt: skip


@st.composite
def parquet(draw: st.DrawFn) -> bytes:
    """A Parquet file with a column of any type under each of the names that are looked for."""
    columns = {}
    for name in ("unit_id", "variant", "exposed_at", "at", "lines"):
        kind = draw(KINDS)
        values = [None] * draw(st.integers(0, 2))
        columns[name] = pa.array(values + _some(kind) * 3, kind).slice(0, 3)
    size = min(len(column) for column in columns.values())
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({name: column.slice(0, size) for name, column in columns.items()}), sink)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _some(kind: pa.DataType) -> list[object]:
    """A value of a type, as often as not at its edge."""
    edges: dict[str, object] = {
        "int8": -128, "uint64": 2**64 - 1, "float": float("nan"), "double": float("inf"), "string": "x\0y",
        "binary": b"\xff", "bool": True, "date32[day]": date(9999, 12, 31), "list<element: int32>": [1],
    }  # fmt: skip
    return [edges.get(str(kind))]


def test_the_files_that_are_fuzzed_are_sound() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "spill").mkdir()
        assert looked("exposures.csv", EXPOSURES, Path(folder)) is not None
        assert looked("facts.parquet", FACTS, Path(folder)) is not None


@given(st.binary(max_size=300), st.sampled_from(["facts.csv", "facts.parquet", "facts.tsv", "facts.zip", "facts"]))
@QUICK
def test_any_bytes_are_examined_or_refused(content: bytes, name: str) -> None:
    through(EXPOSURES, content, "exposures.csv", name)


@given(cut(EXPOSURES))
@QUICK
def test_a_damaged_csv_file_is_examined_or_refused(content: bytes) -> None:
    through(content, FACTS, "exposures.csv", "facts.parquet")


@given(cut(FACTS))
@QUICK
def test_a_damaged_parquet_file_is_examined_or_refused(content: bytes) -> None:
    through(EXPOSURES, content, "exposures.csv", "facts.parquet")


@given(tables(), tables())
@example(EXPOSURES, b'"unit_id","at","{n","%s"\n"u1","2024-01-02","nan","1"')
@QUICK
def test_odd_cells_are_examined_and_checked_or_refused(exposures: bytes, facts: bytes) -> None:
    through(exposures, facts, "exposures.csv", "facts.csv")


@given(parquet(), parquet())
@QUICK
def test_columns_of_any_type_are_examined_and_checked_or_refused(exposures: bytes, facts: bytes) -> None:
    through(exposures, facts, "exposures.parquet", "facts.parquet")


@pytest.mark.slow
@given(st.one_of(cut(EXPOSURES), tables()), st.one_of(cut(FACTS), parquet()))
@LONG
def test_many_more_are_examined_and_checked_or_refused(exposures: bytes, facts: bytes) -> None:
    through(exposures, facts, "exposures.csv", "facts.parquet")
