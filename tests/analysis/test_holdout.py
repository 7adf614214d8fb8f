"""A holdout by calendar week against rows of unit-weeks: who counts when, averages, errors, looks and verdicts."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from analysis import sequential
from analysis.holdout import build, cohorts_followed, followed, newest, now_steps, path, rows
from analysis.plan import DecisionRule, Event, Metric, Plan, Variant, Window
from analysis.results import HoldoutRow
from analysis.trajectory import estimates
from analysis.triangle import Triangle
from analysis.windows import planned_weeks
from tests.analysis.unit_rows import ACTIVE, HEAD_SHARE, LINES, START, Rows, draw_rows, make_plan, triangle_of_rows

#: As for effects: adjustment divides by a variance.
ADJUSTED = 1e-6

#: Both sides are the same sums in another order.
ROUNDING = 1e-10

#: A boundary of eight correlated looks: 1,024 quasi-random paths against 400,000 random ones.
PATHS = 0.003

WEEKS = 9
CHURN = Metric(
    key="churn", kind="event", event=Event("inactivity", "lines", 2), better="lower", role="guardrail", margin=0.02
)


def holdout_plan(**changes: object) -> Plan:
    """Nine calendar weeks; units enter in the first five and are followed for up to seven weeks."""
    given = {
        "kind": "holdout", "clock": "calendar", "fraction": 0.2, "planned_end_date": START + timedelta(days=7 * WEEKS),
        "variants": (Variant("held_out", 0.2, control=True), Variant("launched", 0.8)),
        "enrollment_weeks": 5, "horizon_weeks": 7, "metrics": (LINES, ACTIVE, HEAD_SHARE),
        "windows": (Window("early", 0, 2), Window("late", 4, 6)),
    }  # fmt: skip
    return make_plan(**{**given, **changes})


PLAN = holdout_plan()
ROWS = draw_rows(PLAN, 2_000, seed=71)


def day(weeks: int) -> date:
    return START + timedelta(days=7 * weeks)


def triangle(weeks: int = WEEKS, plan: Plan = PLAN) -> Triangle:
    return triangle_of_rows(plan, ROWS, day(weeks))


def unit_weeks(given: Rows, names: tuple[str, ...], span: Window, plan: Plan = PLAN) -> pd.DataFrame:
    """One line a unit and calendar week in the span, after the unit's own week of exposure, while it is followed."""
    parts = []
    for week in range(span.start_week, span.end_week):
        age = week - given.cohort
        units = np.flatnonzero((age >= 1) & (age < plan.horizon_weeks))
        values = {name: given.weeks[name][units, 1 + age[units]] for name in names}
        parts.append(pd.DataFrame({"unit": units, "launched": given.variant[units] == "launched", **values}))
    return pd.concat(parts).astype({"launched": int})


def adjusted(given: Rows, top: str, below: str | None, span: Window) -> tuple[float, float, float, float]:
    """Effect, its error, and both adjusted means, by Lin's formulas on one line a unit."""
    names = (top, below) if below else (top,)
    lines = unit_weeks(given, names, span).assign(number=1.0)
    units = lines.groupby(["unit", "launched"]).sum().reset_index()
    units["over"] = units[below] if below else units["number"]
    before, under = given.before(top)[units["unit"]], given.before(below)[units["unit"]] if below else 0.0
    units["x"] = before - (before.sum() / under.sum() * under if below else 0.0)
    means, residual, slopes = [], [], []
    for _, side in units.groupby("launched"):
        ratio = side[top].sum() / side["over"].sum()
        linear = (side[top] - ratio * side["over"]) / side["over"].mean()
        slope = np.cov(side["x"], linear)[0, 1] / side["x"].var()
        means.append(ratio - slope * (side["x"].mean() - units["x"].mean()))
        residual.append((linear - slope * (side["x"] - side["x"].mean())).var() / len(side))
        slopes.append(slope)
    variance = sum(residual) + (slopes[1] - slopes[0]) ** 2 * units["x"].var() / len(units)
    return means[1] - means[0], variance**0.5, means[0], means[1]


def of(found: tuple[HoldoutRow, ...], metric: str, kind: str) -> list[HoldoutRow]:
    return [row for row in found if (row.metric, row.kind) == (metric, kind)]


BUILT = build(triangle())


@pytest.mark.parametrize(
    ("metric", "top", "below"),
    [("lines", "lines", None), ("active", "active", None), ("head_share", "head", "lines")],
)
def test_every_row_is_the_average_unit_week_of_all_units_exposed_before(
    metric: str, top: str, below: str | None
) -> None:
    for kind, first in (("weekly", lambda end: end - 1), ("cumulative", lambda end: 1), ("now", lambda end: end - 4)):
        found = of(BUILT, metric, kind)
        assert [row.end_week for row in found] == ([WEEKS] if kind == "now" else list(range(2, WEEKS + 1)))
        for row in found:
            assert row.start_week == first(row.end_week)
            effect, se, control, launched = adjusted(ROWS, top, below, Window("", row.start_week, row.end_week))
            assert row.state == "ok"
            assert row.effect == pytest.approx(effect, rel=ADJUSTED, abs=ROUNDING)
            assert row.effect_se == pytest.approx(se, rel=ADJUSTED)
            assert row.lift == pytest.approx(launched / control - 1, rel=ADJUSTED, abs=ROUNDING)


def test_without_a_pre_period_it_is_a_regression_with_errors_clustered_by_unit() -> None:
    plan = replace(PLAN, pre_weeks=0)
    for row in of(build(triangle(plan=plan)), "lines", "cumulative"):
        lines = unit_weeks(ROWS, ("lines",), Window("", row.start_week, row.end_week))
        without = {"groups": lines["unit"], "use_correction": False}
        fit = smf.ols("lines ~ launched", lines).fit(cov_type="cluster", cov_kwds=without)
        assert row.effect == pytest.approx(fit.params["launched"], rel=ROUNDING)
        counted = lines.groupby("launched")["unit"].nunique()
        # Errors clustered by unit divide by n where ours divide by n - 1.
        assert row.effect_se == pytest.approx(fit.bse["launched"], rel=1 / counted[0])
        assert (row.n_control, row.n_treatment) == (counted[0], counted[1])


def test_a_unit_counts_from_the_week_after_its_exposure_and_until_its_horizon() -> None:
    assert cohorts_followed(PLAN, Window("", 0, 1)) == ()
    assert cohorts_followed(PLAN, Window("", 1, 2)) == (0,)
    assert cohorts_followed(PLAN, Window("", 6, 7)) == (0, 1, 2, 3, 4)
    assert cohorts_followed(PLAN, Window("", 8, 9)) == (2, 3, 4)
    assert cohorts_followed(PLAN, Window("", 1, 9)) == (0, 1, 2, 3, 4)


def test_nothing_after_planned_end_date_is_read_and_weeks_to_come_say_when() -> None:
    assert build(triangle(WEEKS + 3)) == BUILT
    early = build(triangle(4))
    waiting = [row for row in of(early, "lines", "weekly") if row.state == "not_yet"]
    assert [row.start_week for row in waiting] == [4, 5, 6, 7, 8]
    assert waiting[0].readable_from == day(5)
    assert waiting[0].reason == f"the week can be read from {day(5)}"
    late = holdout_plan(lag_days=3)
    assert of(build(triangle_of_rows(late, ROWS, day(5))), "lines", "weekly")[3].readable_from == day(5) + timedelta(3)
    assert of(build(triangle(1)), "lines", "now") == []
    assert newest(build(triangle(1)), "lines", "cumulative") is None
    with pytest.raises(ValueError, match="test is not a holdout: it has no planned_end_date"):
        planned_weeks(make_plan())


def test_earlier_looks_are_those_of_the_earlier_day() -> None:
    for weeks in (3, 6):
        now, then = build(triangle(weeks)), build(triangle().at(day(weeks)))
        assert now == then
        seen = {row.end_week: row for row in of(BUILT, "lines", "cumulative")}
        for row in of(now, "lines", "cumulative"):
            if row.state == "ok":
                assert row == seen[row.end_week]


def test_looks_spend_alpha_by_calendar_time_under_the_covariance_of_the_same_units() -> None:
    """The correlation is that of units' influences, written out; boundaries are those of simulated paths."""
    moved = followed(triangle(), LINES)
    steps = [one for one in now_steps(PLAN, day(WEEKS)) if one.span.start_week == 1]
    steps = steps + [replace(steps[-1], span=Window("", 1, end), cohorts=(0, 1, 2, 3, 4)) for end in (6, 7, 8, 9)]
    seen = path(moved, steps, estimates(moved, moved.plan.metrics[0], "launched", steps))
    influences = np.zeros((len(steps), len(ROWS.cohort)))
    for place, step in enumerate(steps):
        lines = unit_weeks(ROWS, ("lines",), step.span).assign(number=1.0)
        lines = lines[np.isin(ROWS.cohort[lines["unit"]], step.cohorts)]
        units = lines.groupby(["unit", "launched"]).sum().reset_index()
        slopes = []
        for side, sign in ((0, -1), (1, 1)):
            own = units[units["launched"] == side]
            linear = (own["lines"] - own["lines"].sum() / own["number"].sum() * own["number"]) / own["number"].mean()
            x = ROWS.before("lines")[own["unit"]]
            slopes.append(np.cov(x, linear)[0, 1] / x.var(ddof=1))
            influences[place, own["unit"]] = sign * (linear - slopes[-1] * (x - x.mean())) / len(own)
        # A unit also moves the covariate's mean over both variants, to which both are adjusted.
        for side in (0, 1):
            x = ROWS.before("lines")[units.loc[units["launched"] == side, "unit"]]
            influences[place, units.loc[units["launched"] == side, "unit"]] += (
                (slopes[1] - slopes[0]) * (x - x.mean()) / len(units)
            )
    np.testing.assert_allclose(seen.correlation, np.corrcoef(influences), rtol=ADJUSTED)
    times = np.array([step.span.end_week / WEEKS for step in steps])
    np.testing.assert_allclose(seen.shares, [float(sequential.spent(t, 0.05, "obrien_fleming")) / 0.05 for t in times])
    drawn = np.random.default_rng(5).multivariate_normal(np.zeros(len(steps)), seen.correlation, 400_000)
    crossed = (drawn > seen.critical(0.05)).any(axis=1).mean()
    assert crossed == pytest.approx(0.025, abs=PATHS)


def test_significant_means_that_the_drawn_interval_leaves_out_zero() -> None:
    rows_of_metric = of(BUILT, "lines", "cumulative") + of(BUILT, "active", "cumulative")
    assert [row.sequential_look for row in rows_of_metric[:8]] == list(range(1, 9))
    assert {row.sequential_looks for row in rows_of_metric} == {WEEKS - 1}
    told = [row for row in rows_of_metric if row.claimed is not None]
    assert told
    for row in told:
        assert row.claimed is not None
        assert row.sequential_significant == (not row.claimed[0] <= 0 <= row.claimed[1])
        assert row.sequential_critical is not None
        # Two primary metrics share alpha, so even the last look is drawn wider than a plain interval at .025.
        assert row.sequential_critical > 2.24
    long = holdout_plan(planned_end_date=START + timedelta(days=7 * 80), enrollment_weeks=80)
    first = of(build(triangle(plan=long)), "lines", "cumulative")[0]
    assert first.claimed is None
    assert first.reason == "too early to claim anything: no alpha is spent at this look yet"


def test_the_cumulative_effect_decides_on_a_guardrail_and_now_does_not() -> None:
    share = newest(BUILT, "head_share", "cumulative")
    assert share is not None
    assert share.drawn is not None
    assert share.verdict in ("inferior", "undecided", "non_inferior", "superior")
    assert (share.drawn[0] > 0.02) == (share.verdict == "inferior")
    assert of(BUILT, "head_share", "now")[0].verdict is None


def test_a_far_loss_of_a_guardrail_is_inferior_and_a_wide_margin_is_kept() -> None:
    worse = Rows(ROWS.variant, ROWS.cohort, {**ROWS.weeks, "head": ROWS.weeks["head"].copy()})
    worse.weeks["head"][ROWS.variant == "launched"] *= 2
    harmed = newest(build(triangle_of_rows(PLAN, worse, day(WEEKS))), "head_share", "cumulative")
    assert harmed is not None
    assert harmed.verdict == "inferior"
    wide = holdout_plan(metrics=(replace(HEAD_SHARE, margin=0.9),))
    kept = newest(build(triangle(plan=wide)), "head_share", "cumulative")
    assert kept is not None
    assert kept.verdict in ("superior", "non_inferior")


def test_of_inactivity_the_share_of_active_weeks_is_read() -> None:
    plan = holdout_plan(metrics=(CHURN,))
    found = build(triangle_of_rows(plan, ROWS, day(WEEKS)))
    assert [row.effect for row in of(found, "churn", "cumulative")] == pytest.approx(
        [row.effect for row in of(BUILT, "active", "cumulative")], rel=ROUNDING
    )
    seen = replace(CHURN, event=Event("occurrence", "lines"))
    assert build(triangle_of_rows(holdout_plan(metrics=(seen,)), ROWS, day(WEEKS))) == ()


def test_too_few_units_have_a_reason_and_claim_nothing() -> None:
    few = ROWS.sample(np.concatenate([ROWS.of("held_out", [0])[:10], ROWS.of("launched", [0])[:40]]))
    found = newest(build(triangle_of_rows(PLAN, few, day(WEEKS))), "lines", "cumulative")
    assert found is not None
    assert (found.state, found.sequential_look) == ("too_few", None)
    assert found.reason == "fewer than 30 units in a variant: no interval yet"
    nobody = ROWS.sample(ROWS.of("launched", [0]))
    assert {row.state for row in rows(triangle_of_rows(PLAN, nobody, day(WEEKS)), LINES)} == {"too_few"}


def test_pocock_spending_is_drawn_narrower_early_than_obrien_fleming() -> None:
    plan = holdout_plan(decision=DecisionRule(spending="pocock"))
    early = of(build(triangle(plan=plan)), "lines", "cumulative")[2].sequential_critical
    assert early is not None
    assert early < (of(BUILT, "lines", "cumulative")[2].sequential_critical or np.inf)
