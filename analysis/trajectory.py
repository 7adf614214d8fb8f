"""The effect by time: by week since exposure alone (weekly), on the average of the weeks so far (cumulative), and by
calendar week from start_date (calendar), each with a band that holds for all its weeks at once.

Every row stands on all units of the cohorts that have lived its weeks, so rows of later weeks stand on fewer cohorts
until all have matured; the band takes into account that these rows share units.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby

import numpy as np

from analysis import bands, windows
from analysis.effects import WIDEST_LOG, Means, effect_of, log_lift, means_of
from analysis.influence import Influence, correlation, covariance, influence
from analysis.moments import Array, Layout
from analysis.plan import Metric, Window
from analysis.results import Comparison, TrajectoryKind, TrajectoryRow
from analysis.triangle import Triangle


@dataclass(frozen=True)
class Step:
    """One value of a trajectory: the average over a span of weeks, on the units of some cohorts."""

    span: Window
    cohorts: tuple[int, ...]
    readable_from: date


@dataclass(frozen=True, eq=False)
class LogLifts:
    """Log ratios of treatment and control means with their joint covariance.

    Attributes:
        steps: positions of the m steps that have one.
        values: shape (m,), ln(treatment mean / control mean).
        errors: shape (m,), the standard error of each by itself.
        covariance: shape (m, m).
    """

    steps: tuple[int, ...]
    values: Array
    errors: Array
    covariance: Array


def trajectory(triangle: Triangle, metric: Metric, variant: str) -> Iterator[TrajectoryRow]:
    """Yield a row for each week of the horizon, weekly, then cumulative, then for each calendar week.

    Of inactivity it is the share of units that are active in the week: retention of all exposed units, those who came
    back among them. Of an occurrence there is none: a unit is followed to its first event only. ``triangle`` may hold
    more than the metric's series; that of the metric alone is faster (``Triangle.of_metric``).
    """
    if metric.event is not None and metric.event.type == "occurrence":
        return
    yield from _rows(triangle, metric, variant, "weekly", weekly_steps(triangle))
    yield from _rows(triangle, metric, variant, "cumulative", cumulative_steps(triangle))
    yield from _rows(by_calendar(triangle), metric, variant, "calendar", calendar_steps(triangle))


def weekly_steps(triangle: Triangle) -> list[Step]:
    return _steps(triangle, [Window("", week, week + 1) for week in range(triangle.plan.horizon_weeks)])


def cumulative_steps(triangle: Triangle) -> list[Step]:
    return _steps(triangle, [Window("", 0, week + 1) for week in range(triangle.plan.horizon_weeks)])


def _steps(triangle: Triangle, spans: Sequence[Window]) -> list[Step]:
    plan, as_of = triangle.plan, triangle.as_of
    return [
        Step(span, windows.window_cohorts(plan, span, as_of), windows.fully_readable(plan, span.end_week))
        for span in spans
    ]


def calendar_steps(triangle: Triangle) -> list[Step]:
    """A step for each calendar week from start_date: the cohorts that were then followed, each in its own week."""
    plan, as_of = triangle.plan, triangle.as_of
    lived = {cohort: windows.mature_weeks(plan, cohort, as_of) for cohort in range(plan.enrollment_weeks)}
    steps = []
    for week in range(plan.enrollment_weeks + plan.horizon_weeks - 1):
        followed = [cohort for cohort in lived if 0 <= week - cohort < plan.horizon_weeks]
        cohorts = tuple(followed) if all(week - cohort < lived[cohort] for cohort in followed) else ()
        steps.append(Step(Window("", week, week + 1), cohorts, windows.readable(plan, 0, week + 1)))
    return steps


def by_calendar(triangle: Triangle) -> Triangle:
    """Return the triangle with each cohort's weeks moved to the calendar weeks from start_date in which they lie.

    Under the clock of the unit week k of cohort c begins in calendar week c + k and ends in the next.
    """
    plan = triangle.plan
    calendar = replace(plan, horizon_weeks=plan.enrollment_weeks + plan.horizon_weeks - 1)
    layout, moved = triangle.layout, Layout.of(calendar)
    cells = {}
    for cell, moments in triangle.cells.items():
        columns = np.full(moved.columns, -1, dtype=np.intp)
        for series in plan.series:
            first = moved.week(series, cell.cohort)
            columns[moved.pre(series)] = layout.pre(series)
            columns[first : first + plan.horizon_weeks] = layout.pre(series) + 1 + np.arange(plan.horizon_weeks)
        cells[cell] = moments.pick(columns)
    return replace(triangle, plan=calendar, cells=cells)


def _rows(
    triangle: Triangle, metric: Metric, variant: str, kind: TrajectoryKind, steps: list[Step]
) -> Iterator[TrajectoryRow]:
    found = estimates(triangle, metric, variant, steps)
    ends = joint_bands(triangle, variant, steps, found)
    for position, step in enumerate(steps):
        estimate = found.get(position)
        if estimate is not None:
            shown = effect_of(*estimate)
        elif kind == "calendar" and not step.cohorts:
            shown = Comparison(state="not_yet", reason=f"the week can be read from {step.readable_from}")
        else:
            shown = unread(triangle, variant, step.span.end_week, step.cohorts)
        low, high = ends.get(position, (None, None))
        if low is None and shown.state == "ok" and shown.reason is None:
            shown = replace(shown, reason="the lift is too uncertain for a band over all weeks")
        yield TrajectoryRow(
            **vars(shown), metric=metric.key, variant=variant, kind=kind, week=step.span.end_week - 1,
            readable_from=step.readable_from, band_low=low, band_high=high,
        )  # fmt: skip


def estimates(triangle: Triangle, metric: Metric, variant: str, steps: Sequence[Step]) -> dict[int, tuple[Means, int]]:
    """Return, by position of the step, the means that hold its value and where; steps on the same cohorts share them.

    Steps that no cohort has lived, or with fewer than two units in a variant, are left out.
    """
    found = {}
    order = sorted(range(len(steps)), key=lambda position: steps[position].cohorts)
    for cohorts, group in groupby(order, key=lambda position: steps[position].cohorts):
        positions = list(group)
        spans = [steps[position].span for position in positions]
        means = means_of(triangle, metric, variant, spans, cohorts) if cohorts else None
        if means is not None:
            found.update({position: (means, value) for value, position in enumerate(positions)})
    return found


def log_lifts(triangle: Triangle, variant: str, steps: Sequence[Step], found: dict[int, tuple[Means, int]]) -> LogLifts:
    """Return the log lifts of the steps that have one, with their covariance across weeks and cohorts."""
    positions, values, errors, parts = [], [], [], []
    by_means: dict[int, Influence] = {}
    for position, (means, value) in sorted(found.items()):
        lift = log_lift(means, value)
        if lift is None:
            continue
        if id(means) not in by_means:
            with np.errstate(divide="ignore", invalid="ignore"):
                by_means[id(means)] = influence(triangle, means, variant, steps[position].cohorts, log=True)
        positions.append(position)
        values.append(lift[0])
        errors.append(lift[1])
        parts.append((by_means[id(means)], value))
    matrix = covariance(triangle, [whole.pick(value) for whole, value in _runs(parts)])
    return LogLifts(tuple(positions), np.array(values), np.array(errors), matrix)


def _runs(parts: list[tuple[Influence, int]]) -> Iterator[tuple[Influence, list[int]]]:
    """Join neighbors that stand on the same cohorts: their covariances are then computed together."""
    for _, group in groupby(parts, key=lambda part: id(part[0])):
        members = list(group)
        yield members[0][0], [value for _, value in members]


def joint_bands(
    triangle: Triangle, variant: str, steps: Sequence[Step], found: dict[int, tuple[Means, int]]
) -> dict[int, tuple[float, float]]:
    lifts = log_lifts(triangle, variant, steps, found)
    if not lifts.steps:
        return {}
    z = bands.critical(correlation(lifts.covariance))
    ends = {}
    for position, value, error in zip(lifts.steps, lifts.values.tolist(), lifts.errors.tolist(), strict=True):
        half = z * error
        if half < WIDEST_LOG:
            means, place = found[position]
            center = math.copysign(value, value * means.control[place])
            ends[position] = math.expm1(center - half), math.expm1(center + half)
    return ends


def unread(triangle: Triangle, variant: str, end_week: int, cohorts: tuple[int, ...]) -> Comparison:
    """Return the comparison that stands where nothing can be estimated: not mature yet, or below two units."""
    plan = triangle.plan
    if not cohorts:
        first, last = windows.first_readable(plan, end_week), windows.fully_readable(plan, end_week)
        reason = f"no cohort has lived week {end_week - 1} yet: the first has on {first}, all have on {last}"
        return Comparison(state="not_yet", reason=reason)
    units = {key: triangle.moments(key, cohorts).n for key in (plan.control.key, variant)}
    found = ", ".join(f"{count} in {key}" for key, count in units.items())
    return Comparison(
        n_control=units[plan.control.key], n_treatment=units[variant], state="too_few",
        reason=f"a comparison needs two units in each variant; found {found}",
    )  # fmt: skip
