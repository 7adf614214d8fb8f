"""What a plan can find, in rows for the panel beside the form: the same numbers as ``manage.py plan`` prints."""

from dataclasses import dataclass

from analysis.plan import Plan, Window
from analysis.planned import Planned, PlannedReversal, PlannedRow


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
    """All that the panel shows. ``units``: of all variants, by the end of enrollment."""

    units_per_week: int
    units: int
    rows: tuple[Found, ...]
    reversals: tuple[PlannedReversal, ...]
    no_reversal: tuple[tuple[str, str], ...]


def panel(planned: Planned) -> Panel:
    """Return the rows of a plan, and its reversals of given lifts."""
    return Panel(
        units_per_week=round(planned.units_per_week),
        units=sum(planned.units.values()),
        rows=tuple(_row(planned.plan, row) for row in planned.rows),
        reversals=tuple(one for one in planned.reversals if one.power is not None and one.hazard is None),
        no_reversal=tuple((one.metric, one.reason) for one in planned.reversals if one.power is None and one.reason),
    )


def _row(plan: Plan, row: PlannedRow) -> Found:
    sign = _sign(plan, row)
    lift = None if row.mde_lift is None or row.margin is not None else sign * row.mde_lift
    window = f"{row.window}, {Window(row.window, row.start_week, row.end_week).label}"
    return Found(row.metric, window, lift, row.margin, row.margin_power, row.weeks_needed, row.reason)


def _sign(plan: Plan, row: PlannedRow) -> int:
    """The sign of a lift that is a win: of a negative mean less is a rise."""
    sign = next(metric.sign for metric in plan.metrics if metric.key == row.metric)
    return -sign if (row.control_mean or 0) < 0 else sign
