"""The JSON and CSV of a scorecard. The key sets are typed by hand: they are public and may not drift."""

import csv
import io
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from analysis.results import Flip, HeterogeneityRow, Scorecard
from experiments.services.scorecards import NOT_ESTIMABLE, NOT_FINITE, to_csv, to_json
from tests.experiments import cards

NUMBER = float | int
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

#: Every key of the format with the type of its values, null aside. Keys of a list's rows stand under its name.
TOP = {
    "version": int, "key": str, "kind": str, "as_of": DAY, "plan": str, "data": dict, "look": dict, "units": dict,
    "excluded": dict, "checks": list, "effects": list, "trajectory": list, "survival": list,
    "survival_comparison": list, "reversals": list, "conflicts": list, "oec": list, "heterogeneity": list,
    "rollback": list, "recommendation": list,
}  # fmt: skip
EXCLUDED = {
    "exposed_before_start", "exposed_after_enrollment", "two_variants", "unknown_variant", "facts_of_unknown_units",
    "facts_before_pre_period", "nulls",
}  # fmt: skip
UNADJUSTED = {"effect": NUMBER, "effect_se": NUMBER}
SEQUENTIAL = {
    "look": int, "looks": int, "critical": NUMBER, "effect_low": NUMBER, "effect_high": NUMBER, "lift_low": NUMBER,
    "lift_high": NUMBER, "significant": bool,
}  # fmt: skip
TURNED = {"start_week": int, "end_week": int, "lift": NUMBER, "p_value": NUMBER, "first_seen": DAY}
EFFECT = {
    "metric": str, "role": str, "term": str, "variant": str, "segment": str, "window": str, "start_week": int,
    "end_week": int, "n_control": int, "n_treatment": int, "control_mean": NUMBER, "treatment_mean": NUMBER,
    "adjusted": bool, "effect": NUMBER, "effect_se": NUMBER, "effect_low": NUMBER, "effect_high": NUMBER,
    "p_value": NUMBER, "p_value_adjusted": NUMBER, "lift": NUMBER, "lift_low": NUMBER, "lift_high": NUMBER,
    "unadjusted": UNADJUSTED, "sequential": SEQUENTIAL, "margin": NUMBER, "verdict": str, "readable_from": DAY,
    "state": str, "reason": str,
}  # fmt: skip
ROWS: dict[str, dict[str, Any]] = {
    "checks": {"check": str, "state": str, "p_value": NUMBER, "detail": str},
    "effects": EFFECT,
    "trajectory": {
        "metric": str, "variant": str, "kind": str, "week": int, "n_control": int, "n_treatment": int,
        "control_mean": NUMBER, "treatment_mean": NUMBER, "effect": NUMBER, "effect_se": NUMBER, "lift": NUMBER,
        "lift_low": NUMBER, "lift_high": NUMBER, "band_low": NUMBER, "band_high": NUMBER, "readable_from": DAY,
        "state": str, "reason": str,
    },
    "reversals": {
        "metric": str, "variant": str, "state": str, "p_value": NUMBER, "p_value_adjusted": NUMBER,
        "late_loss_probability": NUMBER, "early_effect": NUMBER, "late_effect": NUMBER, "contrast": NUMBER,
        "contrast_se": NUMBER, "contrast_p_value": NUMBER, "early_lift": NUMBER, "late_lift": NUMBER,
        "lift_contrast": NUMBER, "lift_contrast_low": NUMBER, "lift_contrast_high": NUMBER,
        "lift_contrast_p_value": NUMBER, "turned": TURNED, "n_control": int, "n_treatment": int,
        "readable_from": DAY, "reason": str, "late_start_week": int, "late_end_week": int, "first_seen": DAY,
    },
    "conflicts": {
        "variant": str, "short_metric": str, "long_metric": str, "state": str, "p_value": NUMBER,
        "p_value_adjusted": NUMBER, "readable_from": DAY, "first_seen": DAY, "reason": str,
    },
    "oec": {
        "variant": str, "value": NUMBER, "se": NUMBER, "low": NUMBER, "high": NUMBER, "flips": list,
        "dominated_by": list, "reason": str,
    },
    "heterogeneity": {
        "metric": str, "variant": str, "window": str, "segment": str, "values": int, "p_value": NUMBER,
        "p_value_adjusted": NUMBER, "reason": str,
    },
    "rollback": {
        "metric": str, "variant": str, "window": str, "below": NUMBER, "met": bool, "start_week": int,
        "end_week": int, "lift": NUMBER, "lift_high": NUMBER, "distance": NUMBER, "reason": str,
    },
    "recommendation": {"variant": str, "action": str, "reasons": list, "changes_on": DAY},
}  # fmt: skip
FLIP = {"metric": str, "weight": NUMBER}

#: Fields that are null where they do not apply, which needs no reason.
MAY_NOT_APPLY = {"segment", "term", "margin", "verdict", "turned", "reason"}

HETEROGENEITY = (
    HeterogeneityRow(
        metric="lines", variant="treatment", window="early", segment="country", values=3,
        p_value=0.2, p_value_adjusted=0.4,
    ),
    HeterogeneityRow(
        metric="lines", variant="treatment", window="late", segment="country", values=0, reason="No country is known."
    ),
)  # fmt: skip
CARDS = [
    replace(cards.honeymoon(), heterogeneity=HETEROGENEITY),
    cards.honeymoon(date(2017, 10, 2)),
    cards.placebo(),
    cards.not_yet(),
    cards.srm_alarm(),
]


def values(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        for inner in node.values():
            yield from values(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from values(inner)
    else:
        yield node


def shaped(told: Any, keys: dict[str, Any]) -> None:
    """Exactly these keys, each null or of its type."""
    assert list(told) == list(keys)
    for name, kind in keys.items():
        value = told[name]
        if isinstance(kind, dict):
            assert value is None or shaped(value, kind) is None
        elif isinstance(kind, re.Pattern):
            assert value is None or kind.fullmatch(value), (name, value)
        else:
            is_bool = isinstance(value, bool)
            assert value is None or (isinstance(value, kind) and is_bool == (kind is bool)), (name, value)


@pytest.mark.parametrize("card", CARDS)
def test_every_level_has_exactly_the_keys_of_the_format_with_values_of_their_types(card: Scorecard) -> None:
    told = to_json(card)
    shaped(told, TOP)
    assert list(told["data"]) == ["first", "last", "rows"]
    assert list(told["look"]) == ["number", "planned"]
    assert set(told["units"]) == {"control", "treatment"}
    assert set(told["excluded"]) == EXCLUDED
    for name, keys in ROWS.items():
        for row in told[name]:
            shaped(row, keys)
    for flip in (flip for row in told["oec"] for flip in row["flips"]):
        shaped(flip, FLIP)


def test_the_shape_is_seen_in_full() -> None:
    """Of every list there is a row, and of every key a value: a shape of nulls would prove nothing."""
    told = to_json(CARDS[0])
    for name, keys in ROWS.items():
        for key in keys.keys() - MAY_NOT_APPLY - {"changes_on"}:
            assert any(row[key] is not None for row in told[name]), (name, key)
    late = next(row for row in told["reversals"] if row["state"] == "confirmed")
    assert late["turned"] == {
        "start_week": 11, "end_week": 15, "lift": -0.02, "p_value": 1e-4, "first_seen": "2017-10-09",
    }  # fmt: skip
    assert (late["late_start_week"], late["late_end_week"], late["first_seen"]) == (13, 26, "2017-11-13")
    assert [row["verdict"] for row in told["effects"] if row["role"] == "guardrail"] == [None, "non_inferior"]


def test_the_claim_over_all_looks_is_an_object_of_its_own() -> None:
    row = cards.honeymoon().effects[0]
    told = to_json(replace(cards.honeymoon(), effects=(row,)))["effects"][0]["sequential"]
    assert told == {
        "look": 4, "looks": 4, "critical": row.sequential_critical,
        "effect_low": row.sequential_effect_low, "effect_high": row.sequential_effect_high,
        "lift_low": row.sequential_lift_low, "lift_high": row.sequential_lift_high, "significant": True,
    }  # fmt: skip


def test_an_effect_without_a_claim_has_null_in_its_place_and_says_why() -> None:
    row = next(row for row in to_json(cards.not_yet())["effects"])
    assert (row["sequential"], row["p_value_adjusted"]) == (None, None)
    assert row["reason"] == "No cohort has lived weeks 0-3 yet."


def test_a_look_too_early_to_claim_anything_keeps_its_number() -> None:
    card = cards.honeymoon()
    row = replace(
        card.effects[0], sequential_look=1, sequential_critical=None, sequential_effect_low=None,
        sequential_effect_high=None, sequential_lift_low=None, sequential_lift_high=None,
        sequential_significant=False, reason="too early to claim anything",
    )  # fmt: skip
    told = to_json(replace(card, effects=(row,)))["effects"][0]
    assert (told["sequential"]["look"], told["sequential"]["significant"]) == (1, False)
    assert (told["sequential"]["critical"], told["reason"]) == (None, "too early to claim anything")


def test_advice_says_what_why_and_when_it_may_change() -> None:
    assert to_json(cards.honeymoon(date(2017, 10, 2)))["recommendation"] == [
        {
            "variant": "treatment",
            "action": "keep_running",
            "reasons": ["active in weeks 13-25 is readable from 2017-12-25"],
            "changes_on": "2017-12-25",
        }
    ]


def test_treatments_that_dominate_and_weights_that_flip_are_named() -> None:
    card = cards.honeymoon()
    oec = replace(card.oec[0], flips=(Flip("lines", 0.7),), dominated_by=("other",))
    told = to_json(replace(card, oec=(oec,)))["oec"][0]
    assert (told["flips"], told["dominated_by"]) == ([{"metric": "lines", "weight": 0.7}], ["other"])


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
    for row in (row for name in ROWS for row in told[name] if "reason" in row):
        nested = row.get("sequential") or {}
        nulls = [name for name, value in (row | nested).items() if value is None and name not in MAY_NOT_APPLY]
        assert not nulls or row["reason"], (nulls, row)


def test_a_row_that_has_all_its_numbers_needs_no_reason() -> None:
    told = to_json(cards.honeymoon())
    assert told["effects"][0]["reason"] is None
    assert told["trajectory"][0]["reason"] is None


def test_a_null_without_a_reason_of_its_own_gets_one() -> None:
    card = cards.honeymoon()
    row = replace(card.effects[0], sequential_lift_low=None)
    point = replace(card.trajectory[0], band_low=None, band_high=None)
    told = to_json(replace(card, effects=(row,), trajectory=(point,)))
    assert told["effects"][0]["reason"] == told["trajectory"][0]["reason"] == NOT_ESTIMABLE


def test_a_row_with_a_reason_of_its_own_keeps_it() -> None:
    card = cards.honeymoon()
    row = replace(card.effects[0], lift=None, lift_low=math.nan, lift_high=None, reason="the control mean is zero")
    reason = to_json(replace(card, effects=(row,)))["effects"][0]["reason"]
    assert reason == f"the control mean is zero; {NOT_FINITE}"


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
        conflicts=(replace(card.conflicts[0], p_value=broken),),
        oec=(replace(card.oec[0], se=broken, flips=(Flip("lines", broken),)),),
        rollback=(replace(card.rollback[0], distance=broken),),
        heterogeneity=(replace(HETEROGENEITY[0], p_value=broken),),
    )
    told = to_json(card)
    json.dumps(told, allow_nan=False)
    assert told["effects"][0]["lift_high"] is None
    assert told["effects"][0]["unadjusted"]["effect_se"] is None
    assert told["checks"][0]["p_value"] is None
    assert told["oec"][0]["flips"] == [{"metric": "lines", "weight": None}]
    lists = [name for name in ROWS if "reason" in ROWS[name]]
    assert all(NOT_FINITE in told[name][0]["reason"] for name in lists)


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
    assert set(rows[0]) == {"key", "as_of"} | (EFFECT.keys() - {"unadjusted", "sequential"}) | flat
    first = card.effects[0]
    assert float(rows[0]["effect"]) == first.effect
    assert (rows[0]["key"], rows[0]["as_of"], rows[0]["segment"]) == ("honeymoon", "2017-12-31", "")
    assert (rows[0]["adjusted"], rows[0]["n_control"]) == ("true", "19911")
    assert (rows[0]["sequential_look"], rows[0]["sequential_significant"]) == ("4", "true")
    assert float(rows[0]["sequential_effect_low"]) == first.sequential_effect_low


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
