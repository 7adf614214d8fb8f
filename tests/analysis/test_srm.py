"""Sample ratio mismatch read every week, and by cohort."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

from analysis.moments import Layout
from analysis.plan import Variant
from analysis.srm import CONCENTRATION, chi_square, log_bayes_factor, sequential_p, srm, srm_cohort, srm_sequential
from analysis.triangle import Cell
from tests.analysis.unit_rows import LINES, exact, make_plan, triangle_of, variants

KNOWN = json.loads((Path(__file__).parents[1] / "reference" / "srm.json").read_text(encoding="utf-8"))["sequential"]

#: Relative error asked of numerical integration.
QUADRATURE = 1e-7


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
    known = KNOWN["optimizely_blocks"]
    totals, prior = np.cumsum(known["blocks"], axis=0), np.array(known["prior"], dtype=float)
    found = log_bayes_factor(totals, np.array(known["weights"]), prior)
    expected = np.subtract(known["log_any_split"], known["log_designed"])
    assert found == pytest.approx(expected, abs=known["tolerance"])


def test_the_price_of_reading_at_any_time_in_the_example_of_kohavi():
    known = KNOWN["kohavi"]
    shares, blocks = np.array([0.5, 0.5]), np.array(known["blocks"])
    found = log_bayes_factor(blocks, shares, CONCENTRATION * shares)
    assert found[0] == pytest.approx(known["log_bayes_factor"], abs=known["tolerance"])
    assert sequential_p(blocks, shares)[0] == pytest.approx(known["p_value"], rel=known["tolerance"])
    row = srm_sequential(triangle(blocks[0]))
    assert (row.state, row.p_value) == ("alarm", pytest.approx(known["p_value"], rel=known["tolerance"]))


def test_the_bayes_factor_is_the_average_of_the_likelihood_ratio_over_the_prior():
    """Two variants: by quadrature over the share of the first, which has a beta distribution about the design."""
    shares, counts = np.array([0.7, 0.3]), np.array([480, 260])
    prior = 100 * shares

    def likelihood_ratio(share):
        log = counts @ np.log([share / shares[0], (1 - share) / shares[1]])
        return np.exp(log) * stats.beta.pdf(share, *prior)

    expected, _ = integrate.quad(likelihood_ratio, 0.4, 0.9, points=[0.65, 0.7])
    assert log_bayes_factor(counts[None], shares, prior)[0] == pytest.approx(np.log(expected), rel=QUADRATURE)


def test_within_a_week_the_order_of_units_does_not_matter_and_the_p_value_never_rises():
    shares = np.array([0.5, 0.5])
    totals = np.cumsum([(520, 480), (700, 500), (300, 420), (480, 520)], axis=0)
    found = sequential_p(totals, shares)
    assert (np.diff(found) <= 0).all()
    assert found[0] <= 1
    assert sequential_p(totals[1:2], shares)[0] == found[1]


def test_the_smallest_p_value_so_far_stands():
    cohorts = [(5_400, 4_600), (4_600, 5_400), (5_000, 5_000)]
    row = srm_sequential(triangle(*cohorts))
    assert row.state == "alarm"
    assert row.p_value == pytest.approx(sequential_p(np.array([cohorts[0]]), np.array([0.5, 0.5]))[0])
    assert row.detail == (
        "not split as designed since enrollment week 0 (from 2024-01-01): 5,400 : 4,600 units by then, "
        "designed 50 : 50; find out where units are lost before reading on"
    )


def test_the_week_of_the_first_alarm_is_named():
    row = srm_sequential(triangle((5_000, 5_000), (5_010, 4_990), (5_400, 4_600)))
    assert row.state == "alarm"
    assert "since enrollment week 2 (from 2024-01-15): 15,410 : 14,590 units" in row.detail


def test_a_split_that_holds_says_what_was_looked_at():
    row = srm_sequential(triangle((5_000, 5_010), (5_020, 5_000)))
    assert row.state == "ok"
    assert row.detail == (
        "10,020 : 10,010 units, designed 50 : 50: no mismatch, whenever and however often this is read"
    )


def test_splits_that_cancel_out_are_found_by_cohort():
    mixed = triangle((5_200, 4_800), (4_800, 5_200), (5_000, 5_000))
    assert srm(mixed).state == "ok"
    row = srm_cohort(mixed)
    assert row.state == "alarm"
    p = 2 * stats.norm.sf(400 / np.sqrt(10_000))
    assert row.p_value == pytest.approx(3 * p)  # Holm: three cohorts
    assert "enrollment week 0 (from 2024-01-01), 5,200 : 4,800 units, designed 50 : 50; find out" in row.detail
    assert srm_cohort(triangle((5_000, 5_010), (5_020, 5_000))).state == "ok"


def test_a_design_that_changed_halfway_is_found_by_cohort():
    """60:40, then 40:60: together as designed."""
    changed = triangle(*[(600, 400)] * 3, *[(400, 600)] * 3)
    assert srm(changed).state == "ok"
    assert srm_cohort(changed).state == "alarm"


def test_of_cohorts_that_are_alike_after_adjustment_the_one_furthest_off_is_named():
    row = srm_cohort(triangle((500, 500), (505, 495), (490, 510)))
    assert row.p_value == 1.0
    assert "enrollment week 2 (from 2024-01-15), 490 : 510 units" in row.detail


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
