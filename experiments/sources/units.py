"""Units whose exposures are resolved: groups that follow each other, who was left out, and SQL that databases share.

A unit's first exposure wins, with its segments and covariates. It is left out, once and for the first of these reasons
that holds: a tester, first exposed before start, first exposed after enrollment, first exposed in an unknown variant,
later seen in another variant. It has left on the first of the days its rows name, or on the row's own day if that is
later.
"""

from dataclasses import dataclass, replace
from datetime import date

from analysis.plan import Plan
from analysis.triangle import Cell, Departure, Tally
from experiments.sources.base import Columns
from experiments.sources.tables import Dialect, Moment, Table, literal, quoted

#: Why a unit is left out, by number; who was seen in two variants counts until then.
REASONS = {
    0: "two_variants",
    1: "exposed_before_start",
    2: "exposed_after_enrollment",
    3: "unknown_variant",
    4: "forced_testers",
}

#: The value of a segment where the exposure has none.
NO_SEGMENT = "(none)"


#: The code of the variant of testers. They are told apart while exposures are read, not when they are sent: whoever
#: becomes a tester later is out too, whatever keeps the exposures, and a tester no more is counted again.
TESTER = -2


@dataclass(frozen=True)
class ExposureTimes:
    """SQL of the days in the exposures: of the exposure, and of leaving where that is known; and who is a tester."""

    exposed: Moment
    left: Moment | None = None
    testers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """Counted units that follow each other: those of a cell with the same value in every segment."""

    cell: Cell
    units: int
    segments: tuple[str, ...] = ()

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells these units belong to: that of all segments, and one for each ``column=value``."""
        return (self.cell, *(self.cell._replace(segment=segment) for segment in self.segments))


@dataclass(frozen=True)
class Exposures:
    """Units of one hash partition, in SQL ``units`` (unit, row, day, cohort, week), and what is among them.

    ``row`` numbers the counted units by group, -1 where the unit is left out; ``day`` is days from start_date to the
    first exposure; ``week`` its calendar week, -1 before start.

    Attributes:
        groups: the counted units, in the order of the rows.
        tallies: units left out, by calendar week and reason.
        left: units that have left, None where the source does not know.
    """

    groups: tuple[Group, ...]
    tallies: dict[int, Tally]
    left: dict[Departure, int] | None

    @property
    def units(self) -> int:
        return sum(group.units for group in self.groups)


def unit_days(plan: Plan, end: date, columns: Columns, times: ExposureTimes, table: Table, *, counted: bool) -> str:
    """Query of the rows of ``base.UnitDays`` from exposures before ``end``.

    ``counted``: the units that count, each once. Otherwise every variant of the plan that a unit was exposed to, also
    of units that are left out: once in each.
    """
    rows = seen(replace(plan, segments=(), metrics=()), end, columns, times, table, "")
    if counted:
        grouped = (
            f"SELECT unit, min(code) AS code, min(day) AS day FROM ({rows}) s GROUP BY unit HAVING min(code) >= 0 "
            f"AND min(code) = max(code) AND min(day) >= 0 AND min(day) < {7 * plan.enrollment_weeks}"
        )
    else:
        grouped = f"SELECT unit, code, min(day) AS day FROM ({rows}) s WHERE code >= 0 GROUP BY unit, code"
    return f"SELECT {table.dialect.fingerprint('unit')} AS unit, code, day FROM ({grouped}) g"


def tallies_of(left_out: list[tuple[int, int, int]]) -> dict[int, Tally]:
    """Return units left out, given as (reason, week in which it was seen, units), by week."""
    tallies: dict[int, Tally] = {}
    for reason, week, count in left_out:
        tallies[week] = tallies.get(week, Tally()) + Tally(excluded={REASONS[reason]: count})
    return tallies


def segment_names(plan: Plan) -> list[str]:
    """What SQL calls the plan's segments."""
    return [f"segment_{place}" for place, _ in enumerate(plan.segments)]


def covariate_names(plan: Plan) -> list[str]:
    """What SQL calls the plan's covariates."""
    return [f"covariate_{place}" for place, _ in enumerate(plan.covariates)]


def listed(names: list[str], prefix: str = "") -> str:
    """SQL of further columns in a list: with a comma before each."""
    return "".join(f", {prefix}{name}" for name in names)


def seen(plan: Plan, end: date, columns: Columns, times: ExposureTimes, table: Table, share: str) -> str:
    """Query of the exposure rows before ``end``: unit, code of the variant, instant, day from start.

    The code is -1 for an unknown variant, and that of testers for theirs, whatever the row says.
    ``share`` is a further condition on a row, empty for none.
    """
    dialect = table.dialect
    testers = f"WHEN {dialect.as_text(quoted(columns.unit))} IN ({_literals(times.testers)}) THEN {TESTER} "
    variant = dialect.as_text(quoted(columns.variant))
    codes = " ".join(f"WHEN {variant} = {literal(item.key)} THEN {code}" for code, item in enumerate(plan.variants))
    values = [f"coalesce({dialect.as_text(quoted(name))}, {literal(NO_SEGMENT)})" for name in plan.segments]
    values += [dialect.as_double(quoted(name), table.types[name]) for name in plan.covariates]
    names = segment_names(plan) + covariate_names(plan)
    further = "".join(f", {value} AS {name}" for value, name in zip(values, names, strict=True))
    day = days_sql(times.exposed.day, plan)
    if times.left is not None:
        # Known from the row's own day on, so that a look before it is rebuilt as it was.
        left = days_sql(times.left.day, plan)
        further += f", CASE WHEN {left} IS NOT NULL THEN greatest({left}, {day}) END AS left_day"
    unit = dialect.as_unit(quoted(columns.unit), table.types[columns.unit])
    return (
        f"SELECT {unit} AS unit, CASE {testers if times.testers else ''}{codes} ELSE -1 END AS code, "
        f"{times.exposed.instant} AS instant, {day} AS day{further} FROM {table.view} "
        f"WHERE {times.exposed.before(end)}{f' AND {share}' if share else ''}"
    )


def _literals(values: tuple[str, ...]) -> str:
    return ", ".join(literal(value) for value in values)


def days_sql(day: str, plan: Plan) -> str:
    """SQL of the days from start_date to a date, as a narrow integer: what follows from it is much faster so."""
    return f"CAST({day} - {literal(plan.start_date.isoformat())}::DATE AS INTEGER)"


def week_sql(days: str, dialect: Dialect) -> str:
    """SQL of the calendar week of a number of days from start_date; rounds down before start_date too."""
    # Division rounds toward zero: the days are made positive first, by more weeks than there are years in dates.
    return f"(({days} + {7 * 1_000_000}) {dialect.whole} 7 - {1_000_000})"
