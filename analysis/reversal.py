"""Early win, later loss: the formal flag, its weaker relatives, and conflicts between metrics.

Intersection-union test (Berger 1982, Technometrics 24:295): the null is "no early win, or no later loss"; it is
rejected when both one-sided tests reject at alpha / 4. Its level is alpha / 4 whatever the covariance of the legs,
without splitting alpha between them. The early leg is the early window on all units mature for it, over its looks; the
late leg is read week by week (``analysis.rolling``). ``turned`` and ``confirmed`` spend alpha / 4 each, so that both
together are false in at most alpha / 2 of experiments; over the metrics of a treatment, and its conflicts, Holm's
method adjusts each. Once crossed, a boundary stays crossed.

States, the first that holds: ``confirmed``, ``turned``, ``warning`` (an early win, and a late loss has a probability
above .8 under the prior of ``analysis.decay``), ``immature`` (not every cohort has lived the late window), ``fading``
(the lift shrank surely, and is not surely a loss; informational), ``none``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from analysis import claims, decay, rolling, windows
from analysis.effects import Means, contrast, effect_of, means_of, score
from analysis.moments import Array
from analysis.multiplicity import holm
from analysis.numbers import finite
from analysis.plan import Metric, Plan, Window
from analysis.results import ConflictRow, ReversalRow, ReversalState
from analysis.rolling import Path, Reading, Test
from analysis.trajectory import estimates, log_lifts, unread, weekly_steps
from analysis.triangle import Triangle

#: A late loss more probable than this is worth a warning.
WARNING_PROBABILITY = 0.8

TESTS: tuple[Test, ...] = ("turned", "confirmed")


@dataclass(frozen=True, eq=False)
class Legs:
    """What is known of one metric of a treatment, before anything is adjusted for the number of metrics.

    Attributes:
        triangle: that of the metric alone.
        early: one-sided p values of an early win, by number of cohorts mature for the early window; NaN without one.
        late: the late loss, by test.
    """

    triangle: Triangle
    metric: Metric
    variant: str
    early: Array
    late: dict[Test, Path]

    def early_p(self, day: date) -> float:
        """The p value of the early win as of a day."""
        plan = self.triangle.plan
        return float(self.early[len(windows.window_cohorts(plan, plan.window("early"), day))])


@dataclass(frozen=True)
class Crossing:
    """The first look beyond the boundary: what was read, and the day of the look."""

    reading: Reading
    day: date


@dataclass(frozen=True)
class Tested:
    """A test of an early win and a later loss over all looks so far: p values now, and where it was crossed."""

    p_value: float | None = None
    p_value_adjusted: float | None = None
    crossing: Crossing | None = None


def legs(triangle: Triangle, metric: Metric, variant: str, due: dict[Test, tuple[Reading, ...]]) -> Legs:
    """Read both legs of one metric; ``triangle`` is that of the metric alone."""
    plan = triangle.plan
    early = plan.window("early")
    mature = windows.window_cohorts(plan, early, triangle.as_of)
    p_values = np.full(plan.enrollment_weeks + 1, np.nan)
    for number in range(1, len(mature) + 1):
        p_values[number] = _early_win(triangle, metric, variant, early, mature[:number])
    paths = {test: rolling.path(triangle, metric, variant, due[test]) for test in TESTS}
    return Legs(triangle, metric, variant, p_values, paths)


def _early_win(triangle: Triangle, metric: Metric, variant: str, early: Window, cohorts: tuple[int, ...]) -> float:
    """The one-sided repeated p value of "better in the early window"; NaN where there is no estimate."""
    means = means_of(triangle, metric, variant, [early], cohorts)
    found = score(means, 0) if means is not None else None
    if found is None:
        return float("nan")
    z = metric.sign * found.z
    p_value = claims.repeated_p(triangle.plan, claims.looks(triangle, variant, cohorts), z)
    return p_value / 2 if z > 0 else 1 - p_value / 2


def tested(members: Sequence[tuple[Legs, Path]], as_of: date, level: float) -> list[Tested]:
    """Test every pair of an early win and a later loss, adjusted for their number (Holm 1979), look by look."""
    readings = members[0][1].readings if members else ()
    if not readings:
        return [Tested() for _ in members]
    days = [*(reading.day for reading in readings), as_of]
    last = len(readings) - 1
    raw = np.array(
        [
            [np.maximum(early.early_p(day), path.p_values[min(look, last)]) for look, day in enumerate(days)]
            for early, path in members
        ]
    )
    adjusted = np.array([holm([finite(value) for value in column]) for column in raw.T], dtype=float).T
    return [
        Tested(finite(raw[row, -1]), finite(adjusted[row, -1]), _crossing(path, days, adjusted[row] < level))
        for row, (_, path) in enumerate(members)
    ]


def _crossing(path: Path, days: Sequence[date], beyond: Array) -> Crossing | None:
    looks = np.flatnonzero(beyond)
    if not len(looks):
        return None
    return Crossing(path.readings[min(int(looks[0]), len(path.readings) - 1)], days[looks[0]])


def reversals(triangle: Triangle, of_metric: Mapping[str, Triangle], variant: str) -> tuple[
    tuple[ReversalRow, ...], tuple[ConflictRow, ...]
]:  # fmt: skip
    """Return the reversal of each metric of a treatment, and the conflicts between them.

    Diagnostic metrics are left out: nothing is claimed of them. ``of_metric`` has each metric's own triangle.
    """
    plan, level = triangle.plan, triangle.plan.decision.alpha / 4
    due = {test: rolling.readings(triangle, test) for test in TESTS}
    metrics = [metric for metric in plan.estimated_metrics if metric.role != "diagnostic"]
    read = {metric.key: legs(of_metric[metric.key], metric, variant, due) for metric in metrics}
    pairs = list(_conflicting(metrics))
    alone = [(one, one.late["turned"]) for one in read.values()]
    both = [(one, one.late["confirmed"]) for one in read.values()]
    both += [(read[short.key], read[long.key].late["confirmed"]) for short, long in pairs]
    turned = tested(alone, triangle.as_of, level)
    confirmed = tested(both, triangle.as_of, level)
    rows = [_row(one, *results) for one, *results in zip(read.values(), turned, confirmed[: len(read)], strict=True)]
    conflicts = [
        _conflict(plan, triangle.as_of, variant, pair, one)
        for pair, one in zip(pairs, confirmed[len(read) :], strict=True)
    ]
    return tuple(rows), tuple(conflicts)


def _conflicting(metrics: Iterable[Metric]) -> Iterable[tuple[Metric, Metric]]:
    """Yield (short-term primary, another metric that must not lose late)."""
    known = list(metrics)
    for short in known:
        if short.role == "primary" and short.term == "short":
            for other in known:
                if other is not short and (
                    other.role == "guardrail" or (other.role, other.term) == ("primary", "long")
                ):
                    yield short, other


def _conflict(plan: Plan, as_of: date, variant: str, pair: tuple[Metric, Metric], found: Tested) -> ConflictRow:
    short, long = pair
    early, late = plan.window("early"), plan.window("late")
    readable = windows.fully_readable(plan, late.end_week)
    row = ConflictRow(
        variant=variant, short_metric=short.key, long_metric=long.key, state="none", readable_from=readable,
        p_value=found.p_value, p_value_adjusted=found.p_value_adjusted,
    )  # fmt: skip
    if found.crossing is not None:
        weeks, day = found.crossing.reading.window.label, found.crossing.day
        reason = f"{short.key} is better in {early.label}, and {long.key} is worse in {weeks}; first seen on {day}"
        return replace(row, state="confirmed", first_seen=day, reason=reason)
    if as_of < readable:
        return replace(row, state="immature", reason=f"the late window ({late.label}) is readable from {readable}")
    reason = f"not both {short.key} better in {early.label} and {long.key} worse late"
    return replace(row, first_seen=readable, reason=reason)


def _row(one: Legs, turned: Tested, confirmed: Tested) -> ReversalRow:
    plan, triangle = one.triangle.plan, one.triangle
    late = plan.window("late")
    row = _shown(one, ReversalRow(
        metric=one.metric.key, variant=one.variant, state="none", p_value=confirmed.p_value,
        p_value_adjusted=confirmed.p_value_adjusted, readable_from=windows.fully_readable(plan, late.end_week),
    ))  # fmt: skip
    if turned.crossing is not None:
        weeks = turned.crossing.reading.window
        means = means_of(triangle, one.metric, one.variant, [weeks], turned.crossing.reading.cohorts)
        row = replace(
            row, turned_start_week=weeks.start_week, turned_end_week=weeks.end_week, turned_p_value=turned.p_value,
            turned_lift=effect_of(means).lift if means is not None else None, turned_first_seen=turned.crossing.day,
        )  # fmt: skip
    forecast = forecast_of(triangle, one.metric, one.variant)
    row = replace(row, late_loss_probability=forecast.probability if forecast else None)
    state, first_seen, reason = _state(one, row, turned, confirmed)
    return replace(row, state=state, first_seen=first_seen, reason=reason)


def _shown(one: Legs, row: ReversalRow) -> ReversalRow:
    """Fill in the estimates: early and late on the cohorts that have lived the late window, or before any has, early
    and the newest four weeks on the units that have lived these."""
    triangle, plan = one.triangle, one.triangle.plan
    early, late = plan.window("early"), plan.window("late")
    cohorts = windows.window_cohorts(plan, late, triangle.as_of)
    if not cohorts:
        newest = rolling.newest(triangle)
        if newest is None or newest.window.start_week < early.end_week:
            return row
        late, cohorts = newest.window, newest.cohorts
    means = means_of(triangle, one.metric, one.variant, [early, late], cohorts)
    if means is None:
        few = unread(triangle, one.variant, late.end_week, cohorts)
        return replace(row, n_control=few.n_control, n_treatment=few.n_treatment, reason=few.reason)
    return _estimated(row, means, late)


def _estimated(row: ReversalRow, means: Means, late: Window) -> ReversalRow:
    legs = effect_of(means, 0), effect_of(means, 1)
    both = contrast(means, 0, 1)
    return replace(
        row, n_control=means.n_control, n_treatment=means.n_treatment,
        late_start_week=late.start_week, late_end_week=late.end_week,
        early_effect=legs[0].effect, late_effect=legs[1].effect, early_lift=legs[0].lift, late_lift=legs[1].lift,
        contrast=both.effect, contrast_se=both.effect_se, contrast_p_value=both.p_value,
        lift_contrast=both.lift, lift_contrast_low=both.lift_low, lift_contrast_high=both.lift_high,
        lift_contrast_p_value=both.lift_p_value, reason=legs[0].reason or legs[1].reason,
    )  # fmt: skip


def _state(
    one: Legs, row: ReversalRow, turned: Tested, confirmed: Tested
) -> tuple[ReversalState, date | None, str | None]:
    """Return the state, the day of the first look that showed it, and why."""
    plan, as_of = one.triangle.plan, one.triangle.as_of
    early, late = plan.window("early"), plan.window("late")
    level = f"one-sided {plan.decision.alpha / 4:g} over all looks"
    crossing = confirmed.crossing or turned.crossing
    if crossing is not None:
        words = f"better in {early.label} and worse in {crossing.reading.window.label} ({level})"
        return "confirmed" if confirmed.crossing else "turned", crossing.day, words
    if _warned(one, row.late_loss_probability, as_of):
        first = _first_warning(one)
        words = f"better in {early.label}; a loss in {late.label} has a probability of {row.late_loss_probability:.2f}"
        return "warning", first, words
    if as_of < row.readable_from:
        looks = windows.weekly_looks(plan, as_of)
        words = f"the late window ({late.label}) is readable from {row.readable_from}"
        return "immature", looks[0] if looks else as_of, words
    if row.reason is not None:
        return "none", row.readable_from, row.reason or "the late weeks have no estimate"
    ends = [end for end in (row.lift_contrast_low, row.lift_contrast_high) if end is not None]
    # Of negative means (a loss in money) the larger ratio is the worse one.
    sign = one.metric.sign if _positive(one) else -one.metric.sign
    loss = one.late["confirmed"].p_values[-1] < plan.decision.alpha / 4
    if ends and max(sign * end for end in ends) < 0 and not loss:
        words = f"the lift shrank from {early.label} to {late.label}, and is not surely a loss"
        return "fading", row.readable_from, words
    return "none", row.readable_from, f"not both better in {early.label} and worse in {late.label} ({level})"


def _positive(one: Legs) -> bool:
    """Whether the control's early mean is above zero."""
    plan = one.triangle.plan
    cohorts = tuple(range(plan.enrollment_weeks))
    means = means_of(one.triangle, one.metric, one.variant, [plan.window("early")], cohorts)
    return means is None or float(means.control[0]) > 0


def forecast_of(triangle: Triangle, metric: Metric, variant: str) -> decay.Forecast | None:
    """Forecast the late window from the weeks seen so far; None before any week has a log lift."""
    steps = weekly_steps(triangle)
    lifts = log_lifts(triangle, variant, steps, estimates(triangle, metric, variant, steps))
    if not lifts.steps:
        return None
    weeks = np.array([steps[position].span.start_week for position in lifts.steps])
    return decay.forecast(weeks, metric.sign * lifts.values, lifts.covariance, triangle.plan.window("late"))


def _warned(one: Legs, probability: float | None, as_of: date) -> bool:
    win = one.early_p(as_of) < one.triangle.plan.decision.alpha / 4
    return win and probability is not None and probability > WARNING_PROBABILITY


def _first_warning(one: Legs) -> date:
    """The first weekly look that warned; only asked for where today's look does."""
    for day in windows.weekly_looks(one.triangle.plan, one.triangle.as_of):
        if day == one.triangle.as_of:
            break
        past = one.triangle.at(day)
        found = forecast_of(past, one.metric, one.variant) if one.early_p(day) < 0.5 else None
        if found is not None and _warned(one, found.probability, day):
            return day
    return one.triangle.as_of
