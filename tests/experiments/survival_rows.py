"""Rows of times to event for tests: with every field, with as few as may be, and values that the database refuses."""

from datetime import date
from math import inf, nan
from typing import Any

from django.db import models

from analysis import results
from experiments.models import (
    AdjustedHazardRow,
    DepartureRow,
    EventCell,
    HazardPeriodRow,
    SurvivalComparisonRow,
    SurvivalDifferenceRow,
    SurvivalRow,
)

DAY = date(2017, 12, 24)

CURVE = results.SurvivalRow(
    metric="churn", variant="treatment", week=2, at_risk=1000, events=30, censored=7, survival=0.97, low=0.96,
    high=0.98,
)  # fmt: skip
CURVE_START = results.SurvivalRow(
    metric="churn", variant="treatment", week=1, at_risk=1000, events=0, censored=0, survival=1.0, low=1.0, high=1.0
)
COMPARED = results.SurvivalComparisonRow(
    metric="churn", role="guardrail", term="long", variant="treatment", tau=23, readable_from=DAY, horizon_week=23,
    decides=True, n_control=2001, n_treatment=2002, events_control=701, events_treatment=802, rmst_control=18.2,
    rmst_treatment=17.5, rmst_difference=-0.7, rmst_se=0.08, rmst_low=-0.86, rmst_high=-0.54, rmst_p_value=1e-17,
    rmst_lift=-0.038, rmst_lift_low=-0.047, rmst_lift_high=-0.029, p_value_adjusted=1e-11, sequential_look=3,
    sequential_looks=4, sequential_critical=2.02, sequential_rmst_low=-0.87, sequential_rmst_high=-0.53,
    sequential_lift_low=-0.048, sequential_lift_high=-0.028, sequential_significant=True,
    survival_difference=(
        results.SurvivalDifference(3, 0.001, -0.004, 0.006), results.SurvivalDifference(4, 0.003, -0.003, 0.009),
        results.SurvivalDifference(23, -0.066, -0.075, -0.056),
    ),
    median_control=22, median_treatment=19, logrank_chi2=158.5, logrank_p_value=1e-36, hazard_ratio=1.22,
    hazard_ratio_low=1.19, hazard_ratio_high=1.26, hazard_p_value=1e-35,
    periods=(results.HazardPeriod(0, 4), results.HazardPeriod(4, 23, 1.32, 1.25, 1.38, 1e-28)),
    proportional_p_value=1e-15, adjusted_hazard=results.AdjustedHazard(1.21, 1.18, 1.25, 1e-30, 3990, 13),
    censored_control=0.65, censored_treatment=0.6, censoring_p_value=0.7, returned_share=0.76, gap_weeks=4,
    gap_advised=5, margin=0.02, verdict="inferior", state="ok", reason="an odd one",
)  # fmt: skip
UNREAD = results.SurvivalComparisonRow(
    metric="arrest", role="secondary", term=None, variant="treatment", tau=26, readable_from=DAY, state="not_yet",
    reason="wait",
)  # fmt: skip

#: As tests/experiments/test_models_constraints.py lists them.
REFUSED: list[tuple[str, type[models.Model], dict[str, Any]]] = [
    ("survival_is_a_share", SurvivalRow, {"survival": 1.01, "high": 1.01}),
    ("survival_is_a_share", SurvivalRow, {"low": nan}),
    ("survival_is_in_its_interval", SurvivalRow, {"survival": 0.5}),
    ("survival_is_in_its_interval", SurvivalRow, {"low": 0.975}),
    ("survival_counts_units", SurvivalRow, {"events": 994}),
    ("survival_counts_units", SurvivalRow, {"censored": -1}),
    ("survival_comparison_is_finite", SurvivalComparisonRow, {"rmst_se": inf}),
    ("survival_comparison_is_finite", SurvivalComparisonRow, {"hazard_ratio": nan}),
    ("survival_comparison_has_shares", SurvivalComparisonRow, {"returned_share": 1.2}),
    ("survival_comparison_has_shares", SurvivalComparisonRow, {"logrank_p_value": -0.1}),
    ("survival_comparison_is_ordered", SurvivalComparisonRow, {"rmst_low": 1.0}),
    ("survival_comparison_is_ordered", SurvivalComparisonRow, {"sequential_lift_high": None}),
    ("survival_comparison_is_ordered", SurvivalComparisonRow, {"hazard_ratio_low": 2.0}),
    ("survival_comparison_claim_is_whole", SurvivalComparisonRow, {"sequential_look": None}),
    ("survival_comparison_decides_at_tau", SurvivalComparisonRow, {"horizon_week": 22}),
    ("survival_comparison_state_is_known", SurvivalComparisonRow, {"state": "fine"}),
    ("survival_comparison_verdict_is_known", SurvivalComparisonRow, {"verdict": "splendid"}),
    ("survival_comparison_is_a_number_or_a_reason", SurvivalComparisonRow, {"rmst_difference": None, "reason": None}),
    ("survival_comparison_is_a_number_or_a_reason", SurvivalComparisonRow, {"hazard_ratio": None, "reason": ""}),
    ("survival_difference_is_in_its_interval", SurvivalDifferenceRow, {"difference": 0.5}),
    ("survival_difference_is_in_its_interval", SurvivalDifferenceRow, {"low": -inf}),
    ("hazard_period_has_weeks", HazardPeriodRow, {"end_week": 4}),
    ("hazard_period_is_whole", HazardPeriodRow, {"p_value": None}),
    ("hazard_period_is_whole", HazardPeriodRow, {"low": 2.0}),
    ("hazard_period_is_whole", HazardPeriodRow, {"high": inf}),
    ("adjusted_hazard_is_whole", AdjustedHazardRow, {"units": 0}),
    ("adjusted_hazard_is_whole", AdjustedHazardRow, {"low": 3.0}),
    ("departure_counts_units", DepartureRow, {"n": -1}),
    ("event_cell_type_is_known", EventCell, {"type": "apocalypse"}),
]
TWICE: list[tuple[str, type[models.Model], dict[str, Any]]] = [
    ("survival_week_is_unique", SurvivalRow, {"position": 99}),
    ("survival_comparison_is_unique", SurvivalComparisonRow, {"position": 99}),
    ("survival_difference_week_is_unique", SurvivalDifferenceRow, {}),
    ("hazard_period_is_unique", HazardPeriodRow, {}),
    ("departure_is_unique", DepartureRow, {"n": 99}),
    ("event_cell_is_unique", EventCell, {}),
]
