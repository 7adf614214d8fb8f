"""How small an effect a holdout can find until its planned end, on the past of its own source.

The past is read by calendar week as a holdout is (``holdout.followed``): its units take both sides, at the sizes that
are planned. Assumed: as in ``power``, the same number of units is exposed in each week of enrollment, they are like
those of the past, and launches do not change the variance.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from analysis.design import Design, direction, log_covariance
from analysis.history import History
from analysis.holdout import FIRST_WEEK, cohorts_followed, followed, lived_weeks, metrics_read
from analysis.plan import Plan, Window
from analysis.planned import PlannedUntilEnd
from analysis.sample_size import distance
from analysis.windows import planned_weeks


def until_end(found: History, plan: Plan, units_per_week: float) -> tuple[PlannedUntilEnd, ...]:
    """Return, for each metric that a holdout reads, the smallest lift that one look finds at alpha with the power.

    Over all calendar weeks until the planned end, or as many as the past has. ``units_per_week`` are those of both
    variants exposed in a week of enrollment. Raises ValueError for a plan that is not a holdout's.
    """
    return tuple(_rows(found, plan, units_per_week))


def _rows(found: History, plan: Plan, units_per_week: float) -> Iterator[PlannedUntilEnd]:
    planned, before = planned_weeks(plan), found.triangle.plan
    assert plan.planned_end_date is not None
    end = before.start_date + (plan.planned_end_date - plan.start_date)
    past = replace(found.triangle, plan=replace(before, planned_end_date=end))
    lived = lived_weeks(past.plan, past.as_of)
    span = Window("until the planned end", FIRST_WEEK, lived)
    cohorts = cohorts_followed(past.plan, span)
    for metric in metrics_read(plan):
        row = PlannedUntilEnd(metric=metric.key, start_week=FIRST_WEEK, end_week=lived, planned_weeks=planned)
        if not cohorts or lived <= FIRST_WEEK:
            yield replace(row, end_week=FIRST_WEEK, reason="the history has no whole calendar week after the first")
            continue
        moved = followed(past, metric)
        moments = moved.moments(before.control.key, cohorts)
        sized = replace(moved.plan, variants=plan.variants, enrollment_weeks=len(cohorts))
        design = Design(sized, moments, units_per_week, lived)
        row = replace(row, units=sum(design.sizes))
        means = design.means(moved.plan.metrics[0], [span])
        if isinstance(means, str):
            yield replace(row, reason=means)
            continue
        mean, se = float(means.control[0]), float(np.sqrt(log_covariance(means)[0, 0]))
        lift = distance(plan.decision.alpha, plan.decision.power) * se
        # What is to fall cannot fall by more than all.
        if lift >= (1.0 if direction(moved.plan.metrics[0], mean) < 0 else math.inf):
            yield replace(row, control_mean=mean, reason="even a fall to nothing is too small to be found")
        else:
            yield replace(row, control_mean=mean, mde_lift=lift)
