"""What a plan of power says: plain dataclasses without arrays, for JSON and tables.

Every field that has no value is None, and ``reason`` says why; margin and margin_power belong to deciding guardrails.
Lifts are fractions.
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from analysis.plan import Plan

HistoryKind = Literal["facts", "control"]


@dataclass(frozen=True, kw_only=True)
class PlannedRow:
    """What a metric in a window can show at the planned size; lifts are fractions, and all sizes are positive.

    Of a time to event the window is its horizon, and its mean and lifts are those of the restricted mean of weeks
    without the event.

    Attributes:
        units: of control and the treatment together, mature at the last look.
        se: of the log lift at that size.
        alpha, power: two-sided level and power of the claim; of a deciding guardrail, those of non-inferiority.
        inflation: how many times the units of a single look the looks need.
        mde_lift: the smallest lift claimed with the power; of a deciding guardrail, the smallest margin shown to hold.
        margin_power: power to show that the margin holds where there is no effect. Deciding guardrails only.
        wanted_lift: what units_needed is for: of a deciding guardrail its margin, otherwise the lift that was asked
            for, or half of mde_lift (half of all, where even a fall to nothing is smaller than what could be found).
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
    """What it takes to tell a constant hazard ratio from 1 in a single look at alpha / 2 a side, by counting events.

    Attributes:
        events: of control and the treatment together.
        units: of all variants, followed to the horizon, that have as many events; None where the history is too short.
        lift: of the restricted mean of weeks without the event that this ratio makes; None likewise.
        is_margin: the ratio is the one that a guardrail's margin just allows.
    """

    metric: str
    hazard_ratio: float
    events: float
    units: float | None = None
    lift: float | None = None
    is_margin: bool = False


@dataclass(frozen=True)
class PlannedHoldout:
    """What a holdout of another size would find in the metric's deciding weeks, with the same units in all.

    ``factor``: how many times the smallest lift of an even split. ``units``: held out at the end of enrollment.
    """

    fraction: float
    factor: float
    units: int
    metric: str
    window: str
    mde_lift: float | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class PlannedUntilEnd:
    """The smallest lift that a holdout finds over the calendar weeks [start_week, end_week) from its start.

    By one look at the plan's alpha, with its power, as the holdout's own page says it once there are looks.

    Attributes:
        end_week: the planned one, or as many weeks as the history has.
        planned_weeks: the end week that is planned.
        units: of both variants, exposed until then.
    """

    metric: str
    start_week: int
    end_week: int
    planned_weeks: int
    units: int | None = None
    control_mean: float | None = None
    mde_lift: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class PlannedHistory:
    """The past units that a plan rests on.

    Attributes:
        kind: ``facts``: units by their first fact in a pseudo-enrollment; ``control``: the control of the running
            experiment.
        start_date: first day of that enrollment.
        as_of: first day that was not read, before the data lag.
        units: units whose values are used, see ``weeks``.
        weeks: weeks since exposure that they all have lived.
        enrolled: units of all variants by week of enrollment.
    """

    kind: HistoryKind
    start_date: date
    as_of: date
    units: int
    weeks: int
    enrolled: tuple[int, ...]


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
    """All that is planned.

    Attributes:
        variant: the treatment with the fewest units, for which the rows are.
        units_per_week: units of all variants exposed in a week of enrollment.
        history: None where only its moments are known.
        warnings: in sentences.
    """

    plan: Plan
    variant: str
    units_per_week: float
    history_units: int
    rows: tuple[PlannedRow, ...]
    reversals: tuple[PlannedReversal, ...]
    events: tuple[PlannedEvents, ...]
    dates: PlannedDates
    holdouts: tuple[PlannedHoldout, ...] = ()
    until_end: tuple[PlannedUntilEnd, ...] = ()
    history: PlannedHistory | None = None
    warnings: tuple[str, ...] = ()

    @property
    def units(self) -> dict[str, int]:
        """Units by variant at the end of enrollment."""
        weights = {one.key: one.weight or 1.0 for one in self.plan.variants}
        everyone = self.units_per_week * self.plan.enrollment_weeks / sum(weights.values())
        return {key: round(weight * everyone) for key, weight in weights.items()}
