"""Facts joined to resolved exposures in DuckDB, and streamed as batches of the dense matrix."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import duckdb
from numpy.typing import NDArray

from analysis import windows
from analysis.plan import Plan
from experiments.sources.duckdb_tables import DUCKDB
from experiments.sources.matrix import Batch, FactCodes, block_of, pre_columns, value_columns
from experiments.sources.tables import Moment, Table, quoted
from experiments.sources.units import days_sql, week_sql

#: Small enough that a batch is scattered while it is still in the processor's cache.
_BATCH_ROWS = 61_440


def batches(
    connection: duckdb.DuckDBPyConnection,
    plan: Plan,
    as_of: date,
    facts: Table,
    unit: str,
    at: Moment,
    codes: FactCodes,
    units: int,
) -> Iterator[Batch]:
    """Stream the facts of known units before as_of. The table ``units`` must be there, with ``units`` counted ones."""
    columns = value_columns(plan)
    query = _query(plan, as_of, facts, unit, at, codes, units)
    for slots, code, *found in arrays(connection, query):
        values = dict(zip(columns, found, strict=True))
        yield Batch(slots, code, None, [values.get(series.column or "") for series in plan.series])


def arrays(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[list[NDArray[Any]]]:
    """Stream the rows of a query as arrays, one a column."""
    for batch in connection.sql(query).to_arrow_reader(_BATCH_ROWS):
        yield [column.to_numpy(zero_copy_only=False) for column in batch.columns]


def _query(plan: Plan, as_of: date, facts: Table, unit: str, at: Moment, codes: FactCodes, units: int) -> str:
    """Query of (slot, code, one value a column), see ``Batch``."""
    pre, wide = pre_columns(plan), len(plan.series) * block_of(plan)
    names = [f"v{position}" for position, _ in enumerate(value_columns(plan))]
    values = "".join(
        f", coalesce({DUCKDB.as_double(quoted(column), facts.types[column])}, 0) AS {name}"
        for name, column in zip(names, value_columns(plan), strict=True)
    )
    shown = "".join(f", {name}" for name in names)
    since = week_sql("f.day - u.day", DUCKDB) if plan.clock == "unit" else f"{week_sql('f.day', DUCKDB)} - u.cohort"
    # A row number times the matrix's width passes 2^31 in large partitions only; narrow integers are much faster.
    size = "BIGINT" if units * wide >= 2**31 else "INTEGER"
    read = at.before(windows.read_until(plan, as_of))
    return (
        f"SELECT CASE WHEN row >= 0 AND since >= {-plan.pre_weeks} AND since < {plan.horizon_weeks} "
        f"THEN row::{size} * {wide} + {pre} + since ELSE -1 END, {codes.sql(plan.pre_weeks)}{shown} FROM ("
        f"SELECT u.row, u.week AS exposed, {since} AS since, "
        f"{codes.week_sql('f.day')} AS week{shown} FROM (SELECT {quoted(unit)} AS unit, "
        f"{days_sql(at.day, plan)} AS day{values} FROM {facts.view} WHERE {read}) "
        "f JOIN units u ON f.unit = u.unit)"
    )
