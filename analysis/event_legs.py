"""The legs of a reversal for a time to event: fewer events early, and more of them later, or the other way round.

A leg is a log-rank test on the events of some weeks since exposure, stratified by exposure cohort. Its increments do
not correlate between weeks or cohorts, so the covariance of two readings is the variance of the increments that both
hold (``analysis.hazards.increments``). Benefit early and harm later cancel in one test over all weeks, and not here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from analysis import claims, rolling, windows
from analysis.hazards import HazardRatio, hazard_ratio, increments
from analysis.legs import TESTS, Legs
from analysis.life_table import LifeTable, extra_weeks, life_table, longest
from analysis.moments import Array
from analysis.numbers import critical, p_two_sided
from analysis.plan import Metric, Plan, Window
from analysis.results import ReversalRow
from analysis.rolling import Path, Reading
from analysis.triangle import Triangle


@dataclass(frozen=True, eq=False)
class EventLegs(Legs):
    """Attributes: ``tables``, the life tables of control and treatment by cohort. Lifts are hazard ratios less one."""

    tables: tuple[LifeTable, ...] = ()

    @property
    def direction(self) -> int:
        # The longer the time without the event the better, the smaller its hazard.
        return -self.metric.sign

    def lift(self, reading: Reading) -> float | None:
        found = self._fitted(reading.cohorts, reading.window)
        return None if found is None else found.ratio - 1

    def _fitted(self, cohorts: Sequence[int], weeks: Window) -> HazardRatio | None:
        control, treatment = (table.of_cohorts(cohorts) for table in self.tables)
        return hazard_ratio(control, treatment, slice(weeks.start_week, weeks.end_week))

    def shown(self, row: ReversalRow) -> ReversalRow:
        plan, late = self.triangle.plan, self.late_window
        early = plan.window("early")
        cohorts = windows.mature_cohorts(plan, late.end_week + self.extra, self.triangle.as_of)
        if not cohorts:
            newest = rolling.newest(self.triangle, self.extra)
            if newest is None or newest.window.start_week < early.end_week:
                return row
            late, cohorts = newest.window, newest.cohorts
        units = [int(table.of_cohorts(cohorts).at_risk[:, 0].sum()) for table in self.tables]
        row = replace(
            row, n_control=units[0], n_treatment=units[1], late_start_week=late.start_week, late_end_week=late.end_week
        )
        first, second = self._fitted(cohorts, early), self._fitted(cohorts, late)
        if first is None or second is None:
            weeks = (early if first is None else late).label
            return replace(row, reason=f"a variant has no events in {weeks}, so there is no hazard ratio")
        return _contrasted(row, first, second)

    def late_loss_probability(self, as_of: date) -> float | None:
        return None


def _contrasted(row: ReversalRow, early: HazardRatio, late: HazardRatio) -> ReversalRow:
    """Late against early: events of different weeks do not correlate, so variances add."""
    away, se = late.log - early.log, math.hypot(early.se, late.se)
    half = critical() * se
    return replace(
        row, early_lift=early.ratio - 1, late_lift=late.ratio - 1, lift_contrast=away, lift_contrast_low=away - half,
        lift_contrast_high=away + half, lift_contrast_p_value=p_two_sided(away / se),
    )  # fmt: skip


def event_legs(triangle: Triangle, metric: Metric, variant: str) -> Legs | None:
    """Read both legs of a time to event; None where no late week can ever be known."""
    plan, event = triangle.plan, metric.event
    assert event is not None
    declared, extra = plan.window("late"), extra_weeks(event)
    late = replace(declared, end_week=min(declared.end_week, longest(plan, event)))
    if late.weeks < 1:
        return None
    tables = tuple(life_table(triangle, event, key) for key in (plan.control.key, variant))
    paths = {
        test: _path(tables, metric, rolling.readings(triangle, test, late, extra)) for test in TESTS
    }  # fmt: skip
    early = _early_wins(triangle, metric, tables, extra)
    return EventLegs(triangle, metric, variant, early, paths, late, extra, tables)


def _early_wins(triangle: Triangle, metric: Metric, tables: Sequence[LifeTable], extra: int) -> Array:
    """One-sided repeated p values of fewer events early, by number of mature cohorts; NaN where nothing is known."""
    plan: Plan = triangle.plan
    early = plan.window("early")
    weeks = slice(early.start_week, early.end_week)
    mature = windows.mature_cohorts(plan, early.end_week + extra, triangle.as_of)
    score, variance = (np.cumsum(each[:, weeks].sum(axis=1)) for each in increments(*tables))
    units = np.cumsum(sum(table.at_risk[:, 0] for table in tables))
    p_values = np.full(plan.enrollment_weeks + 1, np.nan)
    for number in range(1, len(mature) + 1):
        seen = claims.Looks(tuple(variance[:number].tolist()), plan.enrollment_weeks, int(units[number - 1]))
        if variance[number - 1] > 0:
            # The score counts events beyond what equal hazards expect, and they shorten the time without one.
            z = -metric.sign * score[number - 1] / math.sqrt(variance[number - 1])
            p_values[number] = claims.one_sided_p(plan, seen, float(z))
    return p_values


def _path(tables: Sequence[LifeTable], metric: Metric, due: Sequence[Reading]) -> Path:
    """Test for more events in the weeks of the readings that are due."""
    score, variance = increments(*tables)
    held = []
    for reading in due:
        mask = np.zeros(score.shape, dtype=bool)
        mask[np.ix_(reading.cohorts, range(reading.window.start_week, reading.window.end_week))] = True
        held.append(mask)
    spread = [float(variance[mask].sum()) for mask in held]
    told = [position for position, value in enumerate(spread) if value > 0]
    scores = [metric.sign * float(score[held[place]].sum()) / math.sqrt(spread[place]) for place in told]
    matrix = np.array(
        [[variance[held[a] & held[b]].sum() / math.sqrt(spread[a] * spread[b]) for b in told] for a in told]
    )
    return rolling.tested(due, told, np.array(scores), matrix)
