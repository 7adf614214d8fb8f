"""Was everything recorded? Weeks without data, and weeks in which one variant was recorded differently."""

import math
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from statistics import median
from typing import NamedTuple

import numpy as np

from analysis import windows
from analysis.moments import Array
from analysis.plan import Metric, Plan, Series
from analysis.results import CheckRow
from analysis.trajectory import by_calendar, calendar_steps, estimates, log_lifts
from analysis.triangle import Triangle

#: A week with fewer rows than this share of its neighbors' median is a gap: holidays halve activity at most.
GAP_SHARE = 0.2

#: Neighbors with fewer rows than this say nothing: rare events leave whole weeks empty.
GAP_MIN_ROWS = 50

#: Gaps named in the detail; the others are counted.
GAPS_SHOWN = 3

#: A week without any activity in one variant is a gap where chance would leave it empty less often than this: rarer
#: than one in a hundred experiments of a hundred series and a hundred weeks.
SILENT_CHANCE = 1e-6

#: A week's lift must be off by this many standard errors, from the weeks before it and from those after it. Over a
#: hundred metrics of a hundred weeks 5 are exceeded by chance in less than one experiment of a hundred.
JUMP_ERRORS = 5.0

#: ... and by this much, for in large experiments everything is significant.
JUMP_SIZE = 0.05


def telemetry_gap(triangle: Triangle) -> CheckRow:
    """Weeks with hardly any rows between weeks that have many: data were lost, and would be read as no activity."""
    if triangle.first_fact is None:
        return CheckRow(check="telemetry_gap", state="unknown", detail="no facts yet")
    rows = _whole_weeks(triangle, triangle.first_fact)
    plan = triangle.plan
    gaps = [f"{_week(plan, week)}: {rows[week]:,} rows, usually {usual:,.0f}" for week, usual in _gaps(rows, plan)]
    gaps += [
        f"{_week(plan, week)}: {key} has no {name_of(series)} at all, the others have"
        for key, series, week in silences(triangle)
    ]
    if gaps:
        more = f"; and {len(gaps) - GAPS_SHOWN} more" if len(gaps) > GAPS_SHOWN else ""
        told = "; ".join(gaps[:GAPS_SHOWN]) + more
        detail = f"data are missing ({told}) and would be read as no activity; load them, then look again"
        return CheckRow(check="telemetry_gap", state="alarm", detail=detail)
    if len(rows) < 3:
        return CheckRow(check="telemetry_gap", state="unknown", detail="fewer than three whole weeks of facts")
    return CheckRow(check="telemetry_gap", state="ok", detail=f"{len(rows)} whole weeks, none nearly empty")


def _whole_weeks(triangle: Triangle, first: date) -> dict[int, int]:
    """Fact rows by calendar week from start_date, without the weeks that the ends of the data cut off."""
    plan = triangle.plan
    end = windows.read_until(plan, triangle.as_of)
    begin, stop = -(-(first - plan.start_date).days // 7), (end - plan.start_date).days // 7
    return {week: triangle.tallies[week].rows if week in triangle.tallies else 0 for week in range(begin, stop)}


def _gaps(rows: Mapping[int, int], plan: Plan) -> Iterator[tuple[int, float]]:
    """Yield the weeks with hardly any rows, and how many are usual around them.

    A week must be short of rows by the weeks around it and by those before it: growth is no gap. Weeks before the
    pre-period are not read by anybody.
    """
    for week, count in rows.items():
        before = [rows[other] for other in (week - 2, week - 1) if other in rows]
        after = [rows[other] for other in (week + 1, week + 2) if other in rows]
        if week < -plan.pre_weeks or not before or not after:
            continue
        usual = median(before + after)
        if usual >= GAP_MIN_ROWS and count < GAP_SHARE * min(usual, max(before)):
            yield week, usual


def silences(triangle: Triangle) -> Iterator[tuple[str, Series, int]]:
    """Yield (variant, series, calendar week) where a variant that was active before has only zeros, the others not.

    Only where that cannot be chance: by Cauchy and Schwarz at least (sum x)^2 / sum x^2 units of the others were
    active. A variant that never had any (clicks on what only a treatment shows) is not silenced. Under the clock of
    the unit a week since exposure lies in two calendar weeks, so an outage of a single week is not seen here.
    """
    plan = triangle.plan
    activity = [_activity(triangle, variant.key) for variant in plan.variants]
    for step in calendar_steps(triangle):
        if not step.cohorts:
            continue
        week = step.span.start_week
        units = np.array([triangle.moments(variant.key, step.cohorts).n for variant in plan.variants])
        for place, variant in enumerate(plan.variants):
            own = activity[place][1]
            went_quiet = (own[:, week] == 0) & own[:, :week].any(axis=1)
            others = [each[:, :, week] for at, each in enumerate(activity) if at != place]
            sums, squares = sum(others, np.zeros((2, len(plan.series))))
            active = np.divide(sums**2, squares, out=np.zeros_like(sums), where=squares > 0)
            rest = units.sum() - units[place]
            # Each active unit is one of this variant's with the same probability: none is a chance of this log.
            log_chance = active * (math.log(rest / units.sum()) if rest else 0.0)
            for index in np.flatnonzero(went_quiet & (log_chance < math.log(SILENT_CHANCE))):
                yield variant.key, plan.series[index], week


def _activity(triangle: Triangle, variant: str) -> Array:
    """Sums, then sums of squares, by series and calendar week from start_date over all cohorts; shape (2, s, weeks)."""
    plan, layout = triangle.plan, triangle.layout
    total = np.zeros((2, len(plan.series), plan.enrollment_weeks + plan.horizon_weeks - 1))
    columns = np.array([layout.pre(series) + 1 + np.arange(plan.horizon_weeks) for series in plan.series], dtype=int)
    for cohort in range(plan.enrollment_weeks):
        part = triangle.moments(variant, (cohort,))
        if part.n:
            spread = np.diag(part.covariance) * (part.n - 1) if part.n > 1 else np.zeros_like(part.mean)
            weeks = slice(cohort, cohort + plan.horizon_weeks)
            total[0, :, weeks] += part.n * part.mean[columns]
            total[1, :, weeks] += (spread + part.n * part.mean**2)[columns]
    return total


def name_of(series: Series) -> str:
    """Return the series in words: ``sum of lines``."""
    return f"{series.kind} of {series.column}" if series.column else "rows"


def _week(plan: Plan, week: int) -> str:
    day: date = plan.start_date + timedelta(days=7 * week)
    return f"week of {day}"


class Leap(NamedTuple):
    """How far a calendar week's log lift is from that of its neighbors, and how many standard errors that is."""

    week: int
    size: float
    errors: float


def jump(triangle: Triangle, of_metric: Mapping[str, Triangle]) -> CheckRow:
    """A lift that leaps in one calendar week and is back in the next: logging broke in one variant, not behavior."""
    plan, found, judged = triangle.plan, [], 0
    for metric in plan.estimated_metrics:
        for variant in plan.treatments:
            for leap in leaps(of_metric[metric.key], metric, variant.key):
                judged += 1
                if abs(leap.size) >= JUMP_SIZE and leap.errors >= JUMP_ERRORS:
                    where = f"{metric.key} of {variant.key} by {math.expm1(leap.size):+.0%}"
                    found.append((abs(leap.size), f"{where} in the {_week(plan, leap.week)}"))
    if not judged:
        detail = "no week can be compared with weeks before and after it yet"
        return CheckRow(check="jump", state="unknown", detail=detail)
    if not found:
        return CheckRow(check="jump", state="ok", detail=f"{judged} lifts of whole weeks, none leaps for a single week")
    detail = f"a lift leaps for one week ({max(found)[1]}): look for broken logging before reading on"
    return CheckRow(check="jump", state="alarm", detail=detail)


def leaps(own: Triangle, metric: Metric, variant: str) -> Iterator[Leap]:
    """Yield how far each calendar week leaps from the two weeks before it and from the two after, whichever is less.

    Where the two differ in sign the lift goes on its way, and the size is 0. Standard errors are by the covariance of
    the weeks, which share units. Under the clock of the unit, week k of cohort c is taken for calendar week c + k
    though it reaches into the next one, so that half of a leap may be seen in each of two weeks. ``own`` is the
    triangle of the metric.
    """
    calendar, steps = by_calendar(own), calendar_steps(own)
    lifts = log_lifts(calendar, variant, steps, estimates(calendar, metric, variant, steps))
    weeks = np.array([steps[place].span.start_week for place in lifts.steps])
    for week in weeks:
        sides = []
        for side in ((weeks >= week - 2) & (weeks < week), (weeks > week) & (weeks <= week + 2)):
            if side.any():
                weights = (weeks == week) - side / side.sum()
                se = math.sqrt(max(float(weights @ lifts.covariance @ weights), 0.0))
                size = float(weights @ lifts.values)
                sides.append((size, abs(size) / se if se else 0.0))
        if len(sides) == 2:
            same = sides[0][0] * sides[1][0] > 0
            size = min((size for size, _ in sides), key=abs) if same else 0.0
            yield Leap(int(week), size, min(errors for _, errors in sides))
