"""What data and definitions cannot make DuckDB do: read or write elsewhere, load code, or change its settings."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from analysis.plan import Metric, Variant
from experiments.sources.base import Columns, Source, SourceProblem, SourceSpec
from experiments.sources.duckdb import DuckDBSource
from experiments.sources.registry import open_source
from tests.sources import worlds
from tests.sources.worlds import Files, Names, Recipe, World, day

RECIPE = Recipe("locked", 0, pre_weeks=0)
EXPOSURES = [("c", "control", day(0)), ("t", "treatment", day(0))]
FACTS = [("c", day(0)), ("t", day(1)), ("c", day(2))]

SECRET = "nobody may read this"


def small(recipe: Recipe = RECIPE, **changes: object) -> World:
    return worlds.of_rows(EXPOSURES, FACTS, recipe, **changes)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder beside the data, with a file that no source names."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "secret.csv").write_text(f"line\n{SECRET}\n")
    worlds.write_table(folder / "secret.parquet", pd.DataFrame({"line": [SECRET]}))
    return folder


@pytest.fixture
def source(tmp_path: Path):
    with DuckDBSource(worlds.write(small(), tmp_path / "data"), worlds.TODAY) as opened:
        yield opened


ELSEWHERE = [
    "SELECT * FROM read_csv('{elsewhere}/secret.csv')",
    "SELECT * FROM read_text('{elsewhere}/secret.csv')",
    "SELECT * FROM read_blob('{elsewhere}/secret.csv')",
    "SELECT * FROM read_parquet('{elsewhere}/secret.parquet')",
    "SELECT * FROM '{elsewhere}/secret.parquet'",
    "SELECT * FROM read_csv('{data}/../elsewhere/secret.csv')",
    "SELECT * FROM glob('{elsewhere}/*')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/proc/self/environ')",
    "SELECT * FROM read_csv('http://127.0.0.1:9/secret.csv')",
    "SELECT * FROM read_parquet('s3://bucket/secret.parquet')",
    "CREATE TABLE t AS SELECT * FROM read_csv('{elsewhere}/secret.csv')",
    "COPY (SELECT 1) TO '{elsewhere}/written.csv'",
    "COPY (SELECT 1) TO '{elsewhere}/written.parquet'",
    "EXPORT DATABASE '{elsewhere}/written'",
    "IMPORT DATABASE '{elsewhere}'",
    "ATTACH '{elsewhere}/written.db' AS other",
    "CREATE TABLE t (x VARCHAR); COPY t FROM '{elsewhere}/secret.csv'",
    "INSTALL httpfs",
    "FORCE INSTALL httpfs FROM community",
    "LOAD httpfs",
    "LOAD '{elsewhere}/written.duckdb_extension'",
    "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
]

SETTINGS = [
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET lock_configuration",
    "SET allowed_directories = ['/']",
    "SET allowed_paths = ['/etc/passwd']",
    "SET memory_limit = '100GB'",
    "PRAGMA memory_limit = '100GB'",
    "SET temp_directory = '{elsewhere}'",
    "SET autoinstall_known_extensions = true",
    "SET autoload_known_extensions = true",
    "SET allow_unsigned_extensions = true",
    "SET TimeZone = 'Asia/Tokyo'",
    "PRAGMA enable_profiling",
    "SET log_query_path = '{elsewhere}/written.log'",
]


@pytest.mark.parametrize("statement", [*ELSEWHERE, *SETTINGS])
def test_the_sources_connection_refuses(statement: str, source: DuckDBSource, secret: Path, tmp_path: Path) -> None:
    before = sorted(secret.iterdir())
    with pytest.raises(duckdb.Error):
        source._connection.execute(statement.format(elsewhere=secret, data=tmp_path / "data")).fetchall()
    assert sorted(secret.iterdir()) == before


@pytest.mark.parametrize("statement", SETTINGS)
def test_the_sources_settings_hold_whatever_was_tried(statement: str, source: DuckDBSource, secret: Path) -> None:
    query = "SELECT name, value FROM duckdb_settings() ORDER BY name"
    before = source._connection.execute(query).fetchall()
    with pytest.raises(duckdb.Error):
        source._connection.execute(statement.format(elsewhere=secret)).fetchall()
    assert source._connection.execute(query).fetchall() == before
    assert dict(before)["enable_external_access"] == "false"
    assert dict(before)["lock_configuration"] == "true"


def test_the_sources_own_files_can_be_read(source: DuckDBSource, tmp_path: Path) -> None:
    """Without this the refusals above would say nothing."""
    path = tmp_path / "data" / "facts-0.parquet"
    assert source._connection.execute(f"SELECT count(*) FROM '{path}'").fetchall() == [(3,)]


@pytest.mark.parametrize("path", ["other.parquet", "*.parquet", "facts-[1-9].parquet", "facts-0.parquet.bak"])
def test_other_files_in_the_folder_of_the_data_cannot_be_read(path: str, source: DuckDBSource, tmp_path: Path) -> None:
    for name in ("other.parquet", "facts-1.parquet", "facts-0.parquet.bak"):
        (tmp_path / "data" / name).write_bytes((tmp_path / "data" / "facts-0.parquet").read_bytes())
    with pytest.raises(duckdb.PermissionException):
        source._connection.execute(f"SELECT * FROM read_parquet('{tmp_path}/data/{path}')").fetchall()
    with pytest.raises(duckdb.PermissionException):
        source._connection.execute(f"COPY (SELECT 1) TO '{tmp_path}/data/written.csv'")


def test_files_of_the_data_are_never_written(source: DuckDBSource, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    source.read(worlds.plan_of(RECIPE), day(63))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


INJECTIONS = [
    "(SELECT content FROM read_text('/etc/passwd'))",
    "lines\" FROM facts; COPY facts TO '/tmp/x",
    'lines"); INSTALL httpfs; --',
    "*",
    "1",
    "lines + 1",
    "facts.lines",
    "main.facts.lines",
    "COLUMNS(*)",
    "rowid",
    "file_row_number",
    "filename",
    "\x00",
]


@pytest.mark.parametrize("name", INJECTIONS)
def test_a_column_name_is_a_name_and_nothing_else(name: str, tmp_path: Path) -> None:
    """Names that SQL would evaluate are missing columns, in a metric, a segment and every column of the source."""
    metric = Metric("m", "mean", "higher", "primary", column=name)
    spec = worlds.write(small(), tmp_path)
    plans = [small(metrics=(metric,)).plan, small(segments=(name,)).plan]
    for plan in plans:
        with pytest.raises(SourceProblem, match="missing"), open_source(spec, worlds.TODAY) as opened:
            opened.read(plan, day(63))
    for field in ("unit", "variant", "exposed_at", "at", "left_at"):
        columns = Columns(**{field: name})
        changed = SourceSpec("files", spec.exposures, spec.facts, tmp_path, columns)
        with pytest.raises(SourceProblem, match="missing"), open_source(changed, worlds.TODAY) as opened:
            opened.read(small().plan, day(63))


@pytest.mark.parametrize("name", [text for text in INJECTIONS if text.strip("\x00")])
def test_a_column_that_has_such_a_name_is_read_as_a_column(name: str, tmp_path: Path) -> None:
    recipe = Recipe("odd", 0, pre_weeks=0, names=Names(lines=name))
    with open_source(worlds.write(small(recipe), tmp_path), worlds.TODAY) as opened:
        triangle = opened.read(worlds.plan_of(recipe), day(63))
    assert triangle.moments("control", (0,)).mean[triangle.layout.week(triangle.plan.series[0], 0)] == 2.0


@pytest.mark.parametrize("key", ["it's", "x' OR '1'='1", "'); DROP VIEW exposures; --", "\\", "%s", "{}", "$1", "?"])
def test_a_variant_key_is_a_value_and_nothing_else(key: str, tmp_path: Path) -> None:
    variants = (Variant(key, 0.5, control=True), Variant("treatment", 0.5))
    world = worlds.of_rows([("c", key, day(0)), EXPOSURES[1]], FACTS, RECIPE, variants=variants)
    with open_source(worlds.write(world, tmp_path), worlds.TODAY) as opened:
        triangle = opened.read(world.plan, day(63))
    assert (triangle.units(key), triangle.units("treatment")) == (1, 1)


#: Folders whose names are patterns: DuckDB must not take them for other folders, nor refuse them.
PATTERNS = ["[1]", "[!a]", "[[]1]", "[", "a*b", "**", "a?b", "{x,y}"]


@pytest.mark.parametrize("folder", ["it's", 'a "b"', "x'); DROP VIEW facts; --", "100%", "é ü", *PATTERNS])
@pytest.mark.parametrize("files", [Files(), Files("csv"), Files("parquet", 2)], ids=["parquet", "csv", "glob"])
def test_a_folder_may_have_any_name(folder: str, files: Files, tmp_path: Path) -> None:
    recipe = Recipe("named", 0, pre_weeks=0, files=files)
    other = tmp_path / "1"
    worlds.write(worlds.of_rows(EXPOSURES, [*FACTS, ("c", day(3))], recipe), other)
    with open_source(worlds.write(small(recipe), tmp_path / folder), worlds.TODAY) as opened:
        assert opened.read(small(recipe).plan, day(63)).data.rows == 3
        assert isinstance(opened, DuckDBSource)
        with pytest.raises(duckdb.PermissionException):
            opened._connection.execute(
                f"SELECT * FROM read_{files.format}('{other}/facts-0.{files.format}')"
            ).fetchall()


def test_a_file_may_be_a_link_to_one_in_a_folder_of_any_name(tmp_path: Path) -> None:
    spec = worlds.write(small(), tmp_path / "[1]")
    for name in (spec.exposures, spec.facts):
        (tmp_path / name).symlink_to(tmp_path / "[1]" / name)
    with open_source(SourceSpec("files", spec.exposures, spec.facts, tmp_path), worlds.TODAY) as opened:
        assert opened.read(small().plan, day(63)).data.rows == 3


@pytest.mark.usefixtures("little_memory")
def test_the_folder_of_temporary_files_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "[1]*").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "[1]*"))
    with spilled(worlds.write(small(), tmp_path / "data")) as opened:
        assert opened.read(small().plan, day(63)).data.rows == 3


@pytest.mark.parametrize("name", ["facts[1]", "facts?", "facts*", "facts{1,2}"])
@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_a_file_that_is_named_is_the_one_that_is_read(name: str, format: str, tmp_path: Path) -> None:
    """Its name may look like a pattern that matches the file beside it."""
    spec = worlds.write(small(), tmp_path)
    worlds.write_table(tmp_path / f"{name}.{format}", small().facts)
    worlds.write_table(tmp_path / f"facts1.{format}", pd.concat([small().facts] * 5))
    with open_source(SourceSpec("files", spec.exposures, f"{name}.{format}", tmp_path), worlds.TODAY) as opened:
        assert opened.read(small().plan, day(63)).data.rows == 3


@pytest.mark.parametrize("path", ["http://127.0.0.1:9/facts.parquet", "s3://bucket/facts.parquet", "no-such-*.parquet"])
def test_an_address_is_not_a_path(path: str, tmp_path: Path) -> None:
    spec = worlds.write(small(), tmp_path)
    with pytest.raises(SourceProblem, match="no such file"):
        open_source(SourceSpec("files", spec.exposures, path, tmp_path), worlds.TODAY)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@contextmanager
def spilled(spec: SourceSpec) -> Iterator[Source]:
    """An open source whose DuckDB was given more than the memory it has."""
    with open_source(spec, worlds.TODAY) as opened:
        assert isinstance(opened, DuckDBSource)
        opened._connection.execute(
            "CREATE TEMP TABLE much AS SELECT range AS a, hash(range) AS b FROM range(3_000_000)"
        )
        yield opened


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.sources.duckdb_locked.DUCKDB_MEMORY", "24MB")


@pytest.mark.usefixtures("little_memory")
def test_what_is_spilled_is_private_and_removed_on_close(temporary: Path, tmp_path: Path) -> None:
    with spilled(worlds.write(small(), tmp_path / "data")):
        (folder,) = temporary.iterdir()
        assert list(folder.iterdir()), "nothing was spilled, so this test says nothing"
        assert folder.stat().st_mode & 0o077 == 0, "rows of users may be read by others on this machine"
    assert list(temporary.iterdir()) == []


@pytest.mark.usefixtures("little_memory")
def test_the_spill_folder_is_removed_after_an_error(temporary: Path, tmp_path: Path) -> None:
    spec = worlds.write(small(), tmp_path / "data")
    plan = small(metrics=(Metric("m", "mean", "higher", "primary", column="none"),)).plan

    def stopped(source: Source) -> None:
        raise KeyboardInterrupt

    for error, use in ((KeyboardInterrupt, stopped), (SourceProblem, lambda source: source.read(plan, day(63)))):
        with pytest.raises(error), spilled(spec) as opened:
            use(opened)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("table", ["exposures", "facts"])
@pytest.mark.parametrize("content", [b"PAR1 is how Parquet begins", b"\x00" * 64, b""], ids=["magic", "zeros", "empty"])
def test_a_broken_file_is_refused_and_leaves_nothing_behind(
    table: str, content: bytes, temporary: Path, tmp_path: Path
) -> None:
    spec = worlds.write(small(), tmp_path / "data")
    (tmp_path / "data" / f"{table}-0.parquet").write_bytes(content)
    with pytest.raises(SourceProblem, match=f"{table}-0.parquet"):
        open_source(spec, worlds.TODAY)
    assert list(temporary.iterdir()) == []


def test_two_sources_do_not_share_a_folder_or_tables(tmp_path: Path) -> None:
    first, second = (worlds.write(small(), tmp_path / name) for name in ("first", "second"))
    with open_source(first, worlds.TODAY) as one, open_source(second, worlds.TODAY) as two:
        assert isinstance(one, DuckDBSource)
        assert isinstance(two, DuckDBSource)
        one._connection.execute("CREATE TABLE only_here (x INTEGER)")
        with pytest.raises(duckdb.Error):
            two._connection.execute("SELECT * FROM only_here").fetchall()
        with pytest.raises(duckdb.Error):
            one._connection.execute(f"SELECT * FROM '{second.folder}/{second.facts}'").fetchall()
