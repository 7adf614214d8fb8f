"""Looks and spending against published tables, R's rpact, simulation and numerical integration."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special
from scipy.stats import multivariate_normal

from analysis import sequential

KNOWN = json.loads((Path(__file__).parents[1] / "reference" / "sequential.json").read_text(encoding="utf-8"))["entries"]

#: Two million paths see a probability of .0125 to .00008; four of these are 2.5 % of it.
PATHS = 2_000_000

#: Two sets of quadrature nodes, one twice as dense, agree to 1e-8; scipy's own integration is good to 1e-7.
INTEGRATED = 1e-6

#: Interpolation between tabled alphas, as a part of p, where p values matter.
INVERTED = 1e-5


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


def fixed(looks, shape):
    """Boundaries with this shape that are crossed with probability .05: the constant is found by crossing_probability.

    Its root moves by less than the 1e-7 at which a boundary is asked for.
    """
    shape = np.array(shape)
    constant = optimize.brentq(
        lambda c: sequential.crossing_probability(c * shape, equal(looks)) - 0.05, 1.5, 4.0, xtol=1e-9
    )
    return constant * shape


def obrien_fleming(looks):
    return fixed(looks, np.sqrt(looks / np.arange(1, looks + 1)))


@pytest.mark.parametrize(("entry", "looks"), [("gs_obf_k5", 5), ("gs_obf_k12", 12)])
def test_the_fixed_boundaries_of_obrien_and_fleming_are_found_again(entry, looks):
    values, tolerance = expected(entry)
    assert obrien_fleming(looks) == pytest.approx(values, abs=tolerance)


def test_the_constants_of_pocock_are_found_again():
    value, tolerance = expected("gs_poc_k12")
    assert fixed(12, np.ones(12))[0] == pytest.approx(value, abs=tolerance)
    values, tolerance = expected("ld_obf_26_52_final")
    assert [fixed(looks, np.ones(looks))[0] for looks in (26, 52)] == pytest.approx(values[2:], abs=tolerance)


def test_naive_looks_reject_as_often_as_armitage_mcpherson_and_rowe_found():
    values, tolerance = expected("naive_peeking")
    looks = (5, 10, 20, 50, 12, 26, 52)
    found = [sequential.crossing_probability([1.959964] * count, equal(count)) for count in looks]
    assert found == pytest.approx([*values, *KNOWN["naive_peeking"]["weekly"]], abs=tolerance)


def test_the_price_of_looking_in_units():
    values, tolerance = expected("gs_inflation")
    cases = [
        (obrien_fleming(5), 5, tolerance),
        (fixed(5, np.ones(5)), 5, tolerance),
        (sequential.boundaries(equal(12), equal(12), 0.05, "obrien_fleming"), 12, tolerance),
        # Here a path that has stopped at the lower boundary cannot win later; in rpact it can (see below).
        (sequential.boundaries(equal(12), equal(12), 0.05, "pocock"), 12, 2 * tolerance),
    ]
    for (critical, looks, close), value in zip(cases, values, strict=True):
        assert sequential.inflation(critical, equal(looks), 0.05, 0.8) == pytest.approx(value, abs=close)


def test_rpacts_price_of_pocock_spending_is_that_of_an_upper_boundary_alone():
    """Scipy's integration of twelve looks without a lower boundary, at the units that rpact says: a power of .8.

    The power changes by .3 for 1 in the inflation; the integration is good to 1e-5.
    """
    values, tolerance = expected("gs_inflation")
    times = np.array(equal(12))
    critical = sequential.boundaries(equal(12), equal(12), 0.05, "pocock")
    single = float(special.ndtri(0.975) + special.ndtri(0.8))
    correlation = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    below = multivariate_normal(single * np.sqrt(values[3] * times), correlation, maxpts=2_000_000, abseps=1e-6, seed=1)
    assert 1 - below.cdf(critical) == pytest.approx(0.8, abs=0.3 * tolerance)


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
def test_simulated_paths_cross_as_often_as_alpha_says_at_every_look(spending):
    """By four standard errors of the binomial, above and below: a test that is too strict fails too."""
    information, times = [3.0, 5.0, 11.0, 12.0], [0.25, 0.5, 0.75, 1.0]
    crossed = simulated_crossings(information, sequential.boundaries(information, times, 0.1, spending), seed=1)
    for share, day in zip(crossed, times, strict=True):
        wanted = float(sequential.spent(day, 0.1, spending))
        assert share == pytest.approx(wanted, abs=4 * math.sqrt(wanted / PATHS))


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
@pytest.mark.parametrize("information", [[1, 1.5], [1, 1.05], [1, 1.002], [10, 11, 11.5], [1, 50, 50.5], [3, 9, 9.1]])
def test_looks_of_very_different_size_agree_with_scipys_integration(information, spending):
    times = equal(len(information))
    critical = sequential.boundaries(information, times, 0.2, spending)
    correlation = np.sqrt(np.minimum.outer(information, information) / np.maximum.outer(information, information))
    for looks in range(2, len(times) + 1):
        normal = multivariate_normal(
            np.zeros(looks), correlation[:looks, :looks], abseps=1e-8, releps=1e-8, maxpts=5_000_000, seed=1
        )
        crossed = 1 - normal.cdf(critical[:looks], lower_limit=-critical[:looks])
        assert crossed == pytest.approx(float(sequential.spent(times[looks - 1], 0.2, spending)), abs=INTEGRATED)
        again = sequential.crossing_probability(critical[:looks], information[:looks])
        assert again == pytest.approx(crossed, abs=INTEGRATED)


def test_an_empty_cohort_reads_the_same_estimate_again_with_what_may_be_spent_by_then():
    found = sequential.boundaries([0, 5, 5, 10], [0.25, 0.5, 0.75, 1], 0.05, "obrien_fleming")
    assert found[0] == math.inf
    assert found[1] == sequential.boundaries([5], [0.5], 0.05, "obrien_fleming")[0]
    assert found[2] == sequential.boundaries([5], [0.75], 0.05, "obrien_fleming")[0] < found[1]
    assert found[3] == sequential.boundaries([5, 10], [0.75, 1], 0.05, "obrien_fleming")[1]
    assert sequential.repeated_p(3.0, [0, 0], [0.5, 1], "obrien_fleming") == 1.0
    assert sequential.crossing_probability(found, [0, 5, 5, 10]) == pytest.approx(0.05, abs=INTEGRATED)


def test_an_experiment_whose_last_cohort_is_empty_keeps_its_claim():
    full = sequential.repeated_p(2.5, [5, 10], [0.5, 1], "obrien_fleming")
    assert sequential.repeated_p(2.5, [5, 10, 10], [0.5, 0.75, 1], "obrien_fleming") == pytest.approx(full, rel=1e-9)


def test_cohorts_of_a_few_units_after_large_ones_keep_the_level():
    """Increments below a thousandth count as the same look: 4 standard errors of 2 million paths, and 1 % of alpha."""
    information, times = [20_000, 20_005, 20_010, 20_045, 20_100], equal(5)
    assert 0 < sequential.repeated_p(2.2, information, times, "pocock") < 1
    critical = sequential.boundaries(information, times, 0.05, "pocock")
    crossed = simulated_crossings(information, critical, seed=5)
    assert crossed[-1] == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / PATHS) + 0.0005)


def test_boundaries_that_rounding_puts_out_of_order_still_have_p_values():
    information, times = [1569.7186057615788, 4064.603898899207], [0.25, 0.5]
    p_values = [sequential.repeated_p(z, information, times, "pocock") for z in (2.0, 4.0, 6.0, 6.7, 7.5, 20.0)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(p_values))
    assert p_values[0] > 0.05
    assert p_values[-1] < 1e-9


def simulated_crossings(information, critical, seed):
    """The share of random paths whose |z| has crossed by each look."""
    score, before, rng = np.zeros(PATHS), 0.0, np.random.default_rng(seed)
    crossed, shares = np.zeros(PATHS, dtype=bool), []
    for units, c in zip(information, critical, strict=True):
        score += math.sqrt(units - before) * rng.standard_normal(PATHS)
        crossed |= np.abs(score) > c * math.sqrt(units)
        before = units
        shares.append(crossed.mean())
    return shares


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(1, 1000), min_size=1, max_size=6),
    st.floats(0.2, 5),
    st.sampled_from(["obrien_fleming", "pocock"]),
)
def test_the_repeated_p_value_is_the_alpha_at_which_the_boundary_is_met(units, z, spending):
    information, times = np.cumsum(units), equal(len(units))
    p = sequential.repeated_p(z, information, times, spending)
    assert 0 < p <= 1
    if 1e-8 < p < 0.5:
        above = sequential.boundaries(information, times, p * (1 - INVERTED), spending)[-1]
        below = sequential.boundaries(information, times, p * (1 + INVERTED), spending)[-1]
        assert below < z < above
    assert sequential.repeated_p(-z, information, times, spending) == p


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
@pytest.mark.parametrize("looks", [1, 2, 4, 12, 26])
def test_a_larger_statistic_never_has_a_larger_p_value(looks, spending):
    information = np.cumsum(np.random.default_rng(looks).exponential(size=looks) + 0.01)
    found = [sequential.repeated_p(z, information, equal(looks), spending) for z in np.linspace(0, 9, 400)]
    assert np.all(np.diff(found) <= 0)


def test_a_single_look_costs_nothing():
    assert sequential.boundaries([7], [1.0], 0.05, "obrien_fleming") == pytest.approx([1.959964], abs=1e-6)
    assert sequential.repeated_p(2.0, [7], [1.0], "pocock") == pytest.approx(2 * special.ndtr(-2.0))


def test_p_values_end_above_zero_and_at_one():
    information = times = equal(4)
    assert sequential.repeated_p(60, information, times, "obrien_fleming") == pytest.approx(sequential.LEAST_P)
    assert sequential.repeated_p(0, information, times, "obrien_fleming") == 1.0


# --- Any time ---------------------------------------------------------------------------------------------------------


def test_the_tuning_of_the_confidence_sequence_is_the_exact_one():
    values, tolerance = expected("asympcs_rho")
    found = [sequential._rho_squared(alpha, 1.0) for alpha in (0.05, 0.1)]
    assert found == pytest.approx(values["exact"], abs=tolerance)
    assert [approximate_tuning(alpha) for alpha in (0.05, 0.1)] == pytest.approx(values["approx"], abs=tolerance)
    assert sequential.anytime_critical(1000, 0.05, 1000) / 1.959964 == pytest.approx(1.548560, abs=1e-5)


@pytest.mark.parametrize("alpha", [0.05, 0.0125])
def test_the_p_value_inverts_the_interval(alpha):
    critical = sequential.anytime_critical(3000, alpha, 1000)
    assert sequential.anytime_p(critical, 3000, 1000, alpha) == pytest.approx(alpha, rel=1e-9)
    assert sequential.anytime_critical(0, alpha, 1000) == math.inf


def test_the_p_value_is_one_over_the_mixture_likelihood_ratio():
    values, tolerance = expected("msprt_equiv")
    variance, mixture, difference = 0.001, 0.008211968, 0.12
    # With the mixture's variance tuned at alpha .05, planned units of 1 and 1 unit: n rho^2 = mixture / variance.
    p = sequential.anytime_p(difference / math.sqrt(variance), 1, 1)
    assert p == pytest.approx(values["p"], abs=tolerance)
    assert 1 / p == pytest.approx(values["LR"], rel=tolerance)
    assert sequential._rho_squared(0.05, 1) == pytest.approx(mixture / variance, rel=1e-6)


def growthbook(entry):
    """Effect, standard error and n rho^2 of GrowthBook, which tunes with an approximation of rho^2."""
    inputs = KNOWN[entry]["inputs"]
    control, treatment = inputs["control"], inputs["treatment"]
    (low, low_variance), (high, high_variance) = mean_and_variance(control), mean_and_variance(treatment)
    effect, se = high - low, math.sqrt(high_variance + low_variance)
    if entry.endswith("relative"):
        effect, se = effect / low, math.sqrt(high_variance / low**2 + low_variance * high**2 / low**4)
    # A one-sided interval at alpha is tuned like a two-sided one at 2 alpha.
    alpha = 2 * inputs["alpha"] if "one_sided" in entry else inputs["alpha"]
    return effect, se, (control["n"] + treatment["n"]) * approximate_tuning(alpha) / inputs["tuning_n"]


def approximate_tuning(alpha):
    return -2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)


def mean_and_variance(side):
    """The mean of a side and its variance; without a sum of squares the values are 0 and 1."""
    n, mean = side["n"], side["sum"] / side["n"]
    if "sum_squares" not in side:
        return mean, mean * (1 - mean) / n
    return mean, (side["sum_squares"] - n * mean**2) / (n - 1) / n


@pytest.mark.parametrize(
    "entry", ["sequential_mean_relative", "sequential_proportion_relative", "sequential_small_relative"]
)
def test_intervals_and_p_values_are_growthbooks(entry):
    known, tolerance = KNOWN[entry]["expected"], KNOWN[entry]["tolerance"]
    effect, se, scaled = growthbook(entry)
    if "effect" in known:
        assert effect == pytest.approx(known["effect"], abs=tolerance)
    if "standard_error" in known:
        assert se == pytest.approx(known["standard_error"], abs=tolerance)
    half = sequential._multiplier(scaled, 0.05) * se
    assert effect - half == pytest.approx(known["ci"][0] if "ci" in known else known["ci_lower"], abs=tolerance)
    if "ci" in known:
        assert effect + half == pytest.approx(known["ci"][1], abs=tolerance)
    assert sequential._mixture_p(effect / se, scaled) == pytest.approx(known["p_value"], abs=tolerance)
    # The exact tuning differs from the approximate one: intervals by less than 2 %.
    inputs = KNOWN[entry]["inputs"]
    units = inputs["control"]["n"] + inputs["treatment"]["n"]
    assert sequential.anytime_critical(units, 0.05, inputs["tuning_n"]) * se == pytest.approx(half, rel=0.02)


def test_growthbooks_one_sided_interval_follows_from_the_two_sided_one():
    entry = "sequential_one_sided_absolute"
    known, tolerance = KNOWN[entry]["expected"], KNOWN[entry]["tolerance"]
    effect, se, scaled = growthbook(entry)
    # One-sided: ln(1 + x) where the two-sided multiplier at 2 alpha has ln(x) (Waudby-Smith et al., appendix).
    factor = 2 * (scaled + 1) / scaled

    def lower(alpha):
        logarithm = sequential._multiplier(scaled, 2 * alpha) ** 2 / factor
        return effect - math.sqrt(factor * math.log1p(math.exp(logarithm))) * se

    assert effect == pytest.approx(known["effect"], abs=tolerance)
    assert lower(0.05) == pytest.approx(known["ci_lower"], abs=tolerance)
    # Their p value is by bisection, which they stop once the interval ends near zero: 1.6e-5 from it.
    assert lower(known["p_value"]) == pytest.approx(0, abs=2e-5)


def test_an_interval_read_at_every_unit_misses_at_most_alpha():
    """2,000 paths of 3,000 units, read after each from 50 on: at most 5 %, by four standard errors of the binomial."""
    steps = np.random.default_rng(4).standard_normal((2000, 3000))
    units = np.arange(1, 3001)
    z = np.cumsum(steps, axis=1) / np.sqrt(units)
    critical = np.array([sequential.anytime_critical(n, 0.05, 1000) for n in units])
    missed = (np.abs(z) > critical)[:, 50:].any(axis=1).mean()
    assert 0.01 < missed < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 2000)


def test_tables_are_kept():
    """Making a table takes twenty milliseconds: a scorecard asks for the same one many times."""
    information, times = [float(n) for n in np.cumsum(np.arange(1, 13))], equal(12)
    sequential.repeated_p(2.0, information, times, "obrien_fleming")
    before = sequential._last_critical.cache_info().misses
    for z in np.linspace(0, 5, 20):
        sequential.repeated_p(float(z), information, times, "obrien_fleming")
    assert sequential._last_critical.cache_info().misses == before
