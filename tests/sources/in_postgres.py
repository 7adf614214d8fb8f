"""Worlds as tables of a PostgreSQL database of the tests' own, one schema for each, filled by COPY."""

import atexit
import itertools
import os
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
from django.conf import settings
from psycopg import sql
from psycopg.conninfo import make_conninfo

from experiments.sources.base import SourceSpec
from tests.conftest import TEST_DATABASE
from tests.sources.worlds import World

#: What definitions of the tests call the connection.
DSN = "tests"

_numbers = itertools.count()


def server(database: str) -> str:
    """The tests' server, as the connection to one of its databases."""
    known = settings.DATABASES["default"]
    parts = {"host": known.get("HOST"), "port": known.get("PORT"), "user": known.get("USER")}
    parts["password"] = known.get("PASSWORD")
    return make_conninfo(dbname=database, **{name: value for name, value in parts.items() if value})


@cache
def database() -> psycopg.Connection[Any]:
    """A connection to a database that lives as long as this process; one that was killed leaves it to the next run."""
    name = f"{TEST_DATABASE}{os.getpid()}_sources"
    with psycopg.connect(server("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    os.environ["HOLDFAST_DSN_TESTS"] = server(name)
    opened = psycopg.connect(server(name), autocommit=True)
    atexit.register(_drop, opened, name)
    return opened


def _drop(opened: psycopg.Connection[Any], name: str) -> None:
    opened.close()
    try:
        with psycopg.connect(server("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    except psycopg.OperationalError:
        return  # the server has been stopped already; the next run drops it


def load(drawn: World, folder: Path) -> SourceSpec:
    """Write a world's tables into a schema of its own and return where they are."""
    schema = f"world {next(_numbers)}"
    database().execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    spec = SourceSpec("postgres", "exposures", "facts", folder, drawn.columns, dsn=DSN, schema=schema)
    for table in ("exposures", "facts"):
        write(spec, table, getattr(drawn, table), drawn.recipe.ids)
    return spec


def write(spec: SourceSpec, table: str, frame: pd.DataFrame, ids: str = "text", nan_as_null: bool = True) -> None:
    """Write a frame as one of the tables of a spec, in place of what was there. Text ids can be written as uuids."""
    where = sql.Identifier(spec.schema, table)
    types = {str(name): _type(column) for name, column in frame.items()}
    if ids == "uuid" and spec.columns.unit in types:
        types[spec.columns.unit] = "uuid"
    columns = [sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in types.items()]
    connection = database()
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(where))
    connection.execute(sql.SQL("CREATE UNLOGGED TABLE {} ({})").format(where, sql.SQL(", ").join(columns)))
    with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(where)) as copy:
        for row in zip(*(_plain(column, nan_as_null) for _, column in frame.items()), strict=True):
            copy.write_row(row)


def _plain(column: pd.Series, nan_as_null: bool) -> list[Any]:
    keeps_nan = column.dtype.kind == "f" and not nan_as_null
    return [None if pd.isna(value) and not keeps_nan else value for value in column.tolist()]


_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"), (int, "bigint"), (float, "double precision"), (Decimal, "numeric(18, 2)"),
    (datetime, "timestamp"), (date, "date"), (str, "text"),
)  # fmt: skip


def _type(column: pd.Series) -> str:
    if str(column.dtype) == "float32":
        return "real"
    if column.dtype.kind == "f":
        return "double precision"
    sample = next((value for value in column.tolist() if not pd.isna(value)), "")
    if isinstance(sample, datetime) and sample.tzinfo is not None:
        return "timestamptz"
    return next(kind for python, kind in _TYPES if isinstance(sample, python))
