"""Experiments as rows of units, drawn without any code under test, and the triangle made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from analysis.effects import compare, effect_of
from analysis.moments import Layout, Moments
from analysis.plan import Metric, Plan, Variant, Window
from analysis.results import Comparison
from analysis.triangle import Cell, FactCount, FactWeek, Tally, Triangle

START = date(2024, 1, 1)

LINES = Metric(key="lines", kind="mean", column="lines", better="higher", role="primary", term="short")
ACTIVE = Metric(key="active", kind="active", column="lines", better="higher", role="primary", term="long")
HEAD_SHARE = Metric(
    key="head_share", kind="ratio", numerator="head_lines", denominator="lines", better="lower", role="guardrail",
    margin=0.02,
)  # fmt: skip
LINES_A_ROW = Metric(
    key="lines_a_row", kind="ratio", numerator="lines", denominator="rows", better="higher", role="diagnostic"
)


def variants(*weights: float) -> tuple[Variant, ...]:
    """The control, then treatments a, b, ... with these designed weights."""
    return tuple(
        Variant("control" if index == 0 else chr(ord("a") + index - 1), weight, control=index == 0)
        for index, weight in enumerate(weights)
    )


def make_plan(**changes: Any) -> Plan:
    """Six weeks, three exposure cohorts, two windows and one metric of each kind; anything can be changed."""
    plan = Plan(
        key="test", name="Test", unit="unit", variants=variants(50, 50),
        metrics=(LINES, ACTIVE, HEAD_SHARE, LINES_A_ROW), windows=(Window("early", 0, 2), Window("late", 4, 6)),
        start_date=START, enrollment_weeks=3, horizon_weeks=6, pre_weeks=2,
    )  # fmt: skip
    return replace(plan, **changes)


def all_mature(plan: Plan) -> date:
    """A day by which every unit has lived the whole horizon, whatever the clock."""
    return plan.start_date + timedelta(days=7 * (plan.enrollment_weeks + plan.horizon_weeks) + 14 + plan.lag_days)


@dataclass(frozen=True)
class Rows:
    """One entry a unit. Arrays of ``weeks`` are (units, pre-period average then weeks of the horizon), by series."""

    variant: np.ndarray
    cohort: np.ndarray
    weeks: Mapping[str, np.ndarray]

    def of(self, variant: str, cohorts: Sequence[int]) -> np.ndarray:
        """Positions of the units of a variant in these cohorts."""
        return np.flatnonzero((self.variant == variant) & np.isin(self.cohort, cohorts))

    def window(self, series: str, window: Window) -> np.ndarray:
        """Average over the window's weeks, one value a unit."""
        return self.weeks[series][:, 1 + window.start_week : 1 + window.end_week].mean(axis=1)

    def sample(self, positions: np.ndarray) -> "Rows":
        """The units at these positions, each as often as it is named."""
        weeks = {key: value[positions] for key, value in self.weeks.items()}
        return Rows(self.variant[positions], self.cohort[positions], weeks)

    def before(self, series: str) -> np.ndarray:
        """Average over the pre-period, one value a unit."""
        return self.weeks[series][:, 0]


def draw_rows(plan: Plan, units: int, seed: int) -> Rows:
    """Draw correlated, skewed counts with habits that last, a drift over weeks, and effects that differ by treatment.

    Series: lines, head (lines that are head lines), active (1 with any line) and rows (fact rows).
    """
    rng = np.random.default_rng(seed)
    shares = np.array([variant.weight for variant in plan.variants])
    index = rng.choice(len(shares), size=units, p=shares / shares.sum())
    cohort = rng.integers(plan.enrollment_weeks, size=units)
    habit = rng.gamma(1.5, 2.0, size=(units, 1))
    drift = np.linspace(1.4, 0.8, plan.horizon_weeks)
    # Treatment i lifts early weeks by 8 i % and lowers late ones, and it weakens habits: slopes differ by variant.
    change = 1 + index[:, None] * np.linspace(0.08, -0.06, plan.horizon_weeks)
    rate = habit ** (1 - 0.15 * index[:, None]) * drift * change * (1 + 0.1 * cohort[:, None])
    after = rng.poisson(rate)
    before = rng.poisson(np.repeat(habit, plan.pre_weeks or 1, axis=1))
    lines = np.hstack([before, after])
    rows = np.where(lines > 0, 1 + rng.binomial(lines, 0.3), 0)
    head = rng.binomial(lines, np.clip(0.1 + 0.02 * index[:, None] + 0.02 * habit, 0, 1))
    weeks = {"lines": lines, "head": head, "active": lines > 0, "rows": rows}
    split = before.shape[1]
    return Rows(
        variant=np.array([variant.key for variant in plan.variants])[index],
        cohort=cohort,
        weeks={
            key: np.hstack([value[:, :split].mean(axis=1, keepdims=True), value[:, split:]]).astype(float)
            for key, value in weeks.items()
        },
    )


def matrix(plan: Plan, rows: Rows) -> np.ndarray:
    """The units' vectors in the order of the layout, shape (units, D)."""
    name = {
        ("sum", "lines"): "lines",
        ("sum", "head_lines"): "head",
        ("active", "lines"): "active",
        ("rows", ""): "rows",
    }
    return np.hstack([rows.weeks[name[series.kind, series.column]] for series in plan.series])


def triangle_of_rows(plan: Plan, rows: Rows, as_of: date | None = None) -> Triangle:
    """The triangle a source would build: each cell about a shift of its own."""
    vectors = matrix(plan, rows)
    cells = {
        Cell(variant.key, cohort): Moments.of(vectors[rows.of(variant.key, [cohort])])
        for variant in plan.variants
        for cohort in range(plan.enrollment_weeks)
    }
    return triangle_of(plan, cells, as_of)


def triangle_of(plan: Plan, cells: Mapping[Cell, Moments], as_of: date | None = None) -> Triangle:
    """A triangle of given cells, with facts up to the day before ``as_of``."""
    day = as_of or all_mature(plan)
    tallies = {0: Tally(rows=1, last=day - timedelta(days=1 + plan.lag_days))}
    assert all(len(part.sums) == Layout.of(plan).columns for part in cells.values())
    return Triangle(plan, day, cells, tallies, {FactWeek(0, 0): FactCount(1, 0)}, plan.start_date)


def exact(n: int, mean: Sequence[float], covariance: Any) -> Moments:
    """Moments whose mean and sample covariance are exactly these."""
    return Moments.from_parts(n, np.asarray(mean, float), np.asarray(covariance, float) * (n - 1))


def two_windows(**changes: Any) -> Plan:
    """A plan of one cohort and two weeks, each a window: what a unit's vector holds is (before, early, late)."""
    windows = (Window("early", 0, 1), Window("late", 1, 2))
    given = {
        "metrics": (LINES,), "windows": windows, "enrollment_weeks": 1, "horizon_weeks": 2, "pre_weeks": 0, **changes,
    }  # fmt: skip
    return make_plan(**given)


def two_window_triangle(plan: Plan, control: Moments, treatment: Moments, as_of: date | None = None) -> Triangle:
    return triangle_of(plan, {Cell("control", 0): control, Cell("a", 0): treatment}, as_of)


def one_window(**changes: Any) -> Plan:
    return two_windows(horizon_weeks=1, windows=(Window("early", 0, 1),), **changes)


def effect_between(control: Moments, treatment: Moments, adjust: bool = False) -> Comparison:
    """Of one value a unit in one week; with a covariate before it."""
    plan = one_window(pre_weeks=int(adjust))
    return effect_of(compare(control, treatment, Layout.of(plan), LINES, plan.windows, adjust))


def two_columns(rows: pd.DataFrame, columns: list[str], treated: pd.Series) -> list[Moments]:
    """Moments of (covariate, value) in control and treatment."""
    return [Moments.of(rows.loc[treated == value, columns].to_numpy(float)) for value in (0, 1)]
