"""Before an experiment: how small an effect it can find, how many units that takes, and when it can be read.

All that is planned uses the estimators, levels and boundaries of the claims themselves (``effects.compare``,
``claims.level``, ``claims.critical``), fed with the moments and times to event of comparable past units. How a claim
over weekly looks is planned is in ``analysis.design``.

Assumed: the same number of units is exposed in each week of enrollment, they are like those of the history, and a
treatment does not change the variance.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date

import numpy as np

from analysis import claims, survival, windows
from analysis.design import Claim, Design, direction, log_covariance
from analysis.event_power import Lives
from analysis.life_table import longest
from analysis.moments import Array, Layout, Moments
from analysis.plan import Event, Metric, Plan, Window
from analysis.planned import Planned, PlannedDates, PlannedEvents, PlannedHoldout, PlannedReversal, PlannedRow
from analysis.sample_size import distance, holdout_factor, needed_events, reversal_power

#: What the row of a time to event calls the weeks up to its horizon tau.
HORIZON = "horizon"

#: No longer enrollment is proposed: two years.
MOST_WEEKS = 104

#: Two numbers of units this close, relative to their size, are the same.
_SAME_UNITS = 1e-9

#: Hazard ratios for which the number of events is told.
HAZARD_RATIOS = (1.1, 1.2, 1.5)

#: Reversals that are planned for: early win and late loss in multiples of what the plan can find.
MULTIPLES = (1.0, 1.5, 2.0)

#: Reversals by churn: the extra weekly hazard from the end of the early window on, after an early win of twice what the
#: plan can find.
HAZARDS = (0.003, 0.006)

#: Shares held out for which a holdout's cost is told, beside its own.
FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def plan_power(
    plan: Plan, history: Moments, units_per_week: float, weeks: int | None = None,
    wanted: Mapping[str, float] | None = None, lives: Mapping[Event, Lives] | None = None,
) -> Planned:  # fmt: skip
    """Plan every metric and window on history: what can be found at the planned size, and what it takes to find more.

    Args:
        history: see ``Design``; of the control, say.
        units_per_week: units of all variants exposed in a week of enrollment.
        weeks: weeks since exposure that all units of the history have lived; the horizon if it is not given.
        wanted: lifts to be found, as positive fractions, by metric key.
        lives: see ``Design``.
    """
    design = Design(plan, history, units_per_week, plan.horizon_weeks if weeks is None else weeks, lives or {})
    lifts = wanted or {}
    rows = [
        plan_row(design, metric, window, lifts.get(metric.key))
        for metric in plan.estimated_metrics
        for window in plan.windows
    ]
    found = {(row.metric, row.window): row for row in rows}
    rows += [plan_event(design, metric, lifts.get(metric.key)) for metric in plan.event_metrics]
    reversals = [
        one
        for metric in plan.estimated_metrics
        if metric.role != "diagnostic"
        for one in _reversals(design, metric, found[metric.key, "early"], found[metric.key, "late"])
    ]
    events = [one for metric in plan.event_metrics for one in _events(design, metric)]
    when = dates(plan)
    return Planned(
        plan, design.shares[0], units_per_week, history.n, tuple(rows), tuple(reversals), tuple(events), when,
        holdouts=tuple(_holdouts(design)) if plan.kind == "holdout" else (),
        warnings=(when.warning,) if when.warning else (),
    )  # fmt: skip


def plan_row(design: Design, metric: Metric, window: Window, wanted: float | None = None) -> PlannedRow:
    """Plan a metric over a window; ``wanted`` is the lift that ``units_needed`` is for (a guardrail has its margin)."""
    readable_from = windows.fully_readable(design.plan, window.end_week)
    claim = design.claim(metric, window)
    row = _row(design, metric, window, claim, claims.is_deciding_guardrail(metric, window), readable_from)
    _check(wanted)
    means = design.means(metric, [window])
    if isinstance(means, str):
        return replace(row, reason=means)
    return _filled(
        design, claim, row, metric, float(means.control[0]), float(np.sqrt(log_covariance(means)[0, 0])), wanted
    )  # fmt: skip


def plan_event(design: Design, metric: Metric, wanted: float | None = None) -> PlannedRow:
    """Plan a time to event at its horizon: the lift is that of the restricted mean of weeks without the event."""
    plan, event = design.plan, metric.event
    assert event is not None
    claim = design.claim(metric, plan.window(metric.deciding_window))
    weeks, readable_from = Window(HORIZON, 0, longest(plan, event)), survival.readable_from(plan, event)
    row = _row(design, metric, weeks, claim, metric.role == "guardrail", readable_from)
    _check(wanted)
    life = design.life(metric)
    return replace(row, reason=life) if isinstance(life, str) else _filled(design, claim, row, metric, *life, wanted)


def _row(
    design: Design, metric: Metric, window: Window, claim: Claim, guards: bool, readable_from: date
) -> PlannedRow:  # fmt: skip
    return PlannedRow(
        metric=metric.key, role=metric.role, window=window.name, start_week=window.start_week,
        end_week=window.end_week, units=sum(design.sizes), alpha=claim.alpha, power=claim.power,
        margin=metric.margin if guards else None, readable_from=readable_from,
    )  # fmt: skip


def _check(wanted: float | None) -> None:
    if wanted is not None and wanted <= 0:
        raise ValueError(f"a wanted lift is a positive fraction, not {wanted}")


def _filled(
    design: Design, claim: Claim, row: PlannedRow, metric: Metric, mean: float, se: float, wanted: float | None
) -> PlannedRow:
    """Fill in the numbers; ``se`` is that of the log lift.

    A primary is claimed on the scale of the lift, a guardrail's margin on that of its log.
    """
    looks = design.plan.enrollment_weeks
    drift, most = claim.drift(looks, row.units), math.inf
    if row.margin is not None:
        # Where the true lift is zero, the log of 1 - margin (or 1 + margin) is this far away.
        far = -metric.sign * math.log1p(-metric.sign * row.margin)
        found, target = -metric.sign * math.expm1(-metric.sign * drift * se), row.margin
        margin_power = claim.power_at(far / se, looks, row.units)
    else:
        found, margin_power = drift * se, None
        # What is to fall cannot fall by more than all.
        most = 1.0 if direction(metric, mean) < 0 else math.inf
        far = target = min(found, most) / 2 if wanted is None else wanted
    reasons = [f"even a fall to nothing is too small to be found: that takes {100 * found:.0f} %"]
    reasons = reasons if found >= most else []
    weeks = _weeks_needed(design, claim, se * math.sqrt(row.units), far)
    if weeks is None:
        reasons.append(f"more than {MOST_WEEKS} weeks of enrollment would be needed")
    return replace(
        row, inflation=(drift / distance(claim.alpha, claim.power)) ** 2, control_mean=mean, se=se,
        mde_lift=None if found >= most else found, margin_power=margin_power, wanted_lift=target,
        units_needed=_units_needed(claim, looks, row.units, se, far) * design.all_units / row.units,
        weeks_needed=weeks, reason="; ".join(reasons) or None,
    )  # fmt: skip


def _units_needed(claim: Claim, looks: int, units: float, se: float, far: float) -> float:
    """Units of both variants that show an effect of ``far``, in as many looks; ``se`` is that of ``units``.

    Boundaries that hold at any time depend on the number of units, a little: repeated until nothing changes.
    """
    needed = float(units)
    for _ in range(100):
        before, needed = needed, units * (claim.drift(looks, needed) * se / far) ** 2
        if abs(needed - before) <= _SAME_UNITS * needed:
            break
    return needed


def _weeks_needed(design: Design, claim: Claim, spread: float, far: float) -> int | None:
    """Whole weeks of enrollment that show an effect of ``far``; ``spread`` / sqrt(units) is its standard error."""
    weekly = design.units_per_week * (design.shares[1] + design.shares[2])
    # One look needs the fewest units, so no fewer weeks will do.
    first = math.ceil((distance(claim.alpha, claim.power) * spread / far) ** 2 / weekly)
    for weeks in range(max(1, first), MOST_WEEKS + 1):
        units = weekly * weeks
        if claim.drift(weeks, units) * spread / math.sqrt(units) <= far:
            return weeks
    return None


# --- Reversals, events, dates -----------------------------------------------------------------------------------------
def plan_reversal(design: Design, metric: Metric, early_lift: float, late_lift: float) -> PlannedReversal:
    """Plan for an early lift and a late one (fractions, with their signs: a loss of a positive metric to be raised is
    below zero)."""
    plan, row = design.plan, PlannedReversal(metric=metric.key, early_lift=early_lift, late_lift=late_lift)
    means = design.means(metric, [plan.window("early"), plan.window("late")])
    if isinstance(means, str):
        return replace(row, reason=means)
    if min(early_lift, late_lift) <= -1:
        return replace(row, reason="nothing can lose more than all it has: such a lift does not exist")
    covariance = log_covariance(means)
    errors = np.sqrt(np.diag(covariance))
    correlation = float(covariance[0, 1] / (errors[0] * errors[1]))
    sign = direction(metric, float(means.control[0]))
    win, loss = sign * math.log1p(early_lift), -sign * math.log1p(late_lift)
    power = reversal_power(win / errors[0], loss / errors[1], correlation, plan.decision.alpha)
    return replace(row, correlation=correlation, power=power)


def churn_path(weeks: int, lift: float, hazard: float, first_week: int) -> Array:
    """Return weekly lifts, shape (weeks,): ``lift`` at first, less a share ``hazard`` of the units a week later on.

    Each week from ``first_week`` on the treatment loses this share for good, beyond what the control loses.
    """
    lost = np.clip(np.arange(weeks) - first_week + 1, 0, None)
    return np.asarray((1 + lift) * (1 - hazard) ** lost - 1)


def window_lift(design: Design, metric: Metric, window: Window, path: Array) -> float:
    """Return the lift over a window of weekly lifts, shape (horizon_weeks,), weighted as the history's weeks are."""
    layout, span = Layout.of(design.plan), range(window.start_week, window.end_week)
    means = design.history.mean[[layout.week(metric.series[0], week) for week in span]]
    return float(means @ path[list(span)] / means.sum())


def plan_churn(design: Design, metric: Metric, early_lift: float, hazard: float) -> PlannedReversal:
    """Plan for an early lift and churn from the end of the early window on (a positive metric to be raised)."""
    plan = design.plan
    early, late = plan.window("early"), plan.window("late")
    means = design.means(metric, [early, late])
    if isinstance(means, str):
        return PlannedReversal(metric=metric.key, early_lift=early_lift, hazard=hazard, reason=means)
    path = churn_path(plan.horizon_weeks, early_lift, hazard, early.end_week)
    found = plan_reversal(
        design, metric, window_lift(design, metric, early, path), window_lift(design, metric, late, path)
    )
    return replace(found, hazard=hazard)


def _reversals(design: Design, metric: Metric, early: PlannedRow, late: PlannedRow) -> list[PlannedReversal]:
    if early.mde_lift is None or late.mde_lift is None or early.control_mean is None:
        missing = early if early.mde_lift is None else late
        return [PlannedReversal(metric=metric.key, reason=missing.reason)]
    sign = direction(metric, early.control_mean)
    planned = [
        plan_reversal(design, metric, sign * times * early.mde_lift, -sign * times * late.mde_lift)
        for times in MULTIPLES
    ]
    if sign > 0 and metric.kind != "ratio":
        planned += [plan_churn(design, metric, 2 * early.mde_lift, hazard) for hazard in HAZARDS]
    return planned


def _events(design: Design, metric: Metric) -> Iterator[PlannedEvents]:
    """Plan for hazard ratios, and for the one that a guardrail's margin allows."""
    decision, (_, control, treatment) = design.plan.decision, design.shares
    share = treatment / (control + treatment)
    assert metric.event is not None
    lives = design.lives.get(metric.event)
    ratios: list[tuple[float, bool]] = [(ratio, False) for ratio in HAZARD_RATIOS]
    if lives is not None and lives.variance and metric.margin is not None:
        allowed = lives.hazard_ratio(-metric.sign * metric.margin)
        ratios += [] if allowed is None else [(allowed, True)]
    for ratio, is_margin in sorted(ratios):
        row = PlannedEvents(
            metric.key, ratio, needed_events(ratio, decision.alpha, decision.power, share), is_margin=is_margin
        )
        if lives is not None and lives.variance:
            units = row.events / lives.share_with_event(ratio, share) / (control + treatment)
            row = replace(row, units=units, lift=lives.lift(ratio))
        yield row


def _holdouts(design: Design) -> Iterator[PlannedHoldout]:
    """Plan the primary metrics (all, where none is) in their deciding windows for other shares held out."""
    plan = design.plan
    control, launched = plan.control, plan.treatments[0]
    primaries = [metric for metric in plan.metrics if metric.role == "primary"]
    own = design.shares[1]
    for fraction in sorted([own, *(one for one in FRACTIONS if not math.isclose(one, own))]):
        split = (replace(control, weight=fraction), replace(launched, weight=1 - fraction))
        other = replace(design, plan=replace(plan, variants=split))
        for metric in primaries or plan.metrics:
            is_event = metric.event is not None
            row = (
                plan_event(other, metric) if is_event else plan_row(other, metric, plan.window(metric.deciding_window))
            )
            yield PlannedHoldout(
                fraction, holdout_factor(fraction), other.sizes[0], metric.key, row.window, row.mde_lift,
                row.reason if row.mde_lift is None else None,
            )  # fmt: skip


def dates(plan: Plan, planned_end: date | None = None) -> PlannedDates:
    """Return when a plan can be read; ``planned_end`` is the plan's own if it is not given."""
    early, late = plan.window("early").end_week, plan.window("late").end_week
    end, late_all = planned_end or plan.planned_end_date, windows.fully_readable(plan, late)
    warning = None
    if end is not None and late_all > end:
        warning = f"the late window is readable from {late_all} on, after the planned end {end}"
    return PlannedDates(
        first_look=windows.first_readable(plan, 1),
        early_from=windows.first_readable(plan, early),
        early_all=windows.fully_readable(plan, early),
        late_from=windows.first_readable(plan, late),
        late_all=late_all,
        end=windows.fully_readable(plan, plan.horizon_weeks),
        warning=warning,
    )
