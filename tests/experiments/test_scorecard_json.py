"""The JSON and CSV of a scorecard. The key sets are typed by hand: they are public and may not drift."""

import csv
import io
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analysis.results import Scorecard
from experiments.services.scorecards import NO_REPEATED_LOOKS, NOT_FINITE, to_csv, to_json
from tests.experiments import cards

TOP = {
    "version", "key", "kind", "as_of", "plan", "data", "look", "units", "excluded", "checks", "effects", "trajectory",
    "survival", "survival_comparison", "reversals", "conflicts", "oec", "recommendation",
}  # fmt: skip
EXCLUDED = {
    "exposed_before_start", "exposed_after_enrollment", "two_variants", "unknown_variant", "facts_of_unknown_units",
    "facts_before_pre_period", "nulls",
}  # fmt: skip
CHECK = {"check", "state", "p_value", "detail"}
EFFECT = {
    "metric", "role", "term", "variant", "segment", "window", "start_week", "end_week", "n_control", "n_treatment",
    "control_mean", "treatment_mean", "adjusted", "effect", "effect_se", "effect_low", "effect_high", "p_value",
    "p_value_adjusted", "lift", "lift_low", "lift_high", "unadjusted", "sequential", "margin", "verdict",
    "readable_from", "state", "reason",
}  # fmt: skip
UNADJUSTED = {"effect", "effect_se"}
SEQUENTIAL = {"look", "looks", "critical", "effect_low", "effect_high", "lift_low", "lift_high", "significant"}
TRAJECTORY = {
    "metric", "variant", "kind", "week", "n_control", "n_treatment", "control_mean", "treatment_mean", "effect",
    "effect_se", "lift", "lift_low", "lift_high", "band_low", "band_high", "readable_from", "state", "reason",
}  # fmt: skip
REVERSAL = {
    "metric", "variant", "state", "p_value", "p_value_adjusted", "late_loss_probability", "early_effect",
    "late_effect", "contrast", "contrast_se", "contrast_p_value", "early_lift", "late_lift", "lift_contrast",
    "lift_contrast_low", "lift_contrast_high", "lift_contrast_p_value", "turned", "n_control", "n_treatment",
    "readable_from", "reason",
}  # fmt: skip
ROW_LISTS = ("effects", "trajectory", "reversals")

#: Fields that are null where they do not apply, which needs no reason.
MAY_NOT_APPLY = {"segment", "term", "margin", "verdict", "reason"}

CARDS = [cards.honeymoon(), cards.placebo(), cards.not_yet(), cards.srm_alarm()]


def values(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        for inner in node.values():
            yield from values(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from values(inner)
    else:
        yield node


@pytest.mark.parametrize("card", CARDS)
def test_every_level_has_exactly_the_keys_of_the_contract(card: Scorecard) -> None:
    told = to_json(card)
    assert set(told) == TOP
    assert set(told["data"]) == {"first", "last", "rows"}
    assert set(told["look"]) == {"number", "planned"}
    assert set(told["units"]) == {"control", "treatment"}
    assert set(told["excluded"]) == EXCLUDED
    for name, keys in (("checks", CHECK), ("effects", EFFECT), ("trajectory", TRAJECTORY), ("reversals", REVERSAL)):
        assert all(set(row) == keys for row in told[name]), name
    assert all(set(row["unadjusted"]) == UNADJUSTED for row in told["effects"])


def test_what_later_versions_compute_is_there_and_empty() -> None:
    told = to_json(cards.honeymoon())
    for name in ("survival", "survival_comparison", "conflicts", "oec", "recommendation"):
        assert told[name] == []
    assert all(row["sequential"] is None for row in told["effects"])
    assert all(row["turned"] is None for row in told["reversals"])


def test_the_head_says_which_look_at_which_data_it_is() -> None:
    card = cards.honeymoon()
    told = to_json(card)
    assert told["version"] == 1
    assert (told["key"], told["kind"], told["as_of"]) == ("honeymoon", "experiment", "2017-12-31")
    assert told["plan"] == card.plan.digest
    assert len(told["plan"]) == 64
    assert told["data"] == {"first": "2017-04-03", "last": "2017-12-30", "rows": 1534964}
    assert told["look"] == {"number": 30, "planned": 30}
    assert told["units"] == {"control": 19911, "treatment": 20089}


def test_floats_are_not_rounded() -> None:
    card = cards.honeymoon()
    value = 0.1234567890123456
    card = replace(card, effects=(replace(card.effects[0], lift=value, effect_se=1e-300),))
    row = json.loads(json.dumps(to_json(card)))["effects"][0]
    assert row["lift"] == value
    assert row["effect_se"] == 1e-300


@pytest.mark.parametrize("card", CARDS)
def test_a_row_with_a_null_says_why(card: Scorecard) -> None:
    told = to_json(card)
    for row in (row for name in ROW_LISTS for row in told[name]):
        nulls = [name for name, value in row.items() if value is None and name not in MAY_NOT_APPLY]
        assert not nulls or row["reason"], (nulls, row)


def test_a_row_that_lacks_repeated_looks_alone_says_so() -> None:
    card = cards.honeymoon()
    told = to_json(card)
    assert told["effects"][0]["reason"] == NO_REPEATED_LOOKS
    assert told["trajectory"][0]["reason"] == NO_REPEATED_LOOKS
    assert told["reversals"][0]["reason"] == NO_REPEATED_LOOKS


def test_a_row_with_a_reason_of_its_own_keeps_it_first() -> None:
    card = cards.honeymoon()
    row = replace(card.effects[0], lift=None, lift_low=None, lift_high=None, reason="the control mean is zero")
    reason = to_json(replace(card, effects=(row,)))["effects"][0]["reason"]
    assert reason == f"the control mean is zero; {NO_REPEATED_LOOKS}"


def test_a_row_that_waits_says_only_what_it_waits_for() -> None:
    told = to_json(cards.not_yet())
    late = next(row for row in told["effects"] if row["window"] == "late")
    assert (late["state"], late["effect"], late["control_mean"]) == ("not_yet", None, None)
    assert late["reason"] == "No cohort has lived weeks 13-25 yet."
    assert late["readable_from"] == "2017-12-25"
    assert told["reversals"][0]["reason"] == "The late window is not mature."


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_what_is_not_finite_is_null_with_a_reason(broken: float) -> None:
    card = cards.honeymoon()
    card = replace(
        card,
        effects=(replace(card.effects[0], lift_high=broken, unadjusted_se=broken),),
        trajectory=(replace(card.trajectory[0], effect_se=broken),),
        reversals=(replace(card.reversals[0], contrast=broken),),
        checks=(replace(card.checks[0], p_value=broken),),
    )
    told = to_json(card)
    json.dumps(told, allow_nan=False)
    assert told["effects"][0]["lift_high"] is None
    assert told["effects"][0]["unadjusted"]["effect_se"] is None
    assert told["checks"][0]["p_value"] is None
    assert all(NOT_FINITE in told[name][0]["reason"] for name in ROW_LISTS)


@pytest.mark.parametrize("card", CARDS)
def test_only_plain_values_come_out(card: Scorecard) -> None:
    numpied = replace(card, effects=tuple(replace(row, effect=np.float64(1.5)) for row in card.effects))
    kinds = {type(value) for value in values(to_json(numpied))}
    assert kinds <= {str, int, float, bool, type(None)}


def test_no_facts_have_no_days() -> None:
    card = replace(cards.not_yet(), first_fact=None, last_fact=None, fact_rows=0)
    assert to_json(card)["data"] == {"first": None, "last": None, "rows": 0}


def test_csv_has_a_row_for_each_effect_and_flat_columns() -> None:
    card = cards.honeymoon()
    rows = list(csv.DictReader(io.StringIO(to_csv(card))))
    flat = {"unadjusted_effect", "unadjusted_effect_se", *(f"sequential_{name}" for name in SEQUENTIAL)}
    assert len(rows) == len(card.effects)
    assert set(rows[0]) == {"key", "as_of"} | (EFFECT - {"unadjusted", "sequential"}) | flat
    first = card.effects[0]
    assert float(rows[0]["effect"]) == first.effect
    assert (rows[0]["key"], rows[0]["as_of"], rows[0]["segment"]) == ("honeymoon", "2017-12-31", "")
    assert (rows[0]["adjusted"], rows[0]["n_control"]) == ("true", "19911")


def test_csv_of_no_effects_still_has_its_header() -> None:
    text = to_csv(replace(cards.honeymoon(), effects=()))
    assert text.startswith("key,as_of,metric,role,")
    assert text.count("\n") == 1


@pytest.mark.parametrize("text", ['=HYPERLINK("x")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_csv_never_begins_a_text_as_a_formula(text: str) -> None:
    card = cards.honeymoon()
    card = replace(card, effects=(replace(card.effects[0], segment=text, effect=-0.5),))
    row = next(csv.DictReader(io.StringIO(to_csv(card))))
    assert row["segment"] == "'" + re.sub(r"\s", " ", text)
    assert row["effect"] == "-0.5"
