"""The two legs of a reversal, read for one metric of one treatment: a win early, and a loss later.

Whatever is measured, a leg is a one-sided p value over looks. For values it rests on windows of weeks
(``WindowLegs``), for a time to event on the hazards of these weeks (``analysis.event_legs``).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from analysis import claims, decay, rolling, windows
from analysis.effects import Means, contrast, effect_of, means_of, score
from analysis.moments import Array
from analysis.plan import Metric, Window
from analysis.results import ReversalRow
from analysis.rolling import Path, Reading, Test
from analysis.trajectory import estimates, log_lifts, unread, weekly_steps
from analysis.triangle import Triangle

TESTS: tuple[Test, ...] = ("turned", "confirmed")


@dataclass(frozen=True, eq=False)
class Legs(ABC):
    """What is known of one metric of a treatment, before anything is adjusted for the number of metrics.

    Attributes:
        triangle: that of the metric alone.
        early: one-sided p values of an early win, by number of cohorts mature for the early window; NaN without one.
        late: the late loss, by test.
        late_window: the late weeks that are read.
        extra: weeks that must be lived after a week before it is known what happened in it.
    """

    triangle: Triangle
    metric: Metric
    variant: str
    early: Array
    late: dict[Test, Path]
    late_window: Window
    extra: int = 0

    @property
    def readable_from(self) -> date:
        """The first day on which every cohort has lived the late weeks."""
        return windows.fully_readable(self.triangle.plan, self.late_window.end_week + self.extra)

    def early_p(self, day: date) -> float:
        """The p value of the early win as of a day."""
        plan = self.triangle.plan
        end = plan.window("early").end_week + self.extra
        return float(self.early[len(windows.mature_cohorts(plan, end, day))])

    @property
    @abstractmethod
    def direction(self) -> int:
        """1 where a larger lift is better, -1 where a smaller one is."""

    @abstractmethod
    def lift(self, reading: Reading) -> float | None:
        """The lift in the weeks of a reading, on its units."""

    @abstractmethod
    def shown(self, row: ReversalRow) -> ReversalRow:
        """Fill in the estimates: early and late on the cohorts that have lived the late weeks, or before any has, early
        and the newest four weeks on the units that have lived these."""

    @abstractmethod
    def late_loss_probability(self, as_of: date) -> float | None:
        """The probability of a late loss, foreseen from the weeks seen by a day; None where nothing is foreseen."""


class WindowLegs(Legs):
    """The legs of values a week: means, shares, ratios."""

    @property
    def direction(self) -> int:
        # Of negative means (a loss in money) the larger ratio is the worse one.
        plan = self.triangle.plan
        cohorts = tuple(range(plan.enrollment_weeks))
        means = means_of(self.triangle, self.metric, self.variant, [plan.window("early")], cohorts)
        positive = means is None or float(means.control[0]) > 0
        return self.metric.sign if positive else -self.metric.sign

    def lift(self, reading: Reading) -> float | None:
        means = means_of(self.triangle, self.metric, self.variant, [reading.window], reading.cohorts)
        return effect_of(means).lift if means is not None else None

    def shown(self, row: ReversalRow) -> ReversalRow:
        triangle, plan = self.triangle, self.triangle.plan
        early, late = plan.window("early"), self.late_window
        cohorts = windows.window_cohorts(plan, late, triangle.as_of)
        if not cohorts:
            newest = rolling.newest(triangle)
            if newest is None or newest.window.start_week < early.end_week:
                return row
            late, cohorts = newest.window, newest.cohorts
        means = means_of(triangle, self.metric, self.variant, [early, late], cohorts)
        if means is None:
            few = unread(triangle, self.variant, late.end_week, cohorts)
            return replace(row, n_control=few.n_control, n_treatment=few.n_treatment, reason=few.reason)
        return _estimated(row, means, late)

    def late_loss_probability(self, as_of: date) -> float | None:
        past = self.triangle.at(as_of)
        steps = weekly_steps(past)
        lifts = log_lifts(past, self.variant, steps, estimates(past, self.metric, self.variant, steps))
        if not lifts.steps:
            return None
        weeks = np.array([steps[position].span.start_week for position in lifts.steps])
        signed = self.metric.sign * lifts.values
        return decay.late_loss_probability(weeks, signed, lifts.covariance, self.late_window)


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


def window_legs(triangle: Triangle, metric: Metric, variant: str) -> Legs:
    """Read both legs of a metric with values; ``triangle`` is that of the metric alone."""
    plan = triangle.plan
    early, late = plan.window("early"), plan.window("late")
    mature = windows.window_cohorts(plan, early, triangle.as_of)
    p_values = np.full(plan.enrollment_weeks + 1, np.nan)
    for number in range(1, len(mature) + 1):
        p_values[number] = _early_win(triangle, metric, variant, early, mature[:number])
    paths = {
        test: rolling.path(triangle, metric, variant, rolling.readings(triangle, test, late)) for test in TESTS
    }  # fmt: skip
    return WindowLegs(triangle, metric, variant, p_values, paths, late)


def _early_win(triangle: Triangle, metric: Metric, variant: str, early: Window, cohorts: tuple[int, ...]) -> float:
    """The one-sided repeated p value of "better in the early window"; NaN where there is no estimate."""
    means = means_of(triangle, metric, variant, [early], cohorts)
    found = score(means, 0) if means is not None else None
    if found is None:
        return float("nan")
    return claims.one_sided_p(triangle.plan, claims.looks(triangle, variant, cohorts), metric.sign * found.z)
