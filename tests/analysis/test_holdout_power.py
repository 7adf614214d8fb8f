"""What a holdout finds until its planned end, against one line a unit and calendar week."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from analysis.history import History, history_of
from analysis.holdout_power import until_end
from analysis.plan import DecisionRule, Event, Metric, Plan, Variant
from analysis.planned import PlannedUntilEnd
from analysis.power import FRACTIONS
from analysis.sample_size import holdout_factor
from tests.analysis.unit_rows import ACTIVE, HEAD_SHARE, LINES, START, draw_rows, make_plan, triangle_of_rows

#: Adjustment divides by a variance.
ADJUSTED = 1e-6

#: A holdout's units are rounded to whole ones.
WHOLE_UNITS = 1e-3

WEEKS, UNITS_PER_WEEK = 9, 10_000
CHURN = Metric(
    key="churn", kind="event", event=Event("inactivity", "lines", 2), better="lower", role="guardrail", margin=0.02
)
BOUGHT = Metric(key="bought", kind="event", event=Event("occurrence", "lines"), better="higher", role="secondary")


def holdout(**changes: object) -> Plan:
    """Nine calendar weeks from a day in the future; units enter in the first five and are followed for seven."""
    start = START + timedelta(days=700)
    given = {
        "kind": "holdout", "clock": "calendar", "fraction": 0.2, "start_date": start,
        "planned_end_date": start + timedelta(days=7 * WEEKS),
        "variants": (Variant("held_out", 0.2, control=True), Variant("launched", 0.8)),
        "enrollment_weeks": 5, "horizon_weeks": 7, "metrics": (LINES, ACTIVE, HEAD_SHARE, CHURN, BOUGHT),
    }  # fmt: skip
    return make_plan(**{**given, **changes})


PLAN = holdout()
PAST = replace(PLAN, start_date=START, variants=(Variant("held_out", None, control=True),))
ROWS = draw_rows(replace(PAST, variants=(Variant("held_out", 1.0, control=True),)), 1_500, seed=5)


def history(as_of: date, plan: Plan = PAST) -> History:
    return history_of(triangle_of_rows(plan, ROWS, as_of))


def lived(weeks: int) -> date:
    return START + timedelta(days=7 * weeks)


def of(rows: tuple[PlannedUntilEnd, ...], metric: str) -> PlannedUntilEnd:
    return next(row for row in rows if row.metric == metric)


def brute_force(plan: Plan, weeks: int, top: str, below: str | None) -> float:
    """The smallest lift by unit rows: the error of a ratio over calendar weeks 1 to ``weeks`` - 1, before / after."""
    lines = []
    for week in range(1, weeks):
        age = week - ROWS.cohort
        units = np.flatnonzero((age >= 1) & (age < plan.horizon_weeks))
        over = ROWS.weeks[below][units, 1 + age[units]] if below else 1.0
        lines.append(pd.DataFrame({"unit": units, "top": ROWS.weeks[top][units, 1 + age[units]], "over": over}))
    each = pd.concat(lines).groupby("unit").sum()
    ratio = each["top"].sum() / each["over"].sum()
    linear = (each["top"] - ratio * each["over"]) / each["over"].mean()
    if plan.pre_weeks:
        before, under = ROWS.before(top)[each.index], ROWS.before(below)[each.index] if below else 0.0
        x = before - (before.sum() / under.sum() * under if below else 0.0)
        linear = linear - np.cov(x, linear)[0, 1] / x.var(ddof=1) * (x - x.mean())
    units = UNITS_PER_WEEK * min(plan.enrollment_weeks, weeks - 1)
    sides = [variant.weight or 0.0 for variant in plan.variants]
    se = (linear.var() * sum(1 / round(units * side) for side in sides)) ** 0.5 / abs(ratio)
    return float((norm.ppf(1 - plan.decision.alpha / 2) + norm.ppf(plan.decision.power)) * se)


@pytest.mark.parametrize("pre_weeks", [0, 2])
@pytest.mark.parametrize("weeks", [4, WEEKS])
@pytest.mark.parametrize(
    ("metric", "top", "below"),
    [("lines", "lines", None), ("active", "active", None), ("head_share", "head", "lines"), ("churn", "active", None)],
)
def test_the_smallest_lift_is_that_of_unit_rows(
    metric: str, top: str, below: str | None, weeks: int, pre_weeks: int
) -> None:
    plan, past = holdout(pre_weeks=pre_weeks), replace(PAST, pre_weeks=pre_weeks)
    row = of(until_end(history(lived(weeks), past), plan, UNITS_PER_WEEK), metric)
    assert (row.start_week, row.end_week, row.planned_weeks) == (1, weeks, WEEKS)
    assert row.mde_lift == pytest.approx(brute_force(plan, weeks, top, below), rel=ADJUSTED)
    assert row.reason is None


def test_no_more_weeks_are_read_than_are_planned() -> None:
    late = until_end(history(lived(20)), PLAN, UNITS_PER_WEEK)
    assert late == until_end(history(lived(WEEKS)), PLAN, UNITS_PER_WEEK)
    shorter = holdout(planned_end_date=PLAN.start_date + timedelta(days=7 * 6))
    assert {row.end_week for row in until_end(history(lived(20)), shorter, UNITS_PER_WEEK)} == {6}


def test_a_smaller_slice_costs_what_the_factor_says() -> None:
    found = history(lived(WEEKS))
    even = holdout(variants=(Variant("held_out", 0.5, control=True), Variant("launched", 0.5)))
    base = of(until_end(found, even, UNITS_PER_WEEK), "lines").mde_lift
    assert base is not None
    for fraction in FRACTIONS:
        split = (Variant("held_out", fraction, control=True), Variant("launched", 1 - fraction))
        other = of(until_end(found, holdout(variants=split), UNITS_PER_WEEK), "lines").mde_lift
        assert other == pytest.approx(base * holdout_factor(fraction), rel=WHOLE_UNITS)


def test_what_cannot_be_found_has_a_reason() -> None:
    assert {row.metric for row in until_end(history(lived(WEEKS)), PLAN, UNITS_PER_WEEK)} == {
        "lines", "active", "head_share", "churn",
    }  # fmt: skip
    assert "no whole calendar week" in str(of(until_end(history(lived(1)), PLAN, UNITS_PER_WEEK), "lines").reason)
    few = of(until_end(history(lived(WEEKS)), PLAN, 10), "lines")
    assert (few.mde_lift, few.reason) == (None, "fewer than 30 units in a variant are planned")
    strict = holdout(decision=DecisionRule(alpha=1e-12, power=0.999999))
    fall = of(until_end(history(lived(WEEKS)), strict, 40), "head_share")
    assert (fall.mde_lift, fall.reason) == (None, "even a fall to nothing is too small to be found")
