"""Every fact row is checked and counted, whichever weeks and units are read later."""

from collections.abc import Sequence
from datetime import date

from analysis import windows
from analysis.plan import Plan
from analysis.triangle import Tally
from experiments.sources.base import SourceProblem
from experiments.sources.matrix import oldest_week
from experiments.sources.tables import Connection, Table, quoted

#: Larger values are refused like infinities: their squares leave the range of numbers.
LARGEST = 1e100


def tallies(
    connection: Connection, facts: Table, day: str, plan: Plan, as_of: date
) -> tuple[date | None, dict[int, Tally]]:
    """Check the values of all fact rows; return the first day and the counts by week of those before as_of.

    Raises SourceProblem for NaN and infinite values, and for weekly facts under the clock of the unit.
    """
    nulls = " + ".join(f"count(*) - count({quoted(column)})" for column in plan.columns) or "0"
    floats = [column for column in plan.columns if facts.is_float(column)]
    # One flag for all columns: a count by column costs as much again as reading them.
    broken = " OR ".join(facts.dialect.is_unusable(quoted(column), LARGEST) for column in floats) or "false"
    # Grouped by day, not by week: the cheapest key, and every day is seen once.
    days = connection.execute(
        f"SELECT {day}, count(*), {nulls}, bool_or({broken}) FROM {facts.view} GROUP BY 1 ORDER BY 1"
    ).fetchall()
    if any(row[3] for row in days):
        raise _not_finite(connection, facts, floats)
    if plan.clock == "unit":
        _refuse_weekly(facts, [row[0] for row in days])
    end = windows.read_until(plan, as_of)
    counts: dict[int, Tally] = {}
    for found, rows, missing, *_ in (row for row in days if row[0] < end):
        week = max((found - plan.start_date).days // 7, oldest_week(plan))
        counts[week] = counts.get(week, Tally()) + Tally(rows, found, int(missing))
    return next((row[0] for row in days if row[0] < end), None), counts


def _not_finite(connection: Connection, facts: Table, floats: Sequence[str]) -> SourceProblem:
    """Say of the first column with unusable values how many there are; one column must have some."""
    for column in floats:
        name = quoted(column)
        # Not a WHERE: DuckDB prunes by the file's statistics, which know nothing of NaN.
        query = "SELECT count(*) FILTER (WHERE unusable), min(value) FILTER (WHERE unusable) FROM "
        query += f"(SELECT {name} AS value, {facts.dialect.is_unusable(name, LARGEST)} AS unusable FROM {facts.view}) f"
        count, example = connection.execute(query).fetchall()[0]
        if count:
            return facts.problem(column, f"{count:,} rows are not finite numbers below {LARGEST:g}, such as {example}")
    raise RuntimeError("values that are no finite numbers were seen, and are gone: the data changed while being read")


def _refuse_weekly(facts: Table, days: Sequence[date]) -> None:
    """Refuse facts that all fall on one weekday: under the unit's clock they would land in the wrong weeks."""
    weekdays = {day.weekday() for day in days}
    if len(days) > 1 and len(weekdays) == 1:
        raise SourceProblem(
            f"{facts.label}: all facts fall on a {days[0]:%A}, so they are by week; "
            "clock `unit` needs daily facts: use `clock: calendar`"
        )
