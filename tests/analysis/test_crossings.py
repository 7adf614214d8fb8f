"""First crossings by looks with any correlation, against simulation, numerical integration and quadrature."""

import math

import numpy as np
import pytest
from scipy import special
from scipy.stats import multivariate_normal

from analysis import crossings, sequential

#: Two million paths see a probability of .0125 to .00008; four of these are 2.5 % of it.
PATHS = 2_000_000

#: A thousand quasi-random paths leave the probability of a first crossing uncertain by one percent of the budget, and
#: one boundary by hundredths: a boundary absorbs the error of its own step.
ROLLING = 0.01
BOUNDARY = 0.02


def equal(looks):
    return [(look + 1) / looks for look in range(looks)]


def moving_average(looks, width=4, common=0.4):
    """Readings of ``width`` weeks that move by one, of units whose weeks are correlated."""
    overlap = np.maximum(0, 1 - np.abs(np.subtract.outer(np.arange(looks), np.arange(looks))) / width)
    return common + (1 - common) * overlap


def canonical(looks):
    """Looks at all that came so far."""
    information = np.arange(1, looks + 1)
    return np.sqrt(np.minimum.outer(information, information) / np.maximum.outer(information, information))


CORRELATIONS = {
    "canonical": canonical(6),
    "equal": 0.5 + 0.5 * np.eye(6),
    "independent": np.eye(6),
    "moving": moving_average(6),
}  # fmt: skip


@pytest.mark.parametrize("name", CORRELATIONS)
def test_first_crossings_spend_what_they_should_under_any_correlation(name):
    correlation = CORRELATIONS[name]
    cumulative = 0.0125 * np.array(equal(6)) ** 1.5
    critical = sequential.rolling_boundaries(correlation, cumulative)
    draws = np.random.default_rng(2).standard_normal((PATHS // 2, 6)) @ np.linalg.cholesky(correlation).T
    crossed = np.maximum.accumulate(draws > critical, axis=1).mean(axis=0)
    noise = 4 * np.sqrt(cumulative / (PATHS // 2)) / cumulative
    assert np.all(np.abs(crossed / cumulative - 1) < ROLLING + noise)


def weeks_related(looks, between, width=4):
    """Readings of ``width`` weeks that move by one; weeks correlate by ``between``, and less further apart."""
    apart = np.abs(np.subtract.outer(np.arange(looks + width - 1), np.arange(looks + width - 1)))
    reading = np.array([np.convolve(week, np.ones(width), "valid") for week in np.eye(looks + width - 1)]).T
    covariance = reading @ np.power(float(between), apart) @ reading.T
    spread = np.sqrt(np.diag(covariance))
    return covariance / np.outer(spread, spread)


def spent(correlation, critical, seed):
    """The probability that any score is beyond its boundary, however small, and the standard error of that.

    One score is beyond its own, the look drawn by how probable that is; divided by how many then are, as Naiman &
    Priebe 2001 do, the mean is the probability that any is.
    """
    rng, size = np.random.default_rng(seed), 100_000
    beyond = special.ndtr(-critical)
    look = rng.choice(len(beyond), size=size, p=beyond / beyond.sum())
    crossing = -special.ndtri(rng.random(size) * beyond[look])
    draws = rng.standard_normal((size, len(beyond))) @ np.linalg.cholesky(correlation).T
    draws += correlation[look] * (crossing - draws[np.arange(size), look])[:, None]
    draws[np.arange(size), look] = np.inf
    found = beyond.sum() / (draws > critical).sum(axis=1)
    return found.mean(), found.std() / math.sqrt(size)


YEARS = {
    **{f"weeks related by {one}": (weeks_related(52, one), 1.0) for one in (0, 0.5, 0.9, 0.95, 0.99)},
    "two years of weeks": (weeks_related(100, 0.7), 1.0),
    "all weeks so far": (canonical(52), 1.0),
    "eighteen of what hardly changes": (moving_average(18, 4, 0.9), 1.5),
    "opposite looks": ((-0.3) ** np.abs(np.subtract.outer(np.arange(30), np.arange(30))), 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", YEARS)
def test_a_year_of_looks_spends_its_budget_however_small_and_however_related(name):
    """The error of a thousand paths is below one percent; the simulation's own is four of its standard errors."""
    correlation, power = YEARS[name]
    budgets = np.array([0.025, 0.004, 1e-4, 1e-8])
    shares = (np.arange(1, len(correlation) + 1) / len(correlation)) ** power
    critical = crossings.first_crossings(correlation, np.outer(shares, budgets))
    for place, budget in enumerate(budgets):
        probability, error = spent(correlation, critical[:, place], place)
        assert abs(probability / budget - 1) < ROLLING + 4 * error / budget, budget


@pytest.mark.parametrize("width", [4, 8])
def test_eighteen_moving_readings_spend_their_budget(width):
    correlation, cumulative = moving_average(18, width), 0.0125 * np.array(equal(18)) ** 1.5
    critical = sequential.rolling_boundaries(correlation, cumulative)
    draws = np.random.default_rng(6).standard_normal((PATHS // 4, 18)) @ np.linalg.cholesky(correlation).T
    crossed = (draws > critical).any(axis=1).mean()
    assert crossed == pytest.approx(0.0125, rel=ROLLING + 4 / math.sqrt(0.0125 * PATHS / 4))


def test_a_new_reading_changes_nothing_about_those_before():
    correlation, shares = moving_average(10), np.array(equal(10)) ** 1.5
    z = np.linspace(0, 4, 10)
    all_of_them = sequential.rolling_p(z, correlation, shares)
    critical = sequential.rolling_boundaries(correlation, 0.0125 * shares)
    for looks in (1, 2, 5, 9):
        square = np.ascontiguousarray(correlation[:looks, :looks])
        assert sequential.rolling_p(z[:looks], square, shares[:looks]) == pytest.approx(all_of_them[:looks], rel=1e-9)
        earlier = sequential.rolling_boundaries(square, 0.0125 * shares[:looks])
        assert earlier == pytest.approx(critical[:looks], rel=1e-9)


def test_p_values_of_readings_that_hardly_differ_are_found_too():
    """Correlations up to 1, budgets to 1e-10: tables stay in order, and nothing is divided by zero."""
    for correlation in (np.ones((12, 12)), moving_average(12, 40, 0.95), np.eye(12), moving_average(12, 2, 0.0)):
        found = sequential.rolling_p(np.linspace(-3, 8, 12), correlation, np.array(equal(12)) ** 1.5)
        assert np.all((found > 0) & (found <= 1))


def test_two_correlated_looks_agree_with_numerical_integration():
    correlation = np.array([[1, 0.7], [0.7, 1]])
    critical = sequential.rolling_boundaries(correlation, np.array([0.005, 0.0125]))
    inside = multivariate_normal(np.zeros(2), correlation).cdf(critical)
    assert 1 - inside == pytest.approx(0.0125, rel=ROLLING)
    assert critical[0] == pytest.approx(special.ndtri(0.995))


def test_one_sided_looks_with_independent_increments_agree_with_the_quadrature():
    # Two-sided boundaries at alpha hold one-sided at alpha / 2: crossings of the other side hardly ever come first.
    times = equal(5)
    two_sided = sequential.boundaries(times, times, 0.05, "pocock")
    cumulative = np.array([float(sequential.spent(t, 0.05, "pocock")) / 2 for t in times])
    correlation = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    assert sequential.rolling_boundaries(correlation, cumulative) == pytest.approx(two_sided, abs=0.02)


def test_a_look_that_repeats_the_one_before_tests_nothing_new():
    correlation = np.array([[1, 1, 0.5], [1, 1, 0.5], [0.5, 0.5, 1.0]])
    critical = sequential.rolling_boundaries(correlation, np.array([0.004, 0.008, 0.0125]))
    assert critical[1] == math.inf
    alone = sequential.rolling_boundaries(np.array([[1, 0.5], [0.5, 1]]), np.array([0.004, 0.0125]))
    assert critical[[0, 2]] == pytest.approx(alone, abs=0.02)


def test_the_p_value_of_a_reading_is_the_budget_at_which_it_crosses():
    correlation, shares = moving_average(10), np.array(equal(10)) ** 1.5
    z = np.array([0.2, 1.0, 2.0, 2.9, 3.5, 3.0, 1.0, -1.0, 2.0, 6.0])
    found = sequential.rolling_p(z, correlation, shares)
    for look in (2, 3, 4, 5, 8):
        at = sequential.rolling_boundaries(correlation, found[look] * shares)[look]
        assert at == pytest.approx(z[look], abs=BOUNDARY)
    assert found[7] == 1.0
    assert found[9] < 1e-7
    assert found[0] == pytest.approx(min(1.0, special.ndtr(-0.2) / shares[0]))


def test_rolling_p_values_of_no_effect_are_small_as_often_as_they_say():
    """40,000 paths: at a level of 10 % the binomial's standard error is .15 %; four of these, above and below.

    That a p value is below the level exactly where a boundary is crossed is seen on some of them.
    """
    correlation, shares = moving_average(8), np.array(equal(8)) ** 1.5
    draws = np.random.default_rng(3).standard_normal((40_000, 8)) @ np.linalg.cholesky(correlation).T
    critical = sequential.rolling_boundaries(correlation, 0.1 * shares)
    crossed = (draws > critical).any(axis=1)
    assert crossed.mean() == pytest.approx(0.1, abs=0.006 + 0.1 * ROLLING)
    clear = np.abs(draws - critical).min(axis=1) > 0.02
    for path, small in zip(draws[clear][:60], crossed[clear][:60], strict=True):
        assert (sequential.rolling_p(path, correlation, shares).min() < 0.1) == small


def test_budgets_that_the_scores_do_not_need_change_nothing():
    """Boundaries are made for large budgets first, and for smaller ones only where a score is beyond those."""
    correlation, shares = moving_average(9), np.array(equal(9)) ** 1.5
    square, times = correlation.tobytes(), shares.tobytes()
    for highest in (0.5, 2.0, 3.0, 4.5, 8.0):
        z = np.linspace(-1, highest, 9)
        few = sequential._table_for(z, square, times)[0]
        all_of_them = np.append(z[:-1], 9.0)  # a last score that needs every budget
        assert sequential._table_for(all_of_them, square, times)[0].size == 12 >= few.size
        found, known = (sequential.rolling_p(scores, correlation, shares) for scores in (z, all_of_them))
        assert found[:-1] == pytest.approx(known[:-1], rel=1e-12)
    assert sequential._table_for(np.linspace(-2, 0, 9), square, times)[0].size == 4
