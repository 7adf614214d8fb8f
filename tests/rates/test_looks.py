"""Read every week, are claims as rarely wrong as alpha says, and do intervals hold at all looks at once?

Worlds of 40,000 units drawn as moments of recorded household weeks, cut down to what claims are about: the value before
exposure, in the early window, and in the late window. A window is read four times, as one cohort after the other has
lived it. Every world has the same units by variant and cohort (their expected numbers), so that boundaries, which
follow from these alone, are found once. What a run may say of a rate is in tests/rates/bounds.py.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest

from analysis import claims
from analysis.effects import effect_of, means_of
from analysis.moments import Moments
from analysis.plan import DecisionRule, Metric, Plan, Window
from analysis.results import EffectRow
from analysis.simulation_moments import CohortMoments, draw_moments
from analysis.triangle import Cell, Triangle
from tests.analysis.honeymoon_worlds import plan, true_moments
from tests.analysis.unit_rows import triangle_of
from tests.rates.bounds import check_at_least, check_at_most, check_coverage
from tests.rates.tables import frozen

ALPHA = 0.05
UNITS = 40_000

#: The three judged pairs of the plan correlate, so that Bonferroni's family is wrong in .046 and not in .050. To show
#: with confidence that this is at most .050 takes more worlds than anything else here.
FAMILY, MANY, FEW = 60_000, 4_000, 150

#: A plain interval read at each of four looks (1.96) is wrong more often than this.
NAIVE = 0.2

#: How far a single pair may be from its share of alpha, as a part of it: .0142 to .0192. Closer cannot be shown: 60,000
#: worlds know a rate of .0167 to .0012 either way.
SHARE = 0.15

RULES = {
    "O'Brien-Fleming type spending": DecisionRule(spending="obrien_fleming"),
    "Pocock type spending": DecisionRule(spending="pocock"),
    "read at any time": DecisionRule(looks="any_time", planned_units=UNITS),
}


def worlds(control: CohortMoments, treatment: CohortMoments, count: int, seed: int) -> Iterator[Triangle]:
    """Yield the triangles of drawn worlds with the expected numbers of units, all of whose weeks are lived."""
    rng, batch = np.random.default_rng(seed), 1_000
    for start in range(0, count, batch):
        size = min(batch, count - start)
        drawn = {}
        for key, moments in (("control", control), ("a", treatment)):
            for cohort, share in enumerate(moments.share):
                n = round(UNITS / 2 * share)
                found = draw_moments(rng, np.full(size, n), moments.mean[cohort], moments.covariance[cohort])
                drawn[Cell(key, cohort)] = (n, *found)
        for world in range(size):
            cells = {
                cell: Moments.from_parts(n, mean[world], scatter[world]) for cell, (n, mean, scatter) in drawn.items()
            }
            yield triangle_of(plan(), cells)


def looks_at(
    triangle: Triangle, rules: Mapping[str, Plan], metric: Metric, window: Window
) -> Iterator[dict[str, EffectRow]]:
    """Yield the row of a window at each of its looks, by rule: as one cohort after the other matures."""
    own = triangle.of_metric(metric)
    for number in range(1, triangle.plan.enrollment_weeks + 1):
        cohorts = tuple(range(number))
        means = means_of(own, metric, "a", [window], cohorts)
        assert means is not None
        row = EffectRow(
            **vars(effect_of(means)), metric=metric.key, role=metric.role, term=metric.term, variant="a",
            window=window.name, start_week=window.start_week, end_week=window.end_week, readable_from=own.as_of,
        )  # fmt: skip
        looks = claims.looks(own, "a", cohorts)
        yield {name: claims.claimed(row, means, looks, whole, metric, window) for name, whole in rules.items()}


def wrong_claims(count: int, seed: int) -> Counter[str]:
    """Count A/A worlds with any primary claim at any look, by rule and by 1.96 at every look; of single pairs too."""
    control, _ = true_moments()
    plans = {name: replace(plan(), decision=rule) for name, rule in RULES.items()}
    metrics = {metric.key: metric for metric in plan().metrics}
    pairs = [(metrics[key], plan().window(name)) for key, name in claims.judged(plan())]
    wrong: Counter[str] = Counter()
    for triangle in worlds(control, control, count, seed):
        ever, naive = dict.fromkeys(RULES, False), False
        for place, (metric, window) in enumerate(pairs):
            rows = list(looks_at(triangle, plans, metric, window))
            naive |= any((row.p_value or 1.0) < ALPHA for at in rows for row in at.values())
            for name in RULES:
                hit = any(
                    claims.surely_better(metric, at[name]) or claims.surely_worse(metric, at[name]) for at in rows
                )
                wrong[f"{name}, pair {place}"] += hit
                ever[name] |= hit
        wrong.update(name for name, hit in {**ever, "1.96": naive}.items() if hit)
    return wrong


@pytest.mark.parametrize(
    "count", [pytest.param(FEW, id="thin"), pytest.param(FAMILY, id="full", marks=pytest.mark.slow)]
)
def test_of_experiments_without_effect_at_most_alpha_ever_claim_one(count: int) -> None:
    """Each judged pair spends its third of alpha, no more and no less, and so the family spends at most alpha.

    Intervals for readers at any time hold at every moment, of which four are read here: far fewer errors than alpha.
    """
    wrong = wrong_claims(count, seed=51)
    text = "\n".join(f"{name}: {wrong[name] / count:.4f}" for name in (*RULES, "1.96"))
    text = f"{count:,} worlds without effect, seed 51: share with a primary claim at any look\n{text}\n"
    print(text)
    for name in RULES:
        check_at_most(wrong[name], count, ALPHA)
        if name == "read at any time":
            assert wrong[name] > 0 or count == FEW
            continue
        check_at_least(wrong[name], count, ALPHA / 2)
        for place in range(3):
            check_at_most(wrong[f"{name}, pair {place}"], count, (1 + SHARE) * ALPHA / 3)
            check_at_least(wrong[f"{name}, pair {place}"], count, (1 - SHARE) * ALPHA / 3)
    check_at_least(wrong["1.96"], count, NAIVE)
    if count == FAMILY:
        frozen("looks.txt", text)


def lifted(control: CohortMoments, factor: float) -> CohortMoments:
    """Lines and head lines of every week times a factor."""
    scale = np.ones(control.mean.shape[1])
    for column in ("lines", "head_lines"):
        scale[[control.position(column, week) for week in range(control.weeks)]] = factor
    return replace(
        control, mean=control.mean * scale, covariance=control.covariance * np.multiply.outer(scale, scale)
    )  # fmt: skip


@pytest.mark.parametrize("count", [pytest.param(FEW, id="thin"), pytest.param(MANY, id="full", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["no effect", "constant win", "honeymoon"])
def test_repeated_intervals_hold_the_truth_at_all_looks_at_once(name: str, count: int) -> None:
    """Spending .05 over four looks, the intervals miss at some look in .05, and at the last one alone in fewer."""
    control, honeymoon = true_moments()
    treatment = {"no effect": control, "constant win": lifted(control, 1.03), "honeymoon": honeymoon}[name]
    # A secondary metric shares alpha with none.
    lines = replace(plan().metrics[0], role="secondary", term=None)
    rules = {
        rule: replace(plan(), metrics=(lines,), decision=DecisionRule(spending=rule))
        for rule in ("obrien_fleming", "pocock")
    }
    joint, last = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for triangle in worlds(control, treatment, count, seed=53):
        for window in plan().windows:
            # What is estimated at look j is the effect on the first j cohorts.
            away = (treatment.mean - control.mean)[:, control.position("lines", window.start_week)]
            truth = np.cumsum(control.share * away) / np.cumsum(control.share)
            rows = list(looks_at(triangle, rules, lines, window))
            for rule in rules:
                inside = [holds(at[rule], value) for at, value in zip(rows, truth, strict=True)]
                joint[rule, window.name] += all(inside)
                last[rule, window.name] += inside[-1]
    for key, hits in joint.items():
        print(f"{name}, {', '.join(key)}: all looks {hits / count:.4f}, the last alone {last[key] / count:.4f}")
        check_coverage(hits, count)
        assert last[key] >= hits


def holds(row: EffectRow, value: float) -> bool:
    """Whether the interval over all looks holds a value; an infinite one does."""
    low, high = row.sequential_effect_low, row.sequential_effect_high
    return low is None or high is None or low <= value <= high
