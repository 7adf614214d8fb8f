"""What would have been recommended at each past look, and what a short test would have done instead.

A past look is rebuilt from the same triangle (``Triangle.at``): it sees what it would have seen then. Beside it stands
the naive rule that most teams know, the two-week test: on the first two weeks of every unit, read once when all units
have lived them, launch if a primary metric is better with p < .05. What that would have cost, or brought, is the effect
in the late weeks that were read since.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

from analysis import rolling, windows
from analysis.effects import effect_of, means_of
from analysis.plan import Metric, Window
from analysis.results import Action, Comparison
from analysis.scorecard import by_metric, judge
from analysis.triangle import Triangle

#: The naive rule reads the first two weeks since exposure, once, at this two-sided level.
NAIVE = Window("two weeks", 0, 2)
NAIVE_LEVEL = 0.05


@dataclass(frozen=True)
class ReplayStep:
    """The recommendation for a treatment at one look."""

    variant: str
    look: int
    as_of: date
    action: Action
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a metric later: its effect (in its own unit, a week and a unit) and lift in the late weeks."""

    metric: str
    start_week: int
    end_week: int
    effect: float | None
    lift: float | None
    loss: bool


@dataclass(frozen=True)
class NaiveLaunch:
    """What the two-week rule would have done with a treatment, on which metric, and what came of it.

    ``launched`` is None until every unit has lived two weeks; ``metric`` is the winner, or the one with the smallest p.
    """

    variant: str
    as_of: date
    launched: bool | None
    metric: str | None = None
    lift: float | None = None
    p_value: float | None = None
    outcomes: tuple[Outcome, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class Replay:
    """Every look in order, by treatment, and the naive rule beside it."""

    steps: tuple[ReplayStep, ...]
    naive: tuple[NaiveLaunch, ...]


def replay(triangle: Triangle) -> Replay:
    """Replay every weekly look until the triangle's day."""
    steps: list[ReplayStep] = []
    of_metric = by_metric(triangle)
    for day in windows.weekly_looks(triangle.plan, triangle.as_of):
        card = judge(triangle.at(day), {key: own.at(day) for key, own in of_metric.items()})
        steps += [ReplayStep(row.variant, card.look, day, row.action, row.reasons) for row in card.recommendations]
    naive = tuple(_naive(triangle, variant.key) for variant in triangle.plan.treatments)
    return Replay(tuple(steps), naive)


def _naive(triangle: Triangle, variant: str) -> NaiveLaunch:
    plan = triangle.plan
    span = replace(NAIVE, end_week=min(NAIVE.end_week, plan.horizon_weeks))
    day = windows.fully_readable(plan, span.end_week)
    if day > triangle.as_of:
        return NaiveLaunch(variant, day, None, reason=f"not every unit has lived two weeks: all have on {day}")
    found = [
        (metric, shown)
        for metric in plan.estimated_metrics
        if metric.role == "primary" and (shown := _read(triangle, metric, variant, span)).p_value is not None
    ]
    if not found:
        return NaiveLaunch(variant, day, False, reason="no primary metric had an estimate after two weeks")
    wins = [(metric, shown) for metric, shown in found if _is_win(metric, shown)]
    metric, shown = min(wins or found, key=lambda item: item[1].p_value or 0.0)
    outcomes = tuple(_outcomes(triangle, variant))
    return NaiveLaunch(variant, day, bool(wins), metric.key, shown.lift, shown.p_value, outcomes)


def _read(triangle: Triangle, metric: Metric, variant: str, span: Window) -> Comparison:
    cohorts = tuple(range(triangle.plan.enrollment_weeks))
    means = means_of(triangle.of_metric(metric), metric, variant, [span], cohorts)
    return effect_of(means) if means is not None else Comparison(state="too_few")


def _is_win(metric: Metric, row: Comparison) -> bool:
    assert row.p_value is not None
    assert row.effect is not None
    return row.p_value < NAIVE_LEVEL and metric.sign * row.effect > 0


def _outcomes(triangle: Triangle, variant: str) -> Iterator[Outcome]:
    """Yield what is known today of every primary metric and guardrail late: the late window, or the newest weeks."""
    plan = triangle.plan
    late, cohorts = plan.window("late"), tuple(range(plan.enrollment_weeks))
    if triangle.as_of < windows.fully_readable(plan, late.end_week):
        newest = rolling.newest(triangle)
        if newest is None:
            return
        late, cohorts = newest.window, newest.cohorts
    for metric in plan.estimated_metrics:
        if metric.role in ("primary", "guardrail"):
            means = means_of(triangle.of_metric(metric), metric, variant, [late], cohorts)
            if means is not None:
                shown = effect_of(means)
                loss = shown.effect is not None and metric.sign * shown.effect < 0
                yield Outcome(metric.key, late.start_week, late.end_week, shown.effect, shown.lift, loss)
