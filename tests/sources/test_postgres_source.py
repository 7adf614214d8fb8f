"""Tables of a PostgreSQL server: the same numbers as from files, and nothing but reading."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from analysis.triangle import Triangle
from experiments import definitions
from experiments.definitions import Definition
from experiments.examples.build import KEYS, build
from experiments.examples.worlds import UNITS
from experiments.sources import postgres_connect
from experiments.sources.base import SourceProblem, SourceSpec
from experiments.sources.postgres import PostgresSource
from experiments.sources.registry import open_source
from tests.sources import agreement, in_postgres, worlds
from tests.sources.worlds import Recipe, World, day

#: Sums of the same doubles in another order.
SAME = 1e-9

#: Units of an example in every run: enough for every cohort, few enough to be loaded in a second.
FEW = 1200

RECIPE = Recipe("served", 0, pre_weeks=0)
EXPOSURES = [("c", "control", day(0)), ("t", "treatment", day(0)), ("c", "control", day(9))]
FACTS = [("c", day(0)), ("t", day(1)), ("c", day(2)), ("t", day(10))]


def world() -> World:
    return worlds.of_rows(EXPOSURES, FACTS, RECIPE)


@pytest.fixture
def spec(tmp_path: Path) -> SourceSpec:
    return in_postgres.load(world(), tmp_path)


def run(statement: str, spec: SourceSpec) -> None:
    """Run a statement in which {schema} stands for the schema of the spec."""
    in_postgres.database().execute(sql.SQL(statement).format(schema=sql.Identifier(spec.schema)))


@contextmanager
def opened(spec: SourceSpec, today: date = worlds.TODAY) -> Iterator[PostgresSource]:
    with open_source(spec, today) as source:
        assert isinstance(source, PostgresSource)
        yield source


def read(spec: SourceSpec, end: int = 63) -> Triangle:
    with opened(spec) as source:
        return source.read(world().plan, day(end))


def refused(spec: SourceSpec) -> str:
    with pytest.raises(SourceProblem) as raised:
        read(spec)
    return str(raised.value)


# --- The same numbers -------------------------------------------------------------------------------------------------
def loaded(definition: Definition) -> SourceSpec:
    """The files of an example as tables."""
    frames = {
        table: pq.read_table(definition.source.folder / getattr(definition.source, table)).to_pandas()
        for table in ("exposures", "facts")
    }
    spec = in_postgres.load(replace(world(), exposures=frames["exposures"], facts=frames["facts"]), Path())
    return replace(spec, columns=definition.source.columns)


def assert_same_example(folder: Path, key: str) -> None:
    definition = definitions.load(folder / key / f"{key}.yaml")
    plan = definition.plan
    today = date(2030, 1, 1)
    with open_source(definition.source, today) as files, opened(loaded(definition), today) as tables:
        last = files.inspect(plan).last
        assert tables.inspect(plan).last == last
        for as_of in (plan.start_date + timedelta(days=60), last + timedelta(days=1)):
            expected, found = files.read(plan, as_of), tables.read(plan, as_of)
            agreement.assert_same_triangle(found, expected, SAME)
            assert (found.tallies, found.facts) == (expected.tallies, expected.facts)
            for event in plan.events:
                for cell, counts in expected.events[event].items():
                    assert (found.events[event][cell].weeks == counts.weeks).all()
                    assert (found.events[event][cell].pauses == counts.pauses).all()


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    build(folder, units=FEW)
    return folder


@pytest.mark.parametrize("key", KEYS)
def test_an_example_reads_the_same_from_tables_as_from_files(key: str, few: Path) -> None:
    assert_same_example(few, key)


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS)
def test_a_whole_example_reads_the_same_from_tables_as_from_files(key: str, tmp_path: Path) -> None:
    build(tmp_path, units=UNITS, keys=[key])
    assert_same_example(tmp_path, key)


def test_many_small_blocks_of_rows_change_no_number(spec: SourceSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read(spec)
    monkeypatch.setattr("experiments.sources.postgres_tables._BLOCK_ROWS", 1)
    agreement.assert_same_triangle(read(spec), whole, 0)


def test_views_and_partitioned_tables_are_read_like_tables(spec: SourceSpec) -> None:
    expected = read(spec)
    run("ALTER TABLE {schema}.exposures RENAME TO kept", spec)
    run("CREATE VIEW {schema}.exposures AS SELECT * FROM {schema}.kept", spec)
    run("ALTER TABLE {schema}.facts RENAME TO whole", spec)
    run("CREATE TABLE {schema}.facts (LIKE {schema}.whole) PARTITION BY RANGE (at)", spec)
    run("CREATE TABLE {schema}.one PARTITION OF {schema}.facts FOR VALUES FROM (MINVALUE) TO ('2024-02-28')", spec)
    run("CREATE TABLE {schema}.two PARTITION OF {schema}.facts FOR VALUES FROM ('2024-02-28') TO (MAXVALUE)", spec)
    run("INSERT INTO {schema}.facts SELECT * FROM {schema}.whole", spec)
    agreement.assert_same_triangle(read(spec), expected, 0)


# --- One state of the data --------------------------------------------------------------------------------------------
def test_an_open_source_reads_the_data_as_they_were_when_it_was_opened(spec: SourceSpec) -> None:
    plan = world().plan
    with opened(spec) as source:
        before, print_before = source.read(plan, day(63)), source.fingerprint(plan)
        run("DELETE FROM {schema}.facts", spec)
        assert source.fingerprint(plan) == print_before
        agreement.assert_same_triangle(source.read(plan, day(63)), before, 0)
    assert "has columns but no rows" in refused(spec)


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO {schema}.facts SELECT * FROM {schema}.facts LIMIT 1",
        "UPDATE {schema}.facts SET lines = 7 WHERE unit_id = 't'",
        "DELETE FROM {schema}.exposures WHERE exposed_at > '2024-03-01'",
        "ALTER TABLE {schema}.facts ADD COLUMN more integer",
    ],
)
@pytest.mark.parametrize("view", [False, True], ids=["tables", "views"])
def test_the_fingerprint_changes_with_the_data_and_only_then(change: str, view: bool, spec: SourceSpec) -> None:
    if view:
        spec = viewed(spec)

    def found() -> str:
        with opened(spec) as source:
            return source.inspect(world().plan).fingerprint

    before = found()
    assert found() == before
    run(change.replace("{schema}.facts", "{schema}.below") if view and "facts" in change else change, spec)
    if view and "ALTER" in change:
        run("CREATE OR REPLACE VIEW {schema}.facts AS SELECT * FROM {schema}.below", spec)
    assert found() != before


def viewed(spec: SourceSpec) -> SourceSpec:
    run("ALTER TABLE {schema}.facts RENAME TO below", spec)
    run("CREATE VIEW {schema}.facts AS SELECT * FROM {schema}.below", spec)
    return spec


def test_rows_of_today_may_come_in_while_a_look_is_taken(spec: SourceSpec) -> None:
    """A look reads the days before today: rows of yesterday are another state of the data, rows of today are not."""
    plan, today = world().plan, day(20)

    def found() -> str:
        with opened(spec, today) as source:
            return source.inspect(plan).fingerprint

    before = found()
    run("INSERT INTO {schema}.facts (unit_id, at) VALUES ('c', '2024-03-17')", spec)
    assert found() == before
    run("INSERT INTO {schema}.facts (unit_id, at) VALUES ('c', '2024-03-16')", spec)
    assert found() != before


# --- Nothing but reading ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE pg_temp.t (a int)",
        'INSERT INTO "{schema}".facts (unit_id) VALUES (1)',
        'DROP TABLE "{schema}".facts',
        "SELECT lo_create(0)",
        "SET TRANSACTION READ WRITE",
    ],
)
def test_nothing_can_be_written(statement: str, spec: SourceSpec) -> None:
    with opened(spec) as source, pytest.raises(psycopg.Error, match=r"read-only|read-write"):
        source.asked().execute(statement.replace("{schema}", spec.schema))


def test_a_statement_that_takes_too_long_is_given_up(spec: SourceSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {**postgres_connect._SETTINGS, "statement_timeout": "1"}
    monkeypatch.setattr(postgres_connect, "_SETTINGS", settings)
    slow = (
        "CREATE VIEW {schema}.slow AS SELECT unit_id, at, lines + extract(epoch FROM clock_timestamp()) * 0 AS lines, "
        "sales, used FROM {schema}.facts, LATERAL (SELECT pg_sleep(0.05)) s"
    )
    run(slow, spec)
    assert "statement timeout" in refused(replace(spec, facts="slow"))


# --- Refused ----------------------------------------------------------------------------------------------------------
def test_a_table_that_is_not_there_is_named_with_field_and_schema(spec: SourceSpec) -> None:
    said = refused(replace(spec, facts="Facts"))
    assert f"tests: table {spec.schema}.Facts: there is no such table (source.facts: Facts" in said
    assert "source.schema: elsewhere" in refused(replace(spec, schema="elsewhere"))
    assert "there is no such table" in refused(replace(spec, facts='facts"; DROP TABLE facts; --'))


def test_days_beyond_the_calendar_are_refused(spec: SourceSpec) -> None:
    run("UPDATE {schema}.facts SET at = 'infinity' WHERE unit_id = 't'", spec)
    assert "column `at`: the last date, infinity, is not a date of the calendar" in refused(spec)
    run("UPDATE {schema}.facts SET at = '0044-03-15 BC' WHERE unit_id = 't'", spec)
    assert "column `at`: the first date, 0044-03-15 BC, is not" in refused(spec)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e200"])
def test_decimals_that_are_no_usable_numbers_are_refused(value: str, spec: SourceSpec) -> None:
    run("ALTER TABLE {schema}.facts ALTER lines TYPE numeric", spec)
    run(f"UPDATE {{schema}}.facts SET lines = '{value}' WHERE unit_id = 't'", spec)
    assert "column `lines`: 2 rows are not finite numbers" in refused(spec)


def test_a_connection_that_is_not_set_up_says_which_variable_is_missing(
    spec: SourceSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOLDFAST_DSN_SHOP_2", raising=False)
    said = refused(replace(spec, dsn="shop.2"))
    assert "`shop.2` is kept in the environment variable HOLDFAST_DSN_SHOP_2, which is not set" in said


def test_an_address_may_be_kept_in_a_file(spec: SourceSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "shop"
    file.write_text(f"{os.environ['HOLDFAST_DSN_TESTS']}\n")
    monkeypatch.setenv("HOLDFAST_DSN_SHOP_FILE", str(file))
    with open_source(replace(spec, dsn="shop"), worlds.TODAY):
        pass
    file.write_bytes(b"hunter2 \xff")
    assert "cannot be read: it is no text" in refused(replace(spec, dsn="shop"))
    file.unlink()
    assert "cannot be read: No such file" in refused(replace(spec, dsn="shop"))
    monkeypatch.setenv("HOLDFAST_DSN_SHOP", "host=/nowhere")
    assert "HOLDFAST_DSN_SHOP_FILE are both set" in refused(replace(spec, dsn="shop"))


@pytest.mark.parametrize(
    "address", ["postgresql://me:hunter2@127.0.0.1:1/x", "nonsense hunter2", "host=127.0.0.1 hunter2"]
)
def test_no_message_repeats_an_address(address: str, spec: SourceSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_DSN_SHOP", address)
    said = refused(replace(spec, dsn="shop"))
    assert "shop" in said.lower()
    assert "hunter2" not in said


def test_an_account_without_rights_is_told_what_to_grant(spec: SourceSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = in_postgres.database()
    role = sql.Identifier(f"reader_{connection.info.dbname}")
    connection.execute(sql.SQL("CREATE ROLE {}").format(role))
    try:
        own = in_postgres.server(connection.info.dbname)
        monkeypatch.setenv("HOLDFAST_DSN_SHOP", f"{own} options='-c role={role.as_string(connection)[1:-1]}'")
        assert "may not read it; GRANT it SELECT" in refused(replace(spec, dsn="shop"))
    finally:
        connection.execute(sql.SQL("DROP ROLE {}").format(role))
