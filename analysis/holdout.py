"""A holdout's effect by calendar week: everyone launched to, against those held out of all launches.

In calendar week w all units exposed before w are compared, so week 0 and each unit's own week of exposure, which it
has lived in part, are not read. Over several weeks the estimate is the average unit-week: the sum of values over the
sum of weeks in which units were followed, with the delta method, since later units have fewer of them (a ratio metric
stays the ratio of its sums). Variants are of very unequal size: Lin's adjustment has a slope for each (``effects``).

Looks are weekly until planned_end_date. The same units are measured again at every look, so increments are not
independent: alpha is spent by calendar time under the looks' own covariance, from ``influence``. The cumulative effect
decides; the newest weeks are drawn at the same levels and claim nothing by themselves.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from analysis import claims, sequential, windows
from analysis.effects import Means, effect_of, interval_of
from analysis.influence import correlation, covariance, influence
from analysis.moments import Array, Layout, Moments, Positions
from analysis.plan import Metric, Plan, Window
from analysis.results import Comparison, HoldoutKind, HoldoutRow
from analysis.trajectory import Step, estimates, joint_bands, unread
from analysis.triangle import Triangle
from analysis.windows import planned_weeks, week_begins

#: Calendar weeks that "now" averages over: one week is too noisy, more would hide what changed.
NOW_WEEKS = 4

#: The first calendar week before which somebody was exposed.
FIRST_WEEK = 1

#: A share of alpha below this spends nothing at any level (``sequential``); zero could not be divided by.
_LEAST_SHARE = 1e-15

Estimates = Mapping[int, tuple[Means, int]]


@dataclass(frozen=True, eq=False)
class LookPath:
    """The looks at one metric so far, those that can be tested.

    Attributes:
        places: positions of the k steps that have a score.
        scores: shape (k,), effect over standard error.
        correlation: shape (k, k), of the scores without any effect.
        shares: shape (k,), the part of alpha that may be spent by each look.
    """

    places: tuple[int, ...]
    scores: Array
    correlation: Array
    shares: Array

    def critical(self, alpha: float) -> Array:
        """Return the two-sided critical values of all looks at ``alpha``, shape (k,); infinite where none is spent."""
        return sequential.rolling_boundaries(self.correlation, alpha / 2 * self.shares)

    def p_values(self) -> Array:
        """Return the two-sided repeated p value of each look, shape (k,): below alpha beyond ``critical(alpha)``."""
        sides = [sequential.rolling_p(sign * self.scores, self.correlation, self.shares) for sign in (1, -1)]
        found: Array = np.minimum(1.0, 2 * np.minimum(*sides))
        return found


def metrics_read(plan: Plan) -> tuple[Metric, ...]:
    """The metrics that have an effect by calendar week: all but occurrences, which happen to a unit once."""
    return tuple(one for one in plan.metrics if one.event is None or one.event.type == "inactivity")


def build(triangle: Triangle) -> tuple[HoldoutRow, ...]:
    """Compute all rows of a holdout as of the triangle's day. Raises ValueError for a plan that is not a holdout's."""
    return tuple(row for metric in metrics_read(triangle.plan) for row in rows(triangle, metric))


def rows(triangle: Triangle, metric: Metric) -> Iterator[HoldoutRow]:
    """Yield a metric's rows: every week, the cumulative effect until every week, and the newest weeks."""
    plan, as_of = triangle.plan, triangle.as_of
    moved, weekly = followed(triangle, metric), weekly_steps(plan, as_of)
    found = estimates(moved, moved.plan.metrics[0], _launched(plan), weekly)
    bands = joint_bands(moved, _launched(plan), weekly, found)
    for place, step in enumerate(weekly):
        low, high = bands.get(place, (None, None))
        yield replace(_row(triangle, metric, "weekly", step, found.get(place)), band_low=low, band_high=high)
    yield from _claimed(triangle, moved, metric, "cumulative", cumulative_steps(plan, as_of))
    newest = now_steps(plan, as_of)
    if newest:
        *_, last = _claimed(triangle, moved, metric, "now", newest)
        yield last


# --- Weeks and units --------------------------------------------------------------------------------------------------
def lived_weeks(plan: Plan, as_of: date) -> int:
    """Return how many whole calendar weeks have been lived as of a day, at most until planned_end_date."""
    return max(0, min(planned_weeks(plan), (windows.read_until(plan, as_of) - plan.start_date).days // 7))


def cohorts_followed(plan: Plan, span: Window) -> tuple[int, ...]:
    """The cohorts exposed before one of these calendar weeks and still followed in it."""
    return tuple(
        cohort
        for cohort in range(min(plan.enrollment_weeks, span.end_week - 1))
        if cohort + plan.horizon_weeks > span.start_week
    )


def _step(plan: Plan, start: int, end: int, lived: int) -> Step:
    span = Window("", start, end)
    day = windows.readable(replace(plan, clock="calendar"), 0, end)
    return Step(span, cohorts_followed(plan, span) if end <= lived else (), day)


def weekly_steps(plan: Plan, as_of: date) -> list[Step]:
    """A step for each calendar week until planned_end_date; those not lived yet have no cohorts."""
    lived = lived_weeks(plan, as_of)
    return [_step(plan, week, week + 1, lived) for week in range(FIRST_WEEK, planned_weeks(plan))]


def cumulative_steps(plan: Plan, as_of: date) -> list[Step]:
    """A step for each look: all calendar weeks until then."""
    lived = lived_weeks(plan, as_of)
    return [_step(plan, FIRST_WEEK, week + 1, lived) for week in range(FIRST_WEEK, planned_weeks(plan))]


def now_steps(plan: Plan, as_of: date) -> list[Step]:
    """A step for each look so far: the newest four calendar weeks, as many as there were."""
    lived = lived_weeks(plan, as_of)
    return [_step(plan, max(FIRST_WEEK, end - NOW_WEEKS), end, lived) for end in range(FIRST_WEEK + 1, lived + 1)]


def followed(triangle: Triangle, metric: Metric) -> Triangle:
    """Return a metric's triangle by calendar week, all units together: values over weeks followed.

    Its plan has one ratio metric over ``planned_weeks``: the metric's own if it is one, and otherwise the sum of values
    over the number of unit-weeks, which is 1 in every week in which the cell's units are followed.
    """
    plan, weeks = triangle.plan, planned_weeks(triangle.plan)
    ratio = metric if metric.kind == "ratio" else _per_unit_week(metric)
    layout, moved = triangle.layout, Layout(ratio.series, weeks)
    cells = {}
    for cell, moments in triangle.cells.items():
        if cell.segment is not None:
            continue
        lived = np.arange(1, max(1, min(plan.horizon_weeks, weeks - cell.cohort)))
        columns = np.full(moved.columns, -1, dtype=np.intp)
        for own, target in zip(metric.series, ratio.series, strict=False):
            columns[moved.pre(target)] = layout.pre(own)
            columns[moved.pre(target) + 1 + cell.cohort + lived] = layout.pre(own) + 1 + lived
        picked = moments.pick(columns)
        if metric.kind != "ratio":
            picked = _counting_weeks(picked, moved.pre(ratio.series[1]) + 1 + cell.cohort + lived)
        cells[cell] = picked
    own_plan = replace(plan, horizon_weeks=weeks, metrics=(ratio,))
    return replace(triangle, plan=own_plan, cells=cells, events={}, rows=None)


def _per_unit_week(metric: Metric) -> Metric:
    return Metric(
        key=metric.key, kind="ratio", better=metric.better, role=metric.role, numerator="value", denominator="rows"
    )


def _counting_weeks(moments: Moments, columns: Positions) -> Moments:
    """Set columns to 1 for every unit: a constant needs no sums about a shift of itself."""
    shift = moments.shift.copy()
    shift[columns] = 1.0
    return replace(moments, shift=shift)


def _launched(plan: Plan) -> str:
    return plan.treatments[0].key


# --- Rows and claims --------------------------------------------------------------------------------------------------
def _row(
    triangle: Triangle, metric: Metric, kind: HoldoutKind, step: Step, estimate: tuple[Means, int] | None
) -> HoldoutRow:
    if estimate is not None:
        shown = effect_of(*estimate)
    elif not step.cohorts:
        shown = Comparison(state="not_yet", reason=f"the week can be read from {step.readable_from}")
    else:
        shown = unread(triangle, _launched(triangle.plan), step.span.end_week, step.cohorts)
    return HoldoutRow(
        **vars(shown), metric=metric.key, role=metric.role, kind=kind, start_week=step.span.start_week,
        end_week=step.span.end_week, readable_from=step.readable_from, margin=metric.margin,
    )  # fmt: skip


def path(moved: Triangle, steps: Sequence[Step], found: Estimates) -> LookPath:
    """Return the scores of the steps that have one, in order, with the covariance that the same units give them.

    ``moved`` is a metric's triangle by calendar week (``followed``).
    """
    plan, variant = moved.plan, _launched(moved.plan)
    places, scores, parts = [], [], []
    for place, (means, value) in sorted(found.items()):
        shown = effect_of(means, value)
        if shown.state != "ok" or shown.effect is None or not shown.effect_se:
            continue
        places.append(place)
        scores.append(shown.effect / shown.effect_se)
        parts.append(influence(moved, means, variant, steps[place].cohorts, log=False).pick([value]))
    matrix = correlation(covariance(moved, parts)) if parts else np.zeros((0, 0))
    rule, planned = plan.decision, planned_weeks(plan)
    times = [min(1.0, steps[place].span.end_week / planned) for place in places]
    shares = [float(sequential.spent(time, rule.alpha, rule.spending)) / rule.alpha for time in times]
    return LookPath(tuple(places), np.array(scores), matrix, np.maximum(shares, _LEAST_SHARE))


def level(plan: Plan, metric: Metric) -> claims.Level:
    """Return the level of a metric's claims: primary metrics share alpha, guardrails are judged by their margins."""
    alpha = plan.decision.alpha
    alike = sum(one.role == metric.role for one in metrics_read(plan))
    if metric.role == "primary":
        return claims.Level(alpha / alike, alpha / alike, alike)
    if metric.role == "guardrail":
        # Of inactivity the share of active weeks is read, of which more is better where the event is bad: as its sign.
        return claims.Level(alpha, alpha / alike) if metric.sign > 0 else claims.Level(alpha / alike, alpha)
    return claims.Level(alpha, alpha)


def _claimed(
    triangle: Triangle, moved: Triangle, metric: Metric, kind: HoldoutKind, steps: Sequence[Step]
) -> Iterator[HoldoutRow]:
    """Yield the rows of looks with what may be claimed at each."""
    plan = triangle.plan
    found = estimates(moved, moved.plan.metrics[0], _launched(plan), steps)
    seen, at = path(moved, steps, found), level(plan, metric)
    if seen.places:
        low, high, p_values = seen.critical(at.low), seen.critical(at.high), seen.p_values()
    looks = {place: look for look, place in enumerate(seen.places)}
    for place, step in enumerate(steps):
        row = _row(triangle, metric, kind, step, found.get(place))
        if place not in looks:
            yield row
            continue
        look = looks[place]
        p_value = min(1.0, float(p_values[look]) * at.family)
        row = replace(
            row, sequential_look=step.span.end_week - FIRST_WEEK, sequential_looks=planned_weeks(plan) - FIRST_WEEK,
            p_value_adjusted=p_value, sequential_significant=p_value < plan.decision.alpha,
        )  # fmt: skip
        yield _drawn(row, *found[place], float(low[look]), float(high[look]), metric)


def _drawn(row: HoldoutRow, means: Means, value: int, low: float, high: float, metric: Metric) -> HoldoutRow:
    """Fill in the intervals over all looks, with the critical values of both ends, and a guardrail's verdict."""
    if np.isinf(max(low, high)):
        return replace(row, reason=row.reason or "too early to claim anything: no alpha is spent at this look yet")
    effect_low, _, below = interval_of(means, value, low)
    _, effect_high, above = interval_of(means, value, high)
    row = replace(
        row, sequential_critical=low if metric.sign > 0 else high,
        sequential_effect_low=effect_low, sequential_effect_high=effect_high,
        sequential_lift_low=below.low, sequential_lift_high=above.high,
        reason=row.reason or below.reason or above.reason,
    )  # fmt: skip
    if metric.role != "guardrail" or row.kind != "cumulative":
        return row
    return replace(row, verdict=claims.verdict(metric, row.sequential_lift_low, row.sequential_lift_high))


def newest(rows: Sequence[HoldoutRow], metric: str, kind: HoldoutKind) -> HoldoutRow | None:
    """Return a metric's newest row of a kind that has been read, None before there is one."""
    read = [row for row in rows if (row.metric, row.kind) == (metric, kind) and row.state != "not_yet"]
    return max(read, key=lambda row: row.end_week, default=None)


def first_day(plan: Plan) -> date:
    """The first day on which anything of a holdout can be read."""
    return week_begins(plan, FIRST_WEEK + 1)
