"""Curves, restricted means and hazards from counts against R's survival on rows, lifelines, and published answers.

R's numbers are frozen in tests/reference/survival.json; make_survival.R beside it says from what.
"""

import math
import warnings

import numpy as np
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.datasets import load_rossi
from lifelines.statistics import logrank_test
from scipy import stats

from analysis import hazards
from analysis.hazards import hazard_ratio, log_rank, proportional_p
from analysis.life_table import Curve, restricted_mean
from tests.analysis.lives import KNOWN, rows_of, sides, table_of

DATA = ("lung", "pbc", "veteran", "rossi", "gbsg2", "aml")

#: The same sums and products in another order.
SAME = 1e-8

#: Both stop Newton's method at a step of 1e-12; R's printed digits are 15.
FITTED = 1e-6

every_data = pytest.mark.parametrize("name", DATA)


@every_data
def test_curves_with_greenwood_errors_and_log_log_intervals_equal_r(name):
    for table, known in zip(sides(*rows_of(name)), (KNOWN[name]["control"], KNOWN[name]["treatment"]), strict=True):
        curve = Curve.of(table)
        for point in known:
            t = point["t"]
            assert curve.survival[t - 1] == pytest.approx(point["survival"], abs=SAME)
            assert math.sqrt(curve.variance(t)) == pytest.approx(point["se"], abs=SAME)
            if 0 < point["survival"] < 1:
                assert curve.interval(t) == pytest.approx((point["low"], point["high"]), abs=SAME)


@every_data
def test_restricted_means_and_their_errors_equal_r(name):
    known, tau = KNOWN[name]["rmst"], KNOWN[name]["tau"]
    for table, side in zip(sides(*rows_of(name)), ("control", "treatment"), strict=True):
        found = restricted_mean(Curve.of(table), tau)
        assert found.weeks == pytest.approx(known[side], rel=SAME)
        assert math.sqrt(found.variance) == pytest.approx(known[f"{side}_se"], rel=SAME)


@every_data
def test_medians_equal_r(name):
    """R takes the middle where the curve rests at exactly one half; here it is where that begins."""
    found = [Curve.of(table).median for table in sides(*rows_of(name))]
    known = [None if value in (None, "NA") else math.floor(value) for value in KNOWN[name]["median"]]
    assert found == known


@every_data
def test_log_rank_equals_r(name):
    test, known = log_rank(*sides(*rows_of(name))), KNOWN[name]["logrank"]
    assert test.chi2 == pytest.approx(known["chi2"], rel=SAME)
    assert test.p_value == pytest.approx(known["p"], rel=SAME)
    assert test.score == pytest.approx(known["observed"][1] - known["expected"][1], abs=SAME * 10)


@every_data
def test_coxs_hazard_ratio_with_efrons_ties_equals_r(name):
    control, treatment = sides(*rows_of(name))
    found, known = hazard_ratio(control, treatment), KNOWN[name]["cox"]
    assert (found.log, found.se) == pytest.approx((known["log"], known["se"]), abs=FITTED)
    cuts = [0, *KNOWN[name]["cuts"], control.weeks]
    for start, end, period in zip(cuts, cuts[1:], KNOWN[name]["periods"], strict=False):
        part = hazard_ratio(control, treatment, slice(start, end))
        assert (part.log, part.se) == pytest.approx(tuple(period), abs=FITTED)


@every_data
def test_proportional_hazards_are_tested_as_in_r(name):
    control, treatment = sides(*rows_of(name))
    _, known = KNOWN[name]["zph_identity"]
    assert proportional_p(control, treatment) == pytest.approx(known, abs=FITTED)


@every_data
def test_with_rs_own_transform_of_time_the_score_test_is_rs_too(name):
    """R transforms a time by the left-continuous Kaplan-Meier curve of all rows."""
    duration, had, treated = rows_of(name)
    control, treatment = sides(duration, had, treated)
    ties = hazards._ties(control, treatment, slice(None))
    everyone = np.concatenate([[1.0], Curve.of(table_of(duration, had)).survival])
    transform = [1 - everyone[int(t) - 1] for t in ties.t]
    found = hazards._trend_p(ties, hazard_ratio(control, treatment).log, transform)
    assert found == pytest.approx(KNOWN[name]["zph_km"][1], abs=FITTED)


@every_data
def test_lifelines_on_rows_says_the_same_where_it_is_right(name):
    duration, had, treated = rows_of(name)
    control, treatment = sides(duration, had, treated)
    test = logrank_test(duration[~treated], duration[treated], had[~treated], had[treated])
    assert log_rank(control, treatment).chi2 == pytest.approx(test.test_statistic, rel=SAME)
    fitted = KaplanMeierFitter().fit(duration[treated], had[treated])
    curve = Curve.of(treatment)
    times = np.arange(1, curve.weeks + 1)
    assert curve.survival == pytest.approx(fitted.survival_function_at_times(times).to_numpy(), abs=SAME)


# --- Published answers ------------------------------------------------------------------------------------------------
#: Freireich et al. 1963, Blood 21:699: weeks to relapse of acute leukemia, 6-mercaptopurine against placebo.
MERCAPTOPURINE = {
    6: (3, 1), 7: (1, 0), 9: (0, 1), 10: (1, 1), 11: (0, 1), 13: (1, 0), 16: (1, 0), 17: (0, 1), 19: (0, 1),
    20: (0, 1), 22: (1, 0), 23: (1, 0), 25: (0, 1), 32: (0, 2), 34: (0, 1), 35: (0, 1),
}  # fmt: skip
PLACEBO = (1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23)


def freireich():
    """Control is 6-MP, so that hazard ratios are those of placebo, as in the textbooks."""
    pairs = [(t, True) for t, (d, _) in MERCAPTOPURINE.items() for _ in range(d)]
    pairs += [(t, False) for t, (_, c) in MERCAPTOPURINE.items() for _ in range(c)]
    duration = [t for t, _ in pairs] + list(PLACEBO)
    had = [seen for _, seen in pairs] + [True] * len(PLACEBO)
    return sides(duration, had, [False] * len(pairs) + [True] * len(PLACEBO))


def test_freireichs_trial_gives_the_textbooks_numbers():
    """Kalbfleisch & Prentice 2002; Collett 2015: log-rank 16.79, Cox with Efron's ties 1.572 (.412)."""
    mercaptopurine, placebo = freireich()
    test, fitted = log_rank(mercaptopurine, placebo), hazard_ratio(mercaptopurine, placebo)
    assert test.chi2 == pytest.approx(16.792941, abs=1e-6)
    assert test.p_value == pytest.approx(4.168809e-05, rel=1e-6)
    assert placebo.events.sum() - test.score == pytest.approx(10.7495, abs=1e-4)
    assert (fitted.log, fitted.se) == pytest.approx((1.572125, 0.412397), abs=1e-5)
    curve = Curve.of(mercaptopurine)
    times = (6, 7, 10, 13, 16, 22, 23)
    survival = [0.857143, 0.806723, 0.752941, 0.690196, 0.627451, 0.537815, 0.448179]
    errors = [0.0763604, 0.0869353, 0.0963497, 0.1068147, 0.1140539, 0.1282338, 0.1345915]
    assert [curve.survival[t - 1] for t in times] == pytest.approx(survival, abs=1e-6)
    assert [math.sqrt(curve.variance(t)) for t in times] == pytest.approx(errors, abs=1e-6)
    assert curve.median == 23


def test_the_lung_cohort_by_days_gives_rs_documentation():
    """Log-rank 10.3, p .0013; survfit(conf.type = "log-log") at 180 and 365 days."""
    male, female = sides(*rows_of("lung", "days"))
    test = log_rank(male, female)
    assert (test.chi2, test.p_value) == pytest.approx((10.326742, 0.0013111645), abs=1e-5)
    assert test.score == pytest.approx(53 - 73.4183, abs=1e-4)
    for table, known in (
        (male, {180: (0.644465, 0.55841247, 0.7180136), 365: (0.33608783, 0.25272914, 0.42130217)}),
        (female, {180: (0.84240171, 0.74838092, 0.9035043), 365: (0.52646303, 0.40357982, 0.63531623)}),
    ):
        curve = Curve.of(table)
        for t, expected in known.items():
            assert (curve.survival[t - 1], *curve.interval(t)) == pytest.approx(expected, abs=1e-6)


def test_the_pbc_trial_gives_the_restricted_means_of_survrm2():
    """Ten years of 365.25 days are 7,305 half days: 7.146 (.283) and 7.283 (.295), difference -.137 (.409)."""
    duration, had, treated = rows_of("pbc", "days")
    year = 2 * 365.25
    found = [restricted_mean(Curve.of(table), 7305) for table in sides(2 * duration, had, treated)]
    (control, control_se), (treatment, treatment_se) = (
        (one.weeks / year, math.sqrt(one.variance) / year) for one in found
    )
    assert (treatment, treatment_se) == pytest.approx((7.146493, 0.2827748), abs=1e-5)
    assert (control, control_se) == pytest.approx((7.283416, 0.2954781), abs=1e-5)
    se = math.hypot(control_se, treatment_se)
    assert (treatment - control, se) == pytest.approx((-0.1369228, 0.4089852), abs=1e-5)
    assert 2 * stats.norm.sf(abs(treatment - control) / se) == pytest.approx(0.737786, abs=1e-5)


def test_financial_aid_gives_the_numbers_of_the_rossi_trial():
    """Unadjusted -.3691 (.1897), p .052; log-rank p .0501. The well-known -.379 (.191) is adjusted, from rows."""
    control, aid = sides(*rows_of("rossi"))
    fitted, test = hazard_ratio(control, aid), log_rank(control, aid)
    assert (fitted.log, fitted.se) == pytest.approx((-0.3691, 0.1897), abs=1e-4)
    assert fitted.p_value == pytest.approx(0.052, abs=5e-4)
    assert test.p_value == pytest.approx(0.0501, abs=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        everything = CoxPHFitter().fit(load_rossi(), "week", "arrest").summary.loc["fin"]
    known = KNOWN["rossi_adjusted"]["all"]
    assert (everything["coef"], everything["se(coef)"]) == pytest.approx(tuple(known), abs=FITTED)
    assert known == pytest.approx([-0.37942, 0.19138], abs=1e-5)
