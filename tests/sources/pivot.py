"""The second way to the moments: a pivot to one row a unit and pairwise sums, all in SQL on a DuckDB of its own.

It shares no statement with the source. Sums of squares are raw, so it is no witness for values far from zero.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import combinations_with_replacement

import duckdb
import numpy as np

from analysis.plan import Plan, Series
from experiments.sources.base import SourceSpec
from tests.sources.agreement import CellMoments
from tests.sources.worlds import World

_LOCAL_TIME = {
    "date": "CAST({0} AS TIMESTAMP)",
    "timestamp": "CAST({0} AS TIMESTAMP)",
    "timestamptz": "timezone('{1}', {0})",
    "text_date": "CAST({0} AS TIMESTAMP)",
    "text_time": "CAST({0} AS TIMESTAMP)",
    "text_zone": "timezone('{1}', CAST({0} AS TIMESTAMPTZ))",
}


def moments(world: World, spec: SourceSpec, as_of: date) -> dict[tuple[str, int], CellMoments]:
    """The moments of the layout's columns by (variant, cohort), of the units that count as of a day."""
    plan = world.plan
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE VIEW e AS {_table(world, spec, spec.exposures)}")
        connection.execute(f"CREATE VIEW f AS {_table(world, spec, spec.facts)}")
        end = as_of - timedelta(days=plan.lag_days)
        connection.execute(f"CREATE TABLE counted AS {_counted(world, end)}")
        connection.execute(f"CREATE TABLE weekly AS {_pivot(world, end)}")
        columns = [name for series in range(len(plan.series)) for name in _columns(plan, series)]
        pairs = list(combinations_with_replacement(columns, 2))
        sums = [f"sum({name})" for name in columns] + [f"sum({left} * {right})" for left, right in pairs]
        rows = connection.execute(
            f"SELECT variant, cohort, count(*), {', '.join(sums)} FROM weekly GROUP BY variant, cohort"
        ).fetchall()
    return {(row[0], row[1]): _moments(row[2], np.array(row[3:], dtype=float), len(columns)) for row in rows}


def _moments(n: int, sums: np.ndarray, columns: int) -> CellMoments:
    raw = np.zeros((columns, columns))
    raw[np.triu_indices(columns)] = sums[columns:]
    raw = raw + np.triu(raw, 1).T
    mean = sums[:columns] / n
    return CellMoments(n, mean, raw - n * np.outer(mean, mean))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _table(world: World, spec: SourceSpec, pattern: str) -> str:
    path = str(spec.folder / pattern)
    return f"SELECT * FROM read_csv('{path}', all_varchar = true)" if path.endswith("csv") else f"FROM '{path}'"


def _local(world: World, column: str) -> str:
    return _LOCAL_TIME[world.recipe.times].format(_quoted(column), world.plan.timezone)


def _counted(world: World, end: date) -> str:
    """One row a unit that counts: its variant, cohort, and first local day as a number of days from the start."""
    plan, columns = world.plan, world.columns
    keys = ", ".join(f"'{variant.key}'" for variant in plan.variants)
    return f"""
        WITH seen AS (
            SELECT {_quoted(columns.unit)} AS u, coalesce({_quoted(columns.variant)}, '(none)') AS v,
                   date_diff('day', DATE '{plan.start_date}', CAST({_local(world, columns.exposed_at)} AS DATE)) AS d
            FROM e WHERE CAST({_local(world, columns.exposed_at)} AS DATE) < DATE '{end}'
        )
        SELECT u, min(v) AS variant, CAST(floor(min(d) / 7) AS INTEGER) AS cohort, min(d) AS exposed
        FROM seen GROUP BY u
        HAVING count(DISTINCT v) = 1 AND min(v) IN ({keys}) AND min(d) BETWEEN 0 AND {7 * plan.enrollment_weeks - 1}
    """


def _columns(plan: Plan, series: int) -> list[str]:
    return [f"s{series}_pre"] + [f"s{series}_w{week}" for week in range(plan.horizon_weeks)]


def _pivot(world: World, end: date) -> str:
    """One row a unit: of every series the pre-period's average and the value of each week."""
    plan, columns = world.plan, world.columns
    origin = "exposed" if plan.clock == "unit" else "7 * cohort"
    weeks = range(-plan.pre_weeks, plan.horizon_weeks)
    values = ", ".join(
        f"{_week(series, week)} AS v{number}_{week + plan.pre_weeks}"
        for number, series in enumerate(plan.series)
        for week in weeks
    )
    kept = ", ".join(
        dict.fromkeys(f"CAST({_quoted(name)} AS DOUBLE) AS {_quoted('x' + name)}" for name in plan.columns)
    )
    return f"""
        WITH dated AS (
            SELECT {_quoted(columns.unit)} AS u, {kept},
                   date_diff('day', DATE '{plan.start_date}', CAST({_local(world, columns.at)} AS DATE)) AS d
            FROM f WHERE CAST({_local(world, columns.at)} AS DATE) < DATE '{end}'
        ), wide AS (
            SELECT counted.u, variant, cohort, {values} FROM (
                SELECT counted.*, dated.* EXCLUDE (u), CAST(floor((dated.d - {origin}) / 7) AS INTEGER) AS k
                FROM counted LEFT JOIN dated ON dated.u = counted.u
            ) AS counted GROUP BY counted.u, variant, cohort
        )
        SELECT variant, cohort, {", ".join(_projection(plan))} FROM wide
    """


def _week(series: Series, week: int) -> str:
    x = _quoted("x" + series.column)
    if series.kind == "rows":
        return f"CAST(count(*) FILTER (k = {week}) AS DOUBLE)"
    if series.kind == "active":
        return f"coalesce(max(CASE WHEN k = {week} AND {x} > 0 THEN 1.0 ELSE 0.0 END), 0.0)::DOUBLE"
    total = f"coalesce(sum(CASE WHEN k = {week} THEN {x} END), 0.0)"
    return total if series.cap is None else f"least({total}, {series.cap}::DOUBLE)"


def _projection(plan: Plan) -> Iterator[str]:
    for number in range(len(plan.series)):
        before = " + ".join(f"v{number}_{week}" for week in range(plan.pre_weeks))
        yield f"({before or '0.0::DOUBLE'}) / {max(plan.pre_weeks, 1)} AS s{number}_pre"
        for week in range(plan.horizon_weeks):
            yield f"v{number}_{week + plan.pre_weeks} AS s{number}_w{week}"
