"""Covariances between estimates on different cohorts, windows and metrics, against replaying the experiment.

Two witnesses: the joint covariance that ``Means`` holds on one set of cohorts (the same formula in closed form, up to
one part in n), and the bootstrap over units' rows, which knows nothing of formulas.
"""

import numpy as np
import pytest

from analysis.effects import means_of
from analysis.influence import correlation, covariance, influence
from analysis.plan import Window
from tests.analysis.unit_rows import ACTIVE, HEAD_SHARE, LINES, draw_rows, make_plan, triangle_of_rows, variants

#: Means divide by n - 1 where influences divide by n; the smallest variant here has some thousand units.
ONE_IN_N = 2e-3

#: A correlation from 2,000 resamples has a standard error of at most 1 / sqrt(2000) = .022; four of them.
BOOTSTRAP = 0.09


@pytest.mark.parametrize("metric", [LINES, ACTIVE, HEAD_SHARE], ids=lambda metric: metric.key)
@pytest.mark.parametrize("pre_weeks", [0, 2])
def test_on_one_set_of_cohorts_it_is_the_covariance_of_the_means(metric, pre_weeks):
    plan = make_plan(pre_weeks=pre_weeks)
    triangle = triangle_of_rows(plan, draw_rows(plan, 4000, 1))
    spans = [Window("", week, week + 1) for week in range(6)]
    means = means_of(triangle, metric, "a", spans, (0, 1, 2))
    found = covariance(triangle, [influence(triangle, means, "a", (0, 1, 2), log=False)])
    difference = np.hstack([-np.eye(6), np.eye(6)])
    expected = difference @ means.covariance @ difference.T
    assert np.allclose(found, expected, rtol=ONE_IN_N, atol=ONE_IN_N * np.abs(expected).max())


def test_estimates_on_different_cohorts_and_metrics_covary_as_resampling_says():
    plan = make_plan()
    rows = draw_rows(plan, 3000, 2)
    specs = [
        (LINES, Window("", 0, 2), (0, 1, 2)), (LINES, Window("", 4, 6), (0, 1)), (ACTIVE, Window("", 4, 6), (1, 2)),
        (HEAD_SHARE, Window("", 2, 4), (0,)),
    ]  # fmt: skip

    def estimates(sample):
        triangle = triangle_of_rows(plan, sample)
        found = [means_of(triangle, metric, "a", [window], cohorts) for metric, window, cohorts in specs]
        return triangle, found

    triangle, found = estimates(rows)
    expansions = [
        influence(triangle, means, "a", cohorts, log=True)
        for means, (_, _, cohorts) in zip(found, specs, strict=True)
    ]  # fmt: skip
    formula = covariance(triangle, expansions)
    rng = np.random.default_rng(3)
    draws = []
    for _ in range(2000):
        _, again = estimates(rows.sample(rng.integers(len(rows.cohort), size=len(rows.cohort))))
        draws.append([np.log(means.treatment[0] / means.control[0]) for means in again])
    resampled = np.cov(np.array(draws).T)
    assert np.allclose(correlation(formula), correlation(resampled), atol=BOOTSTRAP)
    assert np.allclose(np.diag(formula), np.diag(resampled), rtol=2 * BOOTSTRAP)


def test_two_treatments_share_the_controls_units_alone():
    plan = make_plan(variants=variants(50, 25, 25), pre_weeks=0)
    triangle = triangle_of_rows(plan, draw_rows(plan, 4000, 4))
    cohorts, window = (0, 1, 2), [Window("", 0, 2)]
    both = [means_of(triangle, LINES, variant, window, cohorts) for variant in ("a", "b")]
    expansions = [influence(triangle, both[0], "a", cohorts, log=False),
                  influence(triangle, both[1], "b", cohorts, log=False)]  # fmt: skip
    found = covariance(triangle, expansions)
    assert found[0, 1] == pytest.approx(both[0].covariance[0, 0], rel=ONE_IN_N)


def test_disjoint_cohorts_are_independent_and_still_estimates_correlate_with_none():
    plan = make_plan(pre_weeks=0)
    triangle = triangle_of_rows(plan, draw_rows(plan, 2000, 5))
    parts = [means_of(triangle, LINES, "a", [Window("", 0, 1)], (cohort,)) for cohort in (0, 1)]
    expansions = [influence(triangle, parts[cohort], "a", (cohort,), log=False) for cohort in (0, 1)]
    matrix = covariance(triangle, expansions)
    assert matrix[0, 1] == 0
    assert correlation(np.diag([1.0, 0.0])).tolist() == [[1.0, 0.0], [0.0, 1.0]]
