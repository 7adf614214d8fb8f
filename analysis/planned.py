"""What a plan of power says: plain dataclasses without arrays, for JSON and tables.

Every field that has no value is None, and ``reason`` says why; margin and margin_power belong to deciding guardrails.
Lifts are fractions.
"""

from dataclasses import dataclass
from datetime import date

from analysis.plan import Plan


@dataclass(frozen=True, kw_only=True)
class PlannedRow:
    """What a metric in a window can show at the planned size; lifts are fractions, and all sizes are positive.

    Attributes:
        units: of control and the treatment together, mature at the last look.
        se: of the log lift at that size.
        alpha, power: two-sided level and power of the claim; of a deciding guardrail, those of non-inferiority.
        inflation: how many times the units of a single look the looks need.
        mde_lift: the smallest lift claimed with the power; of a deciding guardrail, the smallest margin shown to hold.
        margin_power: power to show that the margin holds where there is no effect. Deciding guardrails only.
        wanted_lift: what units_needed is for: of a deciding guardrail its margin, otherwise the lift that was asked
            for, or half of mde_lift.
        units_needed: units of all variants for it, in as many looks as planned.
        weeks_needed: whole weeks of enrollment for it, each of which adds a look.
        reason: why a number is missing.
    """

    metric: str
    role: str
    window: str
    start_week: int
    end_week: int
    units: int
    readable_from: date
    alpha: float
    power: float
    inflation: float | None = None
    control_mean: float | None = None
    se: float | None = None
    mde_lift: float | None = None
    margin: float | None = None
    margin_power: float | None = None
    wanted_lift: float | None = None
    units_needed: float | None = None
    weeks_needed: int | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class PlannedReversal:
    """The power to flag an early win with a later loss, on the declared windows alone, each leg at alpha / 4.

    The flag also reads the late weeks one by one, so harm is found earlier; and where there are several metrics their
    p values are adjusted, so a single one is found a little less often. ``hazard`` is the weekly churn from the end of
    the early window on that makes the late lift, None where the late lift was given. Lifts have their signs.
    """

    metric: str
    early_lift: float | None = None
    late_lift: float | None = None
    hazard: float | None = None
    correlation: float | None = None
    power: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class PlannedEvents:
    """Events of both variants together that tell a hazard ratio from 1 in a single look at alpha / 2 a side."""

    metric: str
    hazard_ratio: float
    events: float


@dataclass(frozen=True)
class PlannedDates:
    """When what can be read, first for one cohort, then for all of them.

    ``first_look``: week 0 of the first cohort. ``end``: the whole horizon of all cohorts.
    """

    first_look: date
    early_from: date
    early_all: date
    late_from: date
    late_all: date
    end: date
    warning: str | None


@dataclass(frozen=True)
class Planned:
    """All that is planned. ``variant`` is the treatment with the fewest units, for which the rows are."""

    plan: Plan
    variant: str
    units_per_week: float
    history_units: int
    rows: tuple[PlannedRow, ...]
    reversals: tuple[PlannedReversal, ...]
    events: tuple[PlannedEvents, ...]
    dates: PlannedDates
