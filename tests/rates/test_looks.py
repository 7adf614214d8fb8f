"""Read every week, are claims as rarely wrong as alpha says, and do intervals hold at all looks at once?

Each test has a bound above and one below: a rule that never claims anything must fail as well. With n worlds and a rate
p the binomial's standard error is sqrt(p (1 - p) / n); four of them are given, so that a right rule fails in one of
16,000 runs. 4,000 worlds see a true 6.5 % instead of 5 %.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest

from analysis import claims
from analysis.effects import effect_of, means_of
from analysis.plan import DecisionRule, Metric, Plan, Window
from analysis.results import EffectRow
from analysis.simulation import NOTHING, Injection
from analysis.triangle import Triangle
from tests.rates.worlds import COLUMNS, CONSTANT_WIN, HONEY, UNITS, moments_of, plan, worlds

ALPHA = 0.05
STANDARD_ERRORS = 4.0

#: Worlds in the slow run, and in the thin slice of every run.
MANY, FEW = 4_000, 300

#: A plain interval read at each of four looks (1.96) is wrong more often than this.
NAIVE = 0.08

COUNTS = [pytest.param(FEW, id="thin"), pytest.param(MANY, id="full", marks=pytest.mark.slow)]


def bound(rate: float, count: int) -> float:
    return STANDARD_ERRORS * math.sqrt(rate * (1 - rate) / count)


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


def ever_wrong(rule: DecisionRule, count: int, seed: int) -> tuple[float, float]:
    """Share of A/A worlds with any primary claim at any look, by the rule, and by 1.96 at every look."""
    keys = ("lines", "active")
    whole = replace(plan(*keys), decision=rule)
    ruled = naive = 0
    for triangle in worlds(NOTHING, keys, count, seed):
        rows = [
            row
            for metric in whole.metrics
            for window in whole.windows
            if (metric.key, window.name) in claims.judged(whole)
            for row in looks_at(triangle, whole, metric, window)
        ]
        ruled += any(claims.surely_better(whole.metrics[0], row) or claims.surely_worse(whole.metrics[0], row)
                     for row in rows)  # fmt: skip
        naive += any(row.p_value < ALPHA for row in rows)
    return ruled / count, naive / count


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
def test_of_experiments_without_effect_at_most_alpha_ever_claim_one(count: int, spending: str) -> None:
    """Three judged pairs share alpha by Bonferroni, and correlate: the family is wrong in .03 to .05."""
    ruled, naive = ever_wrong(DecisionRule(spending=spending), count, seed=51)
    print(f"{spending}: by the rule {ruled:.4f}, by 1.96 at every look {naive:.4f} of {count} worlds")
    assert ruled <= ALPHA + bound(ALPHA, count)
    assert ruled >= ALPHA / 2 - bound(ALPHA / 2, count)
    assert naive > NAIVE


@pytest.mark.parametrize("count", COUNTS)
def test_intervals_for_readers_at_any_time_are_wrong_at_most_as_often(count: int) -> None:
    """They hold at every moment, of which four are read here: far fewer errors than alpha, but not none at all."""
    ruled, _ = ever_wrong(DecisionRule(looks="any_time", planned_units=UNITS), count, seed=52)
    print(f"any time: {ruled:.4f} of {count} worlds")
    assert ruled <= ALPHA
    assert ruled > 0 or count < MANY


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(
    ("name", "injection"), [("no effect", NOTHING), ("constant win", CONSTANT_WIN), ("honeymoon", HONEY)]
)
def test_repeated_intervals_hold_the_truth_at_all_looks_at_once(name: str, injection: Injection, count: int) -> None:
    """Spending .05 over four looks, the intervals miss at some look in .05, and hold at the last one alone in more."""
    keys = ("lines",)
    whole = replace(plan(*keys), decision=DecisionRule())
    control, treatment = (moments_of(one, COLUMNS[keys]) for one in (NOTHING, injection))
    lines = replace(whole.metrics[0], role="secondary")  # a family of its own
    for window in whole.windows:
        weeks = range(window.start_week, window.end_week)
        columns = [control.position("lines", week) for week in weeks]
        # What is estimated at look j is the effect on the first j cohorts.
        away = (treatment.mean - control.mean)[:, columns].mean(axis=1)
        truth = [
            float(control.share[:number] @ away[:number] / control.share[:number].sum())
            for number in range(1, whole.enrollment_weeks + 1)
        ]
        joint = last = 0
        for triangle in worlds(injection, keys, count, seed=53):
            rows = looks_at(triangle, whole, lines, window)
            inside = [
                row.sequential_effect_low is None or row.sequential_effect_low <= value <= row.sequential_effect_high
                for row, value in zip(rows, truth, strict=True)
            ]
            joint += all(inside)
            last += inside[-1]
        print(f"{name}, {window.name}: all looks {joint / count:.4f}, the last {last / count:.4f}")
        assert joint / count == pytest.approx(1 - ALPHA, abs=max(0.01, bound(ALPHA, count)))
        assert last / count >= joint / count
