"""What one experiment's plan leaves out of a source, or refuses, found by the resolution that its looks use."""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

import duckdb

from analysis.plan import Plan
from experiments.sources.base import Columns, SourceProblem, listed
from experiments.sources.duckdb_tables import DUCKDB
from experiments.sources.exposures import resolve
from experiments.sources.findings import Finding, TableName
from experiments.sources.tables import (
    Table,
    check_covariate,
    check_number,
    check_segment,
    literal,
    quoted,
    time_sql,
)
from experiments.sources.units import ExposureTimes, days_sql, week_sql

#: The codes of reasons in the table ``units``, and their words.
_REASONS = (
    (1, "exposed_before_start", "{n} units are first exposed before its start_date {start}"),
    (2, "exposed_after_enrollment", "{n} units are first exposed after its enrollment, which ends on {end}"),
    (3, "unknown_variant", "{n} units are first exposed in a variant it does not have; it has {variants}"),
)


def plan_findings(
    connection: duckdb.DuckDBPyConnection,
    tables: Mapping[TableName, Table],
    columns: Columns,
    plan: Plan,
    today: date,
) -> Iterator[Finding]:
    """Yield what ``plan`` refuses or leaves out of the views ``exposures`` and ``facts`` up to ``today``."""
    refused = list(_columns(connection, tables, plan))
    yield from refused
    times = ExposureTimes(
        time_sql(tables["exposures"], columns.exposed_at, plan.timezone),
        None if columns.left_at is None else time_sql(tables["exposures"], columns.left_at, plan.timezone),
    )
    if any(finding.table == "exposures" for finding in refused):
        return
    resolve(connection, plan, today + timedelta(days=1), columns, times, tables["exposures"], (0, 1))
    yield from _units(connection, plan, columns)
    yield from _facts(connection, tables["facts"], columns, plan)


def _columns(connection: duckdb.DuckDBPyConnection, tables: Mapping[TableName, Table], plan: Plan) -> Iterator[Finding]:
    """Columns that the plan names and cannot use, each with its own reason."""
    checks: list[tuple[TableName, Any, str, tuple[str, ...]]] = [
        ("exposures", check_segment, column, ()) for column in plan.segments
    ]
    for metric in plan.metrics:
        checks += [("facts", check_number, column, (f"metric `{metric.key}`",)) for column in metric.columns]
        checks += [
            ("exposures", check_covariate, column, (f"metric `{metric.key}`, which adjusts for it,",))
            for column in metric.adjust
        ]
    said = set()
    for table, check, column, why in checks:
        try:
            check(connection, tables[table], column, *why)
        except SourceProblem as problem:
            if (table, column) not in said:
                yield Finding(table, "plan_column", "refused", 1, column, f"{plan.key}: {problem}")
            said.add((table, column))


def _units(connection: duckdb.DuckDBPyConnection, plan: Plan, columns: Columns) -> Iterator[Finding]:
    words = {
        "start": plan.start_date,
        "end": plan.start_date + timedelta(days=7 * plan.enrollment_weeks - 1),
        "variants": listed([variant.key for variant in plan.variants]),
    }
    for code, about, message in _REASONS:
        count, example = connection.execute(f"SELECT count(*), min(unit) FROM units WHERE reason = {code}").fetchall()[
            0
        ]
        if count:
            said = message.format(n=f"{count:,}", **words)
            shown = _variant(connection, columns, example, code)
            yield Finding("exposures", about, "left_out", count, shown, f"{plan.key}: {said}")
    found = dict(connection.execute("SELECT code, count(*) FROM units WHERE reason = 0 GROUP BY 1").fetchall())
    missing = [variant.key for code, variant in enumerate(plan.variants) if not found.get(code)]
    if missing:
        yield Finding(
            "exposures", "no_units", "refused", len(missing), missing[0],
            f"{plan.key}: no unit is counted in variant {listed(missing)}",
        )  # fmt: skip
    else:
        counted = listed([f"{found[code]:,} in {variant.key}" for code, variant in enumerate(plan.variants)])
        yield Finding("exposures", "counted_units", "fine", sum(found.values()), "", f"{plan.key}: counts {counted}")


def _variant(connection: duckdb.DuckDBPyConnection, columns: Columns, unit: Any, code: int) -> str:
    """An example: the unit, and for an unknown variant that too."""
    if code != 3:
        return str(unit)
    unit_column, variant = quoted(columns.unit), quoted(columns.variant)
    row = connection.execute(
        f"SELECT min(CAST({variant} AS VARCHAR)) FROM exposures WHERE {unit_column} = ?", [unit]
    ).fetchall()
    return f"{unit} in {row[0][0]!r}"


def _facts(connection: duckdb.DuckDBPyConnection, facts: Table, columns: Columns, plan: Plan) -> Iterator[Finding]:
    day = time_sql(facts, columns.at, plan.timezone).day
    since = "f.week - units.cohort" if plan.clock == "calendar" else week_sql("f.day - units.day", DUCKDB)
    count, example = connection.execute(
        f"SELECT count(*), min(f.at) FROM (SELECT {quoted(columns.unit)} AS unit, {day} AS at, "
        f"{days_sql(day, plan)} AS day, {week_sql(days_sql(day, plan), DUCKDB)} AS week FROM facts) f "
        f"JOIN units ON f.unit = units.unit WHERE units.reason = 0 AND {since} < {-plan.pre_weeks}"
    ).fetchall()[0]
    if count:
        yield Finding(
            "facts", "before_pre_period", "left_out", count, str(example),
            f"{plan.key}: {count:,} rows lie before the pre-period of {plan.pre_weeks} weeks",
        )  # fmt: skip
    weekdays = connection.execute(
        f"SELECT count(DISTINCT dayofweek({day})), count(DISTINCT {day}) FROM facts"
    ).fetchall()
    if plan.clock == "unit" and weekdays[0][0] == 1 and weekdays[0][1] > 1:
        yield Finding(
            "facts", "weekly", "refused", 1, "",
            f"{plan.key}: facts are by week, and `clock: unit` needs daily facts; use `clock: calendar`",
        )  # fmt: skip
    end = literal((plan.start_date).isoformat())
    late = connection.execute(f"SELECT count(*) FROM facts WHERE {day} >= {end}::DATE").fetchall()[0][0]
    if not late:
        said = f"{plan.key}: no fact is of {plan.start_date} or later"
        yield Finding("facts", "no_facts_since_start", "noted", 0, "", said)
