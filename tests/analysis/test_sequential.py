"""Looks and spending against published tables, R's rpact, simulation and numerical integration."""

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from scipy.stats import multivariate_normal

from analysis import sequential

KNOWN = json.loads((Path(__file__).parents[1] / "reference" / "sequential.json").read_text(encoding="utf-8"))["entries"]

#: A million paths see a probability of .0125 to .00011; four of these are 3.5 % of it.
PATHS = 1_000_000
SIMULATED = 0.05

#: 1,024 quasi-random paths leave an increment uncertain by some percent, which moves a boundary by some thousandths.
ROLLING = 0.06

#: Interpolation between tabled alphas, where p values matter; near 1 boundaries hardly depend on alpha.
INVERTED = 5e-4
INVERTED_ABOVE_ONE_HALF = 3e-3


def equal(looks):
    return [(look + 1) / looks for look in range(looks)]


def expected(entry):
    return KNOWN[entry]["expected"], KNOWN[entry]["tolerance"]


@pytest.mark.parametrize(
    ("entry", "spending", "times"),
    [
        ("ld_obf_k5", "obrien_fleming", equal(5)),
        ("ld_poc_k5", "pocock", equal(5)),
        ("ld_obf_k12", "obrien_fleming", equal(12)),
        ("ld_obf_irregular", "obrien_fleming", [0.2, 0.3, 0.6, 1.0]),
    ],
)
def test_boundaries_equal_the_tables_and_rpact(entry, spending, times):
    values, tolerance = expected(entry)
    found = sequential.boundaries(times, times, 0.05, spending)
    for value, known in zip(found, values, strict=True):
        assert value == pytest.approx(known, abs=tolerance) if known is not None else value == math.inf


def test_the_last_boundary_of_half_a_year_and_of_a_year_of_looks():
    values, tolerance = expected("ld_obf_26_52_final")
    found = [sequential.boundaries(equal(looks), equal(looks), 0.05, "obrien_fleming")[-1] for looks in (26, 52)]
    assert found == pytest.approx(values[:2], abs=tolerance)
    for looks, constant in ((26, values[2]), (52, values[3])):
        crossed = sequential.crossing_probability([constant] * looks, equal(looks))
        assert crossed == pytest.approx(0.05, abs=tolerance)


@pytest.mark.parametrize(("entry", "looks"), [("gs_obf_k5", 5), ("gs_obf_k12", 12)])
def test_the_fixed_boundaries_of_obrien_and_fleming_are_crossed_with_five_percent(entry, looks):
    values, _ = expected(entry)
    # An error of 1e-5 in a boundary of density .06 moves the probability by less than 1e-6.
    assert sequential.crossing_probability(values, equal(looks)) == pytest.approx(0.05, abs=2e-6)


def test_pococks_constant_for_twelve_looks_is_crossed_with_five_percent():
    value, _ = expected("gs_poc_k12")
    assert sequential.crossing_probability([value] * 12, equal(12)) == pytest.approx(0.05, abs=2e-6)


def test_naive_looks_reject_as_often_as_armitage_mcpherson_and_rowe_found():
    values, tolerance = expected("naive_peeking")
    found = [sequential.crossing_probability([1.959964] * looks, equal(looks)) for looks in (5, 10, 20, 50)]
    assert found == pytest.approx(values, abs=tolerance)


def test_the_price_of_looking_in_units():
    values, tolerance = expected("gs_inflation")
    fixed = KNOWN["gs_obf_k5"]["expected"]
    pocock_5 = [2.413175] * 5  # Pocock's constant for five looks (Jennison & Turnbull 2000, table 2.1: 2.413)
    cases = [
        (fixed, 5),
        (pocock_5, 5),
        (sequential.boundaries(equal(12), equal(12), 0.05, "obrien_fleming"), 12),
        (sequential.boundaries(equal(12), equal(12), 0.05, "pocock"), 12),
    ]
    found = [sequential.inflation(critical, equal(looks), 0.05, 0.8) for critical, looks in cases]
    # Here a path that has stopped at the lower boundary cannot win later; in rpact it can, which is .0002 at most.
    assert found == pytest.approx(values, abs=2 * tolerance)


def test_simulated_paths_cross_as_often_as_alpha_says_at_every_look():
    information, times = [3.0, 5.0, 11.0, 12.0], [0.25, 0.5, 0.75, 1.0]
    for spending in ("obrien_fleming", "pocock"):
        critical = sequential.boundaries(information, times, 0.1, spending)
        steps = np.sqrt(np.diff([0, *information])) * np.random.default_rng(1).standard_normal((PATHS, 4))
        z = np.cumsum(steps, axis=1) / np.sqrt(information)
        crossed = np.maximum.accumulate(np.abs(z) > critical, axis=1).mean(axis=0)
        wanted = [float(sequential.spent(time, 0.1, spending)) for time in times]
        assert crossed == pytest.approx(wanted, rel=SIMULATED, abs=4 * math.sqrt(0.001 / PATHS))


def test_an_empty_cohort_tests_nothing_and_its_alpha_is_spent_at_the_next_look():
    found = sequential.boundaries([0, 5, 5, 10], [0.25, 0.5, 0.75, 1], 0.05, "obrien_fleming")
    assert found[0] == found[2] == math.inf
    # What is spent by .75 was left over: the last look has all of it.
    assert found[[1, 3]] == pytest.approx(sequential.boundaries([5, 10], [0.5, 1], 0.05, "obrien_fleming"))


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.floats(1, 1000), min_size=1, max_size=4),
    st.floats(-4, 4),
    st.sampled_from(["obrien_fleming", "pocock"]),
)
def test_the_repeated_p_value_is_the_alpha_at_which_the_boundary_is_met(units, z, spending):
    information, times = np.cumsum(units), equal(len(units))
    p = sequential.repeated_p(z, information, times, spending)
    assert 0 < p <= 1
    if 1e-10 < p < 0.95:
        tolerance = INVERTED if p < 0.5 else INVERTED_ABOVE_ONE_HALF
        assert sequential.boundaries(information, times, p, spending)[-1] == pytest.approx(abs(z), abs=tolerance)
    assert sequential.repeated_p(abs(z) + 0.1, information, times, spending) <= p


def test_a_single_look_costs_nothing():
    assert sequential.boundaries([7], [1.0], 0.05, "obrien_fleming") == pytest.approx([1.959964], abs=1e-6)
    assert sequential.repeated_p(2.0, [7], [1.0], "pocock") == pytest.approx(2 * special.ndtr(-2.0))


def test_p_values_end_above_zero_and_at_one():
    information = times = equal(4)
    assert sequential.repeated_p(60, information, times, "obrien_fleming") == sequential.LEAST_P
    assert sequential.repeated_p(0, information, times, "obrien_fleming") == 1.0


# --- Looks with any correlation ---------------------------------------------------------------------------------------


def moving_average(looks, width=4, common=0.4):
    """Readings of ``width`` weeks that move by one, of units whose weeks are correlated."""
    overlap = np.maximum(0, 1 - np.abs(np.subtract.outer(np.arange(looks), np.arange(looks))) / width)
    return common + (1 - common) * overlap


LOOKS = np.arange(1, 7)
CORRELATIONS = {
    "canonical": np.sqrt(np.minimum.outer(LOOKS, LOOKS) / np.maximum.outer(LOOKS, LOOKS)),
    "equal": 0.5 + 0.5 * np.eye(6),
    "independent": np.eye(6),
    "moving": moving_average(6),
}  # fmt: skip


@pytest.mark.parametrize("name", CORRELATIONS)
def test_first_crossings_spend_what_they_should_under_any_correlation(name):
    correlation = CORRELATIONS[name]
    cumulative = 0.0125 * np.array(equal(6)) ** 1.5
    critical = sequential.rolling_boundaries(correlation, cumulative)
    draws = np.random.default_rng(2).standard_normal((PATHS, 6)) @ np.linalg.cholesky(correlation).T
    crossed = np.maximum.accumulate(draws > critical, axis=1).mean(axis=0)
    noise = 4 * np.sqrt(cumulative / PATHS) / cumulative
    assert np.all(np.abs(crossed / cumulative - 1) < ROLLING + noise)


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
        assert at == pytest.approx(z[look], abs=0.02)
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


# --- Any time ---------------------------------------------------------------------------------------------------------


def test_the_tuning_of_the_confidence_sequence_is_the_exact_one():
    values, tolerance = expected("asympcs_rho")
    found = [sequential._rho_squared(alpha, 1.0) for alpha in (0.05, 0.1)]
    assert found == pytest.approx(values["exact"], abs=tolerance)
    assert sequential.anytime_critical(1000, 0.05, 1000) / 1.959964 == pytest.approx(1.548560, abs=1e-5)


def test_the_p_value_inverts_the_interval_and_is_one_over_the_mixture_likelihood_ratio():
    critical = sequential.anytime_critical(3000, 0.05, 1000)
    assert sequential.anytime_p(critical, 3000, 1000) == pytest.approx(0.05)
    values, tolerance = expected("msprt_equiv")
    # V = .001 is the variance of the difference, tau^2 = .008211968 that of the mixture: n rho^2 = tau^2 / V.
    n = 8.211967618  # with planned units of 1, n rho^2 is 8.211968 n: so n = 1
    assert pytest.approx(n, rel=1e-6) == 8.211968 * 1
    assert sequential.anytime_p(0.12 / math.sqrt(0.001), 1, 1) == pytest.approx(values["p"], abs=10 * tolerance)


@pytest.mark.parametrize(
    "entry", ["sequential_mean_relative", "sequential_proportion_relative", "sequential_small_relative"]
)
def test_the_half_width_is_that_of_growthbooks_sequential_intervals(entry):
    known = KNOWN[entry]
    inputs, answer = known["inputs"], known["expected"]
    n = inputs["control"]["n"] + inputs["treatment"]["n"]
    se = answer.get("standard_error") or relative_error(inputs["control"], inputs["treatment"])
    half = answer["effect"] - (answer["ci"][0] if "ci" in answer else answer["ci_lower"])
    # GrowthBook tunes with the approximate rho^2; ours is exact: the widths differ by less than 2 %.
    rho = math.sqrt((-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)) / inputs["tuning_n"])
    scaled = n * rho**2
    theirs = math.sqrt(2 * (scaled + 1) / scaled * math.log(math.sqrt(scaled + 1) / 0.05)) * se
    assert half == pytest.approx(theirs, rel=2e-3)
    assert sequential.anytime_critical(n, 0.05, inputs["tuning_n"]) * se == pytest.approx(half, rel=0.02)


def relative_error(control, treatment):
    """Standard error of the lift by the delta method, from sums and sums of squares."""
    means, variances = [], []
    for side in (control, treatment):
        n, mean = side["n"], side["sum"] / side["n"]
        means.append(mean)
        variances.append((side["sum_squares"] / n - mean**2) / (n - 1))
    return math.sqrt(variances[1] / means[0] ** 2 + variances[0] * means[1] ** 2 / means[0] ** 4)


def test_an_interval_read_at_every_unit_misses_at_most_alpha():
    """2,000 paths of 3,000 units, read after each from 50 on: at most 5 %, by four standard errors of the binomial."""
    steps = np.random.default_rng(4).standard_normal((2000, 3000))
    units = np.arange(1, 3001)
    z = np.cumsum(steps, axis=1) / np.sqrt(units)
    critical = np.array([sequential.anytime_critical(n, 0.05, 1000) for n in units])
    missed = (np.abs(z) > critical)[:, 50:].any(axis=1).mean()
    assert 0.01 < missed < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 2000)


def test_tables_are_kept():
    information, times = [float(n) for n in np.cumsum(np.arange(1, 13))], equal(12)
    sequential.repeated_p(2.0, information, times, "obrien_fleming")
    before = time.perf_counter()
    for z in np.linspace(0, 5, 200):
        sequential.repeated_p(float(z), information, times, "obrien_fleming")
    # Computing the table once takes a tenth of a second, 200 times twenty: even a slow machine tells these apart.
    assert time.perf_counter() - before < 5
