"""Looking again every week: how alpha is shared over looks, and the intervals and p values that follow.

Alpha spending (Lan & DeMets 1983, Biometrika 70:659): by spending time t a part spent(t) of alpha may be used, whatever
the number and spacing of looks. A window's estimate at look j is a mean over the cohorts matured so far, so looks have
independent increments and correlation sqrt(I_i / I_j); first-crossing probabilities follow by recursive quadrature
(Armitage, McPherson & Rowe 1969; Jennison & Turnbull 2000, ch. 19). Readings of a moving window share weeks and units
in other ways: ``rolling_*`` take any correlation (``crossings``).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy
from numpy.polynomial.legendre import leggauss
from scipy import special

from analysis.crossings import LEAST_P, LEAST_SPENT, density, first_crossings, solve
from analysis.moments import Array
from analysis.plan import Spending

#: Looks whose information differs by less than this part are one look: their statistics correlate above .9995, and
#: quadrature over an increment that narrow would take thousands of nodes.
SAME_INFORMATION = 1e-3

#: Nodes of the quadrature per standard deviation of an increment: boundaries are right to 1e-6 for up to 52 looks.
_NODES_A_DEVIATION = 2.5
_PANEL, _PANEL_WEIGHTS = leggauss(16)

#: Beyond this many standard deviations the density of an estimate is nothing.
_FARTHEST = 9.0

#: Alphas for which boundaries are tabled to invert them: evenly spaced on the normal scale, where the curve is smooth.
_TABLE = (LEAST_P, *(2 * special.ndtr(np.linspace(special.ndtri(LEAST_P / 2), -0.001, 61)[1:])).tolist())


def spent(time: float, alpha: Array | float, spending: Spending) -> Array:
    """Return how much of two-sided ``alpha`` is spent by spending time ``time`` in [0, 1]; shape of ``alpha``.

    Each side spends half of alpha: of O'Brien-Fleming type 2 - 2 Phi(z_{alpha/4} / sqrt(t)), of Pocock type
    (alpha / 2) ln(1 + (e - 1) t) (Lan & DeMets 1983).
    """
    total = np.asarray(alpha, dtype=float)
    if time <= 0:
        return np.zeros_like(total)
    if time >= 1:
        return total
    if spending == "pocock":
        return total * math.log1p((math.e - 1) * time)
    return np.asarray(4 * special.ndtr(special.ndtri(total / 4) / math.sqrt(time)))


def boundaries(information: Sequence[float], times: Sequence[float], alpha: float, spending: Spending) -> Array:
    """Return the two-sided critical values of z at each look, shape (J,); infinite where nothing can be spent.

    Args:
        information: shape (J,), never falling, on any scale: numbers of mature units. A look that adds none reads the
            same estimate again, with all that may be spent by then.
        times: shape (J,), spending times in (0, 1]; they need not be the information fractions.
    """
    looks = [(tuple(information[:look]), tuple(times[:look])) for look in range(1, len(information) + 1)]
    return np.array([float(_walked(*seen, (alpha,), spending).critical[0]) for seen in looks])


@dataclass(frozen=True, eq=False)
class _Walk:
    """Where paths stand at a look, for A alphas at once.

    Attributes:
        critical: shape (A,), the boundaries of this look.
        used: shape (A,), alpha spent so far.
        information: of this look; 0 before the first.
        deviation: standard deviation of the score's increment since the look before.
        nodes, mass: shape (A, G): absolute scores (|z| times root of information) at the look before, and the
            probabilities of standing there and not having crossed. Both sides are alike, so one is enough.
    """

    critical: Array
    used: Array
    information: float
    deviation: float
    nodes: Array
    mass: Array


@lru_cache(maxsize=256)
def _walked(
    information: tuple[float, ...], times: tuple[float, ...], alphas: tuple[float, ...], spending: Spending
) -> _Walk:
    """Walk to the last look; the walk to the one before it is kept, so a sequence costs each look once."""
    if len(information) > 1 and information[-1] - information[-2] < SAME_INFORMATION * information[-1]:
        return _walked((*information[:-2], information[-1]), (*times[:-2], times[-1]), alphas, spending)
    if not information or information[-1] <= 0:
        none = np.zeros((len(alphas), 1))
        return _Walk(np.full(len(alphas), np.inf), none[:, 0], 0.0, 0.0, none, np.ones_like(none))
    before = _walked(information[:-1], times[:-1], alphas, spending)
    root, deviation = math.sqrt(information[-1]), math.sqrt(information[-1] - before.information)
    nodes, mass = _remaining(before, deviation)
    step = np.maximum(spent(times[-1], np.array(alphas), spending) - before.used, 0.0)

    spends = step >= LEAST_SPENT
    nodes_of, mass_of = nodes[spends], mass[spends]

    def beyond(c: Array) -> tuple[Array, Array]:
        above, below = ((sign * nodes_of - c[:, None] * root) / deviation for sign in (1, -1))
        tail = (mass_of * (special.ndtr(above) + special.ndtr(below))).sum(axis=1)
        slope = (mass_of * (density(above) + density(below))).sum(axis=1) * root / deviation
        return tail, slope

    critical = np.full(len(step), np.inf)
    start = np.clip(-special.ndtri(np.minimum(step[spends] / 2, 0.5)), 0.01, 39.0)
    critical[spends] = solve(beyond, step[spends], start, lowest=0.0)
    used = before.used + np.where(spends, step, 0.0)
    return _Walk(critical, used, information[-1], deviation, nodes, mass)


def _remaining(walk: _Walk, next_deviation: float) -> tuple[Array, Array]:
    """Return nodes and mass, shape (A, G), of paths that go on after a look, close enough for the next increment."""
    if walk.information == 0:
        return walk.nodes, walk.mass
    edge = np.minimum(walk.critical, _FARTHEST) * math.sqrt(walk.information)
    points, weights = _quadrature(float(edge.max()) / min(walk.deviation, next_deviation))
    fresh = edge[:, None] * points
    # One alpha at a time: all at once would be large arrays when an increment is narrow.
    mass = [
        (density((x[:, None] - old) / walk.deviation) + density((x[:, None] + old) / walk.deviation)) @ at
        for x, old, at in zip(fresh, walk.nodes, walk.mass, strict=True)
    ]
    return fresh, np.array(mass) / walk.deviation * weights * edge[:, None]


def _quadrature(deviations: float) -> tuple[Array, Array]:
    """Return nodes and weights on [0, 1], for an interval that many standard deviations long: Gauss in panels."""
    panels = max(2, math.ceil(_NODES_A_DEVIATION * deviations / len(_PANEL)))
    points = (np.arange(panels)[:, None] + (1 + _PANEL) / 2) / panels
    return points.ravel(), np.tile(_PANEL_WEIGHTS / (2 * panels), panels)


def repeated_p(z: float, information: Sequence[float], times: Sequence[float], spending: Spending) -> float:
    """Return the smallest two-sided alpha at which the last look is significant (Jennison & Turnbull 1989).

    It is below alpha where |z| is beyond ``boundaries(...)[-1]`` at alpha: to a relative 1e-5 for alpha up to .5 and
    |z| up to 5, to 2e-3 up to 6; further out only its size is right. At least 1e-11, and 1 where nothing can be spent.
    """
    if len(times) == 1 and times[0] >= 1 and information[0] > 0:
        return max(LEAST_P, float(2 * special.ndtr(-abs(z))))
    curve = _last_critical(tuple(information), tuple(times), spending)
    if curve is None or abs(z) <= curve.x[0]:
        return 1.0
    return float(np.clip(2 * special.ndtr(curve(min(abs(z), curve.x[-1]))), LEAST_P, 1.0))


@lru_cache(maxsize=512)
def _last_critical(
    information: tuple[float, ...], times: tuple[float, ...], spending: Spending
) -> "scipy.interpolate.PPoly | None":
    """The last look's critical value against alpha, on the normal scale, where the curve is nearly straight."""
    last = _walked(information, times, _TABLE, spending).critical
    # Small alphas spend nothing at an early look and have no boundary there.
    known = np.flatnonzero(np.isfinite(last))[::-1]
    # Near the smallest alphas the step to spend is of the size of rounding, and a boundary may fall back a little.
    known = known[np.diff(np.maximum.accumulate(last[known]), prepend=-math.inf) > 0]
    if len(known) < 2:
        return None
    x, y = last[known], special.ndtri(np.array(_TABLE)[known] / 2)
    secants = np.diff(y) / np.diff(x)
    # Slopes of at most thrice the secants keep the curve falling (Fritsch & Carlson 1980) where boundaries begin.
    steepest = 3 * np.maximum(np.append(secants, secants[-1]), np.insert(secants, 0, secants[0]))
    return scipy.interpolate.CubicHermiteSpline(x, y, np.clip(scipy.interpolate.CubicSpline(x, y)(x, 1), steepest, 0.0))


def rolling_boundaries(correlation: Array, cumulative: Array) -> Array:
    """Return one-sided critical values ("z > c") of looks with any correlation, shape (L,).

    Under the null the probability of a first crossing by look l is ``cumulative[l]``.
    """
    return first_crossings(correlation, np.asarray(cumulative, dtype=float)[:, None])[:, 0]


#: Total budgets for which rolling boundaries are tabled to invert them, some at a time: the large ones, which nearly
#: every score stays below, come first.
_BUDGETS = ((0.04, 0.12, 0.35, 0.8), (1e-4, 1e-3, 0.004, 0.0125), (1e-10, 1e-8, 1e-6, 1e-5))


def rolling_p(z: Array, correlation: Array, times: Array) -> Array:
    """Return, at each look, the smallest total one-sided budget at which that look crosses; shape (L,).

    By look l the part ``times[l]`` of a budget may be spent. The running minimum is the p value of all looks so far.
    """
    found = np.ones(len(z))
    found[0] = min(1.0, float(special.ndtr(-z[0])) / times[0])
    budgets, critical = _table_for(z, correlation.tobytes(), np.asarray(times, dtype=float).tobytes())
    for look, score in enumerate(z[1:], start=1):
        known = np.isfinite(critical[look])
        if known.sum() > 1 and score > critical[look][known][-1]:
            curve = scipy.interpolate.PchipInterpolator(
                critical[look][known][::-1], special.ndtri(budgets[known])[::-1]
            )
            found[look] = max(LEAST_P, float(special.ndtr(curve(min(score, critical[look][known][0])))))
    return found


def _table_for(z: Array, correlation: bytes, times: bytes) -> tuple[Array, Array]:
    """Return budgets (B,), rising, and boundaries (L, B), of as many budgets as these scores need."""
    budgets, critical = np.zeros(0), np.zeros((len(z), 0))
    for group in _BUDGETS:
        budgets = np.concatenate([group, budgets])
        # Neighbors may have changed places by the noise of the paths.
        critical = np.sort(np.hstack([_rolling_table(correlation, times, group), critical]), axis=1)[:, ::-1]
        # Between two budgets the curve is drawn by their neighbors: one more on the far side, and it is known.
        if (z <= critical[:, 1]).all():
            break
    return budgets, critical


@lru_cache(maxsize=384)
def _rolling_table(correlation: bytes, times: bytes, budgets: tuple[float, ...]) -> Array:
    """Boundaries by look and budget, shape (L, B), of float64 arrays given as bytes."""
    shares = np.frombuffer(times)
    return first_crossings(np.frombuffer(correlation).reshape(len(shares), -1), np.outer(shares, budgets))


def anytime_critical(units: float, alpha: float, planned_units: float) -> float:
    """Return c such that estimate +- c se holds at every moment: an asymptotic confidence sequence.

    Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2021 (arXiv 2103.06476), tightest at ``planned_units``; infinite at 0.
    """
    return _multiplier(units * _rho_squared(alpha, planned_units), alpha) if units > 0 else math.inf


def anytime_p(z: float, units: float, planned_units: float, alpha: float = 0.05) -> float:
    """Return the p value that may be read at every moment: one over the normal mixture likelihood ratio, at most 1.

    The mixture's variance is tuned at ``alpha`` (Johari, Pekelis & Walsh 2015): given the alpha of an interval by
    ``anytime_critical``, p is below alpha exactly where the interval leaves out zero.
    """
    return _mixture_p(z, units * _rho_squared(alpha, planned_units))


def _rho_squared(alpha: float, planned_units: float) -> float:
    """The tuning that makes the interval tightest at ``planned_units``: (-W_{-1}(-alpha^2 / e) - 1) / planned_units."""
    return (-float(special.lambertw(-(alpha**2) / math.e, k=-1).real) - 1) / planned_units


def _multiplier(scaled: float, alpha: float) -> float:
    """Half the width of the interval in standard errors; ``scaled`` is units times rho squared."""
    return math.sqrt(2 * (scaled + 1) / scaled * math.log(math.sqrt(scaled + 1) / alpha))


def _mixture_p(z: float, scaled: float) -> float:
    """The inverse of ``_multiplier``."""
    return min(1.0, math.sqrt(scaled + 1) * math.exp(-scaled * z * z / (2 * (scaled + 1))))


def crossing_probability(
    critical: Sequence[float], information: Sequence[float], drift: float = 0.0, *, upper_only: bool = False
) -> float:
    """Return the probability that z crosses its critical values: |z| first beyond one, or z first above it.

    ``drift`` is the expectation of z at information 1 (an effect over the standard error it has there). With
    ``upper_only`` a path that crosses below first has stopped and does not count.
    """
    nodes, mass, before, total = np.zeros(1), np.ones(1), 0.0, 0.0
    looks = _distinct(critical, information)
    for look, (c, units) in enumerate(looks):
        deviation = math.sqrt(units - before)
        center, edge = nodes + drift * (units - before), min(c, 40.0) * math.sqrt(units)
        total += float(mass @ special.ndtr((center - edge) / deviation))
        if not upper_only:
            total += float(mass @ special.ndtr((-edge - center) / deviation))
        ahead = math.sqrt(looks[look + 1][1] - units) if look + 1 < len(looks) else deviation
        width = min(c, _FARTHEST + abs(drift) * math.sqrt(units)) * math.sqrt(units)
        points, weights = _quadrature(2 * width / min(deviation, ahead))
        fresh = width * (2 * points - 1)
        nearby = density((fresh[:, None] - center) / deviation) @ mass
        nodes, mass = fresh, nearby / deviation * weights * 2 * width
        before = units
    return total


def _distinct(critical: Sequence[float], information: Sequence[float]) -> list[tuple[float, float]]:
    """Critical values and information of looks that differ; of looks at the same units the lower value counts."""
    looks: list[tuple[float, float]] = []
    for c, units in zip(critical, information, strict=True):
        same = bool(looks) and units - looks[-1][1] < SAME_INFORMATION * units
        looks += [(min(c, looks.pop()[0]) if same else c, units)] * (units > 0)
    return looks


def inflation(critical: Sequence[float], information: Sequence[float], alpha: float, power: float) -> float:
    """Return how many times the units of a single look are needed for the same power (Jennison & Turnbull 2000)."""
    final = information[-1]
    shares = [units / final for units in information]
    single = float(special.ndtri(1 - alpha / 2) + special.ndtri(power))

    def missing(drift: float) -> float:
        return crossing_probability(critical, shares, drift, upper_only=True) - power

    return float((scipy.optimize.brentq(missing, 0.5 * single, 2 * single) / single) ** 2)
