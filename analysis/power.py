"""Before an experiment: how small an effect it can find, how many units that takes, and when it can be read.

All that is planned uses the estimators, levels and boundaries of the claims themselves (``effects.compare``,
``claims.level``, ``claims.critical``), fed with the moments of comparable past units. A claim may be made at any weekly
look, so what counts is the *drift*: the effect, in standard errors of the last look, whose path crosses its boundaries
at some look with the planned power (Jennison & Turnbull 2000, section 2.3).

Assumed: the same number of units is exposed in each week of enrollment, they are like those of the history, and a
treatment does not change the variance.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache

import numpy as np
from scipy import optimize, special

from analysis import claims, sequential, windows
from analysis.effects import Means, compare, lift_interval, log_lift
from analysis.moments import Array, Layout, Moments
from analysis.multiplicity import adjusted_power
from analysis.numbers import MIN_UNITS_FOR_INTERVAL
from analysis.plan import Metric, Plan, Window
from analysis.planned import Planned, PlannedDates, PlannedEvents, PlannedHoldout, PlannedReversal, PlannedRow
from analysis.sample_size import distance, holdout_factor, needed_events, reversal_power

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


@dataclass(frozen=True)
class Claim:
    """A claim that is planned: at which two-sided alpha over all looks, and with which power."""

    plan: Plan
    alpha: float
    power: float

    def critical(self, looks: int, units: float) -> tuple[float, ...]:
        """Return the critical value at each of ``looks`` looks, which share ``units`` mature units evenly."""
        times = _times(looks)
        seen = [claims.Looks(times[:j], looks, max(1, round(units * j / looks))) for j in range(1, looks + 1)]
        return tuple(claims.critical(self.plan, look, self.alpha) for look in seen)

    def drift(self, looks: int, units: float) -> float:
        """Return the effect, in standard errors of the last look, that is claimed at some look with the power."""
        return _drift(self.critical(looks, units), self.power)

    def power_at(self, drift: float, looks: int, units: float) -> float:
        """Return the probability that an effect of ``drift`` standard errors is claimed at some look."""
        return sequential.crossing_probability(self.critical(looks, units), _times(looks), drift, upper_only=True)


def _times(looks: int) -> tuple[float, ...]:
    return tuple(look / looks for look in range(1, looks + 1))


@lru_cache(maxsize=1024)
def _drift(critical: tuple[float, ...], power: float) -> float:
    times = _times(len(critical))

    def missing(drift: float) -> float:
        return sequential.crossing_probability(critical, times, drift, upper_only=True) - power

    # At the upper end the last look alone has more than the power.
    return float(optimize.brentq(missing, 0.0, critical[-1] + max(float(special.ndtri(power)), 0.0) + 1))


@dataclass(frozen=True, eq=False)
class Design:
    """A plan with the history it is planned on.

    Attributes:
        history: moments of comparable units without treatment, in the columns of ``Layout.of(plan)``.
        units_per_week: units of all variants exposed in a week.
        weeks: weeks since exposure that all units of the history have lived.
    """

    plan: Plan
    history: Moments
    units_per_week: float
    weeks: int

    @property
    def shares(self) -> tuple[str, float, float]:
        """The treatment with the fewest units, and the shares of control and of this treatment among all units."""
        weights = {one.key: one.weight or 1.0 for one in self.plan.variants}
        variant = min(self.plan.treatments, key=lambda one: weights[one.key]).key
        total = sum(weights.values())
        return variant, weights[self.plan.control.key] / total, weights[variant] / total

    @property
    def all_units(self) -> float:
        """Units of all variants at the end of enrollment."""
        return self.units_per_week * self.plan.enrollment_weeks

    @property
    def sizes(self) -> tuple[int, int]:
        """Units of control and of the treatment at the end of enrollment."""
        return round(self.all_units * self.shares[1]), round(self.all_units * self.shares[2])

    def means(self, metric: Metric, spans: list[Window]) -> Means | str:
        """Estimate both variants from the history at their planned sizes; a reason in words where that is impossible.

        Both sides have the history's mean, so there is no effect.
        """
        last = max(span.end_week for span in spans)
        if last > self.weeks:
            return f"the history has {self.weeks} of the {last} weeks since exposure that are needed"
        few = f"fewer than {MIN_UNITS_FOR_INTERVAL} units"
        if self.history.n < MIN_UNITS_FOR_INTERVAL:
            return f"{few} of history"
        if min(self.sizes) < MIN_UNITS_FOR_INTERVAL:
            return f"{few} in a variant are planned"
        control, treatment = (scaled(self.history, size) for size in self.sizes)
        means = compare(control, treatment, Layout.of(self.plan), metric, spans, adjust=self.plan.pre_weeks > 0)
        for value in range(means.values):
            own = np.ix_((value, means.values + value), (value, means.values + value))
            if not math.isfinite(means.control[value]):
                return "the denominator sums to zero, so there is no ratio"
            interval = lift_interval(float(means.control[value]), float(means.treatment[value]), means.covariance[own])
            if interval.reason is not None:
                return interval.reason
            if log_lift(means, value) is None:
                return "the units of the history do not vary"
        return means


def scaled(moments: Moments, units: int) -> Moments:
    """Return moments of ``units`` units with the same mean and sample covariance."""
    return Moments.from_parts(units, moments.mean, moments.covariance * (units - 1))


def plan_power(
    plan: Plan, history: Moments, units_per_week: float, weeks: int | None = None,
    wanted: Mapping[str, float] | None = None,
) -> Planned:  # fmt: skip
    """Plan every metric and window on history: what can be found at the planned size, and what it takes to find more.

    Args:
        history: see ``Design``; of the control, say.
        units_per_week: units of all variants exposed in a week of enrollment.
        weeks: weeks since exposure that all units of the history have lived; the horizon if it is not given.
        wanted: lifts to be found, as positive fractions, by metric key.
    """
    design = Design(plan, history, units_per_week, plan.horizon_weeks if weeks is None else weeks)
    lifts = wanted or {}
    rows = [
        plan_row(design, metric, window, lifts.get(metric.key))
        for metric in plan.estimated_metrics
        for window in plan.windows
    ]
    found = {(row.metric, row.window): row for row in rows}
    reversals = [
        one
        for metric in plan.estimated_metrics
        if metric.role != "diagnostic"
        for one in _reversals(design, metric, found[metric.key, "early"], found[metric.key, "late"])
    ]
    events = [one for metric in plan.metrics if metric.kind == "event" for one in _events(design, metric)]
    when = dates(plan)
    return Planned(
        plan, design.shares[0], units_per_week, history.n, tuple(rows), tuple(reversals), tuple(events), when,
        holdouts=tuple(_holdouts(design)) if plan.kind == "holdout" else (),
        warnings=(when.warning,) if when.warning else (),
    )  # fmt: skip


def plan_row(design: Design, metric: Metric, window: Window, wanted: float | None = None) -> PlannedRow:
    """Plan a metric over a window; ``wanted`` is the lift that ``units_needed`` is for (a guardrail has its margin).

    Primary metrics are planned at the plan's own power. Guardrails must all hold for a launch, so each is planned at
    ``multiplicity.adjusted_power``.
    """
    if wanted is not None and wanted <= 0:
        raise ValueError(f"a wanted lift is a positive fraction, not {wanted}")
    plan, guards = design.plan, claims.is_deciding_guardrail(metric, window)
    at, power = claims.level(plan, metric, window), plan.decision.power
    if guards:
        guardrails = sum(one.role == "guardrail" for one in plan.metrics)
        power = adjusted_power(power, guardrails, any(one.role == "primary" for one in plan.metrics))
    claim = Claim(plan, at.low if metric.sign > 0 else at.high, power)
    row = PlannedRow(
        metric=metric.key, role=metric.role, window=window.name, start_week=window.start_week,
        end_week=window.end_week, units=sum(design.sizes), alpha=claim.alpha, power=power,
        margin=metric.margin if guards else None, readable_from=windows.fully_readable(plan, window.end_week),
    )  # fmt: skip
    means = design.means(metric, [window])
    return replace(row, reason=means) if isinstance(means, str) else _filled(design, claim, row, means, metric, wanted)


def _filled(
    design: Design, claim: Claim, row: PlannedRow, means: Means, metric: Metric, wanted: float | None
) -> PlannedRow:
    """Fill in the numbers. A primary is claimed on the scale of the lift, a guardrail's margin on that of its log."""
    se, looks = float(np.sqrt(_log_covariance(means)[0, 0])), design.plan.enrollment_weeks
    drift, mean, most = claim.drift(looks, row.units), float(means.control[0]), math.inf
    if row.margin is not None:
        # Where the true lift is zero, the log of 1 - margin (or 1 + margin) is this far away.
        far = -metric.sign * math.log1p(-metric.sign * row.margin)
        found, target = -metric.sign * math.expm1(-metric.sign * drift * se), row.margin
        margin_power = claim.power_at(far / se, looks, row.units)
    else:
        found, margin_power = drift * se, None
        # What is to fall cannot fall by more than all.
        most = 1.0 if _direction(metric, mean) < 0 else math.inf
        far = target = min(found, most) / 2 if wanted is None else wanted
    reasons = (
        [f"even a fall to nothing is too small to be found: that takes {100 * found:.0f} %"] if found >= most else []
    )
    weeks = _weeks_needed(design, claim, se * math.sqrt(row.units), far)
    if weeks is None:
        reasons.append(f"more than {MOST_WEEKS} weeks of enrollment would be needed")
    return replace(
        row, inflation=(drift / distance(claim.alpha, claim.power)) ** 2, control_mean=mean, se=se,
        mde_lift=None if found >= most else found, margin_power=margin_power, wanted_lift=target,
        units_needed=_units_needed(claim, looks, row.units, se, far) * design.all_units / row.units,
        weeks_needed=weeks, reason="; ".join(reasons) or None,
    )  # fmt: skip


def _direction(metric: Metric, mean: float) -> int:
    """The sign of a lift that is a win: of a negative mean (a loss in money) the smaller size is the higher value."""
    return metric.sign if mean > 0 else -metric.sign


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


def _log_covariance(means: Means) -> Array:
    """Covariance of the log lifts, shape (m, m), by the delta method."""
    m = means.values
    gradient = np.zeros((m, 2 * m))
    places = np.arange(m)
    gradient[places, places], gradient[places, m + places] = -1 / np.abs(means.control), 1 / np.abs(means.treatment)
    return np.asarray(gradient @ means.covariance @ gradient.T)


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
    covariance = _log_covariance(means)
    errors = np.sqrt(np.diag(covariance))
    correlation = float(covariance[0, 1] / (errors[0] * errors[1]))
    sign = _direction(metric, float(means.control[0]))
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
    sign = _direction(metric, early.control_mean)
    planned = [
        plan_reversal(design, metric, sign * times * early.mde_lift, -sign * times * late.mde_lift)
        for times in MULTIPLES
    ]
    if sign > 0 and metric.kind != "ratio":
        planned += [plan_churn(design, metric, 2 * early.mde_lift, hazard) for hazard in HAZARDS]
    return planned


def _events(design: Design, metric: Metric) -> list[PlannedEvents]:
    decision, (_, control, treatment) = design.plan.decision, design.shares
    share = treatment / (control + treatment)
    return [
        PlannedEvents(metric.key, ratio, needed_events(ratio, decision.alpha, decision.power, share))
        for ratio in HAZARD_RATIOS
    ]


def _holdouts(design: Design) -> Iterator[PlannedHoldout]:
    """Plan the primary metrics (all, where none is) in their deciding windows for other shares held out."""
    plan = design.plan
    control, launched = plan.control, plan.treatments[0]
    primaries = [metric for metric in plan.estimated_metrics if metric.role == "primary"]
    own = design.shares[1]
    for fraction in sorted([own, *(one for one in FRACTIONS if not math.isclose(one, own))]):
        split = (replace(control, weight=fraction), replace(launched, weight=1 - fraction))
        other = replace(design, plan=replace(plan, variants=split))
        for metric in primaries or plan.estimated_metrics:
            row = plan_row(other, metric, plan.window(metric.deciding_window))
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
