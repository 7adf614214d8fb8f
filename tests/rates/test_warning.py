"""How often does an early winner carry a warning of a late loss, and how often is the warning right?

Worlds are drawn at the level of weekly log lifts, with the covariance that recorded household weeks give them: 40,000
units 50:50, of whom the first three of four weekly cohorts have lived the newest weeks, horizon 26, early weeks 0-3,
late weeks 13-25, adjusted for the pre-period. A world is looked at with 6, 7, .. 26 weeks seen. It is warned once, at
the first look with an early lift surely above zero (one-sided .025) and a probability of a late loss above .8.

Power laws, logistic drops and straight lines that stop at any week are not in the prior. Steps at any week (the prior
has those up to week 13) and compounding churn (the prior has straight drifts) are close to it, so that every family
must reach the bound by itself. Which worlds end in a loss must not be decided by the choice of shapes, so the families
have the same ends: in one world of four the late lift fades to exactly zero (the hardest case: no loss, and no distance
to one), and in the others the end is uniform between -6 % and +6 %, as often above zero as below. Early lifts are
uniform between 2 % and 6 %. Churn, which can only fall, has an extra hazard of exactly zero in one world of four and
else uniform below .008 a week. Nearly two thirds of the early winners do not end in a loss: a rule that warned of each
would be right in the rest alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from analysis.decay import WARNING_PROBABILITY, Forecaster
from analysis.plan import Window
from analysis.simulation_moments import CohortMoments, cohort_moments, treated_moments
from experiments.examples.households import load_households
from experiments.examples.worlds import HONEYMOON, enrollment
from tests.rates.bounds import check_at_least, check_at_most, is_full
from tests.rates.tables import frozen

UNITS = 40_000
WEEKS = np.arange(26)
EARLY = slice(0, 4)
LATE = Window("late", 13, 26)
LOOKS = range(6, 27)

#: The newest weeks of a look stand on the cohorts that have lived them: here three of four, 70 % of the units.
COHORTS = slice(0, 3)

#: Of early winners that are warned, at least this share must end in a loss: less than the .8 that is claimed, because
#: the shapes are not those of the prior.
TRUE_WARNINGS = 0.7

#: Worlds of each shape in the slow run.
MANY = 4_000

Shape = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class Looks:
    """One experiment's weekly log lifts, and what is prepared for each look, by weeks seen.

    root: (26, 26), the Cholesky factor of their covariance; early: (4,), the weeks' weights in the early lift.
    """

    root: np.ndarray
    early: np.ndarray
    forecasters: dict[int, Forecaster]

    @classmethod
    def of(cls, control: CohortMoments, treatment: CohortMoments) -> "Looks":
        covariance = log_lift_covariance(control, treatment)
        weights = merged(control)[0][EARLY]
        prepared = {seen: Forecaster.of(WEEKS[:seen], covariance[:seen, :seen], LATE) for seen in LOOKS}
        return cls(np.linalg.cholesky(covariance), weights / weights.sum(), prepared)

    def first_warnings(self, truth: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw a world for each row of truth (worlds, 26); return weeks seen at the warning (0: none), and who won."""
        found = truth + rng.standard_normal(truth.shape) @ self.root.T
        error = np.linalg.norm(self.early @ self.root[EARLY])
        won = found[:, EARLY] @ self.early > 1.959964 * error
        first = np.zeros(len(truth), dtype=int)
        for seen, forecaster in self.forecasters.items():
            warned = won & (forecaster.loss_probability(found[:, :seen]) > WARNING_PROBABILITY)
            first[warned & (first == 0)] = seen
        return first, won


def merged(moments: CohortMoments) -> tuple[np.ndarray, np.ndarray]:
    """Means of the weeks (26,), and their covariance given the pre-period, over the units of COHORTS; a unit's."""
    share = moments.share[COHORTS] / moments.share[COHORTS].sum()
    mean = share @ moments.mean[COHORTS]
    between = moments.mean[COHORTS] - mean
    covariance = np.tensordot(share, moments.covariance[COHORTS], 1) + (between.T * share) @ between
    slope = covariance[1:, 0] / covariance[0, 0]
    return mean[1:], covariance[1:, 1:] - np.outer(slope, slope) * covariance[0, 0]


def log_lift_covariance(control: CohortMoments, treatment: CohortMoments) -> np.ndarray:
    """By the delta method: the sum over variants of Cov(mean) / (mean mean')."""
    units = UNITS / 2 * control.share[COHORTS].sum()
    arms = [merged(moments) for moments in (control, treatment)]
    return sum(covariance / units / np.outer(mean, mean) for mean, covariance in arms)


@pytest.fixture(scope="module")
def recorded() -> CohortMoments:
    """The exact moments of recorded weeks, as in the Honeymoon example, without a treatment."""
    households = load_households()
    days = enrollment(HONEYMOON.key, households)
    return cohort_moments(households.trajectories, days, ("lines",), len(WEEKS), pre_weeks=8)


@pytest.fixture(scope="module")
def looks(recorded: CohortMoments) -> Looks:
    return Looks.of(recorded, recorded)


def between(rng: np.random.Generator, count: int, low: float, high: float) -> np.ndarray:
    return rng.uniform(low, high, (count, 1))


def start_and_end(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    zero = rng.random((count, 1)) < 0.25
    return between(rng, count, 0.02, 0.06), np.where(zero, 0.0, between(rng, count, -0.06, 0.06))


def power_law(rng: np.random.Generator, count: int) -> np.ndarray:
    start, end = start_and_end(rng, count)
    left = (1 + WEEKS / between(rng, count, 1, 4)) ** -between(rng, count, 0.5, 2)
    return end + (start - end) * left


def logistic(rng: np.random.Generator, count: int) -> np.ndarray:
    start, end = start_and_end(rng, count)
    left = 1 / (1 + np.exp((WEEKS - between(rng, count, 4, 16)) / between(rng, count, 0.7, 3)))
    return end + (start - end) * left


def step(rng: np.random.Generator, count: int) -> np.ndarray:
    start, end = start_and_end(rng, count)
    return np.where(np.floor(between(rng, count, 4, 20)) > WEEKS, start, end)


def line_and_plateau(rng: np.random.Generator, count: int) -> np.ndarray:
    start, end = start_and_end(rng, count)
    return start + (end - start) * np.minimum(WEEKS / between(rng, count, 8, 22), 1)


def churn(rng: np.random.Generator, count: int) -> np.ndarray:
    start, end = start_and_end(rng, count)
    hazard = np.where(end == 0, 0.0, between(rng, count, 0, 0.008))
    exposed = np.maximum(0, WEEKS + 1 - np.floor(between(rng, count, 2, 9)))
    return (1 + start) * (1 - hazard) ** exposed - 1


FAMILIES: tuple[Shape, ...] = (power_law, logistic, step, line_and_plateau, churn)


def check_warnings_are_right(looks: Looks, count: int, seed: int) -> str:
    """Return what was found, a line a shape; warnings must be right and losses found, of each shape by itself."""
    rng, full = np.random.default_rng(seed), is_full(count)
    warned_of, true_of, lost, won_all = 0, 0, 0, 0
    lines = [f"{'shape':<20}{'early winners that lose':>25}{'warned':>9}{'rightly':>9}{'of losses warned':>18}"]
    for family in FAMILIES:
        truth = np.log1p(family(rng, count))
        loss = truth[:, LATE.start_week : LATE.end_week].mean(axis=1) < 0
        first, won = looks.first_warnings(truth, rng)
        warned = first > 0
        right, caught = int(loss[warned].sum()), int(warned[loss & won].sum())
        shares = (loss[won].mean(), warned.mean(), right / warned.sum(), caught / (loss & won).sum())
        widths = (25, 9, 9, 18)
        figures = "".join(f"{share:>{width}.3f}" for share, width in zip(shares, widths, strict=True))
        lines.append(f"{family.__name__.replace('_', ' '):<20}{figures}")
        check_at_least(right, int(warned.sum()), TRUE_WARNINGS, full)
        check_at_least(caught, int((loss & won).sum()), 0.5, full)
        warned_of, true_of = warned_of + int(warned.sum()), true_of + right
        lost, won_all = lost + int((loss & won).sum()), won_all + int(won.sum())
    lines.append(
        f"all: {true_of / warned_of:.3f} of {warned_of:,} warnings right; {lost / won_all:.3f} of winners lose"
    )
    assert true_of / warned_of >= TRUE_WARNINGS
    assert lost / won_all < 0.5, "the worlds must not make it easy"
    return "\n".join(lines) + "\n"


def test_warnings_of_unfamiliar_shapes_are_mostly_right_in_three_hundred_worlds_a_shape(looks: Looks) -> None:
    print(check_warnings_are_right(looks, 300, seed=71))


@pytest.mark.slow
def test_warnings_of_unfamiliar_shapes_are_right_in_seven_of_ten(looks: Looks) -> None:
    text = f"{MANY:,} worlds of each shape, seed 72\n{check_warnings_are_right(looks, MANY, seed=72)}"
    print(text)
    frozen("warnings_shapes.txt", text)


#: Weekly lifts of worlds without a late loss, and the share that may be warned at any of the 21 looks. The last two end
#: at exactly nothing, the boundary of a loss, by ways that are not in the prior: warnings are wrong most often there.
HARMLESS = [
    pytest.param(0.02 + 0.04 * np.exp(-WEEKS / 3), 0.15, id="6 % fading to 2 %"),
    pytest.param(0.06 * np.exp(-WEEKS / 3), 0.15, id="6 % fading to nothing"),
    pytest.param(np.where(WEEKS < 4, 0.05, 0.0), 0.15, id="5 % for four weeks, then exactly nothing"),
    pytest.param(np.where(WEEKS < 9, 0.05, 0.0), 0.15, id="5 % for nine weeks, then exactly nothing"),
    pytest.param(np.full(26, 0.03), 0.01, id="3 % always"),
    pytest.param(np.zeros(26), 0.01, id="no effect"),
    pytest.param(0.05 * np.clip((10 - WEEKS) / 6, 0, 1), 0.25, id="5 % down a line from week 4 to nothing at week 10"),
    pytest.param(0.05 / (1 + np.exp((WEEKS - 8) / 1.5)), 0.25, id="5 % down a logistic curve to nothing"),
]


def check_harmless(looks: Looks, lifts: np.ndarray, count: int, seed: int, share: float) -> None:
    truth = np.tile(np.log1p(lifts), (count, 1))
    first, won = looks.first_warnings(truth, np.random.default_rng(seed))
    warned = int((first > 0).sum())
    print(f"ever warned {warned / count:.4f} of {count} worlds, of which {won.mean():.3f} are early wins")
    check_at_most(warned, count, share)


@pytest.mark.parametrize(("lifts", "share"), HARMLESS)
def test_harmless_worlds_are_seldom_warned_in_three_hundred_worlds(
    looks: Looks, lifts: np.ndarray, share: float
) -> None:
    check_harmless(looks, lifts, 300, seed=73, share=share)


@pytest.mark.slow
@pytest.mark.parametrize(("lifts", "share"), HARMLESS)
def test_harmless_worlds_are_seldom_warned(looks: Looks, lifts: np.ndarray, share: float) -> None:
    check_harmless(looks, lifts, MANY, seed=74, share=share)


def check_honeymoon(recorded: CohortMoments, count: int, seed: int, bound: int) -> None:
    """A rule that never warns fails here."""
    treatment = treated_moments(recorded, HONEYMOON.injection)
    truth = np.log(merged(treatment)[0] / merged(recorded)[0])
    assert np.expm1(truth[EARLY].mean()) == pytest.approx(0.03, abs=1e-9)
    assert np.expm1(truth[LATE.start_week :].mean()) == pytest.approx(-0.065, abs=0.002)
    rng = np.random.default_rng(seed)
    first, won = Looks.of(recorded, treatment).first_warnings(np.tile(truth, (count, 1)), rng)
    seen = np.where(first > 0, first, 99)
    shares = {week: round(float((seen <= week).mean()), 3) for week in (6, 8, 10, 11, 12, 13, 14, 15, 16, 20, 26)}
    print(f"honeymoon: early wins {won.mean():.3f}; share warned with at most so many weeks seen: {shares}")
    assert np.median(seen) <= bound
    assert (first > 0).mean() >= 0.95


def test_the_honeymoon_is_warned_by_week_fourteen_in_three_hundred_worlds(recorded: CohortMoments) -> None:
    check_honeymoon(recorded, 300, seed=75, bound=14)


@pytest.mark.slow
def test_the_honeymoon_is_warned_by_week_thirteen(recorded: CohortMoments) -> None:
    check_honeymoon(recorded, MANY, seed=76, bound=13)
