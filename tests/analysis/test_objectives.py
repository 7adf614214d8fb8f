"""The OEC by hand and by resampling; where it flips; which treatment dominates another."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from analysis import windows
from analysis.objectives import oec
from analysis.results import Flip
from analysis.triangle import Cell
from tests.analysis.unit_rows import (
    ACTIVE,
    HEAD_SHARE,
    LINES,
    draw_rows,
    exact,
    make_plan,
    triangle_of,
    triangle_of_rows,
    two_windows,
    variants,
)  # fmt: skip

#: A standard error from 1,000 resamples is off by 1 / sqrt(2000) = 2.2 % of itself; four of these.
BOOTSTRAP = 0.09

WEIGHTED = (replace(LINES, weight=0.4), replace(ACTIVE, weight=0.5), replace(HEAD_SHARE, weight=0.1))


def test_it_is_the_weighted_sum_of_signed_lifts_with_the_error_that_resampling_gives():
    plan = make_plan(metrics=WEIGHTED, pre_weeks=0)
    rows = draw_rows(plan, 3000, 1)

    def by_hand(sample):
        total = 0.0
        for metric, (top, bottom), weeks in (
            (WEIGHTED[0], ("lines", None), slice(1, 3)), (WEIGHTED[1], ("active", None), slice(5, 7)),
            (WEIGHTED[2], ("head", "lines"), slice(5, 7)),
        ):  # fmt: skip
            values = []
            for variant in ("control", "a"):
                units = sample.of(variant, (0, 1, 2))
                above = sample.weeks[top][units, weeks].mean()
                values.append(above / (sample.weeks[bottom][units, weeks].mean() if bottom else 1))
            total += metric.weight * metric.sign * (values[1] / values[0] - 1)
        return total

    (found,) = oec(triangle_of_rows(plan, rows))
    assert found.value == pytest.approx(by_hand(rows), rel=1e-9)
    rng = np.random.default_rng(2)
    draws = [by_hand(rows.sample(rng.integers(len(rows.cohort), size=len(rows.cohort)))) for _ in range(1000)]
    assert found.se == pytest.approx(np.std(draws), rel=BOOTSTRAP)
    assert (found.low, found.high) == pytest.approx(
        (found.value - 1.959964 * found.se, found.value + 1.959964 * found.se)
    )


def test_at_the_flip_the_others_keep_their_proportions_and_the_sum_is_zero():
    mixed = (WEIGHTED[0], replace(WEIGHTED[1], better="lower"), WEIGHTED[2])
    plan = make_plan(metrics=mixed)
    (found,) = oec(triangle_of_rows(plan, draw_rows(plan, 3000, 3)))
    for flip in found.flips:
        others = 1 - next(metric.weight for metric in mixed if metric.key == flip.metric)
        moved = tuple(
            replace(one, weight=flip.weight if one.key == flip.metric else one.weight * (1 - flip.weight) / others)
            for one in mixed
        )
        (again,) = oec(triangle_of_rows(make_plan(metrics=moved), draw_rows(plan, 3000, 3)))
        assert again.value == pytest.approx(0, abs=1e-12)
    assert found.flips


def test_two_metrics_of_opposite_sign_flip_where_the_arithmetic_says():
    # lines +10 %, early; the same units -5 % late: x 0.10 = (1 - x) 0.05 at x = 1/3.
    late = replace(LINES, key="late_lines", term="long", weight=0.5)
    plan = two_windows(metrics=(replace(LINES, weight=0.5), late))
    cells = {
        Cell("control", 0): exact(1000, [0, 10, 10], np.eye(3)), Cell("a", 0): exact(1000, [0, 11, 9.5], np.eye(3)),
    }  # fmt: skip
    (found,) = oec(triangle_of(plan, cells))
    assert found.value == pytest.approx(0.5 * 0.10 - 0.5 * 0.05)
    assert found.flips == (Flip("lines", pytest.approx(1 / 3)), Flip("late_lines", pytest.approx(2 / 3)))


def test_before_every_deciding_window_is_readable_there_is_a_reason_with_the_day():
    plan = make_plan(metrics=WEIGHTED)
    day = windows.fully_readable(plan, 6)
    (found,) = oec(triangle_of_rows(plan, draw_rows(plan, 500, 4), day - timedelta(days=1)))
    assert found.value is None
    assert str(day) in found.reason


def test_without_weights_there_is_no_oec():
    plan = make_plan()
    assert oec(triangle_of_rows(plan, draw_rows(plan, 200, 5))) == ()


def test_a_treatment_that_is_surely_better_on_one_metric_and_no_worse_on_the_other_dominates():
    late = replace(LINES, key="late_lines", term="long", weight=0.5)
    plan = two_windows(metrics=(replace(LINES, weight=0.5), late), variants=variants(1, 1, 1, 1))
    means = {"control": (10, 10), "a": (10.1, 10), "b": (10.9, 10.01), "c": (10.9, 9)}
    cells = {Cell(key, 0): exact(2000, [0, *mean], np.eye(3)) for key, mean in means.items()}
    found = {row.variant: row.dominated_by for row in oec(triangle_of(plan, cells))}
    assert found == {"a": ("b",), "b": (), "c": ("b",)}
