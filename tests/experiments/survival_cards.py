"""Scorecards with times to event, made by hand: churn that treatment makes worse, and a rare first purchase."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

from analysis.plan import Event, Metric
from analysis.results import (
    AdjustedHazard,
    HazardPeriod,
    Scorecard,
    SurvivalComparisonRow,
    SurvivalDifference,
    SurvivalRow,
    TrajectoryRow,
)
from tests.experiments import cards
from tests.experiments.cards import AS_OF, CONTROL, START, TREATMENT, Z_BAND, Z_LOOKS, Z

CHURN = Metric("churn", "event", "lower", "guardrail", "long", event=Event("inactivity", "lines", 4), margin=0.02)
BOUGHT = Metric(
    "bought", "event", "higher", "secondary", "long", event=Event("occurrence", "baskets"), adjust=("age", "prior")
)
#: tau of churn: the horizon less the weeks after which a gap is known.
TAU = 23
#: Weekly hazards of churn: control, and treatment before and from week 4 on.
HAZARDS = (0.020, 0.019, 0.028)


def with_events(as_of: date = AS_OF) -> Scorecard:
    """The honeymoon with both events; before the horizon is known, the weeks known so far, which decide nothing."""
    card = cards.honeymoon(as_of)
    plan = replace(card.plan, metrics=(*card.plan.metrics, CHURN, BOUGHT))
    known = max(0, min(TAU, (as_of - START).days // 7 - plan.enrollment_weeks - 3))
    survival, comparisons = [], []
    for metric in (CHURN, BOUGHT):
        control, treatment = _curve(metric, "control", known), _curve(metric, "treatment", known)
        survival += [*control, *treatment]
        comparisons.append(_comparison(metric, control, treatment))
    return replace(
        card, plan=plan, survival=tuple(survival), survival_comparisons=tuple(comparisons),
        trajectory=(*card.trajectory, *_retention(as_of)),
    )  # fmt: skip


def churn_of(card: Scorecard) -> SurvivalComparisonRow:
    return next(row for row in card.survival_comparisons if row.metric == "churn")


def _curve(metric: Metric, variant: str, weeks: int) -> list[SurvivalRow]:
    rows, left, share, spread = [], CONTROL if variant == "control" else TREATMENT, 1.0, 0.0
    for week in range(1, weeks + 1):
        hazard = HAZARDS[0] if variant == "control" else HAZARDS[1] if week <= 4 else HAZARDS[2]
        events = round(left * (hazard if metric is CHURN else hazard / 10))
        share *= 1 - events / left
        spread += events / (left * (left - events))
        half = Z * share * math.sqrt(spread)
        rows.append(SurvivalRow(
            metric=metric.key, variant=variant, week=week, at_risk=left, events=events, censored=0, survival=share,
            low=share - half, high=share + half,
        ))  # fmt: skip
        left -= events
    return rows


def _comparison(
    metric: Metric, control: Sequence[SurvivalRow], treatment: Sequence[SurvivalRow]
) -> SurvivalComparisonRow:  # fmt: skip
    tau = TAU if metric is CHURN else 26
    row = SurvivalComparisonRow(
        metric=metric.key, role=metric.role, term=metric.term, variant="treatment", tau=tau,
        readable_from=cards.readable_from(cards.PLAN, 26), margin=metric.margin,
        verdict="undecided" if metric.margin else None, gap_weeks=metric.event.gap_weeks or None,  # type: ignore[union-attr]
    )  # fmt: skip
    if not control:
        day = START + timedelta(days=35)
        return replace(row, state="not_yet", reason=f"nobody has been followed for a week: readable from {day}")
    weeks = len(control)
    means = [sum([1.0, *(one.survival for one in curve[:-1])]) for curve in (control, treatment)]
    away, se = means[1] - means[0], 0.08
    lift, spread = means[1] / means[0] - 1, se / means[0]
    row = replace(
        row, horizon_week=weeks, decides=weeks == tau, n_control=CONTROL, n_treatment=TREATMENT,
        events_control=sum(one.events for one in control), events_treatment=sum(one.events for one in treatment),
        rmst_control=means[0], rmst_treatment=means[1], rmst_difference=away, rmst_se=se, rmst_low=away - Z * se,
        rmst_high=away + Z * se, rmst_p_value=math.erfc(abs(away / se) / math.sqrt(2)), rmst_lift=lift,
        rmst_lift_low=lift - Z * spread, rmst_lift_high=lift + Z * spread,
        survival_difference=_differences(control, treatment),
        logrank_chi2=158.5, logrank_p_value=1e-36, hazard_ratio=1.21, hazard_ratio_low=1.18, hazard_ratio_high=1.25,
        hazard_p_value=1e-35, proportional_p_value=1e-15, censored_control=0.65, censored_treatment=0.58,
        censoring_p_value=0.7, periods=_periods(weeks),
    )  # fmt: skip
    if metric is BOUGHT:
        adjusted = AdjustedHazard(1.19, 1.16, 1.23, 1e-30, CONTROL + TREATMENT - 13, 13)
        return replace(
            row, adjusted_hazard=adjusted, reason=f"week {tau}, the horizon that decides, cannot be read yet"
        )
    row = replace(row, returned_share=0.763, gap_advised=6)
    if not row.decides:
        return replace(row, reason=f"week {tau}, the horizon that decides, cannot be read yet")
    return replace(
        row, verdict="inferior", p_value_adjusted=1e-11, sequential_look=4, sequential_looks=4,
        sequential_critical=Z_LOOKS, sequential_rmst_low=away - Z_LOOKS * se, sequential_rmst_high=away + Z_LOOKS * se,
        sequential_lift_low=lift - Z_LOOKS * spread, sequential_lift_high=lift + Z_LOOKS * spread,
        sequential_significant=True,
    )  # fmt: skip


def _differences(control: Sequence[SurvivalRow], treatment: Sequence[SurvivalRow]) -> tuple[SurvivalDifference, ...]:
    found = []
    for one, other in zip(control, treatment, strict=True):
        away, half = other.survival - one.survival, math.hypot(one.high - one.survival, other.high - other.survival)
        found.append(SurvivalDifference(one.week, away, away - half, away + half))
    return tuple(found)


def _periods(weeks: int) -> tuple[HazardPeriod, ...]:
    found = (
        HazardPeriod(0, min(4, weeks), 0.95, 0.9, 1.01, 0.1),
        HazardPeriod(4, min(13, weeks), 1.4, 1.33, 1.47, 1e-20),
        HazardPeriod(13, weeks),
    )
    return tuple(one for one in found if one.start_week < one.end_week)


def _retention(as_of: date) -> list[TrajectoryRow]:
    """The share of units that are active, week by week, falling faster for treatment from week 4 on."""
    rows = []
    for week in range(26):
        ready = cards.readable_from(cards.PLAN, week + 1)
        row = TrajectoryRow(metric="churn", variant="treatment", kind="weekly", week=week, readable_from=ready)
        if as_of < ready:
            rows.append(replace(row, state="not_yet", reason=f"No cohort has lived week {week} yet."))
            continue
        mean, lift, se = 0.75 - 0.005 * week, -0.005 * max(0, week - 3), 0.006
        rows.append(replace(
            row, n_control=CONTROL, n_treatment=TREATMENT, control_mean=mean, treatment_mean=mean * (1 + lift),
            effect=mean * lift, effect_se=mean * se, effect_low=mean * (lift - Z * se),
            effect_high=mean * (lift + Z * se),
            p_value=0.5, lift=lift, lift_low=lift - Z * se, lift_high=lift + Z * se, band_low=lift - Z_BAND * se,
            band_high=lift + Z_BAND * se,
        ))  # fmt: skip
    return rows
