"""Several objectives at once: the overall evaluation criterion (OEC), where it flips, and dominated treatments.

OEC = sum of weight x signed lift over the metrics with a weight, each on the window that decides for it, signed so that
more is better. Metrics of the same units are correlated; the standard error uses their joint covariance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis import bands, windows
from analysis.effects import log_lift, means_of
from analysis.influence import Influence, correlation, covariance, influence
from analysis.moments import Array
from analysis.numbers import critical, standard_error
from analysis.plan import Metric
from analysis.results import Flip, OecRow
from analysis.triangle import Triangle


@dataclass(frozen=True, eq=False)
class Objectives:
    """Signed log lifts of the weighted metrics of one treatment, shape (m,), with their influence functions."""

    variant: str
    values: Array
    influences: tuple[Influence, ...]


def oec(triangle: Triangle) -> tuple[OecRow, ...]:
    """Return the OEC of every treatment; nothing without metrics that have a weight."""
    plan = triangle.plan
    weighted = [metric for metric in plan.metrics if metric.weight]
    if not weighted:
        return ()
    found, rows = [], []
    for treatment in plan.treatments:
        read = _read(triangle, weighted, treatment.key)
        if isinstance(read, str):
            rows.append(OecRow(variant=treatment.key, reason=read))
        else:
            found.append(read)
            rows.append(_row(triangle, weighted, read))
    return tuple(replace(row, dominated_by=_dominators(triangle, row.variant, found)) for row in rows)


def _read(triangle: Triangle, metrics: Sequence[Metric], variant: str) -> Objectives | str:
    """Return the objectives of a treatment, or why they cannot be read."""
    plan = triangle.plan
    cohorts = tuple(range(plan.enrollment_weeks))
    values, parts = [], []
    for metric in metrics:
        if metric.kind == "event":
            return f"{metric.key} is a time to event, which has no lift yet: give it no weight"
        window = plan.window(metric.deciding_window)
        readable = windows.fully_readable(plan, window.end_week)
        if triangle.as_of < readable:
            return f"{metric.key} decides in {window.label}, readable from {readable}"
        means = means_of(triangle, metric, variant, [window], cohorts)
        lift = log_lift(means, 0) if means is not None else None
        if means is None or lift is None:
            return f"{metric.key} has no lift in {window.label}"
        values.append(metric.sign * lift[0])
        part = influence(triangle, means, variant, cohorts, log=True)
        signed = {key: metric.sign * rows for key, rows in part.weights.items()}
        parts.append(replace(part, weights=signed))
    return Objectives(variant, np.array(values), tuple(parts))


def _row(triangle: Triangle, metrics: Sequence[Metric], read: Objectives) -> OecRow:
    weights = np.array([metric.weight for metric in metrics], dtype=float)
    signs = np.array([metric.sign for metric in metrics], dtype=float)
    # A signed log lift s ln(1 + L) has the signed lift s L, with derivative 1 + L.
    growth = np.exp(signs * read.values)
    lifts = signs * (growth - 1)
    value = float(weights @ lifts)
    gradient = weights * growth
    se = standard_error(float(gradient @ covariance(triangle, read.influences) @ gradient), 1.0)
    row = OecRow(variant=read.variant, value=value, flips=_flips(metrics, weights, lifts))
    if se is None:
        return replace(row, reason="the units do not vary, so there is no interval")
    half = critical() * se
    return replace(row, se=se, low=value - half, high=value + half)


def _flips(metrics: Sequence[Metric], weights: Array, lifts: Array) -> tuple[Flip, ...]:
    """Return the weights at which the OEC is zero, one metric at a time, the others keeping their proportions.

    Weights are shares of their sum W. With metric j at weight x the others are worth (W - x) r, r their weighted mean
    lift, so x lift_j + (W - x) r = 0. Only weights between 0 and W are given.
    """
    total, flips = float(weights.sum()), []
    for place, metric in enumerate(metrics):
        others = total - weights[place]
        if others <= 0:
            continue
        rest = float(weights @ lifts - weights[place] * lifts[place]) / others
        if rest == lifts[place]:
            continue
        flip = total * rest / (rest - float(lifts[place]))
        if 0 < flip < total and math.isfinite(flip):
            flips.append(Flip(metric.key, flip))
    return tuple(flips)


def _dominators(triangle: Triangle, variant: str, found: Sequence[Objectives]) -> tuple[str, ...]:
    """Return the treatments that are no worse on any of the metrics, and surely better on one (jointly over them)."""
    own = next((one for one in found if one.variant == variant), None)
    if own is None:
        return ()
    return tuple(other.variant for other in found if other is not own and _dominates(triangle, other, own))


def _dominates(triangle: Triangle, other: Objectives, own: Objectives) -> bool:
    difference = other.values - own.values
    if (difference < 0).any():
        return False
    size = len(difference)
    joint = covariance(triangle, [*other.influences, *own.influences])
    contrast = np.hstack([np.eye(size), -np.eye(size)])
    matrix = contrast @ joint @ contrast.T
    spread = np.sqrt(np.clip(np.diag(matrix), 0, None))
    return bool((difference > bands.critical(correlation(matrix)) * spread).any())
