"""Checks of the data's health. A check is ok, in alarm, or unknown with the reason; it never changes a number."""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from statistics import median

import numpy as np
from scipy import special

from analysis import windows
from analysis.moments import Array
from analysis.numbers import MIN_UNITS_FOR_INTERVAL
from analysis.plan import Plan
from analysis.results import CheckRow
from analysis.srm import LEVEL, chi_square, srm, srm_cohort, srm_sequential
from analysis.trajectory import by_calendar, calendar_steps, estimates, log_lifts
from analysis.triangle import Triangle

#: An alarm of one of these says that the numbers are not to be used at all.
BLOCKING = ("srm", "srm_sequential", "srm_cohort")

#: Days without any fact at the end of the data after which they are taken as incomplete.
STALE_DAYS = 7

#: A week with fewer rows than this share of its neighbors' median is a gap: holidays halve activity at most.
GAP_SHARE = 0.2

#: Neighbors with fewer rows than this say nothing: rare events leave whole weeks empty.
GAP_MIN_ROWS = 50

#: A week's lift must be off by this many standard errors, from the weeks before it and from those after it. Over a
#: hundred metrics of a hundred weeks 5 are exceeded by chance in less than one experiment of a hundred.
JUMP_ERRORS = 5.0

#: ... and by this much, for in large experiments everything is significant.
JUMP_SIZE = 0.05


def checks(triangle: Triangle, of_metric: Mapping[str, Triangle]) -> Iterator[CheckRow]:
    """Yield every check of the data as of the triangle's day. ``of_metric`` has each metric's own triangle."""
    yield srm(triangle)
    yield srm_sequential(triangle)
    yield srm_cohort(triangle)
    yield attrition(triangle)
    yield pre_period_balance(triangle)
    yield telemetry_gap(triangle)
    yield jump(triangle, of_metric)
    yield freshness(triangle)


def attrition(triangle: Triangle) -> CheckRow:
    """Whether units leave (closed accounts, withdrawn consent) at different rates: what is left then is not random."""
    plan = triangle.plan
    if triangle.left is None:
        detail = "no left_at column, so leaving is not known (inactivity is not leaving)"
        return CheckRow(check="attrition", state="unknown", detail=detail)
    units = [triangle.units(variant.key) for variant in plan.variants]
    gone = [sum(n for (key, _), n in triangle.left.items() if key == variant.key) for variant in plan.variants]
    seen = ", ".join(
        f"{count:,} of {n:,} in {variant.key}" for variant, count, n in zip(plan.variants, gone, units, strict=True)
    )
    if not sum(units):
        return CheckRow(check="attrition", state="unknown", detail="no units yet")
    p_value = chi_square(gone, np.array(units) / sum(units))
    if p_value is None:
        return CheckRow(check="attrition", state="unknown", detail=f"too few units have left to tell: {seen}")
    alarm = p_value < LEVEL
    advice = "; those who stayed are no longer comparable" if alarm else ""
    return CheckRow(
        check="attrition", state="alarm" if alarm else "ok", p_value=p_value, detail=f"{seen} have left{advice}"
    )  # fmt: skip


def pre_period_balance(triangle: Triangle) -> CheckRow:
    """Whether the variants were alike before exposure: one chi-square over all series and treatments (Wald)."""
    plan = triangle.plan
    if not plan.pre_weeks or not plan.series:
        return CheckRow(check="pre_period_balance", state="unknown", detail="there is no pre-period (pre_weeks: 0)")
    columns = np.array([triangle.layout.pre(series) for series in plan.series])
    everyone = tuple(range(plan.enrollment_weeks))
    arms = [triangle.moments(variant.key, everyone) for variant in (plan.control, *plan.treatments)]
    if min(arm.n for arm in arms) < MIN_UNITS_FOR_INTERVAL:
        detail = f"fewer than {MIN_UNITS_FOR_INTERVAL} units in a variant"
        return CheckRow(check="pre_period_balance", state="unknown", detail=detail)
    small = [arm.pick(columns) for arm in arms]
    away = np.concatenate([arm.mean - small[0].mean for arm in small[1:]])
    spread = [arm.covariance / arm.n for arm in small]
    covariance = np.asarray(np.kron(np.ones((len(small) - 1,) * 2), spread[0]), dtype=np.float64)
    for place, own in enumerate(spread[1:]):
        inside = slice(place * len(columns), (place + 1) * len(columns))
        covariance[inside, inside] += own
    p_value = _wald(np.asarray(away), covariance)
    if p_value is None:
        return CheckRow(check="pre_period_balance", state="unknown", detail="nothing varies before exposure")
    scores = np.abs(away) / np.sqrt(np.where(np.diag(covariance) > 0, np.diag(covariance), np.inf))
    worst = plan.series[int(np.argmax(scores)) % len(columns)]
    name = f"{worst.kind} of {worst.column}" if worst.column else "rows"
    alarm = p_value < LEVEL
    detail = f"furthest apart before exposure: {name}, {scores.max():.1f} standard errors"
    advice = "; the variants were not alike from the start" if alarm else ""
    return CheckRow(
        check="pre_period_balance", state="alarm" if alarm else "ok", p_value=p_value, detail=detail + advice
    )  # fmt: skip


def _wald(away: Array, covariance: Array) -> float | None:
    """P value of away' covariance^-1 away on as many degrees of freedom as there are directions that vary."""
    scale = np.sqrt(np.where(np.diag(covariance) > 0, np.diag(covariance), 1.0))
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    kept = values > 1e-9 * max(float(values[-1]), 0.0)
    if not kept.any() or values[-1] <= 0:
        return None
    along = vectors[:, kept].T @ (away / scale)
    return float(special.chdtrc(int(kept.sum()), float((along**2 / values[kept]).sum())))


def telemetry_gap(triangle: Triangle) -> CheckRow:
    """Weeks with hardly any rows between weeks that have many: data were lost, and would be read as no activity."""
    plan, first = triangle.plan, triangle.first_fact
    if first is None:
        return CheckRow(check="telemetry_gap", state="unknown", detail="no facts yet")
    end = windows.read_until(plan, triangle.as_of)
    # The first and last calendar weeks may be cut off by the data's ends: only whole weeks are compared.
    begin, stop = -(-(first - plan.start_date).days // 7), (end - plan.start_date).days // 7
    rows = {week: triangle.tallies[week].rows if week in triangle.tallies else 0 for week in range(begin, stop)}
    gaps = []
    for week, count in rows.items():
        near = [rows[other] for other in (week - 2, week - 1, week + 1, week + 2) if other in rows]
        both_sides = week - 1 in rows and week + 1 in rows
        usual = median(near) if near else 0
        if both_sides and usual >= GAP_MIN_ROWS and count < GAP_SHARE * usual:
            gaps.append((week, count, usual))
    if len(rows) < 3:
        return CheckRow(check="telemetry_gap", state="unknown", detail="fewer than three whole weeks of facts")
    if not gaps:
        return CheckRow(check="telemetry_gap", state="ok", detail=f"{len(rows)} whole weeks, none nearly empty")
    told = "; ".join(f"{_week(plan, week)}: {n:,} rows, usually {usual:,.0f}" for week, n, usual in gaps[:3])
    detail = f"rows are missing ({told}) and would be read as no activity"
    return CheckRow(check="telemetry_gap", state="alarm", detail=detail)


def _week(plan: Plan, week: int) -> str:
    day: date = plan.start_date + timedelta(days=7 * week)
    return f"week of {day}"


def jump(triangle: Triangle, of_metric: Mapping[str, Triangle]) -> CheckRow:
    """A lift that leaps in one calendar week and is back in the next: logging broke in one variant, not behavior.

    Each week is compared with the two before and the two after, by the covariance of the weeks. Under the clock of the
    unit week k of cohort c is taken for calendar week c + k, though it reaches into the next one.
    """
    plan, found, judged = triangle.plan, [], 0
    for metric in plan.estimated_metrics:
        own = of_metric[metric.key]
        calendar, steps = by_calendar(own), calendar_steps(own)
        for variant in plan.treatments:
            lifts = log_lifts(calendar, variant.key, steps, estimates(calendar, metric, variant.key, steps))
            for place in range(1, len(lifts.steps) - 1):
                judged += 1
                size = _leap(lifts.values, lifts.covariance, place)
                if size:
                    week = steps[lifts.steps[place]].span.start_week
                    found.append(
                        (abs(size), f"{metric.key} of {variant.key} by {size:+.0%} in the {_week(plan, week)}")
                    )
    if not judged:
        return CheckRow(check="jump", state="unknown", detail="fewer than three weeks have a lift")
    if not found:
        return CheckRow(check="jump", state="ok", detail="no lift leaps for a single week")
    detail = f"a lift leaps for one week ({max(found)[1]}): look for broken logging before reading on"
    return CheckRow(check="jump", state="alarm", detail=detail)


def _leap(values: Array, covariance: Array, place: int) -> float:
    """Return how far a week leaps from the weeks before and from those after, the smaller of the two; 0 for no leap."""
    sizes = []
    for side in (slice(max(0, place - 2), place), slice(place + 1, place + 3)):
        weights = np.zeros(len(values))
        weights[side] = -1 / len(values[side])
        weights[place] = 1
        size, variance = float(weights @ values), float(weights @ covariance @ weights)
        if abs(size) < JUMP_SIZE or size * size < JUMP_ERRORS**2 * variance:
            return 0.0
        sizes.append(size)
    return min(sizes, key=abs) if sizes[0] * sizes[1] > 0 else 0.0


def freshness(triangle: Triangle) -> CheckRow:
    """Whether facts reach up to as_of: weeks without data would be read as weeks without activity."""
    end = windows.read_until(triangle.plan, triangle.as_of)
    last = triangle.data.last
    if last is None:
        return CheckRow(check="freshness", state="unknown", detail=f"no facts before {end}")
    silent = (end - last).days - 1
    if silent >= STALE_DAYS:
        detail = f"the last fact is of {last}; the {silent} days after it are read as days without activity"
        return CheckRow(check="freshness", state="alarm", detail=detail)
    return CheckRow(check="freshness", state="ok", detail=f"facts up to {last}")
