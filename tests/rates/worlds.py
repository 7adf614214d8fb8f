"""Whole experiments drawn as moments: the plan of the Honeymoon example and any injected course of the treatment.

Means and covariances are those of the recorded household weeks, exactly (analysis.simulation_moments); a world is a
full cohort triangle, and a past look of it is ``Triangle.at``. A plan with fewer metrics draws smaller matrices.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from functools import cache

import numpy as np

from analysis import claims, windows
from analysis.effects import effect_of, means_of
from analysis.moments import Moments
from analysis.plan import Metric, Plan, Window
from analysis.results import EffectRow
from analysis.simulation import NOTHING, Injection
from analysis.simulation_moments import CohortMoments, cohort_moments, draw_moment_worlds, treated_moments
from analysis.triangle import Cell, FactCount, FactWeek, Tally, Triangle
from experiments.definitions import load
from experiments.examples.households import load_households
from experiments.examples.worlds import HONEYMOON, definition_path, enrollment

UNITS = 40_000

#: Worlds a draw: the scatters of a batch must fit into memory.
BATCH = 100

#: Columns that the series of a plan's metrics need, in the order of the layout.
COLUMNS = {
    ("lines",): ("lines",),
    ("lines", "active"): ("lines", "active"),
    ("lines", "active", "head_share"): ("lines", "active", "head_lines"),
}


def multipliers(*steps: tuple[int, float]) -> tuple[float, ...]:
    """Weekly multipliers of lines: (first week, multiplier) pairs, each holding until the next."""
    values = [1.0] * 26
    for first, value in steps:
        values[first:] = [value] * (26 - first)
    return tuple(values)


CONSTANT_WIN = Injection(multiplier=(1.03,))
CONSTANT_LOSS = Injection(multiplier=(0.97,))
NOVELTY = Injection(multiplier=tuple(1.02 + 0.04 * float(np.exp(-week / 3)) for week in range(26)))
SLOW_BURN = Injection(multiplier=(0.97,) * 4 + tuple(0.97 + 0.007 * step for step in range(1, 11)))
EARLY_THEN_ZERO = Injection(multiplier=multipliers((0, 1.05), (4, 1.0)))
DIP = Injection(multiplier=multipliers((0, 1.02), (8, 0.97), (12, 1.02)))
HONEY = HONEYMOON.injection


@cache
def plan(*keys: str) -> Plan:
    """The Honeymoon plan with these metrics only."""
    whole = load(definition_path("honeymoon")).plan
    chosen = tuple(metric for metric in whole.metrics if metric.key in keys)
    rollback = tuple(one for one in whole.decision.rollback if one.metric in keys)
    return replace(whole, metrics=chosen, decision=replace(whole.decision, rollback=rollback))


@cache
def control_moments(columns: tuple[str, ...]) -> CohortMoments:
    households = load_households()
    return cohort_moments(households.trajectories, enrollment("honeymoon", households), columns, 26, 8)


@cache
def moments_of(injection: Injection, columns: tuple[str, ...]) -> CohortMoments:
    control = control_moments(columns)
    return control if injection == NOTHING else treated_moments(control, injection)


def all_mature(of: Plan) -> date:
    """The first weekly look with every cohort mature for the whole horizon."""
    return windows.weekly_looks(of, windows.fully_readable(of, of.horizon_weeks) + timedelta(days=6))[-1]


def worlds(
    injection: Injection, keys: tuple[str, ...], count: int, seed: int, units: int = UNITS
) -> Iterator[Triangle]:
    """Yield the triangles of ``count`` drawn experiments, everything mature."""
    columns = COLUMNS[keys]
    yield from drawn(plan(*keys), control_moments(columns), moments_of(injection, columns), count, seed, units)


def drawn(
    used: Plan, control: CohortMoments, treatment: CohortMoments, count: int, seed: int, units: int
) -> Iterator[Triangle]:
    """Yield the triangles of ``count`` experiments with these true moments, everything mature."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, BATCH):
        batch = draw_moment_worlds(rng, control, treatment, units, min(BATCH, count - start))
        for world in range(len(batch.units)):
            cells = {
                Cell(variant.key, cohort): Moments.from_parts(
                    int(batch.units[world, side, cohort]),
                    batch.mean[world, side, cohort],
                    batch.scatter[world, side, cohort],
                )
                for side, variant in enumerate(used.variants)
                for cohort in range(used.enrollment_weeks)
            }
            yield triangle(used, cells)


def looks_at(triangle: Triangle, whole: Plan, metric: Metric, window: Window) -> Iterator[EffectRow]:
    """Yield the row of a window at each of its looks: as one cohort after the other matures."""
    own = triangle.of_metric(metric)
    for number in range(1, whole.enrollment_weeks + 1):
        cohorts = tuple(range(number))
        means = means_of(own, metric, "treatment", [window], cohorts)
        assert means is not None
        row = EffectRow(
            **vars(effect_of(means)), metric=metric.key, role=metric.role, term=metric.term, variant="treatment",
            window=window.name, start_week=window.start_week, end_week=window.end_week, readable_from=own.as_of,
        )  # fmt: skip
        yield claims.claimed(row, means, claims.looks(own, "treatment", cohorts), whole, metric, window)


def triangle(of: Plan, cells: dict[Cell, Moments]) -> Triangle:
    """A triangle at full maturity, with a fact in every week."""
    day = all_mature(of)
    weeks = (day - of.start_date).days // 7
    tallies = {week: Tally(rows=1000, last=None) for week in range(-of.pre_weeks, weeks)}
    facts = {FactWeek(week, 0): FactCount(1, 0) for week in range(weeks)}
    return Triangle(of, day, cells, tallies, facts, of.start_date)
