"""Times to event in JSON and in the terminal. The key sets are typed by hand: they are public and may not drift."""

import json
from dataclasses import replace
from typing import Any

import pytest

from analysis.plan import Event, Metric
from analysis.results import Scorecard
from experiments import tables
from experiments.services.scorecards import NOT_FINITE, to_json
from tests.experiments import cards
from tests.experiments.survival_rows import COMPARED, CURVE, CURVE_START, UNREAD

COMPARISON = [
    "metric", "variant", "tau", "horizon_week", "decides", "rmst_control", "rmst_treatment", "rmst_difference",
    "rmst_se", "rmst_p_value", "survival_difference", "logrank_chi2", "logrank_p_value", "hazard_ratio",
    "hazard_ratio_low", "hazard_ratio_high", "hazard_p_value", "periods", "proportional_p_value", "adjusted_hazard",
    "margin", "verdict", "returned_share", "readable_from", "state", "reason", "sequential", "role", "term",
    "n_control", "n_treatment", "events_control", "events_treatment", "rmst_low", "rmst_high", "rmst_lift",
    "rmst_lift_low", "rmst_lift_high", "p_value_adjusted", "median_control", "median_treatment", "censored_control",
    "censored_treatment", "censoring_p_value", "gap_weeks", "gap_advised", "difference_curve",
]  # fmt: skip

CHURN = Metric("churn", "event", "lower", "guardrail", "long", event=Event("inactivity", "lines", 4), margin=0.02)
ARREST = Metric("arrest", "event", "lower", "secondary", event=Event("occurrence", "arrested"), adjust=("age",))


def card(*comparisons: Any) -> Scorecard:
    made = cards.honeymoon()
    plan = replace(made.plan, metrics=(*made.plan.metrics, CHURN, ARREST))
    other = replace(CURVE_START, variant="control")
    return replace(
        made, plan=plan, survival=(other, CURVE_START, CURVE), survival_comparisons=comparisons or (COMPARED, UNREAD)
    )


def test_curves_are_grouped_by_metric_and_variant_with_their_points_in_order() -> None:
    told = to_json(card())["survival"]
    assert [(curve["metric"], curve["variant"]) for curve in told] == [("churn", "control"), ("churn", "treatment")]
    assert [point["week"] for point in told[1]["curve"]] == [1, 2]
    assert told[1]["curve"][1] == {
        "week": 2, "at_risk": 1000, "events": 30, "censored": 7, "survival": 0.97, "low": 0.96, "high": 0.98,
    }  # fmt: skip


def test_a_comparison_has_exactly_the_keys_of_the_format() -> None:
    told = to_json(card())["survival_comparison"]
    assert [list(row) for row in told] == [COMPARISON, COMPARISON]
    assert all(value is not None for value in told[0].values())
    assert told[0]["survival_difference"][0] == {"week": 4, "difference": 0.003, "low": -0.003, "high": 0.009}
    assert [one["week"] for one in told[0]["survival_difference"]] == [4, 23]
    assert [one["week"] for one in told[0]["difference_curve"]] == [3, 4, 23]
    assert told[0]["periods"] == [
        {"start_week": 0, "end_week": 4, "hazard_ratio": None, "low": None, "high": None, "p_value": None},
        {"start_week": 4, "end_week": 23, "hazard_ratio": 1.32, "low": 1.25, "high": 1.38, "p_value": 1e-28},
    ]
    assert told[0]["adjusted_hazard"] == {
        "hazard_ratio": 1.21, "low": 1.18, "high": 1.25, "p_value": 1e-30, "units": 3990, "left_out": 13,
    }  # fmt: skip
    assert told[0]["sequential"] == {
        "look": 3, "looks": 4, "critical": 2.02, "rmst_low": -0.87, "rmst_high": -0.53, "lift_low": -0.048,
        "lift_high": -0.028, "significant": True,
    }  # fmt: skip


def test_what_cannot_be_read_yet_is_null_with_a_reason() -> None:
    row = to_json(card())["survival_comparison"][1]
    assert (row["state"], row["rmst_difference"], row["sequential"], row["reason"]) == ("not_yet", None, None, "wait")
    assert (row["survival_difference"], row["periods"], row["readable_from"]) == ([], [], "2017-12-24")


def test_what_is_not_finite_is_null_with_a_reason() -> None:
    row = to_json(card(replace(COMPARED, hazard_ratio_high=float("inf"))))["survival_comparison"][0]
    assert (row["hazard_ratio_high"], row["reason"]) == (None, f"an odd one; {NOT_FINITE}")
    json.dumps(row, allow_nan=False)


# --- The terminal -----------------------------------------------------------------------------------------------------
def told(*comparisons: Any) -> str:
    return " ".join(tables.render(card(*comparisons), width=200).split())


def test_the_terminal_says_what_is_lost_when_and_how_sure_that_is() -> None:
    text = told(replace(COMPARED, reason=None))
    assert "churn: time to the first 4 weeks without lines" in text
    assert "Weeks without it out of the first 23: 18.2 -> 17.5, -3.8 % (-4.8 to -2.8 %, over all looks)" in text
    assert "BEYOND ITS MARGIN, margin 2.0 %" in text
    assert "after 4 weeks +0.30 (-0.30 to +0.90); after 23 weeks -6.6 (-7.5 to -5.6)." in text
    assert "Hazard ratio 1.22 (1.19 to 1.26), log-rank p < 0.001" in text
    assert "beside covariates 1.21 (1.18 to 1.25)." in text
    assert "76.0 % of the units counted as gone were active again later." in text


def test_the_terminal_warns_of_a_gap_that_is_too_short() -> None:
    words = "5 weeks would count fewer units as gone that come back."
    assert words in told(COMPARED)
    assert words not in told(replace(COMPARED, gap_advised=4))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"verdict": "non_inferior"}, "within its margin, margin 2.0 %"),
        ({"verdict": None, "margin": None}, "over all looks) Units"),
        ({"decides": False, "horizon_week": 9, "sequential_lift_low": None, "sequential_lift_high": None},
         "(-4.7 to -2.9 %, 95 %, one look)"),
        ({"hazard_ratio": None}, "No hazard ratio: a variant has no events."),
    ],
)  # fmt: skip
def test_the_terminal_says_no_more_than_is_known(changes: dict[str, Any], words: str) -> None:
    assert words in told(replace(COMPARED, reason=None, **changes))


def test_an_event_that_cannot_be_read_says_why() -> None:
    assert "arrest: time to the first week with arrested wait" in told(UNREAD)
