"""What a scorecard says: plain dataclasses without arrays, for rows, JSON, tables and charts alike.

Every field that has no value is None, and ``reason`` says why. Signs are raw: ``better`` is applied in states and
colors only. Lifts are fractions. Standard errors, effects and means are in the metric's own unit a week.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from analysis.plan import Plan, Window

State = Literal["ok", "not_yet", "too_few", "failed"]
CheckState = Literal["ok", "alarm", "unknown"]
ReversalState = Literal["confirmed", "turned", "warning", "immature", "fading", "none"]
ConflictState = Literal["confirmed", "immature", "none"]
Verdict = Literal["superior", "non_inferior", "inferior", "undecided"]
Action = Literal["launch", "launch_with_holdback", "keep_running", "stop", "roll_back"]
TrajectoryKind = Literal["weekly", "cumulative", "calendar"]
HoldoutKind = Literal["weekly", "cumulative", "now"]


#: About 30, 60 and 90 days in whole weeks: the horizons at which shares without an event are told.
WEEKS_NAMED = (4, 9, 13)


def both(low: float | None, high: float | None) -> tuple[float, float] | None:
    """Return an interval whose ends are both known, None otherwise."""
    return None if low is None or high is None else (low, high)


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
class ClaimedComparison(Comparison):
    """A comparison that is read at many looks, and what may be claimed from it.

    ``effect_low`` .. ``lift_high`` are the plain interval of one look. Claims are read from the ``sequential`` fields,
    which hold over all planned looks: this is look ``sequential_look`` of ``sequential_looks``, intervals are drawn
    with ``sequential_critical`` (of a guardrail: at its non-inferior end) and ``sequential_significant`` says that
    ``p_value_adjusted`` is below alpha.
    """

    p_value_adjusted: float | None = None
    sequential_look: int | None = None
    sequential_looks: int | None = None
    sequential_critical: float | None = None
    sequential_effect_low: float | None = None
    sequential_effect_high: float | None = None
    sequential_lift_low: float | None = None
    sequential_lift_high: float | None = None
    sequential_significant: bool | None = None
    margin: float | None = None
    verdict: Verdict | None = None

    @property
    def drawn(self) -> tuple[float, float] | None:
        """The interval of the lift from which claims are read, None where nothing may be claimed (yet)."""
        return both(self.sequential_lift_low, self.sequential_lift_high)

    @property
    def claimed(self) -> tuple[float, float] | None:
        """The interval of the effect from which claims are read, None where nothing may be claimed (yet)."""
        return both(self.sequential_effect_low, self.sequential_effect_high)


@dataclass(frozen=True, kw_only=True)
class EffectRow(ClaimedComparison):
    """The effect on a metric in a window since exposure, on all units of the mature cohorts.

    ``segment`` is ``column=value``, None for all units.
    """

    metric: str
    role: str
    term: str | None
    variant: str
    window: str
    start_week: int
    end_week: int
    readable_from: date
    segment: str | None = None


@dataclass(frozen=True, kw_only=True)
class HoldoutRow(ClaimedComparison):
    """Everyone launched to against those held out, in a holdout's calendar weeks [start_week, end_week) from its start.

    ``weekly`` is one week, ``cumulative`` the average unit-week from the first whole week on, ``now`` that of the
    newest four weeks; control is held_out. ``band_*`` holds for all weekly rows at once. Claims are read once a week
    until planned_end_date.
    """

    metric: str
    role: str
    kind: HoldoutKind
    start_week: int
    end_week: int
    readable_from: date
    band_low: float | None = None
    band_high: float | None = None


@dataclass(frozen=True, kw_only=True)
class ContaminationRow:
    """Units held out that met a treatment of a member all the same, before as_of; a number or a reason.

    Attributes:
        member, variant: None for any of those that were launched when the look was taken.
        launched: whether the treatment was launched then.
        held_out: units held out that count.
        met: those of them that met it; with a reason beside it, at least so many.
        weekly: the share of their days after they met it, by calendar week from the holdout's start.
    """

    member: str | None
    variant: str | None
    launched: bool
    held_out: int
    met: int | None
    weekly: tuple[float, ...] = ()
    reason: str | None = None

    @property
    def share(self) -> float | None:
        """Of the units held out; None where it is not known, or nobody is held out yet."""
        return self.met / self.held_out if self.met is not None and self.held_out else None


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
    """Early win, later loss: early and late weeks on the same matured units, and the contrast between them.

    ``late_start_week`` and ``late_end_week`` are the late weeks shown: the late window once a cohort has lived it,
    before that the newest four weeks. ``p_value`` is one-sided, that of the intersection-union test over all looks so
    far: the larger of its two legs. ``turned_*`` is the same test before the late window, on the weeks that are
    furthest beyond its boundary; ``first_seen`` is the day of the first look that showed ``state``.
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
    late_start_week: int | None = None
    late_end_week: int | None = None
    first_seen: date | None = None
    turned_start_week: int | None = None
    turned_end_week: int | None = None
    turned_lift: float | None = None
    turned_p_value: float | None = None
    turned_first_seen: date | None = None
    reason: str | None = None

    @property
    def late(self) -> Window | None:
        """The late weeks shown, None before any can be read."""
        if self.late_start_week is None or self.late_end_week is None:
            return None
        return Window("late", self.late_start_week, self.late_end_week)

    @property
    def ratio_of_lifts(self) -> tuple[float, float | None, float | None] | None:
        """(1 + late lift) / (1 + early lift) - 1 with its interval: the contrast as a fraction, as readers see it."""
        if self.lift_contrast is None:
            return None
        low, high = self.lift_contrast_low, self.lift_contrast_high
        return (
            math.expm1(self.lift_contrast),
            None if low is None else math.expm1(low),
            None if high is None else math.expm1(high),
        )


@dataclass(frozen=True, kw_only=True)
class ConflictRow:
    """A short-term metric that wins early, and a metric of the long term or a guardrail that loses late."""

    variant: str
    short_metric: str
    long_metric: str
    state: ConflictState
    readable_from: date
    p_value: float | None = None
    p_value_adjusted: float | None = None
    first_seen: date | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class HeterogeneityRow:
    """Whether a metric's lift differs between the values of a segment."""

    metric: str
    variant: str
    window: str
    segment: str
    values: int
    p_value: float | None = None
    p_value_adjusted: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Flip:
    """The weight of one metric at which the OEC changes sign, the others keeping their proportions."""

    metric: str
    weight: float


@dataclass(frozen=True, kw_only=True)
class OecRow:
    """The overall evaluation criterion: the weighted sum of lifts, each signed so that more is better.

    ``dominated_by`` names the treatments that are no worse on any weighted metric, and surely better on one.
    """

    variant: str
    value: float | None = None
    se: float | None = None
    low: float | None = None
    high: float | None = None
    flips: tuple[Flip, ...] = ()
    dominated_by: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class RollbackRow:
    """A rollback criterion at this look. Lifts are signed so that more is better.

    ``lift_high`` is the upper end of the one-sided interval that decides; the criterion is met where it is under
    ``below``. ``distance`` is how far the point is above ``below``: negative beyond it.
    """

    metric: str
    variant: str
    window: str
    below: float
    met: bool
    start_week: int | None = None
    end_week: int | None = None
    lift: float | None = None
    lift_high: float | None = None
    distance: float | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class RecommendationRow:
    """What to do with a treatment, why, and the day on which new data may change it."""

    variant: str
    action: Action
    reasons: tuple[str, ...]
    changes_on: date | None = None


@dataclass(frozen=True, kw_only=True)
class SurvivalRow:
    """A variant's curve after ``week`` completed weeks: the share without the event, with its 95 % interval."""

    metric: str
    variant: str
    week: int
    at_risk: int
    events: int
    censored: int
    survival: float
    low: float
    high: float


@dataclass(frozen=True)
class SurvivalDifference:
    """Treatment less control in the share without the event after ``week`` weeks, with its 95 % interval."""

    week: int
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class HazardPeriod:
    """The hazard ratio of events in weeks [start_week, end_week), None where a variant had none of them."""

    start_week: int
    end_week: int
    hazard_ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class AdjustedHazard:
    """Cox's hazard ratio beside covariates, on rows; ``left_out`` counts units of which a covariate is not known."""

    hazard_ratio: float
    low: float
    high: float
    p_value: float
    units: int
    left_out: int


@dataclass(frozen=True, kw_only=True)
class SurvivalComparisonRow:
    """A treatment against control on a time to event, in weeks without the event out of the first ``horizon_week``.

    ``rmst`` is the restricted mean of these weeks; ``survival_difference`` has every one of them. ``tau`` is the
    deciding horizon; until it can be read the longest horizon with 30 units at risk in each variant is shown, and
    ``decides`` is False. ``rmst_lift`` is treatment over
    control, less one; claims are read from the ``sequential`` fields, which hold over all planned looks. Hazard ratios
    are those of the event. ``returned_share`` of the events counted were followed by activity; ``gap_advised`` is the
    shortest gap that at most 5 % of the pauses before exposure reach.
    """

    metric: str
    role: str
    term: str | None
    variant: str
    tau: int
    readable_from: date
    horizon_week: int | None = None
    decides: bool = False
    n_control: int = 0
    n_treatment: int = 0
    events_control: int = 0
    events_treatment: int = 0
    rmst_control: float | None = None
    rmst_treatment: float | None = None
    rmst_difference: float | None = None
    rmst_se: float | None = None
    rmst_low: float | None = None
    rmst_high: float | None = None
    rmst_p_value: float | None = None
    rmst_lift: float | None = None
    rmst_lift_low: float | None = None
    rmst_lift_high: float | None = None
    p_value_adjusted: float | None = None
    sequential_look: int | None = None
    sequential_looks: int | None = None
    sequential_critical: float | None = None
    sequential_rmst_low: float | None = None
    sequential_rmst_high: float | None = None
    sequential_lift_low: float | None = None
    sequential_lift_high: float | None = None
    sequential_significant: bool | None = None
    survival_difference: tuple[SurvivalDifference, ...] = ()
    median_control: int | None = None
    median_treatment: int | None = None
    logrank_chi2: float | None = None
    logrank_p_value: float | None = None
    hazard_ratio: float | None = None
    hazard_ratio_low: float | None = None
    hazard_ratio_high: float | None = None
    hazard_p_value: float | None = None
    periods: tuple[HazardPeriod, ...] = ()
    proportional_p_value: float | None = None
    adjusted_hazard: AdjustedHazard | None = None
    censored_control: float | None = None
    censored_treatment: float | None = None
    censoring_p_value: float | None = None
    returned_share: float | None = None
    gap_weeks: int | None = None
    gap_advised: int | None = None
    margin: float | None = None
    verdict: Verdict | None = None
    state: State = "ok"
    reason: str | None = None

    @property
    def named_differences(self) -> tuple[SurvivalDifference, ...]:
        """The differences after about 30, 60 and 90 days, and at the horizon."""
        told = {*WEEKS_NAMED, self.horizon_week}
        return tuple(one for one in self.survival_difference if one.week in told)

    @property
    def drawn(self) -> tuple[float, float] | None:
        """The interval of the lift from which claims are read, None where nothing may be claimed (yet)."""
        return both(self.sequential_lift_low, self.sequential_lift_high)

    @property
    def claimed(self) -> tuple[float, float] | None:
        """The interval of the difference from which claims are read, None where nothing may be claimed (yet)."""
        return both(self.sequential_rmst_low, self.sequential_rmst_high)


#: A row from which a claim about a metric is read.
ClaimRow = EffectRow | SurvivalComparisonRow


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
    conflicts: tuple[ConflictRow, ...] = ()
    heterogeneity: tuple[HeterogeneityRow, ...] = ()
    oec: tuple[OecRow, ...] = ()
    rollback: tuple[RollbackRow, ...] = ()
    survival: tuple[SurvivalRow, ...] = ()
    survival_comparisons: tuple[SurvivalComparisonRow, ...] = ()
    recommendations: tuple[RecommendationRow, ...] = ()
    holdout: tuple[HoldoutRow, ...] = ()
    contamination: tuple[ContaminationRow, ...] = ()
