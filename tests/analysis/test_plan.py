"""The plan: what metrics read, which window decides, and the digest."""

from dataclasses import FrozenInstanceError, replace

import pytest

from analysis.plan import Event, Metric, Series, Variant, Window
from tests.analysis.unit_rows import ACTIVE, HEAD_SHARE, LINES, LINES_A_ROW, START, make_plan, variants

CHURN = Metric(
    key="churn", kind="event", better="lower", role="guardrail", margin=0.02, event=Event("inactivity", "lines", 4)
)


def test_every_metric_names_the_weekly_values_it_is_made_of() -> None:
    assert LINES.series == (Series("sum", "lines"),)
    assert ACTIVE.series == (Series("active", "lines"),)
    assert HEAD_SHARE.series == (Series("sum", "head_lines"), Series("sum", "lines"))
    assert LINES_A_ROW.series == (Series("sum", "lines"), Series("rows", ""))
    assert CHURN.series == (Series("active", "lines"),)


def test_a_cap_makes_another_series() -> None:
    capped = replace(LINES, key="capped", cap=50.0)
    assert capped.series == (Series("sum", "lines", 50.0),)
    plan = make_plan(metrics=(LINES, capped))
    assert plan.series == (Series("sum", "lines"), Series("sum", "lines", 50.0))
    assert plan.columns == ("lines",)


def test_a_plan_reads_each_series_and_each_column_once_in_order_of_first_use() -> None:
    plan = make_plan(metrics=(LINES, ACTIVE, HEAD_SHARE, LINES_A_ROW, CHURN))
    assert plan.series == (
        Series("sum", "lines"), Series("active", "lines"), Series("sum", "head_lines"), Series("rows", ""),
    )  # fmt: skip
    assert plan.columns == ("lines", "head_lines")
    assert CHURN.columns == ("lines",)
    assert plan.estimated_metrics == (LINES, ACTIVE, HEAD_SHARE, LINES_A_ROW)


def test_the_deciding_window_follows_the_term_unless_it_is_named() -> None:
    assert LINES.deciding_window == "early"
    assert ACTIVE.deciding_window == "late"
    assert HEAD_SHARE.deciding_window == "late"
    assert replace(HEAD_SHARE, window="early").deciding_window == "early"


def test_the_sign_turns_lower_is_better_round() -> None:
    assert (LINES.sign, HEAD_SHARE.sign) == (1, -1)


def test_windows_name_both_of_their_ends_in_words() -> None:
    assert Window("late", 13, 26).label == "weeks 13-25"
    assert Window("first", 3, 4).label == "week 3"
    assert Window("late", 13, 26).weeks == 13


def test_variants_are_split_into_the_control_and_the_treatments() -> None:
    plan = make_plan(variants=variants(80, 10, 10))
    assert plan.control == Variant("control", 80, control=True)
    assert [variant.key for variant in plan.treatments] == ["a", "b"]


def test_a_window_is_found_by_name_and_an_unknown_one_is_an_error() -> None:
    plan = make_plan()
    assert plan.window("late") == Window("late", 4, 6)
    with pytest.raises(KeyError, match="never"):
        plan.window("never")


def test_the_digest_is_that_of_the_content_and_changes_with_any_part_of_it() -> None:
    plan = make_plan()
    assert plan.digest == make_plan().digest
    assert len(plan.digest) == 64
    changed = [
        replace(plan, start_date=START.replace(day=2)),
        replace(plan, pre_weeks=3),
        replace(plan, variants=variants(90, 10)),
        replace(plan, metrics=(replace(LINES, cap=10.0), *plan.metrics[1:])),
        replace(plan, decision=replace(plan.decision, alpha=0.1)),
        replace(plan, extra={"salt": "x"}),
    ]
    assert len({plan.digest, *(other.digest for other in changed)}) == 1 + len(changed)


def test_the_digest_does_not_depend_on_the_order_of_reserved_keys() -> None:
    left = make_plan(extra={"salt": "x", "layer": "y"})
    assert left.digest == make_plan(extra={"layer": "y", "salt": "x"}).digest


def test_a_plan_cannot_be_changed_in_place() -> None:
    plan = make_plan()
    with pytest.raises(FrozenInstanceError):
        plan.pre_weeks = 9  # type: ignore[misc]
