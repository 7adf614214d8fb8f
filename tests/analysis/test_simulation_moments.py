"""Worlds drawn as moments: true moments against drawn rows, draws against the Wishart distribution, coverage."""

import numpy as np
import pytest

from analysis.simulation import Trajectories, World, draw_world
from analysis.simulation_moments import (
    CohortMoments,
    cohort_moments,
    draw_moment_worlds,
    draw_moments,
    treated_moments,
)
from analysis.simulation_truth import expected_metrics
from tests.analysis.small_world import ENROLLMENT, INJECTION, ROUNDING, STANDARD_ERRORS, WEEKS, trajectories


def brute_vectors(world: World, units: int, variant: bool, cohort: int) -> np.ndarray:
    """(lines before, lines by week, head lines before, head lines by week) of one variant and cohort; two pre-weeks."""
    week = (world.fact_day - world.exposed_day[world.fact_unit]) // 7
    columns = []
    for values in (world.lines, world.head_lines):
        table = np.zeros((units, WEEKS + 2))
        here = (week >= -2) & (week < WEEKS)
        np.add.at(table, (world.fact_unit[here], week[here] + 2), values[here])
        columns.append(np.hstack([table[:, :2].mean(axis=1, keepdims=True), table[:, 2:]]))
    chosen = (world.treated == variant) & ((world.exposed_day - ENROLLMENT.start_day) // 7 == cohort)
    return np.hstack(columns)[chosen]


def moments(weeks: int = WEEKS) -> tuple[CohortMoments, CohortMoments]:
    control = cohort_moments(trajectories(households=40), ENROLLMENT, ("lines", "head_lines"), weeks, pre_weeks=2)
    return control, treated_moments(control, INJECTION)


def test_the_true_moments_are_those_of_a_large_drawn_world() -> None:
    units = 60_000
    world = draw_world(np.random.default_rng(10), trajectories(households=40), ENROLLMENT, INJECTION, units)
    for variant, expected in zip((False, True), moments(), strict=True):
        for cohort in range(2):
            rows = brute_vectors(world, units, variant, cohort)
            error = rows.std(axis=0) / np.sqrt(len(rows))
            assert np.all(np.abs(rows.mean(axis=0) - expected.mean[cohort]) < STANDARD_ERRORS * error)
            # Rounding at random adds variance on the diagonal that the moments leave out by design, so compare off it.
            deviation = rows - rows.mean(axis=0)
            covariance = deviation.T @ deviation / len(rows)
            spread = np.sqrt(((deviation**2).T @ deviation**2) / len(rows) / len(rows))
            away = np.abs(covariance - expected.covariance[cohort]) / spread
            lines_and_own_head = np.eye(WEEKS + 1, dtype=bool)
            apart = ~np.tile(lines_and_own_head, (2, 2))
            assert away[apart].max() < STANDARD_ERRORS + 1  # the largest of 168 pairs


def test_cohort_shares_and_means_agree_with_the_truth() -> None:
    control, treatment = moments()
    truth = expected_metrics(trajectories(households=40), ENROLLMENT, INJECTION, WEEKS)
    assert control.share.sum() == pytest.approx(1.0, rel=ROUNDING)
    for week in range(WEEKS):
        position = control.position("lines", week)
        head = control.position("head_lines", week)
        assert control.share @ control.mean[:, position] == pytest.approx(truth["lines"].control[week])
        assert control.share @ treatment.mean[:, position] == pytest.approx(truth["lines"].treatment[week])
        assert control.share @ treatment.mean[:, head] == pytest.approx(truth["head_share"].treatment[week])


def test_active_weeks_and_sales_have_moments_too() -> None:
    recorded = trajectories(households=40)
    found = cohort_moments(recorded, ENROLLMENT, ("active", "sales"), WEEKS, pre_weeks=2)
    treated = treated_moments(found, INJECTION)
    truth = expected_metrics(recorded, ENROLLMENT, INJECTION, WEEKS)
    position = found.position("active", 3)
    assert found.share @ found.mean[:, position] == pytest.approx(truth["active"].control[3])
    assert treated.share @ treated.mean[:, found.position("sales", 3)] == pytest.approx(truth["sales"].treatment[3])
    # A 0/1 value has the variance p (1 - p), in the treatment too.
    for table in (found, treated):
        share = table.mean[:, position]
        assert table.covariance[:, position, position] == pytest.approx(share * (1 - share))
    assert treated.mean[:, found.position("active")] == pytest.approx(found.mean[:, found.position("active")])


def test_moments_that_cannot_be_had_are_refused() -> None:
    recorded = trajectories(households=40)
    with pytest.raises(ValueError, match="pre-period"):
        cohort_moments(recorded, ENROLLMENT, ("lines",), WEEKS, pre_weeks=0)
    with pytest.raises(ValueError, match="unknown column"):
        cohort_moments(recorded, ENROLLMENT, ("baskets",), WEEKS, pre_weeks=2)  # type: ignore[arg-type]
    head_only = cohort_moments(recorded, ENROLLMENT, ("head_lines",), WEEKS, pre_weeks=2)
    with pytest.raises(ValueError, match="list the column lines too"):
        treated_moments(head_only, INJECTION)
    late = recorded.lines.copy()
    late[:, ENROLLMENT.start_day : ENROLLMENT.start_day + 7] = 0
    with pytest.raises(ValueError, match="enrollment week 0"):
        cohort_moments(Trajectories(late, 0 * late, 0 * late), ENROLLMENT, ("lines",), WEEKS, pre_weeks=2)
    with pytest.raises(ValueError, match="positive semidefinite"):
        draw_moments(np.random.default_rng(1), np.array([5]), np.zeros(2), np.array([[1.0, 2.0], [2.0, 1.0]]))


def test_drawn_means_and_scatters_have_the_moments_of_the_normal_and_wishart_distributions() -> None:
    mean, factor = np.array([3.0, -1.0, 2.0]), np.array([[2.0, 0, 0], [1.0, 1.5, 0], [-0.5, 0.3, 0.8]])
    covariance, draws = factor @ factor.T, 20_000
    for units in (3, 60):  # drawn unit by unit, and by Bartlett's triangle
        means, scatters = draw_moments(np.random.default_rng(11), np.full(draws, units), mean, covariance)
        error = np.sqrt(np.diag(covariance) / units / draws)
        assert np.all(np.abs(means.mean(axis=0) - mean) < STANDARD_ERRORS * error)
        freedom = units - 1
        variance = freedom * (covariance**2 + np.outer(np.diag(covariance), np.diag(covariance)))
        assert np.all(
            np.abs(scatters.mean(axis=0) - freedom * covariance) < STANDARD_ERRORS * np.sqrt(variance / draws)
        )
        # The variance of a variance estimate has relative error about sqrt(kurtosis / draws): 5 % is 3 to 5 of them.
        assert scatters.var(axis=0) == pytest.approx(variance, rel=0.05 if units > 3 else 0.12)
        assert abs(np.corrcoef(means[:, 0], scatters[:, 0, 0])[0, 1]) < STANDARD_ERRORS / np.sqrt(draws)


def test_no_units_give_zeros_and_one_unit_has_no_scatter() -> None:
    means, scatters = draw_moments(np.random.default_rng(12), np.array([0, 1, 2, 9]), np.ones(2), np.eye(2))
    assert not means[0].any()
    assert not scatters[:2].any()
    assert means[1].any()
    assert np.linalg.matrix_rank(scatters[2]) == 1
    assert np.linalg.matrix_rank(scatters[3]) == 2


def test_a_singular_covariance_gives_scatters_of_the_same_rank() -> None:
    factor = np.array([[1.0], [2.0], [-1.0]])
    _, scatters = draw_moments(np.random.default_rng(13), np.array([500]), np.zeros(3), factor @ factor.T)
    assert scatters[0] == pytest.approx(scatters[0, 0, 0] * factor @ factor.T, rel=1e-9)


def test_moment_worlds_split_all_units_over_variants_and_cohorts_by_their_shares() -> None:
    control, treatment = moments()
    worlds = draw_moment_worlds(np.random.default_rng(14), control, treatment, 1_000, 2_000, treatment_share=0.1)
    assert worlds.units.shape == (2_000, 2, 2)
    assert np.all(worlds.units.sum(axis=(1, 2)) == 1_000)
    expected = 1_000 * np.array([[0.9], [0.1]]) * control.share
    error = np.sqrt(expected / 2_000)
    assert np.all(np.abs(worlds.units.mean(axis=0) - expected) < STANDARD_ERRORS * error)
    again = draw_moment_worlds(np.random.default_rng(14), control, treatment, 1_000, 2_000, treatment_share=0.1)
    assert np.array_equal(worlds.scatter, again.scatter)


def test_plain_intervals_from_moment_worlds_cover_the_true_lift_at_their_rate() -> None:
    """The lift of lines in weeks [2, 6) with a log-delta interval; cohorts pooled by hand as rows would be."""
    control, treatment = moments()
    count = 4_000
    worlds = draw_moment_worlds(np.random.default_rng(15), control, treatment, 2_000, count)
    weight = np.zeros(control.mean.shape[1])
    weight[[control.position("lines", week) for week in range(2, WEEKS)]] = 0.25
    truth = expected_metrics(trajectories(households=40), ENROLLMENT, INJECTION, WEEKS)["lines"].window(2, WEEKS)
    n = worlds.units.sum(axis=2)
    cell_mean = worlds.mean @ weight
    pooled = (worlds.units * cell_mean).sum(axis=2) / n
    inside = np.einsum("wvcij,i,j->wv", worlds.scatter, weight, weight)
    between = (worlds.units * (cell_mean - pooled[:, :, None]) ** 2).sum(axis=2)
    variance = (inside + between) / (n - 1) / n / pooled**2
    distance = np.abs(np.log(pooled[:, 1] / pooled[:, 0]) - np.log1p(truth.lift)) / np.sqrt(variance.sum(axis=1))
    # 4,000 worlds have a standard error of .0034: a true .95 stays within four of them.
    assert abs((distance < 1.96).mean() - 0.95) < STANDARD_ERRORS * 0.0034
