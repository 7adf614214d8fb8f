"""How often does "early win, later loss" err, and how soon does it see the real thing?

Whole experiments of 40,000 units drawn as moments of recorded household weeks, read at every weekly look. States stay
once their boundary is crossed, so the last look tells whether any look ever flagged, and ``first_seen`` tells when.
What a run may say of a rate is in tests/rates/bounds.py.
"""

import math
from collections import Counter
from dataclasses import dataclass
from datetime import date

import numpy as np
import pytest

from analysis.legs import window_legs
from analysis.results import ReversalRow
from analysis.reversal import first_warning, reversals
from analysis.simulation import NOTHING, Injection
from analysis.triangle import Triangle
from analysis.windows import look_number, weekly_looks
from tests.rates.bounds import check_at_least, check_at_most
from tests.rates.tables import frozen
from tests.rates.worlds import (
    CONSTANT_LOSS,
    CONSTANT_WIN,
    DIP,
    EARLY_THEN_ZERO,
    HONEY,
    NOVELTY,
    SLOW_BURN,
    plan,
    worlds,
)

ALPHA = 0.05

#: Warnings are read anew at each look, which takes longer.
MANY, WARNED, FEW = 4_000, 1_000, 25

#: The worlds at the boundary of a loss decide: more of them, so that what is shown is close to what is true.
BOUNDARY = "+5 % early, then exactly zero"
ON_THE_BOUNDARY = 12_000

#: They are flagged less often than alpha / 2, for the two tests correlate, but not hardly ever.
LEAST_ON_THE_BOUNDARY = ALPHA / 16

HARMLESS = {
    "no effect": NOTHING,
    "constant win": CONSTANT_WIN,
    "constant loss": CONSTANT_LOSS,
    "novelty": NOVELTY,
    "slow burn": SLOW_BURN,
    BOUNDARY: EARLY_THEN_ZERO,
}
LOOKS = range(8, 31)


def reversal_of(triangle: Triangle) -> ReversalRow:
    """The reversal of lines when everything is mature."""
    return reversals(triangle, {"lines": triangle}, "treatment")[0][0]


def found(injection: Injection, count: int, seed: int) -> list[ReversalRow]:
    return [reversal_of(triangle) for triangle in worlds(injection, ("lines",), count, seed)]


def sizes(name: str) -> list[object]:
    full = ON_THE_BOUNDARY if name == BOUNDARY else MANY
    return [
        pytest.param(name, FEW, id=f"{name}, thin"),
        pytest.param(name, full, id=f"{name}, full", marks=pytest.mark.slow),
    ]


COUNTS = [pytest.param(FEW, id="thin"), pytest.param(MANY, id="full", marks=pytest.mark.slow)]


@pytest.mark.parametrize(("name", "count"), [case for name in HARMLESS for case in sizes(name)])
def test_what_is_no_reversal_is_confirmed_or_turned_in_at_most_half_of_alpha(name: str, count: int) -> None:
    rows = found(HARMLESS[name], count, seed=71)
    confirmed = sum(row.state == "confirmed" for row in rows)
    turned = sum(row.turned_first_seen is not None for row in rows)
    flagged = sum(row.state == "confirmed" or row.turned_first_seen is not None for row in rows)
    text = (
        f"{name}, {count:,} worlds, seed 71: turned {turned / count:.4f}, confirmed {confirmed / count:.4f}, "
        f"either {flagged / count:.4f}\nstates at the end: {told(Counter(row.state for row in rows), count)}\n"
    )
    print(text)
    check_at_most(flagged, count, ALPHA / 2)
    if name == BOUNDARY:
        check_at_least(flagged, count, LEAST_ON_THE_BOUNDARY)
    if count > FEW:
        frozen(f"reversals_{'boundary' if name == BOUNDARY else name.replace(' ', '_')}.txt", text)


def told(states: Counter[str], count: int) -> str:
    return ", ".join(f"{state} {hits / count:.4f}" for state, hits in sorted(states.items()))


@pytest.mark.parametrize("count", COUNTS)
def test_a_passing_dip_is_hardly_ever_confirmed(count: int) -> None:
    """-3 % in weeks 8-11, +2 % before and after: it turns, rightly, but only ``confirmed`` asks for a rollback."""
    rows = found(DIP, count, seed=72)
    confirmed = sum(row.state == "confirmed" for row in rows)
    turned = sum(row.turned_first_seen is not None for row in rows)
    text = f"dip, {count:,} worlds, seed 72: turned {turned / count:.4f}, confirmed {confirmed / count:.4f}\n"
    print(text)
    check_at_most(confirmed, count, 0.01)
    if count == MANY:
        frozen("reversals_dip.txt", text)


@dataclass(frozen=True)
class Firsts:
    """The look at which each state was first seen, infinite for never; shape (worlds,)."""

    warning: np.ndarray
    turned: np.ndarray
    confirmed: np.ndarray

    @property
    def table(self) -> str:
        """By look, the share of worlds in which each has been seen."""
        head = f"{'look':>8}{'warning':>10}{'turned':>10}{'confirmed':>11}"
        kinds = (self.warning, self.turned, self.confirmed)
        lines = [
            f"{look:>8}{shares[0]:>10.4f}{shares[1]:>10.4f}{shares[2]:>11.4f}"
            for look in LOOKS
            if any(shares := [float(np.mean(kind <= look)) for kind in kinds])
        ]
        medians = [float(np.median(kind)) for kind in kinds]
        return "\n".join([head, *lines, f"{'median':>8}{medians[0]:>10g}{medians[1]:>10g}{medians[2]:>11g}"]) + "\n"


def look_of(day: date | None) -> float:
    """The first weekly look on which a day's finding can be read."""
    if day is None:
        return math.inf
    of = plan("lines")
    return look_number(of, next(look for look in weekly_looks(of, date(2018, 6, 1)) if look >= day))


def first_looks(injection: Injection, count: int, seed: int) -> Firsts:
    firsts = []
    for triangle in worlds(injection, ("lines",), count, seed):
        row = reversal_of(triangle)
        warned = first_warning(window_legs(triangle, triangle.plan.metrics[0], "treatment"))
        confirmed = row.first_seen if row.state == "confirmed" else None
        firsts.append([look_of(day) for day in (warned, row.turned_first_seen, confirmed)])
    return Firsts(*np.array(firsts).T)


@pytest.mark.parametrize("count", COUNTS)
def test_the_honeymoon_is_confirmed_long_before_its_declared_window_is_readable(count: int) -> None:
    firsts = first_looks(HONEY, count, seed=73)
    text = f"honeymoon, {count:,} worlds, seed 73: share in which each state has been seen by a look\n{firsts.table}"
    print(text)
    check_at_least(int((firsts.confirmed <= 21).sum()), count, 0.95)
    check_at_least(int((firsts.confirmed <= 30).sum()), count, 0.99)
    assert np.median(firsts.warning) <= np.median(firsts.turned) < np.median(firsts.confirmed) <= 21
    if count == MANY:
        frozen("reversals_honeymoon.txt", text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "bound"), [("novelty", 0.15), ("constant win", 0.01), ("constant loss", 0.01), ("no effect", 0.01)]
)
def test_whole_experiments_without_a_late_loss_are_seldom_warned_at_any_look(name: str, bound: float) -> None:
    """As the product warns: an early win at alpha / 4 over its looks, and a probability above .8, at any of 30 looks.

    Shapes that are not in the prior, and how often warnings are right: test_warning.py.
    """
    firsts = first_looks(HARMLESS[name], WARNED, seed=76)
    warned = int(np.isfinite(firsts.warning).sum())
    text = f"{name}, {WARNED:,} worlds, seed 76: ever warned {warned / WARNED:.4f}\n"
    print(text)
    check_at_most(warned, WARNED, bound)
    frozen(f"warnings_{name.replace(' ', '_')}.txt", text)


@pytest.mark.slow
def test_half_of_the_honeymoons_hazard_is_seen_too() -> None:
    """-1.8 % over the late window, three standard errors: read once, that is found in .78 at one-sided .0125. Read week
    by week it is -3.6 % in the end, and found in .9."""
    half = Injection(multiplier=HONEY.multiplier, hazard=(0.0,) * 4 + (0.003,), head_conversion=HONEY.head_conversion)
    rows = found(half, WARNED, seed=74)
    confirmed = np.array([look_of(row.first_seen if row.state == "confirmed" else None) for row in rows])
    shares = ", ".join(f"{look}: {np.mean(confirmed <= look):.3f}" for look in LOOKS if np.any(confirmed <= look))
    text = f"hazard .003 a week, {WARNED:,} worlds, seed 74: confirmed by look {shares}\n"
    print(text)
    check_at_least(int(np.isfinite(confirmed).sum()), WARNED, 0.85)
    frozen("reversals_half_hazard.txt", text)


@pytest.mark.slow
def test_a_constant_lift_on_falling_activity_fades_no_more_often_than_chance() -> None:
    """One-sided .025: a contrast on the scale of the values, not of their ratios, would be called in a third."""
    rows = found(Injection(multiplier=(1.05,)), MANY, seed=75)
    fading = sum(row.state == "fading" for row in rows)
    print(f"constant +5 %, {MANY:,} worlds, seed 75: fading {fading / MANY:.4f}")
    # A test at its exact level can be shown to be near it only: within a fifth, as four standard errors would be too.
    check_at_most(fading, MANY, 1.4 * ALPHA / 2)
    check_at_least(fading, MANY, 0.6 * ALPHA / 2)
