"""The rule language: what each operator says, types that never mix, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.targeting import OPERATORS, BadRule, parse

ATTRIBUTES = {"country": "de", "age": 30, "score": 0.5, "vip": True, "nothing": None, "list": ["de"]}


@pytest.mark.parametrize(
    ("rule", "met"),
    [
        ({"attribute": "country", "equals": "de"}, True),
        ({"attribute": "country", "equals": "fr"}, False),
        ({"attribute": "country", "in": ["fr", "de"]}, True),
        ({"attribute": "country", "starts_with": "d"}, True),
        ({"attribute": "country", "above": "da"}, True),
        ({"attribute": "age", "at_least": 30}, True),
        ({"attribute": "age", "above": 30}, False),
        ({"attribute": "age", "at_most": 30.0}, True),
        ({"attribute": "score", "below": 1}, True),
        ({"attribute": "vip", "equals": True}, True),
        ({"attribute": "vip", "equals": False}, False),
        ({"attribute": "age", "exists": True}, True),
        ({"attribute": "nothing", "exists": False}, True),
        ({"attribute": "unknown", "exists": True}, False),
        # Types never mix: a number is no text, and true is not one.
        ({"attribute": "age", "equals": "30"}, False),
        ({"attribute": "vip", "equals": 1}, False),
        ({"attribute": "age", "above": "2"}, False),
        ({"attribute": "country", "above": 1}, False),
        ({"attribute": "list", "in": ["de"]}, False),
        ({"attribute": "unknown", "at_least": 1}, False),
        ({"not": {"attribute": "unknown", "at_least": 1}}, True),
        ({"all": [{"attribute": "age", "at_least": 18}, {"attribute": "country", "equals": "fr"}]}, False),
        ({"any": [{"attribute": "age", "at_least": 18}, {"attribute": "country", "equals": "fr"}]}, True),
        ({"all": [{"not": {"any": [{"attribute": "vip", "equals": False}]}}]}, True),
    ],
    ids=str,
)
def test_a_rule_is_met_or_not(rule: dict[str, Any], met: bool) -> None:
    assert parse(rule).met(ATTRIBUTES) is met


def test_a_number_that_is_none_meets_nothing() -> None:
    assert not parse({"attribute": "x", "at_most": 1}).met({"x": float("nan")})


DEEP: dict[str, Any] = {"attribute": "a", "equals": 1}
for _ in range(20):
    DEEP = {"not": DEEP}


@pytest.mark.parametrize(
    ("rule", "field", "words"),
    [
        ("country == 'de'", "targeting", "a rule is a mapping"),
        ({}, "targeting.attribute", "must be the name of an attribute"),
        ({"attribute": 7, "equals": 1}, "targeting.attribute", "must be the name"),
        ({"attribute": "a"}, "targeting", r"needs one of the operators .* \(found none\)"),
        ({"attribute": "a", "like": "x"}, "targeting", r"\(found like\)"),
        ({"attribute": "a", "equals": 1, "above": 2}, "targeting", r"\(found equals, above\)"),
        ({"attribute": "a", "equals": None}, "targeting.equals", "values are text, numbers or booleans"),
        ({"attribute": "a", "equals": [1]}, "targeting.equals", "values are text"),
        ({"attribute": "a", "equals": float("nan")}, "targeting.equals", "values are text"),
        ({"attribute": "a", "in": "de"}, "targeting.in", "must be a list"),
        ({"attribute": "a", "in": []}, "targeting.in", "must have 1 to"),
        ({"attribute": "a", "in": [1, "x"]}, "targeting.in", "of one type .found a number and text"),
        ({"attribute": "a", "starts_with": 1}, "targeting.starts_with", "compares text"),
        ({"attribute": "a", "exists": "yes"}, "targeting.exists", "compares a boolean"),
        ({"attribute": "a", "above": True}, "targeting.above", "compares a number or text"),
        ({"all": []}, "targeting.all", "a list of one rule or more"),
        ({"all": [{"attribute": "a", "equals": 1}, 3]}, "targeting.all[1]", "a rule is a mapping"),
        ({"any": [{"attribute": "a", "equals": 1}], "not": 1}, "targeting", "stands alone"),
        (DEEP, "targeting.not", "nested deeper than 10"),
    ],
    ids=str,
)
def test_what_is_no_rule_is_refused_with_its_place(rule: Any, field: str, words: str) -> None:
    with pytest.raises(BadRule, match=words) as refused:
        parse(rule)
    assert refused.value.field.startswith(field)


VALUES = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3)
ANYTHING = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["attribute", "all", "any", "not", *OPERATORS, "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(rule=ANYTHING, attributes=st.dictionaries(st.text(max_size=3), VALUES, max_size=3))
def test_anything_is_a_rule_that_can_be_asked_or_is_refused(rule: Any, attributes: dict[str, Any]) -> None:
    try:
        found = parse(rule)
    except BadRule:
        return
    assert found.met(attributes) in (True, False)
