"""Does a band hold the truth in all weeks at once, when later weeks stand on fewer cohorts, in 95 of 100 experiments?

Two-sided: a band that is too wide is as wrong as one that is too narrow (tests/rates/bounds.py).
"""

from collections.abc import Sequence

import numpy as np
import pytest

from analysis.simulation import NOTHING, Injection
from analysis.simulation_moments import CohortMoments
from analysis.trajectory import Step, by_calendar, calendar_steps, trajectory, weekly_steps
from analysis.trajectory import cumulative_steps as cumulative
from analysis.triangle import Triangle
from analysis.windows import weekly_looks
from tests.rates.bounds import check_at_most, check_coverage
from tests.rates.tables import frozen
from tests.rates.worlds import COLUMNS, HONEY, moments_of, worlds

KEYS = ("lines",)
MANY, FEW = 4_000, 60

COUNTS = [pytest.param(FEW, id="thin"), pytest.param(MANY, id="full", marks=pytest.mark.slow)]

#: Looks at which the first cohorts have lived more weeks than the last, and at which all have lived all weeks.
LOOKS = (12, 30)


def truth(control: CohortMoments, treatment: CohortMoments, steps: Sequence[Step], calendar: bool) -> np.ndarray:
    """True lifts of the steps on their cohorts; NaN where nothing is mature."""
    lifts = np.full(len(steps), np.nan)
    for place, step in enumerate(steps):
        sums = np.zeros(2)
        for cohort in step.cohorts:
            moved = cohort if calendar else 0
            weeks = range(step.span.start_week - moved, step.span.end_week - moved)
            columns = [control.position("lines", week) for week in weeks]
            for side, moments in enumerate((control, treatment)):
                sums[side] += moments.share[cohort] * moments.mean[cohort, columns].mean()
        if step.cohorts:
            lifts[place] = sums[1] / sums[0] - 1
    return lifts


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("name", "injection"), [("no effect", NOTHING), ("honeymoon", HONEY)])
def test_bands_hold_the_truth_in_all_weeks_at_once(name: str, injection: Injection, count: int) -> None:
    control, treatment = (moments_of(one, COLUMNS[KEYS]) for one in (NOTHING, injection))
    inside = {(look, kind): 0 for look in LOOKS for kind in ("weekly", "cumulative", "calendar")}
    pointwise = dict(inside)
    for whole in worlds(injection, KEYS, count, seed=61):
        for look in LOOKS:
            seen = whole.at(weekly_looks(whole.plan, whole.as_of)[look - 1])
            true = _true_lifts(seen, control, treatment)
            rows = list(trajectory(seen, seen.plan.metrics[0], "treatment"))
            for kind, lifts in true.items():
                known = [(row, lift) for row, lift in zip((r for r in rows if r.kind == kind), lifts, strict=True)
                         if row.band_low is not None]  # fmt: skip
                assert len(known) == np.isfinite(lifts).sum()
                inside[look, kind] += all(row.band_low <= lift <= row.band_high for row, lift in known)
                pointwise[look, kind] += all(row.lift_low <= lift <= row.lift_high for row, lift in known)
    lines = [
        f"look {look}, {kind}: {hits / count:.4f}; week by week {pointwise[look, kind] / count:.4f}"
        for (look, kind), hits in inside.items()
    ]
    text = (
        f"{name}, {count:,} worlds, seed 61: share whose band holds the truth in all weeks\n" + "\n".join(lines) + "\n"
    )
    print(text)
    for hits in inside.values():
        check_coverage(hits, count)
    # Single-week intervals leave the truth out somewhere far more often: that is what bands are for.
    check_at_most(pointwise[30, "weekly"], count, 0.8)
    if count == MANY:
        frozen(f"bands_{name.replace(' ', '_')}.txt", text)


def _true_lifts(seen: Triangle, control: CohortMoments, treatment: CohortMoments) -> dict[str, np.ndarray]:
    assert by_calendar(seen).plan.horizon_weeks == 29
    return {
        "weekly": truth(control, treatment, weekly_steps(seen), calendar=False),
        "cumulative": truth(control, treatment, cumulative(seen), calendar=False),
        "calendar": truth(control, treatment, calendar_steps(seen), calendar=True),
    }
