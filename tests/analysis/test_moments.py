"""Moments: merging, shifting, linear maps and slices, against the rows they stand for."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.effects import compare, contrast, effect_of
from analysis.moments import Layout, Moments, merge
from analysis.plan import Window
from tests.analysis.unit_rows import ACTIVE, HEAD_SHARE, LINES, draw_rows, make_plan, matrix, two_windows

COLUMNS = 3

#: A few dozen additions of numbers of the same size, each with a rounding of 1e-16.
ROUNDING = 1e-13

#: With a mean of 1e8 standard deviations the mean itself is known to 1e-16 of its size, which is 1e-8 deviations; the
#: variance feels only its square, so that the sums of some hundred terms are what is left.
FAR_FROM_ZERO = 1e-12

#: Ten thousand additions, in another order.
GRAM = 1e-12

REPEATABLE = settings(derandomize=True, database=None, deadline=None, max_examples=100)

TABLES = st.integers(2, 40).flatmap(
    lambda rows: arrays(float, (rows, COLUMNS), elements=st.floats(-1e6, 1e6, allow_nan=False, width=32))
)
WHOLE_TABLES = st.integers(2, 40).flatmap(
    lambda rows: arrays(np.int64, (rows, COLUMNS), elements=st.integers(-10_000, 10_000)).map(lambda t: t.astype(float))
)


def assert_same(left: Moments, right: Moments, rows: np.ndarray) -> None:
    """Equal count, mean and covariance; errors are measured against the size of the rows."""
    size = max(float(np.abs(rows).max()), 1.0)
    assert left.n == right.n
    assert left.mean == pytest.approx(right.mean, abs=ROUNDING * size)
    if left.n > 1:
        assert np.abs(left.covariance - right.covariance).max() <= ROUNDING * size**2


@REPEATABLE
@given(rows=TABLES, data=st.data())
def test_merging_the_parts_of_any_split_gives_the_moments_of_the_whole(rows: np.ndarray, data: st.DataObject) -> None:
    part_of = np.array(data.draw(st.lists(st.integers(0, 4), min_size=len(rows), max_size=len(rows))))
    parts = [Moments.of(rows[part_of == part]) for part in range(5)]  # some of them empty
    assert_same(merge(parts, COLUMNS), Moments.of(rows), rows)
    assert_same(merge(parts[::-1], COLUMNS), Moments.of(rows), rows)


def test_seven_shards_hold_windows_errors_and_the_contrast_of_all_rows() -> None:
    """5,000 units a variant whose habits last (gamma), eight weeks; no rows are needed once they are added up."""
    rng = np.random.default_rng(8)
    plan = two_windows(horizon_weeks=8, windows=(Window("early", 0, 4), Window("late", 4, 8)))
    habit = rng.gamma(2.0, 1.0, (2, 5_000, 1))
    rows = habit + rng.standard_normal((2, 5_000, 9)) + 1e3 * np.arange(9)
    arms = [merge([Moments.of(part) for part in np.array_split(arm, 7)], 9) for arm in rows]
    means = compare(arms[0], arms[1], Layout.of(plan), LINES, plan.windows, adjust=False)
    early, late = rows[:, :, 1:5].mean(axis=2), rows[:, :, 5:9].mean(axis=2)

    def error(values: np.ndarray) -> float:
        return float(np.sqrt((values.var(axis=1, ddof=1) / 5_000).sum()))

    both = contrast(means, 0, 1)
    found = [means.control[0], means.treatment[1], effect_of(means, 0).effect_se, effect_of(means, 1).effect_se]
    known = [early[0].mean(), late[1].mean(), error(early), error(late)]
    assert [*found, both.effect_se] == pytest.approx([*known, error(late - early)], rel=GRAM)
    # Windows taken for independent would make the contrast twice as uncertain.
    assert error(late - early) < 0.6 * np.hypot(error(early), error(late))


@REPEATABLE
@given(rows=WHOLE_TABLES, split=st.integers(0, 40), shift=st.integers(-10_000, 10_000))
def test_merging_whole_numbers_about_a_whole_shift_is_exact_to_the_last_bit(
    rows: np.ndarray, split: int, shift: int
) -> None:
    origin, other = np.full(COLUMNS, float(shift)), np.arange(COLUMNS) * 7.0
    merged = Moments.of(rows[:split], origin) + Moments.of(rows[split:], other)
    whole = Moments.of(rows, merged.shift)
    assert merged.n == whole.n == len(rows)
    assert np.array_equal(merged.sums, whole.sums)
    assert np.array_equal(merged.products, whole.products)


@REPEATABLE
@given(rows=WHOLE_TABLES, shift=st.integers(-10_000, 10_000))
def test_moving_the_shift_and_back_changes_nothing(rows: np.ndarray, shift: int) -> None:
    start = Moments.of(rows, np.zeros(COLUMNS))
    moved = start.about(np.full(COLUMNS, float(shift)))
    assert np.array_equal(moved.products, Moments.of(rows, moved.shift).products)
    back = moved.about(start.shift)
    assert np.array_equal(back.sums, start.sums)
    assert np.array_equal(back.products, start.products)


@REPEATABLE
@given(rows=TABLES, weights=arrays(float, (2, COLUMNS), elements=st.floats(-3, 3, width=32)))
def test_a_linear_map_of_moments_is_the_moments_of_mapped_rows(rows: np.ndarray, weights: np.ndarray) -> None:
    mapped = Moments.of(rows).linear(weights)
    direct = rows @ weights.T
    size = 10 * max(float(np.abs(rows).max()), 1.0)  # the sum of three products with a factor of at most 3
    assert mapped.n == len(rows)
    assert mapped.mean == pytest.approx(direct.mean(axis=0), abs=ROUNDING * size)
    assert np.abs(mapped.covariance - np.cov(direct, rowvar=False)).max() <= ROUNDING * size**2


def exact_variance(values: list[int]) -> float:
    mean = Fraction(sum(values), len(values))
    return float(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


@pytest.mark.parametrize("far", [10**8, 10**12, 10**15])
def test_the_variance_holds_where_the_mean_is_far_from_zero(far: int) -> None:
    """Raw sums of squares give nonsense here: at 1e8 the square has 16 digits in front of the variance's first."""
    rng = np.random.default_rng(1)
    noise = rng.integers(-3, 4, size=700)
    values = [far + int(step) for step in noise]
    rows = np.array(values, dtype=float)[:, None]
    parts = [Moments.of(rows[start::7], rows[0]) for start in range(7)]
    assert merge(parts, 1).covariance[0, 0] == pytest.approx(exact_variance(values), rel=FAR_FROM_ZERO)
    own = [Moments.of(rows[start::7]) for start in range(7)]  # each about its own mean, which is rounded at 1e15
    rounded_mean = 1e-16 * far  # in standard deviations
    assert merge(own, 1).covariance[0, 0] == pytest.approx(
        exact_variance(values), rel=FAR_FROM_ZERO + 4 * rounded_mean**2 + 4 * rounded_mean / 100
    )
    raw = float((rows**2).sum() - rows.sum() ** 2 / len(rows)) / (len(rows) - 1)
    assert abs(raw / exact_variance(values) - 1) > 0.01  # the trap is real


def test_values_of_1e15_keep_their_relative_precision() -> None:
    rng = np.random.default_rng(2)
    rows = rng.gamma(0.5, 1e15, size=(1000, 2))
    merged = merge([Moments.of(rows[:10]), Moments.of(rows[10:])], 2)
    assert np.isfinite(merged.products).all()
    assert merged.mean == pytest.approx(rows.mean(axis=0), rel=ROUNDING)
    assert merged.covariance == pytest.approx(np.cov(rows, rowvar=False), rel=ROUNDING * 10)


def test_units_are_counted_once_however_many_series_and_weeks_they_have() -> None:
    plan = make_plan()
    rows = draw_rows(plan, 90, seed=3)
    whole = Moments.of(matrix(plan, rows))
    weights = Layout.of(plan).window_weights(HEAD_SHARE, plan.windows)
    assert whole.n == 90
    assert whole.linear(weights).n == 90
    assert (whole + Moments.of(matrix(plan, rows)[:0])).n == 90


def test_moments_of_nothing_are_neutral_and_have_no_mean() -> None:
    nothing = merge([], 2)
    assert nothing.n == 0
    with pytest.raises(ZeroDivisionError, match="no units"):
        _ = nothing.mean
    one = Moments.of(np.array([[1.0, 2.0]]))
    with pytest.raises(ZeroDivisionError, match="two units"):
        _ = one.covariance
    for both in (nothing + one, one + nothing):
        assert both.n == 1
        assert both.mean.tolist() == [1.0, 2.0]


def test_moments_can_be_built_from_a_mean_and_a_scatter() -> None:
    rows = np.random.default_rng(4).normal(5, 2, size=(50, COLUMNS))
    centered = rows - rows.mean(axis=0)
    built = Moments.from_parts(50, rows.mean(axis=0), centered.T @ centered)
    assert_same(built, Moments.of(rows), rows)


def test_the_products_stay_symmetric() -> None:
    rows = np.random.default_rng(5).gamma(1, 1e6, size=(200, COLUMNS))
    merged = merge([Moments.of(rows[start::3]) for start in range(3)], COLUMNS).about(np.ones(COLUMNS))
    assert np.array_equal(merged.products, merged.products.T)


def test_the_layout_gives_every_series_its_pre_period_and_its_weeks_without_overlap() -> None:
    plan = make_plan()
    layout = Layout.of(plan)
    positions = [
        position
        for series in plan.series
        for position in (layout.pre(series), *(layout.week(series, week) for week in range(plan.horizon_weeks)))
    ]
    assert positions == list(range(layout.columns))
    assert layout.columns == 4 * 7  # lines, active, head lines, rows: lines are stored once for three metrics


@pytest.mark.parametrize("week", [-1, 6])
def test_a_week_outside_the_horizon_is_an_error_not_the_neighboring_series(week: int) -> None:
    plan = make_plan()
    with pytest.raises(IndexError, match="outside the horizon of 6 weeks"):
        Layout.of(plan).week(plan.series[0], week)
    with pytest.raises(IndexError, match="outside the horizon"):
        Layout.of(plan).window_weights(LINES, [Window("long", 4, 8)])


def test_window_weights_turn_weeks_into_weekly_averages_with_the_pre_period_first() -> None:
    plan = make_plan()
    rows = draw_rows(plan, 40, seed=6)
    vectors = matrix(plan, rows)
    early, late = plan.windows
    for metric, names in ((LINES, ["lines"]), (ACTIVE, ["active"]), (HEAD_SHARE, ["head", "lines"])):
        expected = np.column_stack(
            [
                column
                for name in names
                for column in (rows.before(name), rows.window(name, early), rows.window(name, late))
            ]
        )
        found = vectors @ Layout.of(plan).window_weights(metric, plan.windows).T
        assert found == pytest.approx(expected, rel=ROUNDING)


def test_windows_of_different_lengths_compare_because_they_are_averages() -> None:
    plan = make_plan(metrics=(LINES,), horizon_weeks=6)
    vectors = np.hstack([np.full((5, 1), 9.0), np.full((5, 6), 2.5)])
    weights = Layout.of(plan).window_weights(LINES, [Window("one", 3, 4), Window("all", 0, 6)])
    assert Moments.of(vectors).linear(weights).mean == pytest.approx([9.0, 2.5, 2.5], rel=ROUNDING)
