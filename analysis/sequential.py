"""Looking again every week: how alpha is shared over looks, and the intervals and p values that follow.

Alpha spending (Lan & DeMets 1983, Biometrika 70:659): by spending time t a part spent(t) of alpha may be used, whatever
the number and spacing of looks. A window's estimate at look j is a mean over the cohorts matured so far, so looks have
independent increments and correlation sqrt(I_i / I_j); first-crossing probabilities follow by recursive quadrature
(Armitage, McPherson & Rowe 1969; Jennison & Turnbull 2000, ch. 19). Readings of a moving window share weeks and units
in other ways: ``rolling_*`` take any correlation (Genz 1992, Journal of Computational and Graphical Statistics 1:141).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy import optimize, special
from scipy.interpolate import PchipInterpolator
from scipy.stats import qmc

from analysis.moments import Array
from analysis.plan import Spending

#: A look that would spend less than this tests nothing: its boundary is infinite.
LEAST_SPENT = 1e-11

#: The smallest p value that is told from zero: a smaller alpha spends nothing.
LEAST_P = 1e-11

#: Nodes of the quadrature per standard deviation of an increment, and the least of them. Integrands are smooth:
#: boundaries are then right to 1e-6 for up to 52 looks.
_NODES_A_DEVIATION = 4.0
_LEAST_NODES = 48

#: Beyond this many standard deviations the density of an estimate is nothing.
_FARTHEST = 9.0

#: A critical value that moves less than this is found.
_ARRIVED = 1e-9

#: Alphas for which boundaries are tabled to invert them.
_TABLE = (*np.logspace(-11, -3, 17), 0.0025, 0.005, 0.01, *np.linspace(0.02, 0.98, 17), 0.999)


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
        information: shape (J,), never falling, on any scale: numbers of mature units. A look that adds none tests
            nothing new.
        times: shape (J,), spending times in (0, 1]; they need not be the information fractions.
    """
    looks = range(1, len(information) + 1)
    states = [_walked(tuple(information[:look]), tuple(times[:look]), (alpha,), spending) for look in looks]
    return np.array([float(state.critical[0]) for state in states])


@dataclass(frozen=True, eq=False)
class _Walk:
    """Where paths stand that have not crossed yet, for A alphas at once.

    Attributes:
        critical: shape (A,), the boundaries of the newest look.
        used: shape (A,), alpha spent so far.
        information: of the newest look that tested something.
        nodes, mass: shape (A, G): scores (z times root of information) at quadrature nodes and their probabilities.
    """

    critical: Array
    used: Array
    information: float
    nodes: Array
    mass: Array


@lru_cache(maxsize=1024)
def _walked(
    information: tuple[float, ...], times: tuple[float, ...], alphas: tuple[float, ...], spending: Spending
) -> _Walk:
    """Walk to the last look; the walk to the one before it is kept, so a sequence costs each look once."""
    if not information:
        size = len(alphas)
        return _Walk(np.full(size, np.inf), np.zeros(size), 0.0, np.zeros((size, 1)), np.ones((size, 1)))
    before = _walked(information[:-1], times[:-1], alphas, spending)
    units = information[-1]
    if units <= before.information:
        return replace(before, critical=np.full(len(alphas), np.inf))
    step = np.maximum(spent(times[-1], np.array(alphas), spending) - before.used, 0.0)
    deviation, root = math.sqrt(units - before.information), math.sqrt(units)

    def beyond(c: Array) -> tuple[Array, Array]:
        above, below = ((sign * before.nodes - c[:, None] * root) / deviation for sign in (1, -1))
        tail = (before.mass * (special.ndtr(above) + special.ndtr(below))).sum(axis=1)
        slope = (before.mass * (_density(above) + _density(below))).sum(axis=1) * root / deviation
        return tail, slope

    critical = _solve(beyond, step, two_sided=True)
    used = before.used + np.where(np.isfinite(critical), step, 0.0)
    edge = np.minimum(critical, _FARTHEST) * root
    points, weights = leggauss(_nodes(float(edge.max()), deviation))
    nodes = edge[:, None] * points
    density = _density((nodes[:, :, None] - before.nodes[:, None, :]) / deviation) @ before.mass[:, :, None]
    return _Walk(critical, used, units, nodes, density[:, :, 0] / deviation * weights * edge[:, None])


def _nodes(edge: float, deviation: float) -> int:
    return max(_LEAST_NODES, math.ceil(_NODES_A_DEVIATION * 2 * edge / deviation))


def _density(x: Array) -> Array:
    return np.asarray(np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))


def _solve(beyond: Callable[[Array], tuple[Array, Array]], step: Array, *, two_sided: bool) -> Array:
    """Return c, shape (A,), at which the probability of being beyond it is ``step``; infinite where that is nothing.

    ``beyond`` gives the probability and minus its slope. Newton's method on the logarithm, which is nearly straight in
    the square of c, kept within a bracket.
    """
    spends = step >= LEAST_SPENT
    wanted = np.where(spends, step, 0.5)
    low, high = np.full(len(step), 0.0 if two_sided else -9.0), np.full(len(step), 40.0)
    c = np.clip(-special.ndtri(np.minimum(wanted / (1 + two_sided), 0.5)), 0.01, 39.0)
    for _ in range(60):
        tail, slope = beyond(c)
        more = tail > wanted
        low, high = np.where(more, c, low), np.where(more, high, c)
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = c + np.log(tail / wanted) * tail / slope
        arrived = np.abs(moved - c) < _ARRIVED
        inside = np.isfinite(moved) & (moved > low) & (moved < high)
        c = np.where(inside | arrived, moved, (low + high) / 2)
        if arrived.all():
            break
    return np.where(spends, c, np.inf)


def repeated_p(z: float, information: Sequence[float], times: Sequence[float], spending: Spending) -> float:
    """Return the smallest two-sided alpha at which the last look is significant (Jennison & Turnbull 1989).

    It is below alpha where |z| is beyond ``boundaries(...)[-1]`` at alpha, to a relative 1e-4; at least 1e-11.
    """
    if len(times) == 1 and times[0] >= 1:
        return max(LEAST_P, float(2 * special.ndtr(-abs(z))))
    curve = _last_critical(tuple(information), tuple(times), spending)
    if curve is None or abs(z) <= curve.x[0]:
        return 1.0
    return float(np.clip(2 * special.ndtr(curve(min(abs(z), curve.x[-1]))), LEAST_P, 1.0))


@lru_cache(maxsize=512)
def _last_critical(
    information: tuple[float, ...], times: tuple[float, ...], spending: Spending
) -> PchipInterpolator | None:
    """The last look's critical value against alpha, on the normal scale, where the curve is nearly straight."""
    last = _walked(information, times, _TABLE, spending).critical
    # Where alpha is nearly 1 the boundary is nearly 0, and where a look spends nothing there is none.
    known = np.flatnonzero(np.isfinite(last))[::-1]
    if len(known) < 2:
        return None
    return PchipInterpolator(last[known], special.ndtri(np.array(_TABLE)[known] / 2))


def rolling_boundaries(correlation: Array, cumulative: Array) -> Array:
    """Return one-sided critical values ("z > c") of looks with any correlation, shape (L,).

    Under the null the probability of a first crossing by look l is ``cumulative[l]``.
    """
    return _rolling(correlation, np.asarray(cumulative, dtype=float)[:, None])[:, 0]


#: Quasi-random paths; the crossing probability of each is exact given its past, so few are enough.
_PATHS = 1024
_SEED = 20240102

#: Total budgets for which rolling boundaries are tabled to invert them.
_BUDGETS = np.array([1e-10, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 0.004, 0.0125, 0.04, 0.12, 0.35, 0.8])


def rolling_p(z: Array, correlation: Array, times: Array) -> Array:
    """Return, at each look, the smallest total one-sided budget at which that look crosses; shape (L,).

    By look l the part ``times[l]`` of a budget may be spent. The running minimum is the p value of all looks so far.
    """
    found = np.ones(len(z))
    found[0] = min(1.0, float(special.ndtr(-z[0])) / times[0])
    critical = _rolling(correlation, np.outer(times, _BUDGETS)) if len(z) > 1 else np.zeros((1, 0))
    for look, score in enumerate(z[1:], start=1):
        known = np.isfinite(critical[look])
        if known.sum() > 1 and score > critical[look][known][-1]:
            curve = PchipInterpolator(critical[look][known][::-1], special.ndtri(_BUDGETS[known])[::-1])
            found[look] = max(LEAST_P, float(special.ndtr(curve(min(score, critical[look][known][0])))))
    return found


def _rolling(correlation: Array, cumulative: Array) -> Array:
    """Critical values for several budgets at once, shape (L, B), from ``cumulative`` of the same shape.

    Separation of variables: each path's scores are drawn one after the other from their distribution given its past
    and given that it has not crossed, with the probability of that as its weight (Genz 1992).
    """
    looks, budgets = cumulative.shape
    factor = _cholesky(correlation)
    uniform = _uniform(max(looks - 1, 1))
    past = np.zeros((budgets, _PATHS, 0))
    weight = np.full((budgets, _PATHS), 1.0 / _PATHS)
    critical = np.full((looks, budgets), np.inf)
    used = np.zeros(budgets)
    for look in range(looks):
        center, spread = past @ factor[look, :look], factor[look, look]
        step = np.maximum(cumulative[look] - used, 0.0)
        if spread > 1e-4:
            critical[look] = _solve(partial(_beyond, center, spread, weight), step, two_sided=False)
            used += np.where(np.isfinite(critical[look]), step, 0.0)
            edge = special.ndtr((critical[look][:, None] - center) / spread)
            drawn = special.ndtri(np.clip(uniform[:, min(look, uniform.shape[1] - 1)] * edge, 1e-300, 1 - 1e-16))
            weight = weight * edge
        else:
            # Nothing new is seen at this look: the path goes on as its past says.
            drawn = np.zeros_like(weight)
        past = np.concatenate([past, drawn[:, :, None]], axis=2)
    return critical


def _beyond(center: Array, spread: float, weight: Array, c: Array) -> tuple[Array, Array]:
    """Probability, over the paths, of a score above c, and minus its slope; shape (B,)."""
    above = (center - c[:, None]) / spread
    return (weight * special.ndtr(above)).sum(axis=1), (weight * _density(above)).sum(axis=1) / spread


def _cholesky(correlation: Array) -> Array:
    """Lower triangle F with F F' = correlation, also where it is only semidefinite."""
    size = len(correlation)
    factor = np.zeros((size, size))
    for row in range(size):
        for column in range(row):
            rest = correlation[row, column] - factor[row, :column] @ factor[column, :column]
            factor[row, column] = rest / factor[column, column] if factor[column, column] > 1e-4 else 0.0
        factor[row, row] = math.sqrt(max(correlation[row, row] - factor[row, :row] @ factor[row, :row], 0.0))
    return factor


@lru_cache(maxsize=64)
def _uniform(size: int) -> Array:
    points: Array = qmc.Sobol(size, rng=np.random.default_rng(_SEED)).random(_PATHS)
    return points


def anytime_critical(units: float, alpha: float, planned_units: float) -> float:
    """Return c such that estimate +- c se holds at every moment: an asymptotic confidence sequence.

    Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2021 (arXiv 2103.06476), tightest at ``planned_units``.
    """
    scaled = units * _rho_squared(alpha, planned_units)
    return math.sqrt(2 * (scaled + 1) / scaled * math.log(math.sqrt(scaled + 1) / alpha))


def _rho_squared(alpha: float, planned_units: float) -> float:
    """The tuning that makes the interval tightest at ``planned_units``: (-W_{-1}(-alpha^2 / e) - 1) / planned_units."""
    return (-float(special.lambertw(-(alpha**2) / math.e, k=-1).real) - 1) / planned_units


def anytime_p(z: float, units: float, planned_units: float, alpha: float = 0.05) -> float:
    """Return the p value that may be read at every moment: one over the normal mixture likelihood ratio, at most 1.

    The mixture's variance is tuned at ``alpha`` (Johari, Pekelis & Walsh 2015; the inverse of ``anytime_critical``).
    """
    scaled = units * _rho_squared(alpha, planned_units)
    ratio = math.exp(min(700.0, scaled * z * z / (2 * (scaled + 1)))) / math.sqrt(scaled + 1)
    return min(1.0, 1 / ratio)


def crossing_probability(
    critical: Sequence[float], information: Sequence[float], drift: float = 0.0, *, upper_only: bool = False
) -> float:
    """Return the probability that z crosses its critical values: |z| first beyond one, or z first above it.

    ``drift`` is the expectation of z at information 1 (an effect over the standard error it has there). With
    ``upper_only`` a path that crosses below first has stopped and does not count.
    """
    nodes, mass, before, total = np.zeros(1), np.ones(1), 0.0, 0.0
    for c, units in zip(critical, information, strict=True):
        deviation = math.sqrt(units - before)
        center, edge = nodes + drift * (units - before), min(c, 40.0) * math.sqrt(units)
        total += float(mass @ special.ndtr((center - edge) / deviation))
        if not upper_only:
            total += float(mass @ special.ndtr((-edge - center) / deviation))
        width = min(c, _FARTHEST + abs(drift) * math.sqrt(units)) * math.sqrt(units)
        points, weights = leggauss(_nodes(width, deviation))
        fresh = width * points
        density = _density((fresh[:, None] - center) / deviation) @ mass
        nodes, mass = fresh, density / deviation * weights * width
        before = units
    return total


def inflation(critical: Sequence[float], information: Sequence[float], alpha: float, power: float) -> float:
    """Return how many times the units of a single look are needed for the same power (Jennison & Turnbull 2000)."""
    final = information[-1]
    shares = [units / final for units in information]
    single = float(special.ndtri(1 - alpha / 2) + special.ndtri(power))

    def missing(drift: float) -> float:
        return crossing_probability(critical, shares, drift, upper_only=True) - power

    return float((optimize.brentq(missing, 0.5 * single, 2 * single) / single) ** 2)
