"""The formulas of the definition file's documentation, on rows of units with pandas and numpy; no code under test.

A value of a unit in a window is its average over the window's weeks. Here every formula is written out for one metric,
two windows and two variants: slow, long and easy to check by eye.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.plan import Window
from tests.analysis.unit_rows import Rows

#: Series of each metric by name: one for means, numerator and denominator for ratios.
SERIES = {"lines": ("lines",), "active": ("active",), "head_share": ("head", "lines"), "lines_a_row": ("lines", "rows")}


@dataclass(frozen=True)
class Answer:
    """Two windows (early, late), both variants; means, effects, standard errors and the contrasts."""

    n_control: int
    n_treatment: int
    control: list[float]
    treatment: list[float]
    raw_control: list[float]
    raw_treatment: list[float]
    effect: list[float]
    se: list[float]
    relative_se: list[float]
    contrast: float
    contrast_se: float
    log_contrast: float
    log_contrast_se: float


def unit_values(rows: Rows, metric: str, units: np.ndarray, windows: list[Window]) -> pd.DataFrame:
    """One row a unit: what it did in each window and before, numerator and denominator apart."""
    names = SERIES[metric]
    frame = {}
    for part, name in zip(("top", "below"), names, strict=False):
        frame[f"{part}_before"] = rows.before(name)[units]
        for step, window in enumerate(windows):
            frame[f"{part}_{step}"] = rows.window(name, window)[units]
    table = pd.DataFrame(frame)
    if len(names) == 1:
        for step in ("before", *range(len(windows))):
            table[f"below_{step}"] = 1.0
    return table


def linear_values(table: pd.DataFrame, pooled_before: float, is_ratio: bool) -> tuple[pd.DataFrame, list[float]]:
    """Columns x, y0, y1 whose means have the variance of the estimates, and the estimates themselves."""
    if not is_ratio:
        return table.rename(columns={"top_before": "x", "top_0": "y0", "top_1": "y1"})[["x", "y0", "y1"]], [
            table["top_0"].mean(), table["top_1"].mean()
        ]  # fmt: skip
    linear = {"x": table["top_before"] - pooled_before * table["below_before"]}
    estimates = []
    for step in (0, 1):
        ratio = table[f"top_{step}"].sum() / table[f"below_{step}"].sum()
        linear[f"y{step}"] = (table[f"top_{step}"] - ratio * table[f"below_{step}"]) / table[f"below_{step}"].mean()
        estimates.append(ratio)
    return pd.DataFrame(linear), estimates


def brute(rows: Rows, metric: str, treatment: str, cohorts: list[int], windows: list[Window], adjust: bool) -> Answer:
    arms = [unit_values(rows, metric, rows.of(key, cohorts), windows) for key in ("control", treatment)]
    both = pd.concat(arms)
    is_ratio = len(SERIES[metric]) == 2
    pooled_before = both["top_before"].sum() / both["below_before"].sum()
    linear = [linear_values(arm, pooled_before, is_ratio) for arm in arms]
    x_all = pd.concat([values["x"] for values, _ in linear])
    means, slopes, residuals = [], [], []
    for values, estimates in linear:
        slope = [
            (np.cov(values["x"], values[f"y{step}"])[0, 1] / values["x"].var() if adjust else 0.0) for step in (0, 1)
        ]
        off = values["x"] - values["x"].mean()
        residuals.append([values[f"y{step}"] - values[f"y{step}"].mean() - slope[step] * off for step in (0, 1)])
        means.append([estimates[step] - slope[step] * (values["x"].mean() - x_all.mean()) for step in (0, 1)])
        slopes.append(slope)
    n = [len(arm) for arm in arms]

    def variance(weights: list[list[float]]) -> float:
        """Of a weighted sum of the four means: weights[arm][window]."""
        inside = sum(
            (weights[arm][0] * residuals[arm][0] + weights[arm][1] * residuals[arm][1]).var() / n[arm] for arm in (0, 1)
        )
        slope = sum(weights[arm][step] * slopes[arm][step] for arm in (0, 1) for step in (0, 1))
        return inside + slope**2 * x_all.var() / sum(n)

    (c0, c1), (t0, t1) = means
    pick = [[[-1.0, 0.0], [1.0, 0.0]], [[0.0, -1.0], [0.0, 1.0]]]
    relative = [[[-1 / c0, 0.0], [1 / t0, 0.0]], [[0.0, -1 / c1], [0.0, 1 / t1]]]
    return Answer(
        n_control=n[0], n_treatment=n[1], control=[c0, c1], treatment=[t0, t1],
        raw_control=linear[0][1], raw_treatment=linear[1][1],
        effect=[t0 - c0, t1 - c1], se=[variance(weights) ** 0.5 for weights in pick],
        relative_se=[variance(weights) ** 0.5 for weights in relative],
        contrast=(t1 - c1) - (t0 - c0), contrast_se=variance([[1.0, -1.0], [-1.0, 1.0]]) ** 0.5,
        log_contrast=float(np.log(t1 / c1) - np.log(t0 / c0)),
        log_contrast_se=variance([[1 / c0, -1 / c1], [-1 / t0, 1 / t1]]) ** 0.5,
    )  # fmt: skip


def fieller(control: float, treatment: float, variance_c: float, variance_t: float, z: float) -> tuple[float, float]:
    """Ends of the set of r with (treatment - r control)^2 <= z^2 (variance_t + r^2 variance_c), by bisection."""

    def outside(r: float) -> float:
        return (treatment - r * control) ** 2 - z**2 * (variance_t + r**2 * variance_c)

    center = treatment / control
    ends = []
    for direction in (-1.0, 1.0):
        inner, outer = center, center + direction
        while outside(outer) <= 0:
            outer = center + 2 * (outer - center)
        for _ in range(200):
            middle = (inner + outer) / 2
            inner, outer = (middle, outer) if outside(middle) <= 0 else (inner, middle)
        ends.append((inner + outer) / 2)
    return ends[0], ends[1]
