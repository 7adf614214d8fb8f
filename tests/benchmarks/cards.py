"""What a scorecard costs beyond the moments pass: 20 metrics x 26 weeks, every test, band, claim and check.

By itself: ``python -m tests.benchmarks.cards``. Each repeat draws new moments, so that nothing is found in a cache that
a first look would not find either.
"""

import time
from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from analysis import scorecard
from analysis.moments import Layout, Moments
from analysis.plan import DecisionRule, Metric, Plan, Variant, Window
from analysis.simulation_moments import draw_moments
from analysis.triangle import Cell, FactCount, FactWeek, Tally, Triangle
from analysis.windows import fully_readable

METRICS, WEEKS, COHORTS, UNITS = 20, 26, 4, 40_000

#: Seconds that are promised.
MOST = 1.0

_START = date(2024, 1, 1)


def plan() -> Plan:
    """A short-term and two long-term primaries, four guardrails (one a ratio), and secondary metrics."""
    metrics = [Metric(key="short", kind="mean", column="c0", better="higher", role="primary", term="short")]
    for number in range(1, METRICS):
        role = "primary" if number < 3 else "guardrail" if number < 7 else "secondary"
        metrics.append(Metric(
            key=f"m{number}", kind="mean", column=f"c{number}", better="higher" if number % 2 else "lower", role=role,
            term="long" if role == "primary" else None, margin=0.02 if role == "guardrail" else None,
        ))  # fmt: skip
    metrics[6] = Metric(
        key="share", kind="ratio", numerator="c6", denominator="c0", better="lower", role="guardrail", margin=0.02
    )
    return Plan(
        key="bench", name="Benchmark", unit="unit",
        variants=(Variant("control", 50, control=True), Variant("treatment", 50)), start_date=_START,
        enrollment_weeks=COHORTS, horizon_weeks=WEEKS, pre_weeks=8, clock="unit",
        windows=(Window("early", 0, 4), Window("late", 13, WEEKS)), metrics=tuple(metrics), decision=DecisionRule(),
    )  # fmt: skip


def triangle(of: Plan, seed: int) -> Triangle:
    """Units whose habits last; each metric's lift goes from somewhere near zero to somewhere near zero."""
    rng = np.random.default_rng(seed)
    layout, weeks = Layout.of(of), WEEKS + 1
    habit = 0.5 + 0.5 * 0.7 ** np.abs(np.subtract.outer(np.arange(weeks), np.arange(weeks)))
    between = 0.3 + 0.7 * np.eye(len(of.series))
    control = np.full(layout.columns, 20.0)
    ends = rng.normal(0, 0.02, (2, len(of.series)))
    path = np.linspace(ends[0], ends[1], weeks).T
    path[:, 0] = 0  # the pre-period
    means = {"control": control, "treatment": control * (1 + path.ravel())}
    cells = {}
    for key, mean in means.items():
        count = UNITS // (2 * COHORTS)
        drawn = draw_moments(rng, np.full(COHORTS, count), mean, 400 * np.kron(between, habit))
        for cohort, parts in enumerate(zip(*drawn, strict=True)):
            cells[Cell(key, cohort)] = Moments.from_parts(count, *parts)
    day = fully_readable(of, WEEKS)
    lived = range((day - _START).days // 7)
    tallies = {week: Tally(rows=1000, last=day - timedelta(days=1)) for week in lived}
    facts = {FactWeek(week, 0): FactCount(1, 0) for week in lived}
    return Triangle(of, day, cells, tallies, facts, _START)


def measure(repeats: int) -> list[float]:
    """Seconds of each repeat, after one that loads what is loaded once in a process."""
    times = []
    for seed in range(repeats + 1):
        drawn = triangle(plan(), seed)
        start = time.perf_counter()
        scorecard.build(replace(drawn))
        times.append(time.perf_counter() - start)
    return times[1:]


def told(times: list[float]) -> list[str]:
    first = f"{METRICS} metrics x {WEEKS} weeks, {UNITS:,} units in {COHORTS} cohorts, from moments to scorecard:"
    return [first, f"{min(times):.2f} s at best, {sorted(times)[len(times) // 2]:.2f} s in the median of {len(times)}"]


def bound(times: list[float]) -> str:
    verdict = "holds" if min(times) <= MOST else "broken"
    return f"scorecard of {METRICS} metrics x {WEEKS} weeks at most {MOST:g} s beyond the pass: {verdict}"


if __name__ == "__main__":
    print("\n".join([*told(found := measure(5)), bound(found)]))
