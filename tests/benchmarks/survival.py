"""What times to event cost at a million units: from counts, beside lifelines on the same units as rows.

From the counts by week everything a scorecard shows follows: curves with their intervals, restricted means, log-rank,
hazard ratios by period, proportionality, claims over looks, and the reversal's legs; the first time, and again with
the boundaries of its looks at hand. lifelines fits curves, the log-rank test and one hazard ratio to the rows; its Cox
model once as it comes and once with ``batch_mode=True``, which is faster where durations repeat.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis import survival
from analysis.event_counts import EventCounts
from analysis.plan import Event, Metric
from analysis.reversal import reversals
from analysis.triangle import Cell, Triangle
from tests.analysis.unit_rows import make_plan, triangle_of, variants

HORIZON, COHORTS, GAP = 26, 4, 4
CHURN = Metric("churn", "event", "lower", "guardrail", "long", event=Event("inactivity", "lines", GAP), margin=0.02)

#: What is promised of the counts at a million units.
MOST_SECONDS = 0.1


def world(units: int) -> tuple[Triangle, pd.DataFrame]:
    """The same lives as counts and as rows (duration, had, treated)."""
    plan = make_plan(
        metrics=(CHURN,), variants=variants(50, 50), enrollment_weeks=COHORTS, horizon_weeks=HORIZON, pre_weeks=0
    )
    random, tau = np.random.default_rng(1), HORIZON - GAP + 1
    cells, frames = {}, []
    for key, hazard in (("control", 0.02), ("a", 0.024)):
        for cohort in range(COHORTS):
            weeks = np.minimum(random.geometric(hazard, units // (2 * COHORTS)) - 1, HORIZON)
            weeks = np.where(weeks < tau, weeks, HORIZON)
            counts = EventCounts.none(HORIZON, 0)
            counts.weeks[:, HORIZON] = np.bincount(weeks, minlength=HORIZON + 1)
            cells[Cell(key, cohort)] = counts
            had = weeks < tau
            frames.append(pd.DataFrame({"duration": np.where(had, weeks + 1, tau), "had": had, "treated": key == "a"}))
    return replace(triangle_of(plan, {}), events={CHURN.event: cells}), pd.concat(frames, ignore_index=True)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def on_rows(rows: pd.DataFrame, batch: bool) -> dict[str, Callable[[], object]]:
    from lifelines import CoxPHFitter, KaplanMeierFitter
    from lifelines.statistics import logrank_test

    sides = [rows[rows["treated"] == side] for side in (False, True)]
    control, treatment = ((side["duration"], side["had"]) for side in sides)
    return {
        "curves": lambda: [KaplanMeierFitter().fit(*side) for side in (control, treatment)],
        "log-rank": lambda: logrank_test(control[0], treatment[0], control[1], treatment[1]),
        f"Cox{', batch mode' if batch else ''}": lambda: CoxPHFitter().fit(
            rows.astype(float), "duration", "had", batch_mode=batch
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=1_000_000)
    options = parser.parse_args()
    counted, rows = world(options.units)
    print(f"\nTimes to event, {options.units:,} units, {HORIZON} weeks, {int(rows['had'].sum()):,} events:\n")
    work = {
        "curves with intervals": lambda: list(survival.curves(counted)),
        "comparison with claims": lambda: survival.comparison(counted, CHURN, "a"),
        "reversal over all looks": lambda: reversals(counted, {"churn": counted}, "a"),
    }
    first = {name: seconds(run) for name, run in work.items()}
    again = {name: seconds(run) for name, run in work.items()}
    for name in work:
        print(f"  from counts: {name:<26} {first[name]:8.4f} s, again {again[name]:.4f} s")
    total = sum(first.values())
    print(f"  from counts: {'all of it':<26} {total:8.4f} s ({'holds' if total <= MOST_SECONDS else 'breaks'} 0.1 s)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for batch in (False, True):
            for name, run in on_rows(rows, batch).items():
                if not batch or "batch" in name:
                    print(f"  lifelines on rows: {name:<20} {seconds(run):8.4f} s")


if __name__ == "__main__":
    main()
