"""Assignment: test vectors for other languages, uniform and independent buckets, and every step in its order."""

import hashlib
import re
from dataclasses import replace
from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from experiments.assignment import (
    BUCKETS,
    Assignment,
    ExperimentRule,
    HoldoutRule,
    LayerRange,
    Phase,
    VariantRule,
    assign,
    bucket,
    cut,
    exposures,
    fingerprint,
)
from experiments.methods import FOLDER
from experiments.targeting import parse

#: Published vectors: whoever reproduces these reproduces every assignment. Computed by sha256sum and bc, for example
#: printf 'honeymoon:user-1' | sha256sum.
VECTORS = {
    ("honeymoon", "user-1"): 6630,
    ("honeymoon", "user-2"): 6152,
    ("winter-2026", "user-1"): 9812,
    ("salt", ""): 7643,
    ("salt", "0"): 5838,
    ("salt", "zoë 日本"): 7328,
    ("salt", "a:b"): 1974,
    ("layer/search", "user-1"): 6117,
    ("entry/honeymoon", "user-1"): 3506,
}

#: A chi-square below this has one chance in 100,000 on uniform buckets.
UNLIKELY = 1e-5
MANY = 1_000_000

DAY = date(2024, 3, 1)
HOLDOUT = HoldoutRule("winter-2026", "winter-2026", 0.05)
RULE = ExperimentRule(
    key="ranker", salt="ranker", layer=LayerRange("search", 2_000, 6_000),
    variants=(VariantRule("control", 50), VariantRule("treatment", 50)),
)  # fmt: skip


def buckets(salt: str, count: int) -> np.ndarray:
    """The buckets of units 0, 1, ..., computed as the documentation says, without the code under test."""
    digests = (hashlib.sha256(f"{salt}:{unit}".encode()).digest()[:8] for unit in range(count))
    return np.array([int.from_bytes(digest, "big") for digest in digests], dtype=object) % BUCKETS


@pytest.mark.parametrize(("pair", "expected"), VECTORS.items(), ids=str)
def test_the_published_vectors_hold(pair: tuple[str, str], expected: int) -> None:
    assert bucket(*pair) == expected


def test_the_methods_page_publishes_these_vectors() -> None:
    text = (FOLDER / "assignment.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([0-9]+) \|$", text, re.MULTILINE)
    assert {(salt, "" if unit == "(empty)" else unit): int(place) for salt, unit, place in rows} == VECTORS


def test_a_salt_with_a_colon_is_refused_for_two_pairs_would_be_one() -> None:
    with pytest.raises(ValueError, match="a salt has no colon: 'a:b'"):
        bucket("a:b", "c")


def test_buckets_are_uniform_and_those_of_two_salts_independent() -> None:
    first, second = (buckets(salt, MANY).astype(int) for salt in ("one", "two"))
    assert [bucket("one", str(unit)) for unit in range(100)] == first[:100].tolist()
    for found in (first, second):
        assert stats.chisquare(np.bincount(found, minlength=BUCKETS)).pvalue > UNLIKELY
    table = np.zeros((20, 20))
    np.add.at(table, (first // 500, second // 500), 1)
    assert stats.chi2_contingency(table).pvalue > UNLIKELY


@pytest.mark.parametrize(
    ("shares", "ends"),
    [((50, 50), (5_000, 10_000)), ((1, 1, 1), (3_333, 6_667, 10_000)), ((0.9, 0.1), (9_000, 10_000)),
     ((0, 1), (0, 10_000)), ((7,), (10_000,))],
)  # fmt: skip
def test_shares_are_cut_into_buckets_without_a_gap(shares: tuple[float, ...], ends: tuple[int, ...]) -> None:
    assert cut(shares) == ends


@pytest.mark.parametrize("shares", [(), (0, 0), (1, -1)])
def test_shares_that_cannot_be_cut_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="one of them is positive"):
        cut(shares)


def units_where(low: int, high: int, salt: str, count: int = 3) -> list[str]:
    """The first units whose bucket lies in [low, high)."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        if low <= bucket(salt, str(number)) < high:
            found.append(str(number))
        number += 1
    return found


def test_units_inside_the_range_get_variants_by_weight_and_others_none() -> None:
    rule = replace(RULE, variants=(VariantRule("control", 10), VariantRule("treatment", 90)))
    found = [assign(rule, str(unit), {}, DAY) for unit in range(20_000)]
    inside = [one for one in found if one.reason == "assigned"]
    outside = [one for one in found if one.reason == "outside_layer"]
    assert len(inside) + len(outside) == len(found)
    assert stats.binomtest(len(inside), len(found), 0.4).pvalue > UNLIKELY
    control = sum(one.variant == "control" for one in inside)
    assert stats.binomtest(control, len(inside), 0.1).pvalue > UNLIKELY
    assert {one.propensity for one in inside} == {0.1, 0.9}
    assert all(one.counted for one in inside)
    assert not any(one.counted or one.variant for one in outside)


def test_experiments_on_other_ranges_of_a_layer_share_no_unit() -> None:
    other = replace(RULE, key="other", salt="other", layer=LayerRange("search", 6_000, 10_000))
    both = [
        unit
        for unit in map(str, range(5_000))
        if assign(RULE, unit, {}, DAY).variant and assign(other, unit, {}, DAY).variant
    ]
    assert both == []


def test_a_growing_share_keeps_everybody_who_is_in_and_their_variant() -> None:
    phases = (Phase(date(2024, 3, 4), 0.1), Phase(date(2024, 3, 11), 0.5), Phase(date(2024, 3, 18), 1.0))
    rule = replace(RULE, phases=phases)
    days = [date(2024, 3, 3), date(2024, 3, 4), date(2024, 3, 12), date(2024, 4, 1)]
    seen = [{unit: assign(rule, unit, {}, day).variant for unit in map(str, range(5_000))} for day in days]
    sizes = [sum(variant is not None for variant in variants.values()) for variants in seen]
    assert sizes[0] == 0 < sizes[1] < sizes[2] < sizes[3]
    for earlier, later in pairwise(seen):
        assert all(later[unit] == variant for unit, variant in earlier.items() if variant is not None)


@pytest.mark.parametrize(
    "phases", [(Phase(DAY, 0.5), Phase(date(2024, 4, 1), 0.4)), (Phase(DAY, 0.5), Phase(DAY, 0.6))], ids=str
)
def test_phases_that_would_drop_units_are_refused(phases: tuple[Phase, ...]) -> None:
    with pytest.raises(ValueError, match="never fall"):
        replace(RULE, phases=phases)


def test_a_held_out_unit_is_out_of_every_member_before_its_layer_is_asked() -> None:
    held = units_where(0, 500, "winter-2026")
    free = units_where(500, BUCKETS, "winter-2026")
    rule = replace(RULE, holdouts=(HOLDOUT,), layer=LayerRange("search"))
    for unit in held:
        assert assign(rule, unit, {}, DAY) == Assignment(
            "ranker", unit, None, "held_out", holdout="winter-2026", counted=True
        )
    assert {assign(rule, unit, {}, DAY).reason for unit in free} == {"assigned"}


def test_the_holdout_stands_through_every_end_of_its_members() -> None:
    unit = units_where(0, 500, "winter-2026", 1)[0]
    whole = replace(RULE, holdouts=(HOLDOUT,), layer=LayerRange("search"))
    for rule in (
        replace(whole, running=False), replace(whole, running=False, launched="treatment"),
        replace(whole, closed=True), replace(whole, targeting=parse({"attribute": "x", "exists": True})),
    ):  # fmt: skip
        assert assign(rule, unit, {}, DAY).reason == "held_out"


def test_after_a_launch_everybody_gets_the_launched_variant_and_after_a_stop_nobody_gets_one() -> None:
    launched = assign(replace(RULE, running=False, launched="treatment"), "u", {}, DAY)
    assert (launched.variant, launched.reason, launched.counted) == ("treatment", "launched", False)
    stopped = assign(replace(RULE, running=False), "u", {}, DAY)
    assert (stopped.variant, stopped.reason, stopped.counted) == (None, "stopped", False)


def test_testers_get_their_variant_whatever_the_rest_says_and_are_not_counted() -> None:
    unit = units_where(0, 500, "winter-2026", 1)[0]
    rule = replace(RULE, holdouts=(HOLDOUT,), forced={unit: "treatment"}, running=False)
    found = assign(rule, unit, {}, DAY)
    assert (found.variant, found.reason, found.counted) == ("treatment", "forced", False)


def test_closed_enrollment_lets_nobody_new_in_and_keeps_those_who_are_in() -> None:
    rule = replace(RULE, layer=LayerRange("search"))
    before = assign(rule, "user-1", {}, DAY)
    closed = replace(rule, closed=True)
    assert assign(closed, "user-1", {}, DAY).reason == "enrollment_closed"
    assert assign(closed, "user-1", {}, DAY, entered=True) == before


def test_targeting_is_asked_after_the_holdout_and_before_the_layer() -> None:
    rule = replace(RULE, targeting=parse({"attribute": "country", "in": ["de"]}))
    outside = units_where(6_000, BUCKETS, "search", 1)[0]
    assert assign(rule, outside, {"country": "fr"}, DAY).reason == "not_targeted"
    assert assign(rule, outside, {"country": "de"}, DAY).reason == "outside_layer"


def test_a_holdback_keeps_the_control_units_of_the_experiment_and_gives_everybody_else_the_launched_variant() -> None:
    rule = replace(RULE, holdouts=(HOLDOUT,))
    after = replace(rule, running=False, launched="treatment", holdback="control")
    for unit in map(str, range(3_000)):
        before, now = assign(rule, unit, {}, DAY), assign(after, unit, {}, DAY)
        if before.variant == "control" or before.reason == "held_out":
            assert now == before
        else:
            assert (now.variant, now.reason, now.counted) == ("treatment", "launched", False)


def test_what_is_logged_are_both_sides_of_every_holdout_and_the_variant_of_who_entered() -> None:
    other = HoldoutRule("spring", "spring", 0.2)
    rule = replace(RULE, holdouts=(HOLDOUT, other), forced={"tester": "control"})
    for unit in map(str, range(3_000)):
        found = assign(rule, unit, {}, DAY)
        logged = dict(exposures(rule, found))
        for one in rule.holdouts:
            assert logged.pop(one.key) == ("held_out" if one.holds_out(unit) else "launched")
        assert logged == ({"ranker": found.variant} if found.reason == "assigned" else {})
    assert exposures(rule, assign(rule, "tester", {}, DAY)) == ()


def test_a_fingerprint_is_eight_bytes_of_the_hash() -> None:
    assert fingerprint("user-1") == int("c6c289e49e9c05b2", 16)  # printf user-1 | sha256sum
