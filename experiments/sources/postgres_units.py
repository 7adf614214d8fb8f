"""Exposures resolved in PostgreSQL: one query gives the units, and is a part of every query that needs them.

Nothing is written, not even a temporary table: a source may read from a server where nothing else is allowed.
"""

from collections import Counter
from datetime import date

import numpy as np

from analysis.moments import Array
from analysis.plan import Plan
from analysis.triangle import Cell, Departure
from experiments.sources.base import Columns
from experiments.sources.postgres_tables import POSTGRES, Reader, blocks
from experiments.sources.tables import Table, quoted
from experiments.sources.units import (
    TESTER,
    Exposures,
    ExposureTimes,
    Group,
    covariate_names,
    listed,
    seen,
    segment_names,
    tallies_of,
    week_sql,
)


def units_query(
    plan: Plan, end: date, columns: Columns, times: ExposureTimes, table: Table, partition: tuple[int, int]
) -> str:
    """SQL that begins a statement with ``units``, see ``Exposures``: rows before ``end``, units of one partition.

    The exposures are sorted by unit and read once: windows give what the first row of a unit says, no join does.
    """
    number, parts = partition
    text = POSTGRES.as_text(quoted(columns.unit))
    share = f"(hashtextextended({text}, 0) & {2**63 - 1}) % {parts} = {number}" if parts > 1 else ""
    names = segment_names(plan) + covariate_names(plan)
    firsts = "".join(f", first_value({name}) OVER by_row AS {name}_first" for name in names)
    # Of rows at the same instant the smallest is taken, and of their variants the first in the plan: so it repeats.
    windows = (
        "WINDOW by_variant AS (PARTITION BY unit ORDER BY instant, code), "
        f"by_row AS (PARTITION BY unit ORDER BY instant{listed(names)})"
    )
    leaving = ", left_day" if times.left is not None else ""
    left = ", min(left_day) AS left_day" if times.left is not None else ""
    kept = "".join(f", min({name}_first) AS {name}" for name in names)
    return (
        f"WITH seen AS ({seen(plan, end, columns, times, table, share)}), "
        f"first_seen AS (SELECT unit, day, code, first_value(code) OVER by_variant AS first_code{firsts}{leaving} "
        f"FROM seen {windows}), "
        "known AS (SELECT unit, min(day) AS day, min(first_code) AS code, "
        f"min(day) FILTER (WHERE code <> first_code) AS crossed_day{kept}{left} FROM first_seen GROUP BY unit), "
        f"units AS MATERIALIZED ({_settled(plan, end, times)}) "
    )


def _settled(plan: Plan, end: date, times: ExposureTimes) -> str:
    """Query that settles every unit's reason, cohort and group, and numbers the counted units by group."""
    names = listed(segment_names(plan) + covariate_names(plan))
    left = "CAST(NULL AS INTEGER)"
    if times.left is not None:
        read = f"left_day < {(end - plan.start_date).days}"
        left = f"CASE WHEN {read} THEN {week_sql('left_day', POSTGRES)} END"
    weeks = (
        f"SELECT unit, day, code{names}, {week_sql('day', POSTGRES)} AS cohort, "
        f"{week_sql('crossed_day', POSTGRES)} AS crossed_week, {left} AS left_week FROM known"
    )
    reasons = (
        f"SELECT *, CASE WHEN code = {TESTER} THEN 4 WHEN day < 0 THEN 1 WHEN cohort >= {plan.enrollment_weeks} THEN 2 "
        f"WHEN code < 0 THEN 3 ELSE 0 END AS reason FROM ({weeks}) w"
    )
    order = f"reason, code * {plan.enrollment_weeks} + cohort, crossed_week NULLS FIRST"
    return (
        "SELECT *, greatest(cohort, -1) AS week, CAST(CASE WHEN reason = 0 THEN row_number() OVER (ORDER BY "
        f"{order}{listed(segment_names(plan))}, unit) - 1 ELSE -1 END AS INTEGER) AS row FROM ({reasons}) r"
    )


def resolve(connection: Reader, plan: Plan, units: str, times: ExposureTimes) -> Exposures:
    """Return what is among the units of a query that ``units_query`` gave."""
    names = listed(segment_names(plan))
    rows = connection.execute(
        f"{units}SELECT reason, code, cohort, crossed_week, left_week, count(*), min(row), max(row){names} FROM units "
        f"GROUP BY reason, code, cohort, crossed_week, left_week{names} ORDER BY min(row)".encode()
    ).fetchall()
    groups: dict[tuple[Cell, tuple[str, ...]], list[tuple[int, int, int]]] = {}
    left: Counter[Departure] = Counter()
    left_out = []
    for reason, code, cohort, crossed, week, count, first, last, *values in rows:
        if reason or crossed is not None:
            left_out.append((reason, cohort if reason else crossed, count))
        if reason:
            continue
        cell = Cell(plan.variants[code].key, cohort, crossed)
        segments = tuple(f"{name}={value}" for name, value in zip(plan.segments, values, strict=True))
        groups.setdefault((cell, segments), []).append((count, first, last))
        if week is not None:
            left[Departure(cell, week)] += count
    return Exposures(_groups(groups), tallies_of(left_out), None if times.left is None else dict(left))


def _groups(found: dict[tuple[Cell, tuple[str, ...]], list[tuple[int, int, int]]]) -> tuple[Group, ...]:
    """Return the groups in the order of their rows. The rows of a group must follow each other; this is checked."""
    groups = []
    for (cell, segments), parts in found.items():
        units = sum(count for count, _, _ in parts)
        first, last = min(first for _, first, _ in parts), max(last for _, _, last in parts)
        if last - first + 1 != units:
            raise RuntimeError("the units of a group do not follow each other")
        groups.append((first, Group(cell, units, segments)))
    return tuple(group for _, group in sorted(groups, key=lambda one: one[0]))


def covariates(connection: Reader, plan: Plan, units: str) -> Array:
    """Return the covariates of the counted units, shape (units, c), in the order of their rows; NaN for null."""
    names = covariate_names(plan)
    shown = ", ".join(f"coalesce({name}, 'nan'::DOUBLE PRECISION)" for name in names)
    query = f"{units}SELECT {shown} FROM units WHERE reason = 0 ORDER BY row"
    found = [np.column_stack(block) for block in blocks(connection, query, ["f8"] * len(names))]
    return np.concatenate(found) if found else np.empty((0, len(names)))
