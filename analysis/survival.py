"""A time to event in a scorecard: curves, and each treatment against control, from counts.

The comparison leads with the restricted mean of weeks without the event, for it needs no proportional hazards: benefit
early and harm late cancel in a log-rank test and show in the periods. Claims are made at the fixed horizon tau alone,
over looks at which one more cohort has lived the whole horizon; the restricted mean of staggered entries then has
independent increments (Murray & Tsiatis 1999, Biometrics 55:1085), so its information is one over its variance.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import pairwise

import numpy as np

from analysis import claims, windows
from analysis.adjusted_hazard import adjusted_hazard
from analysis.hazards import hazard_ratio, log_rank, proportional_p
from analysis.life_table import (
    Curve,
    LifeTable,
    RestrictedMean,
    extra_weeks,
    life_table,
    longest,
    restricted_mean,
)
from analysis.numbers import MIN_UNITS_FOR_INTERVAL, critical, p_two_sided, standard_error
from analysis.plan import Event, Metric, Plan
from analysis.results import HazardPeriod, SurvivalComparisonRow, SurvivalDifference, SurvivalRow
from analysis.triangle import Triangle

#: The gap advised is the shortest that at most this share of the pauses before exposure reach.
RETURNING = 0.05

#: Fewer pauses than this say nothing about their 95 % point.
FEWEST_PAUSES = 100


def readable_from(plan: Plan, event: Event) -> date:
    """Return the first as_of on which every cohort has lived the whole horizon, and tau is known of all units."""
    return windows.fully_readable(plan, longest(plan, event) + extra_weeks(event))


def curves(triangle: Triangle) -> Iterator[SurvivalRow]:
    """Yield the curve of every event metric and variant, week by week."""
    for metric in triangle.plan.event_metrics:
        assert metric.event is not None
        for variant in triangle.plan.variants:
            table = life_table(triangle, metric.event, variant.key)
            curve, censored = Curve.of(table), table.censored
            for t in range(1, curve.weeks + 1):
                low, high = curve.interval(t)
                yield SurvivalRow(
                    metric=metric.key, variant=variant.key, week=t, at_risk=int(curve.at_risk[t - 1]),
                    events=int(curve.events[t - 1]), censored=int(censored[t - 1]),
                    survival=float(curve.survival[t - 1]), low=low, high=high,
                )  # fmt: skip


def comparison(triangle: Triangle, metric: Metric, variant: str) -> SurvivalComparisonRow:
    """Compare a treatment with control on one time to event, as of the triangle's day."""
    plan, event = triangle.plan, metric.event
    assert event is not None
    tau, readable = longest(plan, event), readable_from(plan, event)
    guards = metric.role == "guardrail"
    row = SurvivalComparisonRow(
        metric=metric.key, role=metric.role, term=metric.term, variant=variant, tau=tau, readable_from=readable,
        margin=metric.margin, verdict="undecided" if guards else None, gap_weeks=event.gap_weeks or None,
        gap_advised=advised_gap(triangle, event),
    )  # fmt: skip
    sides = [life_table(triangle, event, key) for key in (plan.control.key, variant)]
    first = [int(side.at_risk[:, 0].sum()) for side in sides]
    row = replace(row, n_control=first[0], n_treatment=first[1])
    shown = _horizon(sides)
    if not min(first):
        day = windows.first_readable(plan, extra_weeks(event) + 1)
        if triangle.as_of < day:
            return replace(row, state="not_yet", reason=f"nobody has been followed for a week: readable from {day}")
    if shown is None:
        few = f"fewer than {MIN_UNITS_FOR_INTERVAL} units at risk in a variant"
        return replace(row, state="too_few", reason=few)
    row = _described(_compared(row, sides, shown), plan, sides, shown)
    row = replace(row, adjusted_hazard=adjusted_hazard(triangle, metric, variant))
    return _claimed(row, triangle, metric)


def _horizon(sides: list[LifeTable]) -> int | None:
    """The longest duration with 30 units at risk on both sides, None if there is none."""
    enough = np.min([side.at_risk.sum(axis=0) for side in sides], axis=0) >= MIN_UNITS_FOR_INTERVAL
    return int(np.flatnonzero(enough)[-1]) + 1 if enough.any() else None


def _compared(row: SurvivalComparisonRow, sides: list[LifeTable], t: int) -> SurvivalComparisonRow:
    """Fill in the restricted means at ``t``, and the shares without the event after every week."""
    curve_c, curve_t = (Curve.of(side) for side in sides)
    control, treatment = restricted_mean(curve_c, t), restricted_mean(curve_t, t)
    difference = treatment.weeks - control.weeks
    events = [int(side.events[:, :t].sum()) for side in sides]
    row = replace(
        row, horizon_week=t, decides=t == row.tau, events_control=events[0], events_treatment=events[1],
        rmst_control=control.weeks, rmst_treatment=treatment.weeks, rmst_difference=difference,
        rmst_lift=treatment.weeks / control.weeks - 1,
        survival_difference=tuple(_difference(curve_c, curve_t, week) for week in range(1, t + 1)),
        median_control=curve_c.median, median_treatment=curve_t.median,
    )  # fmt: skip
    se, log_se = _errors(control, treatment)
    if se is None or log_se is None:
        return replace(row, reason="no unit has had the event, so nothing can be tested")
    half, log_half = critical() * se, critical() * log_se
    ratio = treatment.weeks / control.weeks
    return replace(
        row, rmst_se=se, rmst_low=difference - half, rmst_high=difference + half,
        rmst_p_value=p_two_sided(difference / se),
        rmst_lift_low=ratio * math.exp(-log_half) - 1, rmst_lift_high=ratio * math.exp(log_half) - 1,
    )  # fmt: skip


def _errors(control: RestrictedMean, treatment: RestrictedMean) -> tuple[float | None, float | None]:
    """Standard errors of the difference, and of the log of the ratio (delta method)."""
    relative = control.variance / control.weeks**2 + treatment.variance / treatment.weeks**2
    return standard_error(control.variance + treatment.variance, control.weeks), standard_error(relative, 1.0)


def _difference(control: Curve, treatment: Curve, week: int) -> SurvivalDifference:
    away = float(treatment.survival[week - 1] - control.survival[week - 1])
    half = critical() * math.sqrt(control.variance(week) + treatment.variance(week))
    return SurvivalDifference(week, away, away - half, away + half)


def _described(row: SurvivalComparisonRow, plan: Plan, sides: list[LifeTable], t: int) -> SurvivalComparisonRow:
    """Fill in what is shown beside the restricted mean and does not decide: hazards, censoring, who came back."""
    control, treatment = (side.total for side in sides)
    test = log_rank(control, treatment)
    fitted = hazard_ratio(control, treatment)
    lost = log_rank(_as_censoring(control), _as_censoring(treatment))
    events, returned = (sum(int(value) for value in values) for values in (
        [side.events.sum() for side in sides], [side.returned for side in sides],
    ))  # fmt: skip
    row = replace(
        row, logrank_chi2=test.chi2, logrank_p_value=test.p_value,
        periods=tuple(period(control, treatment, *weeks) for weeks in _periods(plan, t)),
        proportional_p_value=proportional_p(control, treatment),
        censored_control=_censored_share(sides[0]), censored_treatment=_censored_share(sides[1]),
        censoring_p_value=lost.p_value, returned_share=returned / events if row.gap_weeks and events else None,
    )  # fmt: skip
    if fitted is None:
        return replace(row, reason=row.reason or "a variant has no events, so there is no hazard ratio")
    low, high = fitted.interval
    return replace(
        row, hazard_ratio=fitted.ratio, hazard_ratio_low=low, hazard_ratio_high=high, hazard_p_value=fitted.p_value
    )


def _as_censoring(table: LifeTable) -> LifeTable:
    """The same units with the end of their follow-up as the event: units with an event leave the risk set first."""
    at_risk = (table.at_risk - table.events).sum(axis=0, keepdims=True)
    return LifeTable(at_risk, table.censored[None, :])


def _censored_share(table: LifeTable) -> float:
    return float(table.censored.sum() / table.at_risk[:, 0].sum())


def _periods(plan: Plan, t: int) -> list[tuple[int, int]]:
    """The early window, the weeks between the windows, and the weeks from the late window on, as far as ``t``."""
    edges = sorted({0, min(plan.window("early").end_week, t), min(plan.window("late").start_week, t), t})
    return list(pairwise(edges))


def period(control: LifeTable, treatment: LifeTable, start_week: int, end_week: int) -> HazardPeriod:
    """Return the hazard ratio of events in weeks [start_week, end_week)."""
    fitted = hazard_ratio(control, treatment, slice(start_week, end_week))
    if fitted is None:
        return HazardPeriod(start_week, end_week)
    return HazardPeriod(start_week, end_week, fitted.ratio, *fitted.interval, fitted.p_value)


def advised_gap(triangle: Triangle, event: Event) -> int | None:
    """Return the shortest gap that at most 5 % of the pauses before exposure reach, None where too few are known.

    Pauses longer than the pre-period are not seen, so a long pre-period may advise more than a short one.
    """
    plan = triangle.plan
    pauses = np.zeros(plan.pre_weeks + 1, dtype=np.int64)
    for variant in plan.variants:
        for cohort in range(plan.enrollment_weeks):
            pauses += triangle.event_counts(event, variant.key, cohort).pauses
    if event.type != "inactivity" or pauses.sum() < FEWEST_PAUSES:
        return None
    reach = pauses[::-1].cumsum()[::-1]
    enough = np.flatnonzero(reach <= RETURNING * pauses.sum())
    # A gap of one week more than the longest pause is reached by none.
    return int(enough[0]) if len(enough) else plan.pre_weeks + 1


# --- Claims -----------------------------------------------------------------------------------------------------------
def looks(triangle: Triangle, metric: Metric, variant: str) -> claims.Looks:
    """Return the looks at tau so far: one for each cohort that has lived the whole horizon."""
    plan, event = triangle.plan, metric.event
    assert event is not None
    tau, end = longest(plan, event), longest(plan, event) + extra_weeks(event)
    mature = windows.mature_cohorts(plan, end, triangle.as_of)
    information: list[float] = []
    units = 0
    for cohort in mature:
        day = windows.readable(plan, cohort, end)
        sides = [life_table(triangle, event, key, day) for key in (plan.control.key, variant)]
        units = sum(int(side.at_risk[:, 0].sum()) for side in sides)
        found = 0.0
        if _horizon(sides) == tau:
            means = [restricted_mean(Curve.of(side), tau) for side in sides]
            se = _errors(*means)[0]
            found = 0.0 if se is None else 1 / se**2
        # A later look knows no less; the variance may be estimated a little larger all the same.
        information.append(max(found, information[-1] if information else 0.0))
    return claims.Looks(tuple(information), plan.enrollment_weeks, units)


def _claimed(row: SurvivalComparisonRow, triangle: Triangle, metric: Metric) -> SurvivalComparisonRow:
    """Fill in the fields that hold over all looks, and a guardrail's verdict."""
    plan = triangle.plan
    if not row.decides:
        return replace(row, reason=row.reason or f"week {row.tau}, the horizon that decides, cannot be read yet")
    if row.rmst_se is None:
        return row
    seen = looks(triangle, metric, row.variant)
    at = claims.level(plan, metric, plan.window(metric.deciding_window))
    low, high = (claims.critical(plan, seen, alpha) for alpha in (at.low, at.high))
    assert row.rmst_difference is not None
    p_value = min(1.0, claims.repeated_p(plan, seen, row.rmst_difference / row.rmst_se) * at.family)
    row = replace(
        row, sequential_look=len(seen.information), sequential_looks=seen.planned, p_value_adjusted=p_value,
        sequential_significant=p_value < plan.decision.alpha,
    )  # fmt: skip
    if math.isinf(max(low, high)):
        return replace(row, reason="too early to claim anything: no alpha is spent at this look yet")
    row = replace(_drawn(row, low, high), sequential_critical=low if metric.sign > 0 else high)
    if metric.role != "guardrail":
        return row
    return replace(row, verdict=claims.verdict(metric, row.sequential_lift_low, row.sequential_lift_high))


def _drawn(row: SurvivalComparisonRow, low: float, high: float) -> SurvivalComparisonRow:
    """Fill in the intervals over all looks, with the critical values of their lower and upper ends."""
    assert row.rmst_difference is not None
    assert row.rmst_se is not None
    assert row.rmst_lift is not None
    assert row.rmst_lift_high is not None
    ratio = 1 + row.rmst_lift
    log_se = math.log((1 + row.rmst_lift_high) / ratio) / critical()
    return replace(
        row,
        sequential_rmst_low=row.rmst_difference - low * row.rmst_se,
        sequential_rmst_high=row.rmst_difference + high * row.rmst_se,
        sequential_lift_low=ratio * math.exp(-low * log_se) - 1,
        sequential_lift_high=ratio * math.exp(high * log_se) - 1,
    )
