"""The forecast of a late loss: against hand computation, numerical integration, and drawing from the prior."""

import math
import time

import numpy as np
import pytest
from scipy import stats

from analysis import decay
from analysis.decay import MATERIALITY, Forecaster, forecast, late_loss_probability
from analysis.plan import Window

LATE = Window("late", 13, 26)
WEEKS = np.arange(10)

#: Standard errors of 1.1 %, correlations of .15: like recorded weeks of 40,000 units.
NOISE = 1.2e-4 * (0.85 * np.eye(26) + 0.15)

FALLING = np.array([0.031, 0.027, 0.034, 0.026, 0.021, 0.02, 0.009, 0.004, 0.001, -0.008])


def use_models(patch: pytest.MonkeyPatch, columns: list[list[int]], scales: list[list[float]]) -> None:
    """Leave these models only, with equal weights and without wander."""
    patch.setattr(decay, "_COLUMNS", np.array(columns))
    patch.setattr(decay, "_SCALES", np.array(scales))
    patch.setattr(decay, "_LOG_PRIOR", np.full(len(columns), -math.log(len(columns))))
    patch.setattr(decay, "WANDER_SD", 0.0)


def test_two_models_agree_with_bayes_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing at all, or a constant lift with standard deviation .05; one week is seen."""
    use_models(monkeypatch, [[0, 1, 16], [0, 1, 16]], [[0, 0, 0], [0.05, 0, 0]])
    seen, noise = -0.03, 0.02**2
    nothing = stats.norm.pdf(seen, 0, math.sqrt(noise))
    level = stats.norm.pdf(seen, 0, math.sqrt(noise + 0.05**2))
    there = level / (nothing + level)
    shrinkage = 0.05**2 / (0.05**2 + noise)
    spread = math.sqrt(shrinkage * noise)
    by_hand = there * stats.norm.cdf((-MATERIALITY - shrinkage * seen) / spread)
    found = forecast([0], [seen], [[noise]], LATE)
    assert found.probability == pytest.approx(by_hand, rel=1e-12)
    assert math.log1p(found.late_lift) == pytest.approx(there * shrinkage * seen, rel=1e-12)
    variance = there * (spread**2 + (shrinkage * seen) ** 2) - (there * shrinkage * seen) ** 2
    assert found.late_sd == pytest.approx(math.sqrt(variance), rel=1e-9)


def test_one_model_agrees_with_numerical_integration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Level and a drift from week 4 for good, integrated over a fine grid of both."""
    from_week_4 = 16 + 2 * 1 + 1
    use_models(monkeypatch, [[0, 1, from_week_4]], [[0.05, 0, 0.005]])
    level = np.linspace(-0.15, 0.15, 1501)[:, None, None]
    drift = np.linspace(-0.02, 0.02, 1601)[None, :, None]
    residual = FALLING - level - drift * np.clip(WEEKS - 4, 0, None)
    density = np.exp(
        -0.5 * np.einsum("abk,kl,abl->ab", residual, np.linalg.inv(NOISE[:10, :10]), residual, optimize=True)
        - 0.5 * ((level / 0.05) ** 2 + (drift / 0.005) ** 2)[..., 0]
    )
    density /= density.sum()
    average = (level + drift * (np.arange(13, 26).mean() - 4))[..., 0]
    found = forecast(WEEKS, FALLING, NOISE[:10, :10], LATE, materiality=0.05)
    assert found.probability == pytest.approx(density[average < -0.05].sum(), abs=2e-3)
    center = (density * average).sum()
    assert math.log1p(found.late_lift) == pytest.approx(center, abs=1e-7)
    assert found.late_sd == pytest.approx(math.sqrt((density * (average - center) ** 2).sum()), rel=1e-5)


def draw_prior(rng: np.random.Generator, count: int, weeks: int) -> np.ndarray:
    """Weekly log lifts (count, weeks) from the prior as the module's words describe it, one part after the other."""
    week = np.arange(weeks)
    there = rng.random((3, count, 1)) < 0.5
    level = 0.05 * rng.standard_normal((count, 1))
    kind = rng.integers(15, size=(count, 1))
    tau = np.choose(np.minimum(kind, 3), (1, 2, 4, 8))
    holding = week < kind - 1
    novelty = 0.05 * rng.standard_normal((count, 1)) * np.where(kind < 4, np.exp(-week / tau), holding)
    onset, short = rng.integers(1, 7, size=(count, 1)) * 2, rng.random((count, 1)) < 0.5
    lived = np.maximum(week - onset, 0)
    drift = 0.005 * rng.standard_normal((count, 1)) * np.where(short, np.minimum(lived, 4), lived)
    wander = 0.0025 * rng.standard_normal((count, weeks))
    return there[0] * level + there[1] * novelty + there[2] * drift + wander


def test_all_models_agree_with_drawing_from_the_prior() -> None:
    """Importance sampling: lifts drawn from the prior, weighted by the likelihood; some late weeks are seen."""
    curves = draw_prior(np.random.default_rng(81), 400_000, 26)
    weeks, late = np.array([1, 7, 14]), Window("late", 13, 20)
    lifts, noise = np.array([0.04, 0.01, -0.03]), 0.0004 * np.eye(3) + 0.0002
    likelihood = stats.multivariate_normal.pdf(curves[:, weeks], lifts, noise)
    weights = likelihood / likelihood.sum()
    average = curves[:, 13:20].mean(axis=1)
    found = forecast(weeks, lifts, noise, late)
    error = math.sqrt((weights**2).sum())
    assert error < 0.004, "too few effective draws to tell"
    assert found.probability == pytest.approx(weights[average < -MATERIALITY].sum(), abs=4 * 0.5 * error)
    assert math.log1p(found.late_lift) == pytest.approx(weights @ average, abs=4 * found.late_sd * error)
    for end, share in ((found.late_low, 0.025), (found.late_high, 0.975)):
        assert weights[average < math.log1p(end)].sum() == pytest.approx(share, abs=4 * 0.16 * error)


def test_without_weeks_the_answer_is_the_prior() -> None:
    average = draw_prior(np.random.default_rng(82), 400_000, 26)[:, 13:].mean(axis=1)
    found = forecast([], [], np.zeros((0, 0)), LATE)
    assert found.probability == pytest.approx((average < -MATERIALITY).mean(), abs=4 * 0.5 / math.sqrt(400_000))
    assert found.late_sd == pytest.approx(average.std(), rel=0.01)
    assert found.late_lift == pytest.approx(0, abs=1e-12)
    assert late_loss_probability([], [], [], LATE, materiality=0) == pytest.approx(0.5)


@pytest.mark.parametrize("seen", [6, 8, 10])
def test_worse_weeks_make_a_loss_likelier(seen: int) -> None:
    """Of a lift that falls, all weeks or the last two alone are moved down in steps of .1 %."""
    prepared = Forecaster.of(WEEKS[:seen], NOISE[:seen, :seen], LATE)
    for moved in (np.ones(seen), (np.arange(seen) >= seen - 2).astype(float)):
        lifts = FALLING[:seen] - np.outer(0.001 * np.arange(30), moved)
        assert np.all(np.diff(prepared.loss_probability(lifts)) > 0)


def test_a_steady_win_is_not_expected_to_turn_and_a_falling_one_is() -> None:
    """Ten weeks that fall to nothing may stop there; three more that go on falling may not."""
    noise = NOISE[:10, :10]
    assert late_loss_probability(WEEKS, np.full(10, 0.03), noise, LATE) < 0.1
    assert late_loss_probability(WEEKS, 0.05 * np.exp(-WEEKS / 3), noise, LATE) < 0.4
    assert 0.2 < late_loss_probability(WEEKS, FALLING, noise, LATE) < 0.8
    longer = np.append(FALLING, [-0.012, -0.018, -0.026])
    assert late_loss_probability(np.arange(13), longer, NOISE[:13, :13], LATE) > 0.8


def test_a_week_listed_twice_changes_nothing() -> None:
    twice = np.concatenate([np.arange(10), np.arange(10)])
    once = forecast(WEEKS, FALLING, NOISE[:10, :10], LATE)
    doubled = forecast(twice, FALLING[twice], NOISE[np.ix_(twice, twice)], LATE)
    for field in ("probability", "late_lift", "late_low", "late_high", "late_sd"):
        assert getattr(doubled, field) == pytest.approx(getattr(once, field), rel=1e-8), field


def test_the_order_of_weeks_does_not_matter() -> None:
    order = np.random.default_rng(83).permutation(10)
    shuffled = late_loss_probability(order, FALLING[order], NOISE[np.ix_(order, order)], LATE)
    assert shuffled == pytest.approx(late_loss_probability(WEEKS, FALLING, NOISE[:10, :10], LATE), rel=1e-10)


@pytest.mark.parametrize("ridge", [0.0, 1e-18, 1e-12])
def test_a_nearly_singular_covariance_gives_the_limit(ridge: float) -> None:
    """All weeks share one error: only the common level is uncertain."""
    shared = np.full((10, 10), 1e-4)
    limit = forecast(WEEKS, FALLING, shared + 1e-9 * np.eye(10), LATE)
    found = forecast(WEEKS, FALLING, shared + ridge * np.eye(10), LATE)
    assert found.probability == pytest.approx(limit.probability, abs=1e-3)
    assert found.late_lift == pytest.approx(limit.late_lift, abs=1e-4)


def test_known_late_weeks_are_their_own_forecast() -> None:
    lifts = np.where(np.arange(26) < 13, 0.03, -0.01) + 0.002 * np.sin(np.arange(26))
    found = forecast(np.arange(26), lifts, 1e-14 * np.eye(26), LATE)
    assert math.log1p(found.late_lift) == pytest.approx(lifts[13:].mean(), abs=1e-7)
    assert found.late_low == pytest.approx(found.late_high, abs=1e-6)
    assert found.probability == pytest.approx(1)


def test_many_experiments_at_once_are_each_as_alone() -> None:
    prepared = Forecaster.of(WEEKS, NOISE[:10, :10], LATE)
    lifts = np.stack([FALLING, -FALLING, np.zeros(10)])
    together = prepared.loss_probability(lifts)
    assert together.shape == (3,)
    alone = [late_loss_probability(WEEKS, row, NOISE[:10, :10], LATE) for row in lifts]
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert prepared.loss_probability(lifts, materiality=0)[2] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("weeks", "lifts", "covariance", "words"),
    [
        ([0, -1], [0, 0], np.eye(2), "weeks"),
        ([[0, 1]], [0, 0], np.eye(2), "weeks"),
        ([0, 1], [0, 0], np.eye(3), "shape"),
        ([0, 1], [0, 0], np.diag([1, np.nan]), "finite"),
        ([0, 1], [0, 0], [[1, 0.5], [0.4, 1]], "symmetric"),
        ([0, 1], [0, 0], [[1, 2], [2, 1]], "semidefinite"),
        ([0, 1], [0, np.nan], np.eye(2), "log lift"),
        ([0, 1], [0, 0, 0], np.eye(2), "log lift"),
    ],
)
def test_what_cannot_be_read_is_refused(weeks: object, lifts: object, covariance: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        late_loss_probability(weeks, lifts, covariance, LATE)  # type: ignore[arg-type]


def test_a_call_takes_milliseconds() -> None:
    """The best of many, so that a busy machine does not matter: .9 ms where this was written."""
    weeks, lifts = np.arange(26), np.linspace(0.03, -0.05, 26)
    best = math.inf
    for _ in range(50):
        begun = time.perf_counter()
        late_loss_probability(weeks, lifts, NOISE, LATE)
        best = min(best, time.perf_counter() - begun)
    assert best < 0.005
