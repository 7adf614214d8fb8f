"""Connections to PostgreSQL servers that hold data: named in definitions, kept in the environment, and only read."""

import re
from collections.abc import Callable

import psycopg
from psycopg import IsolationLevel

from experiments import kept
from experiments.sources.base import OWN, SourceProblem
from experiments.sources.tables import first_line

#: A connection called ``shop`` is kept in the environment variable HOLDFAST_DSN_SHOP.
VARIABLE = "HOLDFAST_DSN_"

#: A statement that takes longer is given up: it would keep a worker, and the server, from everything else.
STATEMENT_SECONDS = 900

#: A server that does not answer for so long is taken to be away.
CONNECT_SECONDS = 10

#: Text dates are checked by functions that older servers do not have.
OLDEST_SERVER = 160_000

#: What holds in every session. Nested loops are never right for joining all facts to all units, and compiling takes
#: longer than it saves; quoting relies on backslashes that mean nothing, and reading days on ISO text.
_SETTINGS = {
    "search_path": "pg_catalog",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "standard_conforming_strings": "on",
    "extra_float_digits": "1",
    "statement_timeout": str(1000 * STATEMENT_SECONDS),
    "idle_in_transaction_session_timeout": str(4 * 1000 * STATEMENT_SECONDS),
    "enable_nestloop": "off",
    "jit": "off",
    "work_mem": "64MB",
}

_own: list[Callable[[], str]] = []


def set_own(conninfo: Callable[[], str]) -> None:
    """Tell where Holdfast's own database is. Whoever sets the application up does."""
    _own[:] = [conninfo]


def variable_of(name: str) -> str:
    """Return the environment variable that holds a connection."""
    return VARIABLE + re.sub(r"[^A-Z0-9]", "_", name.upper())


def connect(name: str) -> psycopg.Connection[tuple[object, ...]]:
    """Open the connection of a name, in one transaction that can only read, and sees one state of the data.

    Raises SourceProblem, without a word of what the environment variable holds.
    """
    conninfo = _conninfo(name)
    try:
        connection = psycopg.connect(
            conninfo, connect_timeout=CONNECT_SECONDS, application_name="holdfast source", client_encoding="utf8"
        )
    except psycopg.OperationalError as error:
        raise SourceProblem(f"source.dsn: `{name}`: no connection: {first_line(error)}") from error
    except psycopg.Error:  # its message repeats the address, password and all
        raise SourceProblem(_not_an_address(name)) from None
    version = connection.info.server_version
    if version < OLDEST_SERVER:
        connection.close()
        raise SourceProblem(
            f"source.dsn: `{name}` is PostgreSQL {version // 10_000}; {OLDEST_SERVER // 10_000} or newer is needed"
        )
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    try:
        for setting, value in _SETTINGS.items():
            connection.execute("SELECT set_config(%s, %s, false)", (setting, value))
    except psycopg.Error as error:
        connection.close()
        raise SourceProblem(f"source.dsn: `{name}`: no session: {first_line(error)}") from error
    return connection


def _conninfo(name: str) -> str:
    if name == OWN:
        if not _own:
            raise SourceProblem(f"source.dsn: `{OWN}` is Holdfast's own database, which is not open here")
        return _own[0]()
    try:
        conninfo = kept.secret(variable_of(name))
    except kept.SecretProblem as problem:
        raise SourceProblem(f"source.dsn: {problem}") from None
    if not conninfo:
        raise SourceProblem(
            f"source.dsn: `{name}` is kept in the environment variable {variable_of(name)}, which is not set; "
            "it looks like postgresql://reader@host:5432/name"
        )
    if "=" not in conninfo and "://" not in conninfo:
        raise SourceProblem(_not_an_address(name))
    return conninfo


def _not_an_address(name: str) -> str:
    return (
        f"source.dsn: what {variable_of(name)} holds is not the address of a PostgreSQL database; "
        "it looks like postgresql://reader@host:5432/name"
    )
