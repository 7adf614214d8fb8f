"""How often checks are in alarm on healthy experiments, and how soon they find what is wrong.

For SRM experiments are drawn as multinomial counts: 26 enrollment weeks, split as designed or not. At a level of .001
a few thousand experiments hold four alarms, so the slow run draws a hundred thousand: counts cost next to nothing. For
balance before exposure they are worlds of the Honeymoon example, drawn as moments.
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from analysis.checks import pre_period_balance
from analysis.srm import LEVEL, sequential_p
from tests.analysis.honeymoon_worlds import plan, true_moments, worlds
from tests.analysis.unit_rows import triangle_of

WEEKS = 26

#: Standard errors of a binomial that a rate may be away: one in 16,000.
STANDARD_ERRORS = 4.0

DESIGNS = [
    pytest.param((0.5, 0.5), id="50:50"),
    pytest.param((0.9, 0.1), id="90:10"),
    pytest.param((0.5, 0.25, 0.25), id="three variants"),
]


def totals(worlds: int, units_a_week: int, split: tuple[float, ...], seed: int) -> NDArray[np.float64]:
    """Units by week, world and variant, added up over the weeks so far."""
    drawn = np.random.default_rng(seed).multinomial(units_a_week, split, size=(WEEKS, worlds))
    return np.cumsum(drawn, axis=0).astype(float)


def chi_square(counts: NDArray[np.float64], split: tuple[float, ...]) -> NDArray[np.float64]:
    """P values against the design, whatever the shape before the variants."""
    expected = counts.sum(axis=-1, keepdims=True) * np.array(split)
    found: NDArray[np.float64] = stats.chi2.sf(((counts - expected) ** 2 / expected).sum(axis=-1), len(split) - 1)
    return found


def highest(level: float, worlds: int) -> float:
    """The rate that one in 16,000 runs exceeds where the true one is ``level``."""
    return level + STANDARD_ERRORS * float(np.sqrt(level * (1 - level) / worlds))


def check_level(worlds: int, split: tuple[float, ...], seed: int) -> None:
    """The sequential test keeps its level over all looks; chi-square keeps it at one look, and not at 26."""
    counts = totals(worlds, 4_000, split, seed)
    assert (sequential_p(counts, np.array(split))[-1] < LEVEL).mean() <= highest(LEVEL, worlds)
    each = chi_square(counts, split) < LEVEL
    assert each[-1].mean() <= highest(LEVEL, worlds)
    # This is why there is a sequential test: 26 looks at .001 make about .008.
    assert each.any(axis=0).mean() > highest(LEVEL, worlds)


@pytest.mark.parametrize("split", DESIGNS)
def test_read_every_week_the_sequential_alarm_keeps_its_level_in_four_thousand_worlds(split: tuple[float, ...]) -> None:
    check_level(4_000, split, seed=71)


@pytest.mark.slow
@pytest.mark.parametrize("split", DESIGNS)
def test_read_every_week_the_sequential_alarm_keeps_its_level_in_a_hundred_thousand_worlds(
    split: tuple[float, ...],
) -> None:
    check_level(100_000, split, seed=72)


def test_a_split_of_51_to_49_is_found_in_a_hundred_thousand_units() -> None:
    """An alarm that never comes must fail too. Chi-square read once finds it in .999; .98 is the price of weekly looks.

    With 2,000 worlds the standard error of .987 is .0025.
    """
    counts = totals(2_000, 100_000 // WEEKS, (0.51, 0.49), seed=73)
    found = sequential_p(counts, np.array([0.5, 0.5])) < LEVEL
    assert found[-1].mean() > 0.975
    # Most of them are found long before enrollment ends, and none is taken back.
    assert found[WEEKS * 3 // 4].mean() > 0.75
    assert (found[-1] >= found[WEEKS // 2]).all()


def test_the_larger_the_mismatch_the_sooner_it_is_found() -> None:
    weeks = []
    for share in (0.51, 0.52, 0.55):
        counts = totals(500, 4_000, (share, 1 - share), seed=74)
        weeks.append((sequential_p(counts, np.array([0.5, 0.5])) >= LEVEL).sum(axis=0).mean())
    assert weeks[0] > weeks[1] > weeks[2]


def check_balance(count: int, share: float, seed: int) -> None:
    """P values are below .05 in one world of twenty, neither more nor less often, and uniform all over."""
    control, _ = true_moments()
    drawn = worlds(control, control, 4_000, count, seed, share)
    rows = [pre_period_balance(triangle_of(plan(), cells)) for cells in drawn]
    p_values = np.array([row.p_value for row in rows], dtype=float)
    away = STANDARD_ERRORS * np.sqrt(0.05 * 0.95 / count)
    assert abs((p_values < 0.05).mean() - 0.05) < away
    assert stats.kstest(p_values, "uniform").pvalue > 1e-4
    assert np.mean([row.state == "alarm" for row in rows]) <= highest(LEVEL, count)


def test_balance_before_exposure_keeps_its_level_in_four_hundred_worlds() -> None:
    check_balance(400, share=0.5, seed=75)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_balance_before_exposure_keeps_its_level_in_four_thousand_worlds(share: float) -> None:
    check_balance(4_000, share, seed=76)
