"""Sample ratio mismatch read every week, and by cohort."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.moments import Layout
from analysis.plan import Variant
from analysis.srm import LEVEL, chi_square, sequential_p, srm, srm_cohort, srm_sequential
from analysis.triangle import Cell
from tests.analysis.unit_rows import LINES, exact, make_plan, triangle_of, variants

#: As Optimizely's ssrm states its results.
PUBLISHED = 1e-10


def triangle(*cohorts, weights=(50, 50)):
    """Units by cohort and variant, and nothing else."""
    plan = make_plan(metrics=(LINES,), variants=variants(*weights), enrollment_weeks=len(cohorts))
    size = Layout.of(plan).columns
    cells = {
        Cell(variant.key, cohort): exact(count, np.zeros(size), np.zeros((size, size)))
        for cohort, counts in enumerate(cohorts)
        for variant, count in zip(plan.variants, counts, strict=True)
    }
    return triangle_of(plan, cells)


def test_the_bayes_factor_is_that_of_optimizelys_ssrm_block_by_block():
    """Their test: Dirichlet(1, 1, 1) prior, null (.4, .4, .2); log marginal likelihoods of both after each block."""
    blocks = np.array([[20, 17, 9], [18, 21, 8], [4, 6, 4], [18, 19, 11]])
    any_split = [-7.028201432058012, -11.947847738358888, -15.471401950257842, -19.96484521090386]
    designed = [-4.0776406466061985, -8.265946861099877, -11.610743519545139, -15.781031228536165]
    expected = np.minimum.accumulate(np.minimum(1, np.exp(np.subtract(designed, any_split))))
    shares = np.array([0.4, 0.4, 0.2])
    found = sequential_p(np.cumsum(blocks, axis=0), shares, concentration=1 / shares)
    assert found == pytest.approx(expected, abs=PUBLISHED)


def test_the_price_of_reading_at_any_time_in_the_example_of_kohavi():
    found = sequential_p(np.array([[821_588, 815_482]]), np.array([0.5, 0.5]))
    assert found[0] == pytest.approx(0.000155950442, rel=1e-6)


def test_the_smallest_p_value_so_far_stands():
    cohorts = [(5_400, 4_600), (4_600, 5_400), (5_000, 5_000)]
    row = srm_sequential(triangle(*cohorts))
    assert row.state == "alarm"
    assert row.p_value == pytest.approx(sequential_p(np.array([cohorts[0]]), np.array([0.5, 0.5]))[0])
    assert "enrollment week 0" in row.detail


def test_splits_that_cancel_out_are_found_by_cohort():
    mixed = triangle((5_200, 4_800), (4_800, 5_200), (5_000, 5_000))
    assert srm(mixed).state == "ok"
    row = srm_cohort(mixed)
    assert row.state == "alarm"
    p = 2 * stats.norm.sf(400 / np.sqrt(10_000))
    assert row.p_value == pytest.approx(3 * p)  # Holm: three cohorts
    assert "exposure cohort 0, 5,200 : 4,800, designed 50 : 50" in row.detail
    assert srm_cohort(triangle((5_000, 5_010), (5_020, 5_000))).state == "ok"


@pytest.mark.parametrize("check", [srm, srm_sequential, srm_cohort])
def test_an_unknown_design_is_a_state_of_its_own(check):
    known = triangle((500, 700), (400, 300))
    plan = replace(known.plan, variants=(Variant("control", None, True), Variant("a", None)))
    row = check(replace(known, plan=plan))
    assert (row.state, row.p_value) == ("unknown", None)
    assert "designed split unknown: give every variant a weight" in row.detail


def test_without_units_nothing_is_said_to_be_ok():
    nobody = triangle((0, 0), (0, 0))
    assert {check(nobody).state for check in (srm, srm_sequential, srm_cohort)} == {"unknown"}
    assert chi_square([0, 0], np.array([0.5, 0.5])) is None


def weekly_alarms(worlds, weeks, share, seed):
    """Whether each world is ever in alarm, read after each of its weeks: sequentially, and by chi-square each week."""
    counts = np.random.default_rng(seed).binomial(4_000, share, size=(worlds, weeks))
    cumulative = np.stack([np.cumsum(counts, axis=1), np.cumsum(4_000 - counts, axis=1)], axis=2)
    sequential = np.array([sequential_p(world, np.array([0.5, 0.5]))[-1] < LEVEL for world in cumulative])
    total = cumulative.sum(axis=2)
    statistic = (cumulative[:, :, 0] - total / 2) ** 2 / (total / 4)
    return sequential.mean(), (stats.chi2.sf(statistic, 1) < LEVEL).any(axis=1).mean()


def test_read_every_week_the_sequential_test_keeps_its_level_and_chi_square_does_not():
    """20,000 healthy experiments of 26 weeks: at .001 twenty alarms are expected at most, four deviations are 18."""
    sequential, naive = weekly_alarms(20_000, 26, 0.5, seed=1)
    assert sequential <= LEVEL + 4 * np.sqrt(LEVEL / 20_000)
    assert naive > 3 * LEVEL


def test_a_split_of_51_to_49_is_found_within_half_a_year():
    sequential, _ = weekly_alarms(500, 26, 0.51, seed=2)
    assert sequential > 0.95
