"""What a plan can find, in rows for the panel beside the form: the same numbers as ``manage.py plan`` prints."""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.plan import Plan, Window
from analysis.planned import Planned, PlannedReversal, PlannedRow, PlannedUntilEnd


@dataclass(frozen=True)
class Found:
    """The smallest lift of a metric in a window, with its sign; of a guardrail, how surely its margin is held."""

    metric: str
    window: str
    lift: float | None
    margin: float | None
    holds: float | None
    weeks_needed: int | None
    reason: str | None


@dataclass(frozen=True)
class Panel:
    """All that the panel shows. ``units``: of all variants, by the end of enrollment.

    ``until_end``: of a holdout, over its calendar weeks; ``lacking``: how many of them the past has, where not all.
    """

    units_per_week: int
    units: int
    rows: tuple[Found, ...]
    reversals: tuple[PlannedReversal, ...]
    no_reversal: tuple[tuple[str, str], ...]
    until_end: tuple[Found, ...] = ()
    lacking: str = ""


def panel(planned: Planned) -> Panel:
    """Return the rows of a plan, and its reversals of given lifts."""
    return Panel(
        units_per_week=round(planned.units_per_week),
        units=sum(planned.units.values()),
        rows=tuple(_row(planned.plan, row) for row in planned.rows),
        reversals=tuple(one for one in planned.reversals if one.power is not None and one.hazard is None),
        no_reversal=tuple((one.metric, one.reason) for one in planned.reversals if one.power is None and one.reason),
        until_end=tuple(_until_end(planned.plan, row) for row in planned.until_end),
        lacking=_lacking(planned.until_end),
    )


def _row(plan: Plan, row: PlannedRow) -> Found:
    sign = _sign(plan, row)
    lift = None if row.mde_lift is None or row.margin is not None else sign * row.mde_lift
    window = f"{row.window}, {Window(row.window, row.start_week, row.end_week).label}"
    return Found(row.metric, window, lift, row.margin, row.margin_power, row.weeks_needed, row.reason)


def _until_end(plan: Plan, row: PlannedUntilEnd) -> Found:
    lift = None if row.mde_lift is None else _sign(plan, row) * row.mde_lift
    margin = next(metric.margin for metric in plan.metrics if metric.key == row.metric)
    return Found(row.metric, f"{row.start_week} to {row.end_week - 1}", lift, margin, None, None, row.reason)


def _lacking(rows: Sequence[PlannedUntilEnd]) -> str:
    short = next((row for row in rows if row.end_week < row.planned_weeks), None)
    return "" if short is None else f"{short.end_week} of the {short.planned_weeks} weeks until the planned end"


def _sign(plan: Plan, row: PlannedRow | PlannedUntilEnd) -> int:
    """The sign of a lift that is a win: of a negative mean less is a rise."""
    sign = next(metric.sign for metric in plan.metrics if metric.key == row.metric)
    return -sign if (row.control_mean or 0) < 0 else sign
