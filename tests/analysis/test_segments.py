"""Effects within segments, and whether they differ, against brute force and as rates."""

import numpy as np
import pytest
from scipy import stats

from analysis.moments import Moments
from analysis.scorecard import build
from analysis.segments import heterogeneity
from analysis.triangle import Cell
from tests.analysis.unit_rows import LINES, draw_rows, make_plan, matrix, triangle_of

#: The same moments added in another order.
ROUNDING = 1e-9

#: Standard errors of a binomial that a rate may be away: one in 16,000.
STANDARD_ERRORS = 4.0


def segmented(seed: int, units: int = 3000, change: float = 1.0, pre_weeks: int = 2):
    """A triangle of units in country a, b or (rarely) c; lines of treated units in b are multiplied by ``change``."""
    plan = make_plan(metrics=(LINES,), segments=("country",), pre_weeks=pre_weeks)
    rows = draw_rows(plan, units, seed)
    rng = np.random.default_rng(seed + 1)
    country = rng.choice(["a", "b", "c"], size=units, p=[0.6, 0.38, 0.02])
    vectors = matrix(plan, rows)
    vectors[np.ix_((country == "b") & (rows.variant == "a"), range(1, 7))] *= change
    cells = {}
    for variant in ("control", "a"):
        for cohort in range(3):
            inside = rows.of(variant, [cohort])
            cells[Cell(variant, cohort)] = Moments.of(vectors[inside])
            for value in "abc":
                cells[Cell(variant, cohort, None, f"country={value}")] = Moments.of(
                    vectors[inside[country[inside] == value]]
                )
    return triangle_of(plan, cells), rows, vectors, country


def test_the_effect_in_a_segment_is_that_of_its_units():
    triangle, rows, vectors, country = segmented(1, pre_weeks=0)
    card = build(triangle)
    assert [row.segment for row in card.effects] == [None, None, "country=a", "country=a", "country=b", "country=b",
                                                     "country=c", "country=c"]  # fmt: skip
    row = next(row for row in card.effects if (row.segment, row.window) == ("country=b", "late"))
    means = [vectors[(country == "b") & (rows.variant == variant)][:, 5:7].mean() for variant in ("control", "a")]
    assert row.effect == pytest.approx(means[1] - means[0], rel=ROUNDING)
    assert row.n_control == int(((country == "b") & (rows.variant == "control")).sum())


def test_segments_change_nothing_for_all_units_and_decide_nothing():
    triangle, *_ = segmented(2)
    whole = triangle_of(make_plan(metrics=(LINES,)), {cell: part for cell, part in triangle.cells.items()
                                                        if cell.segment is None})  # fmt: skip
    card, without = build(triangle), build(whole)
    assert [row for row in card.effects if row.segment is None] == list(without.effects)
    assert card.recommendations == without.recommendations
    assert card.reversals == without.reversals


def test_the_test_of_heterogeneity_is_cochrans_q_over_the_values_that_have_a_lift():
    triangle, *_ = segmented(3, pre_weeks=0, change=1.1)
    card = build(triangle)
    (row,) = [row for row in card.heterogeneity if row.window == "late"]
    lifts, errors = [], []
    for effect in card.effects:
        if effect.window == "late" and effect.segment is not None and effect.state == "ok":
            lifts.append(np.log1p(effect.lift))
            errors.append((np.log1p(effect.lift_high) - np.log1p(effect.lift_low)) / (2 * 1.959963985))
    weights = 1 / np.square(errors)
    q = weights @ (lifts - np.average(lifts, weights=weights)) ** 2
    assert row.values == len(lifts) == 2  # of c there are fewer than 30 units in a variant
    assert row.p_value == pytest.approx(stats.chi2.sf(q, 1), rel=1e-6)
    assert row.p_value_adjusted is not None
    assert row.p_value_adjusted >= row.p_value


def test_p_values_of_segments_are_adjusted_for_their_number():
    triangle, *_ = segmented(4)
    card = build(triangle)
    inside = [row for row in card.effects if row.segment is not None and row.p_value_adjusted is not None]
    assert len(inside) >= 4
    # Benjamini-Hochberg: the smallest is multiplied by their number, at most to the next one's value.
    assert max(row.p_value_adjusted for row in inside) <= 1
    assert all(row.p_value_adjusted >= row.p_value * 0.999 for row in inside)


def test_a_constant_lift_is_called_different_as_often_as_the_level_says():
    """400 worlds at 5 %: the binomial's standard error is 1.1 %. And a real difference is seen."""
    small = []
    for seed in range(400):
        triangle = segmented(seed, 600, pre_weeks=0)[0]
        small.append(heterogeneity(triangle, {"lines": triangle})[0].p_value)
    rate = np.mean(np.array(small) < 0.05)
    assert rate == pytest.approx(0.05, abs=STANDARD_ERRORS * np.sqrt(0.05 * 0.95 / 400))
    seen = build(segmented(5, change=1.5)[0]).heterogeneity
    assert all(row.p_value < 0.001 for row in seen)
