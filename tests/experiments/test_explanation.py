"""The steps that explain an assignment come to what ``assign`` gives, for any rule and unit; and how they say it."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.assignment import (
    BUCKETS,
    ExperimentRule,
    HoldoutRule,
    LayerRange,
    Phase,
    VariantRule,
    assign,
    bucket,
)
from experiments.explanation import Draw, Step, explain
from experiments.targeting import parse

DAY = date(2024, 3, 1)
CONDITIONS = (
    {"attribute": "country", "in": ["de", "fr"]},
    {"attribute": "age", "at_least": 18},
    {"attribute": "vip", "exists": False},
)

conditions = st.sampled_from(CONDITIONS)
targetings = st.none() | st.recursive(
    conditions,
    lambda inner: (
        st.builds(lambda rules: {"all": rules}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda rules: {"any": rules}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda rule: {"not": rule}, inner)
    ),
    max_leaves=5,
)
attributes = st.fixed_dictionaries(
    {}, optional={"country": st.sampled_from(["de", "us", 3]), "age": st.integers(0, 40), "vip": st.booleans()}
)


@st.composite
def rules(draw: st.DrawFn) -> ExperimentRule:
    first = draw(st.integers(0, BUCKETS - 1))
    running = draw(st.booleans())
    names = ("control", "treatment", "third")[: draw(st.integers(2, 3))]
    launched = None if running else draw(st.none() | st.sampled_from(names))
    shares = sorted(draw(st.lists(st.floats(0, 1), max_size=3)))
    targeting = draw(targetings)
    return ExperimentRule(
        key="ranker", salt="ranker", layer=LayerRange("layer/search", first, draw(st.integers(first + 1, BUCKETS))),
        variants=tuple(VariantRule(name, draw(st.floats(0.01, 10))) for name in names),
        holdouts=tuple(HoldoutRule(key, key, draw(st.floats(0, 0.5))) for key in "ab"[: draw(st.integers(0, 2))]),
        targeting=None if targeting is None else parse(targeting),
        phases=tuple(Phase(DAY + timedelta(days=7 * place - 7), share) for place, share in enumerate(shares)),
        running=running, closed=draw(st.booleans()), launched=launched,
        holdback=draw(st.none() | st.just("control")) if launched else None,
        forced=draw(st.sampled_from([{}, {}, {"user-1": "treatment"}])),
    )  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(rules(), st.integers(0, 40), attributes, st.booleans())
def test_the_last_step_is_what_assign_gives(
    rule: ExperimentRule, number: int, about: dict[str, Any], entered: bool
) -> None:
    unit = f"user-{number}"
    steps = explain(rule, unit, about, DAY, entered=entered)
    found = assign(rule, unit, about, DAY, entered=entered)
    last = steps[-1]
    assert (last.reason, last.variant, last.holdout) == (found.reason, found.variant, found.holdout)
    assert all(step.reason is None for step in steps[:-1])


RULE = ExperimentRule(
    key="ranker", salt="ranker", layer=LayerRange("layer/search", 0, 8_000),
    variants=(VariantRule("control", 1), VariantRule("treatment", 1)),
    holdouts=(HoldoutRule("winter", "winter", 0.05),),
    targeting=parse({"all": [CONDITIONS[0], {"not": CONDITIONS[1]}]}), phases=(Phase(DAY, 0.5),),
)  # fmt: skip


def taken(**about: Any) -> tuple[str, tuple[Step, ...]]:
    """A unit that nothing keeps out but its attributes."""
    unit = next(
        name for name in (f"user-{number}" for number in range(1_000))
        if bucket("winter", name) >= 500 and bucket("layer/search", name) < 4_000 and bucket("ranker", name) < 5_000
    )  # fmt: skip
    return unit, explain(RULE, unit, about, DAY)


def test_every_step_says_its_bucket_and_the_limits_it_is_held_against() -> None:
    unit, steps = taken(country="de", age=7)
    slice_, layer, own = (f"{bucket(salt, unit):,}" for salt in ("winter", "layer/search", "ranker"))
    assert [(step.name, step.said) for step in steps] == [
        ("forced", "it is no tester"),
        ("holdout", f"winter holds out buckets below 500, and the unit has {slice_}: not held out"),
        ("ended", "nothing was launched or stopped"),
        ("targeting", "its attributes meet the rule"),
        ("layer", f"the experiment has the buckets 0 to 7,999, and the unit has {layer}: inside"),
        ("phase", "on 2024-03-01 the first 50 % of them enter, 0 to 3,999: inside"),
        ("enrollment", "it was not frozen"),
        ("variant", f"the unit has bucket {own} of control 0 to 4,999, treatment 5,000 to 9,999: control"),
    ]


def test_each_part_of_a_targeting_rule_is_judged_with_what_was_found() -> None:
    _, steps = taken(country="us")
    assert (steps[-1].name, steps[-1].reason) == ("targeting", "not_targeted")
    assert [(part.depth, part.said, part.met) for part in steps[-1].judged] == [
        (0, "all of", False),
        (1, "country in 'de' or 'fr' (found 'us')", False),
        (1, "not", True),
        (2, "age at least 18 (found nothing)", False),
    ]


@pytest.mark.parametrize(
    ("salt", "unit", "head", "number"), [("honeymoon", "user-1", "e8a9f6567d1a95b6", 6630)]
)  # fmt: skip
def test_a_draw_shows_the_digest_that_sha256sum_prints(salt: str, unit: str, head: str, number: int) -> None:
    draw = Draw(salt, unit)
    assert (draw.text, draw.bucket) == (f"{salt}:{unit}", number)
    assert (draw.head, int(draw.head, 16) % BUCKETS) == (head, number)
