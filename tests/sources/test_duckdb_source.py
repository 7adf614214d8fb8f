"""What a source reads against two independent ways: user rows in pandas, and a SQL pivot with pairwise sums."""

from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from analysis import scorecard
from analysis.plan import Plan, Window
from analysis.results import Comparison, ReversalRow
from analysis.triangle import EXCLUSIONS, Triangle, combine
from tests.sources import agreement, brute_force, pivot, worlds
from tests.sources.adapters import ADAPTERS, Adapter
from tests.sources.worlds import FAR_FROM_ZERO, LOOKS, RECIPES, Recipe

#: Sums of a few thousand doubles in another order.
MOMENTS = 1e-9

#: Effects and plain standard errors: a few sums, a division and a root away from the moments.
PLAIN = 1e-8

#: Adjusted numbers also divide by the covariate's variance, which loses digits where it is small.
ADJUSTED = 1e-6

#: Repeated and partitioned reads add the same numbers in another order.
REPEATED = 1e-12

every_adapter = pytest.mark.parametrize("adapter", ADAPTERS, ids=str)
every_recipe = pytest.mark.parametrize("recipe", [*RECIPES, FAR_FROM_ZERO], ids=str)
every_look = pytest.mark.parametrize("when", LOOKS)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory):
    """Read a world at a look, each once for the whole module."""

    @cache
    def reading(adapter: Adapter, recipe: Recipe, when: str) -> Triangle:
        folder = tmp_path_factory.mktemp("world")
        with adapter.open(worlds.world(recipe), folder) as source:
            return source.read(worlds.plan_of(recipe), worlds.as_of(recipe, when))

    return reading


@cache
def rows(recipe: Recipe, when: str) -> brute_force.Look:
    return brute_force.look(worlds.world(recipe), worlds.as_of(recipe, when))


@every_adapter
@every_look
@every_recipe
def test_moments_and_exclusions_equal_those_of_user_rows(adapter: Adapter, recipe: Recipe, when: str, read) -> None:
    triangle, expected = read(adapter, recipe, when), rows(recipe, when)
    assert triangle.excluded == expected.excluded
    assert list(triangle.excluded) == list(EXCLUSIONS)
    assert (triangle.data.first, triangle.data.last, triangle.data.rows) == (
        expected.first, expected.last, expected.fact_rows,
    )  # fmt: skip
    assert agreement.lived(triangle.plan, triangle.as_of) == expected.lived
    for variant in triangle.plan.variants:
        assert triangle.units(variant.key) == (expected.rows["variant"] == variant.key).sum()
    agreement.assert_same_cells(
        agreement.of_triangle(triangle), agreement.of_rows(expected), triangle.plan, expected.lived, MOMENTS
    )  # fmt: skip


@every_adapter
@every_look
@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_effects_and_contrasts_equal_those_of_user_rows(adapter: Adapter, recipe: Recipe, when: str, read) -> None:
    card, expected = scorecard.build(read(adapter, recipe, when)), rows(recipe, when)
    plan = card.plan
    metrics = {metric.key: metric for metric in plan.metrics}
    assert len(card.effects) == 6 * len(plan.treatments) * len(plan.windows)
    for row in card.effects:
        window = plan.window(row.window)
        assert_same_effect(row, brute_force.effect(expected, metrics[row.metric], row.variant, window))
    for row in card.reversals:
        assert_same_contrast(row, brute_force.contrast(expected, metrics[row.metric], row.variant))


@every_adapter
@pytest.mark.parametrize("recipe", RECIPES[:3], ids=str)
def test_trajectories_equal_those_of_user_rows(adapter: Adapter, recipe: Recipe, read) -> None:
    card, expected = scorecard.build(read(adapter, recipe, "mid")), rows(recipe, "mid")
    metrics = {metric.key: metric for metric in card.plan.metrics}
    assert {row.kind for row in card.trajectory} >= {"weekly", "cumulative"}
    for row in card.trajectory:
        if row.kind in {"weekly", "cumulative"}:
            window = Window("", row.week if row.kind == "weekly" else 0, row.week + 1)
            assert_same_effect(row, brute_force.effect(expected, metrics[row.metric], row.variant, window))


@every_adapter
def test_far_from_zero_effects_equal_those_of_user_rows(adapter: Adapter, read) -> None:
    """Each value carries a rounding of 1.5e-8 where units differ by 1: the plain standard error keeps 1e-6 of that."""
    card, expected = scorecard.build(read(adapter, FAR_FROM_ZERO, "full")), rows(FAR_FROM_ZERO, "full")
    row = next(row for row in card.effects if (row.metric, row.window) == ("lines", "late"))
    wanted = brute_force.effect(expected, card.plan.metrics[0], "treatment", card.plan.window("late"))
    assert wanted is not None
    assert row.unadjusted_se == pytest.approx(wanted.plain_se, rel=ADJUSTED)
    assert row.effect_se == pytest.approx(wanted.effect_se, rel=ADJUSTED)
    assert row.adjusted
    assert row.unadjusted_effect == pytest.approx(wanted.plain_effect, abs=ADJUSTED * wanted.plain_se)
    assert row.effect == pytest.approx(wanted.effect, abs=ADJUSTED * wanted.effect_se)


def assert_same_effect(row: Comparison, expected: brute_force.Estimate | None) -> None:
    if expected is None:
        assert row.state in {"not_yet", "too_few"}
        assert row.effect is None
        assert row.reason
        return
    assert row.state == ("ok" if min(expected.n_control, expected.n_treatment) >= 30 else "too_few")
    assert (row.n_control, row.n_treatment, row.adjusted) == (
        expected.n_control, expected.n_treatment, expected.adjusted,
    )  # fmt: skip
    size = max(abs(expected.control_mean), abs(expected.treatment_mean))
    assert row.control_mean == pytest.approx(expected.control_mean, rel=PLAIN)
    assert row.treatment_mean == pytest.approx(expected.treatment_mean, rel=PLAIN)
    assert row.unadjusted_effect == pytest.approx(expected.plain_effect, abs=PLAIN * size)
    assert row.unadjusted_se == pytest.approx(expected.plain_se, rel=PLAIN)
    tolerance = ADJUSTED if expected.adjusted else PLAIN
    assert row.effect == pytest.approx(expected.effect, abs=tolerance * size)
    assert row.effect_se == pytest.approx(expected.effect_se, rel=tolerance)
    if row.lift is not None:
        assert row.lift == pytest.approx(expected.lift, rel=ADJUSTED, abs=ADJUSTED)


def assert_same_contrast(row: ReversalRow, expected: brute_force.Contrast | None) -> None:
    if expected is None:
        assert row.contrast is None
        return
    assert (row.n_control, row.n_treatment) == (expected.n_control, expected.n_treatment)
    assert row.contrast == pytest.approx(expected.effect, abs=ADJUSTED * expected.effect_se)
    assert row.contrast_se == pytest.approx(expected.effect_se, rel=ADJUSTED)
    assert (row.lift_contrast is None) == (expected.log_ratio is None)
    if row.lift_contrast is not None:
        assert row.lift_contrast == pytest.approx(expected.log_ratio, abs=ADJUSTED * expected.log_ratio_se)
        half = (row.lift_contrast_high - row.lift_contrast_low) / 2
        assert half == pytest.approx(1.959963984540054 * expected.log_ratio_se, rel=ADJUSTED)


@every_adapter
@pytest.mark.parametrize(
    ("recipe", "when"),
    [*((recipe, "mid") for recipe in RECIPES), *((recipe, "full") for recipe in RECIPES[:3])],
    ids=str,
)
def test_moments_equal_those_of_a_pivot_with_pairwise_sums(
    adapter: Adapter, recipe: Recipe, when: str, read, tmp_path: Path
) -> None:
    drawn = worlds.world(recipe)
    expected = pivot.moments(drawn, worlds.write(drawn, tmp_path), worlds.as_of(recipe, when))
    weeks = agreement.lived(drawn.plan, worlds.as_of(recipe, when))
    actual = agreement.of_triangle(read(adapter, recipe, when))
    agreement.assert_same_cells(actual, expected, drawn.plan, weeks, MOMENTS)


def in_partitions(source, plan: Plan, as_of: date, partitions: int) -> Triangle:
    parts = [source.read_partition(plan, as_of, number, partitions) for number in range(partitions)]
    return combine([source.read_tallies(plan, as_of), *parts])


@every_adapter
@pytest.mark.parametrize("recipe", [*RECIPES[:5], RECIPES[10], FAR_FROM_ZERO], ids=str)
def test_the_number_of_partitions_changes_no_number(adapter: Adapter, recipe: Recipe, tmp_path: Path) -> None:
    plan, as_of = worlds.plan_of(recipe), worlds.as_of(recipe, "mid")
    with adapter.open(worlds.world(recipe), tmp_path) as source:
        source.inspect(plan)
        whole = in_partitions(source, plan, as_of, 1)
        for partitions in (2, 7):
            split = in_partitions(source, plan, as_of, partitions)
            agreement.assert_same_triangle(split, whole, REPEATED)
            assert split.tallies == whole.tallies
            assert split.facts == whole.facts


@every_adapter
def test_more_partitions_than_units_change_no_number(adapter: Adapter, tmp_path: Path) -> None:
    recipe = Recipe("tiny", 21, units=25, pre_weeks=1)
    plan, as_of = worlds.plan_of(recipe), worlds.as_of(recipe, "full")
    with adapter.open(worlds.world(recipe), tmp_path) as source:
        source.inspect(plan)
        split, whole = in_partitions(source, plan, as_of, 60), in_partitions(source, plan, as_of, 1)
    agreement.assert_same_triangle(split, whole, REPEATED)


@every_adapter
@pytest.mark.parametrize("recipe", [RECIPES[0], RECIPES[5]], ids=str)
def test_two_reads_repeat_to_the_last_digits(adapter: Adapter, recipe: Recipe, read, tmp_path: Path) -> None:
    with adapter.open(worlds.world(recipe), tmp_path) as source:
        again = source.read(worlds.plan_of(recipe), worlds.as_of(recipe, "full"))
    agreement.assert_same_triangle(again, read(adapter, recipe, "full"), REPEATED)


@every_adapter
def test_one_open_source_can_be_read_as_of_several_days(adapter: Adapter, read, tmp_path: Path) -> None:
    """A source keeps buffers between reads; nothing of a later or larger look may stay in them."""
    recipe = RECIPES[0]
    with adapter.open(worlds.world(recipe), tmp_path) as source:
        for when in ("full", "early", "mid", "early"):
            again = source.read(worlds.plan_of(recipe), worlds.as_of(recipe, when))
            agreement.assert_same_triangle(again, read(adapter, recipe, when), REPEATED)


@every_adapter
def test_variances_of_values_far_from_zero_are_not_lost(adapter: Adapter, read) -> None:
    """Raw sums of squares of 1e8 leave no digit of a variance of 1, and often a negative one."""
    triangle = read(adapter, FAR_FROM_ZERO, "full")
    cells = agreement.of_triangle(triangle)
    kept = [triangle.layout.week(triangle.plan.series[0], week) for week in range(triangle.plan.horizon_weeks)]
    for cell in cells.values():
        variances = cell.scatter.diagonal()[kept] / (cell.n - 1)
        assert ((variances > 0.3) & (variances < 3)).all()
        np.testing.assert_allclose(cell.mean[kept], 1e8, rtol=1e-7)
