"""Worlds of the Honeymoon example drawn as moments, with a plan whose two weeks are its two windows.

The true moments are frozen in tests/reference/honeymoon.json; make_honeymoon.py beside it says how they came about.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.moments import Moments, merge
from analysis.plan import Plan
from analysis.simulation_moments import CohortMoments, draw_moment_worlds
from analysis.triangle import Cell, Triangle
from tests.analysis.unit_rows import ACTIVE, HEAD_SHARE, LINES, triangle_of, two_windows

FROZEN = json.loads((Path(__file__).parents[1] / "reference" / "honeymoon.json").read_text(encoding="utf-8"))

#: Worlds a draw: the scatters of one batch take 250 * 8 * 81 numbers, a few megabytes.
BATCH = 250


def plan(pre_weeks: int = 8) -> Plan:
    """Early and late as weeks 0 and 1; the series stand in the order of the frozen columns."""
    return two_windows(metrics=(LINES, ACTIVE, HEAD_SHARE), enrollment_weeks=4, pre_weeks=pre_weeks)


def true_moments() -> tuple[CohortMoments, CohortMoments]:
    """Control and treatment."""
    share = np.array(FROZEN["share"])
    control, treatment = (
        CohortMoments(
            tuple(FROZEN["columns"]), 2, share, np.array(FROZEN[arm]["mean"]), np.array(FROZEN[arm]["covariance"])
        )
        for arm in ("control", "treatment")
    )
    return control, treatment


def without_late_effect(control: CohortMoments, treatment: CohortMoments) -> CohortMoments:
    """The treatment with the late means of the control: an early effect, then exactly nothing."""
    mean = treatment.mean.copy()
    for column in control.columns:
        late = control.position(column, 1)
        mean[:, late] = control.mean[:, late]
    return replace(treatment, mean=mean)


def worlds(
    control: CohortMoments, treatment: CohortMoments, units: int, count: int, seed: int, share: float = 0.5
) -> Iterator[dict[Cell, Moments]]:
    """Yield the cells of ``count`` drawn worlds."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, BATCH):
        batch = draw_moment_worlds(rng, control, treatment, units, min(BATCH, count - start), share)
        for world in range(len(batch.units)):
            yield {
                Cell(variant, cohort): Moments.from_parts(
                    int(batch.units[world, side, cohort]),
                    batch.mean[world, side, cohort],
                    batch.scatter[world, side, cohort],
                )
                for side, variant in enumerate(("control", "a"))
                for cohort in range(4)
            }


def merged(cells: dict[Cell, Moments], variant: str) -> Moments:
    """All units of a variant."""
    parts = [part for cell, part in cells.items() if cell.variant == variant]
    return merge(parts, len(parts[0].sums))


def triangles(
    control: CohortMoments, treatment: CohortMoments, units: int, count: int, seed: int
) -> Iterator[Triangle]:
    """Yield the triangles of drawn worlds, all of whose weeks are lived."""
    for cells in worlds(control, treatment, units, count, seed):
        yield triangle_of(plan(), cells)
