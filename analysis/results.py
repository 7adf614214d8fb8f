"""What a scorecard says: plain dataclasses without arrays, for rows, JSON, tables and charts alike.

Every field that has no value is None, and ``reason`` says why. Signs are raw: ``better`` is applied in states and
colors only. Lifts are fractions. Standard errors, effects and means are in the metric's own unit a week.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from analysis.plan import Plan

State = Literal["ok", "not_yet", "too_few", "failed"]
CheckState = Literal["ok", "alarm", "unknown"]
ReversalState = Literal["confirmed", "turned", "warning", "immature", "fading", "none"]
TrajectoryKind = Literal["weekly", "cumulative", "calendar"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A treatment against control on one value: means, effect and lift with the plain interval of one look."""

    n_control: int = 0
    n_treatment: int = 0
    control_mean: float | None = None
    treatment_mean: float | None = None
    adjusted: bool = False
    effect: float | None = None
    effect_se: float | None = None
    effect_low: float | None = None
    effect_high: float | None = None
    p_value: float | None = None
    lift: float | None = None
    lift_low: float | None = None
    lift_high: float | None = None
    unadjusted_effect: float | None = None
    unadjusted_se: float | None = None
    state: State = "ok"
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class EffectRow(Comparison):
    """The effect on a metric in a window since exposure, on all units of the mature cohorts."""

    metric: str
    role: str
    term: str | None
    variant: str
    window: str
    start_week: int
    end_week: int
    readable_from: date
    segment: str | None = None
    p_value_adjusted: float | None = None
    margin: float | None = None
    verdict: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrajectoryRow(Comparison):
    """The effect in one week since exposure (weekly) or on the average of weeks 0..week (cumulative)."""

    metric: str
    variant: str
    kind: TrajectoryKind
    week: int
    readable_from: date
    band_low: float | None = None
    band_high: float | None = None


@dataclass(frozen=True, kw_only=True)
class ReversalRow:
    """Early win, later loss: both windows on the same matured units, and the contrast between them.

    ``p_value`` is one-sided, that of the intersection-union test: the larger of its two legs.
    """

    metric: str
    variant: str
    state: ReversalState
    readable_from: date
    n_control: int = 0
    n_treatment: int = 0
    p_value: float | None = None
    p_value_adjusted: float | None = None
    late_loss_probability: float | None = None
    early_effect: float | None = None
    late_effect: float | None = None
    contrast: float | None = None
    contrast_se: float | None = None
    contrast_p_value: float | None = None
    early_lift: float | None = None
    late_lift: float | None = None
    lift_contrast: float | None = None
    lift_contrast_low: float | None = None
    lift_contrast_high: float | None = None
    lift_contrast_p_value: float | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class CheckRow:
    """One check of the data's health."""

    check: str
    state: CheckState
    p_value: float | None = None
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Scorecard:
    """Everything one look says. ``plan`` carries names, roles and windows; ``units`` counts all exposed units."""

    plan: Plan
    as_of: date
    look: int
    planned_looks: int
    first_fact: date | None
    last_fact: date | None
    fact_rows: int
    units: Mapping[str, int]
    excluded: Mapping[str, int]
    checks: tuple[CheckRow, ...]
    effects: tuple[EffectRow, ...]
    trajectory: tuple[TrajectoryRow, ...]
    reversals: tuple[ReversalRow, ...]
