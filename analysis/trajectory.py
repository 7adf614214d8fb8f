"""The effect by week since exposure: each week alone (weekly) and the average of the weeks so far (cumulative).

Every row stands on all units of the cohorts that have lived its weeks, so rows of later weeks stand on fewer cohorts
until all have matured.
"""

from collections.abc import Iterator
from itertools import groupby

from analysis import windows
from analysis.effects import effect_of, means_of
from analysis.plan import Metric, Window
from analysis.results import Comparison, TrajectoryKind, TrajectoryRow
from analysis.triangle import Triangle


def trajectory(triangle: Triangle, metric: Metric, variant: str) -> Iterator[TrajectoryRow]:
    """Yield a row for each week of the horizon, weekly first, then cumulative."""
    weeks = range(triangle.plan.horizon_weeks)
    yield from _rows(triangle, metric, variant, "weekly", [Window("", week, week + 1) for week in weeks])
    yield from _rows(triangle, metric, variant, "cumulative", [Window("", 0, week + 1) for week in weeks])


def _rows(
    triangle: Triangle, metric: Metric, variant: str, kind: TrajectoryKind, spans: list[Window]
) -> Iterator[TrajectoryRow]:
    plan, as_of = triangle.plan, triangle.as_of
    for cohorts, group in groupby(spans, key=lambda span: windows.window_cohorts(plan, span, as_of)):
        members = list(group)
        means = means_of(triangle, metric, variant, members, cohorts) if cohorts else None
        for position, span in enumerate(members):
            if means is not None:
                shown = effect_of(means, position)
            else:
                shown = unread(triangle, variant, span.end_week, cohorts)
            yield TrajectoryRow(
                **vars(shown), metric=metric.key, variant=variant, kind=kind, week=span.end_week - 1,
                readable_from=windows.fully_readable(plan, span.end_week),
            )  # fmt: skip


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
