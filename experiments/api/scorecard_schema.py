"""The scorecard's JSON as a schema: what ``services.scorecards.to_json`` writes. Tests hold the two together.

Lifts are fractions; effects, means and their standard errors are in the metric's own unit a week; signs are raw.
A field without a value is null, and ``reason`` says why.
"""

from datetime import date
from typing import Literal

from ninja import Field, Schema

from analysis.results import Action, CheckState, ConflictState, ReversalState, State, TrajectoryKind, Verdict

Number = float | None
Share = float | None


class Data(Schema):
    first: date | None
    last: date | None
    rows: int


class LookNumber(Schema):
    number: int
    planned: int


class Check(Schema):
    check: str
    state: CheckState
    p_value: Share
    detail: str


class Unadjusted(Schema):
    effect: Number
    effect_se: Number


class Sequential(Schema):
    """What may be claimed: it holds over all planned looks."""

    look: int | None
    looks: int | None
    critical: Number
    effect_low: Number
    effect_high: Number
    lift_low: Number
    lift_high: Number
    significant: bool | None


class Claimed(Schema):
    """Treatment against control over some weeks. ``effect_low`` to ``lift_high`` are the plain interval of one look."""

    start_week: int
    end_week: int = Field(description="The first week after the window")
    n_control: int
    n_treatment: int
    control_mean: Number
    treatment_mean: Number
    adjusted: bool
    effect: Number
    effect_se: Number
    effect_low: Number
    effect_high: Number
    p_value: Share
    p_value_adjusted: Share
    lift: Number
    lift_low: Number
    lift_high: Number
    unadjusted: Unadjusted
    sequential: Sequential | None
    margin: Number
    verdict: Verdict | None
    readable_from: date
    state: State
    reason: str | None


class Effect(Claimed):
    """A metric in a window."""

    metric: str
    role: str
    term: str | None
    variant: str
    segment: str | None
    window: str


class TrajectoryPoint(Schema):
    """One week since exposure. ``band_low`` and ``band_high`` hold jointly over all weeks."""

    metric: str
    variant: str
    kind: TrajectoryKind
    week: int
    n_control: int
    n_treatment: int
    control_mean: Number
    treatment_mean: Number
    effect: Number
    effect_se: Number
    lift: Number
    lift_low: Number
    lift_high: Number
    band_low: Number
    band_high: Number
    readable_from: date
    state: State
    reason: str | None


class CurvePoint(Schema):
    week: int
    at_risk: int
    events: int
    censored: int
    survival: Share
    low: Share
    high: Share


class Curve(Schema):
    """The share of units without the event, by completed weeks since exposure."""

    metric: str
    variant: str
    curve: list[CurvePoint]


class CurveDifference(Schema):
    week: int
    difference: Number
    low: Number
    high: Number


class HazardPeriod(Schema):
    start_week: int
    end_week: int
    hazard_ratio: Number
    low: Number
    high: Number
    p_value: Share


class AdjustedHazard(Schema):
    hazard_ratio: Number
    low: Number
    high: Number
    p_value: Share
    units: int
    left_out: int


class SurvivalSequential(Schema):
    look: int | None
    looks: int | None
    critical: Number
    rmst_low: Number
    rmst_high: Number
    lift_low: Number
    lift_high: Number
    significant: bool | None


class SurvivalComparison(Schema):
    """A time to event of a treatment against control. ``rmst_*`` are weeks without the event, out of ``tau``."""

    metric: str
    variant: str
    tau: int
    horizon_week: int | None
    decides: bool
    rmst_control: Number
    rmst_treatment: Number
    rmst_difference: Number
    rmst_se: Number
    rmst_p_value: Share
    survival_difference: list[CurveDifference]
    logrank_chi2: Number
    logrank_p_value: Share
    hazard_ratio: Number
    hazard_ratio_low: Number
    hazard_ratio_high: Number
    hazard_p_value: Share
    periods: list[HazardPeriod]
    proportional_p_value: Share
    adjusted_hazard: AdjustedHazard | None
    margin: Number
    verdict: Verdict | None
    returned_share: Share
    readable_from: date
    state: State
    reason: str | None
    sequential: SurvivalSequential | None
    role: str
    term: str | None
    n_control: int
    n_treatment: int
    events_control: int
    events_treatment: int
    rmst_low: Number
    rmst_high: Number
    rmst_lift: Number
    rmst_lift_low: Number
    rmst_lift_high: Number
    p_value_adjusted: Share
    median_control: int | None
    median_treatment: int | None
    censored_control: Share
    censored_treatment: Share
    censoring_p_value: Share
    gap_weeks: int | None
    gap_advised: int | None
    difference_curve: list[CurveDifference]


class Turned(Schema):
    start_week: int | None
    end_week: int | None
    lift: Number
    p_value: Share
    first_seen: date | None


class Reversal(Schema):
    """Early win, later loss, on the same matured units."""

    metric: str
    variant: str
    state: ReversalState
    p_value: Share
    p_value_adjusted: Share
    late_loss_probability: Share
    early_effect: Number
    late_effect: Number
    contrast: Number
    contrast_se: Number
    contrast_p_value: Share
    early_lift: Number
    late_lift: Number
    lift_contrast: Number
    lift_contrast_low: Number
    lift_contrast_high: Number
    lift_contrast_p_value: Share
    turned: Turned | None
    n_control: int
    n_treatment: int
    readable_from: date
    reason: str | None
    late_start_week: int | None
    late_end_week: int | None
    first_seen: date | None


class Conflict(Schema):
    variant: str
    short_metric: str
    long_metric: str
    state: ConflictState
    p_value: Share
    p_value_adjusted: Share
    readable_from: date
    first_seen: date | None
    reason: str | None


class Flip(Schema):
    metric: str
    weight: Number


class Oec(Schema):
    """The weighted criterion over all metrics with a weight."""

    variant: str
    value: Number
    se: Number
    low: Number
    high: Number
    flips: list[Flip]
    dominated_by: list[str]
    reason: str | None


class Heterogeneity(Schema):
    metric: str
    variant: str
    window: str
    segment: str
    values: int
    p_value: Share
    p_value_adjusted: Share
    reason: str | None


class Rollback(Schema):
    metric: str
    variant: str
    window: str
    below: float
    met: bool
    start_week: int | None
    end_week: int | None
    lift: Number
    lift_high: Number
    distance: Number
    reason: str | None


class Recommendation(Schema):
    variant: str
    action: Action
    reasons: list[str]
    changes_on: date | None


class ScorecardOut(Schema):
    """A look at an experiment: a function of its plan, its data and the day."""

    version: Literal[1]
    key: str
    kind: Literal["experiment", "holdout"]
    as_of: date = Field(description="The first day that is not read")
    plan: str = Field(description="sha256 of the frozen plan")
    data: Data
    look: LookNumber
    units: dict[str, int]
    excluded: dict[str, int]
    checks: list[Check]
    effects: list[Effect]
    trajectory: list[TrajectoryPoint]
    survival: list[Curve]
    survival_comparison: list[SurvivalComparison]
    reversals: list[Reversal]
    conflicts: list[Conflict]
    oec: list[Oec]
    heterogeneity: list[Heterogeneity]
    rollback: list[Rollback]
    recommendation: list[Recommendation]
