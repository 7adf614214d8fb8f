"""Early benefit and later harm of a time to event, and conflicts of values with it."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from scipy import stats

from analysis import rolling, windows
from analysis.event_counts import EventCounts
from analysis.event_legs import EventLegs, event_legs
from analysis.hazards import increments, log_rank
from analysis.life_table import extra_weeks, life_table, longest
from analysis.plan import Event, Metric, Plan, Window
from analysis.recommendation import Evidence, recommend
from analysis.results import CheckRow, ConflictRow, ReversalRow, SurvivalComparisonRow
from analysis.reversal import reversals
from analysis.scorecard import build
from analysis.triangle import Cell, Triangle
from tests.analysis.unit_rows import LINES, exact, make_plan, triangle_of, variants

GAP = Event("inactivity", "lines", 2)
CHURN = Metric("churn", "event", "lower", "guardrail", "long", event=GAP, margin=0.1)
SALE = Metric("sale", "event", "higher", "secondary", event=Event("occurrence", "lines"))
PRE, HORIZON, COHORTS = 2, 14, 4

#: Sums of the same numbers in another order.
SAME = 1e-10


def plan_of(*metrics: Metric) -> Plan:
    return make_plan(
        metrics=metrics, variants=variants(50, 50), enrollment_weeks=COHORTS, horizon_weeks=HORIZON, pre_weeks=PRE,
        windows=(Window("early", 0, 4), Window("late", 8, 14)),
    )  # fmt: skip


def counts(hazards: np.ndarray, units: int, random: np.random.Generator | None = None) -> EventCounts:
    """Units by the week of their event, from weekly hazards: drawn, or as many as expected."""
    stays = np.concatenate([[1.0], np.cumprod(1 - hazards)])
    chances = np.concatenate([stays[:-1] * hazards, stays[-1:]])
    found = EventCounts.none(HORIZON, PRE)
    weeks = len(chances) - 1
    n = random.multinomial(units, chances) if random is not None else np.round(units * chances).astype(int)
    found.weeks[:weeks, HORIZON] = n[:weeks]
    found.weeks[HORIZON, HORIZON] = n[weeks]
    return found


def triangle(
    plan: Plan, control: np.ndarray, treatment: np.ndarray, units: int = 5_000, day: date | None = None,
    random: np.random.Generator | None = None,
) -> Triangle:  # fmt: skip
    """Hazards by week as far as each event can be known; values, if any, without effect."""
    events = {
        event: {
            Cell(key, cohort): counts(hazards[: longest(plan, event)], units + 100 * cohort, random)
            for key, hazards in (("control", control), ("a", treatment))
            for cohort in range(COHORTS)
        }
        for event in plan.events
    }
    size = len(plan.series) * (1 + HORIZON)
    flat = exact(units, np.full(size, 5.0), np.eye(size))
    cells = {Cell(key, cohort): flat for key in ("control", "a") for cohort in range(COHORTS)}
    return replace(triangle_of(plan, cells, day), events=events)


BASE = np.full(HORIZON, 0.05)
CROSSING = np.array([0.025] * 4 + [0.05] * 4 + [0.09] * 6)
WORSE = np.full(HORIZON, 0.075)
EARLY_ONLY = np.array([0.025] * 4 + [0.05] * 10)


def reversal_of(found: Triangle, metric: Metric = CHURN) -> ReversalRow:
    rows, _ = reversals(found, {one.key: found.of_metric(one) for one in found.plan.metrics}, "a")
    return next(row for row in rows if row.metric == metric.key)


@pytest.mark.parametrize(
    ("treatment", "state"),
    [(CROSSING, "confirmed"), (BASE, "none"), (WORSE, "none"), (EARLY_ONLY, "fading"), (BASE / 2, "none")],
)
def test_fewer_events_early_and_more_later_are_a_reversal(treatment: np.ndarray, state: str) -> None:
    row = reversal_of(triangle(plan_of(CHURN), BASE, treatment))
    assert row.state == state
    assert row.early_lift == pytest.approx(treatment[:4].mean() / 0.05 - 1, abs=0.05)
    assert (row.late_start_week, row.late_end_week) == (8, 13)


def test_where_more_events_are_better_the_signs_turn() -> None:
    """Of a sale it is the other way round: more of them early, then fewer."""
    found = triangle(plan_of(SALE), BASE, np.array([0.09] * 4 + [0.05] * 4 + [0.025] * 6))
    row = reversal_of(found, SALE)
    assert row.state == "confirmed"
    assert row.early_lift > 0 > row.late_lift
    assert (row.late_start_week, row.late_end_week) == (8, 14)
    assert reversal_of(triangle(plan_of(SALE), BASE, CROSSING), SALE).state == "none"


def test_crossing_hazards_are_seen_where_the_log_rank_test_is_quiet() -> None:
    """Benefit early and harm late cancel in one test over all weeks, and in one hazard ratio."""
    plan = plan_of(LINES, CHURN)
    treatment = np.array([0.03] * 4 + [0.05] * 5 + [0.079] * 5)
    card = build(triangle(plan, BASE, treatment, units=3_000))
    row = card.survival_comparisons[0]
    assert row.logrank_p_value > 0.2
    assert abs(row.hazard_ratio - 1) < 0.03
    first, _, last = row.periods
    assert first.high < 1 < last.low
    assert row.proportional_p_value < 1e-6
    reversal = next(one for one in card.reversals if one.metric == "churn")
    assert reversal.state == "confirmed"
    assert reversal.early_lift < -0.3
    assert reversal.late_lift > 0.3


def test_a_reversal_is_not_read_before_its_late_weeks_are_known() -> None:
    plan = plan_of(CHURN)
    whole = triangle(plan, BASE, CROSSING)
    states = {}
    for day in windows.weekly_looks(plan, whole.as_of):
        row = reversal_of(whole.at(day))
        states[day] = row.state
        assert row.readable_from == windows.fully_readable(plan, 13 + 1)
        assert (row.reason is None) is False
    order = list(dict.fromkeys(states.values()))
    assert order == ["immature", "turned", "confirmed"]


def test_the_p_values_are_those_of_stratified_log_rank_tests() -> None:
    """At the end: the early weeks of all cohorts, and the late weeks, each by itself."""
    plan = plan_of(CHURN)
    found = triangle(plan, BASE, 0.97 * BASE, random=np.random.default_rng(3))
    legs = event_legs(found.of_metric(CHURN), CHURN, "a")
    assert legs is not None
    tables = [life_table(found, GAP, key) for key in ("control", "a")]
    early, late = log_rank(*tables, slice(0, 4)), log_rank(*tables, slice(8, 13))
    # Spending alpha over four looks costs a little; the last reading has nearly all of its budget.
    assert early.z is not None
    assert late.z is not None
    assert legs.early_p(found.as_of) == pytest.approx(stats.norm.sf(-early.z), rel=0.2)
    assert legs.early_p(found.as_of) > stats.norm.sf(-early.z)
    assert legs.late["confirmed"].p_values[-1] >= stats.norm.sf(late.z) - SAME


def test_the_covariance_of_two_readings_is_the_variance_of_what_both_hold() -> None:
    """Against drawn worlds: correlation of the scores of overlapping weeks and cohorts. 4,000 worlds see .016."""
    plan, random = plan_of(CHURN), np.random.default_rng(4)
    first, second = np.zeros((COHORTS, 13), dtype=bool), np.zeros((COHORTS, 13), dtype=bool)
    first[:3, 2:6] = second[:, 4:8] = True
    scores, shared = [], []
    for _ in range(4_000):
        found = triangle(plan, BASE, BASE, units=400, random=random)
        score, variance = increments(*(life_table(found, GAP, key) for key in ("control", "a")))
        scores.append((score[first].sum(), score[second].sum()))
        shared.append((variance[first].sum(), variance[second].sum(), variance[first & second].sum()))
    spread = np.mean(shared, axis=0)
    assert np.var(np.array(scores), axis=0) == pytest.approx(spread[:2], rel=4 * np.sqrt(2 / 4_000))
    expected = spread[2] / np.sqrt(spread[0] * spread[1])
    assert np.corrcoef(np.array(scores).T)[0, 1] == pytest.approx(expected, abs=0.064)


def test_readings_wait_for_the_gap() -> None:
    plan = plan_of(CHURN)
    found = triangle(plan, BASE, BASE)
    late = Window("late", 8, 13)
    plain, waiting = rolling.readings(found, "confirmed", late), rolling.readings(found, "confirmed", late, extra=1)
    assert [(one.window.start_week, one.window.end_week) for one in plain] == [(8, 12), (8, 13)]
    assert [(later.day - one.day).days for one, later in zip(plain, waiting, strict=True)] == [7, 7]
    assert extra_weeks(GAP) == 1


def test_a_late_window_that_can_never_be_known_has_no_reversal() -> None:
    """A gap of seven weeks in fourteen: whether it begins in week 8 or later nobody will ever know."""
    metric = replace(CHURN, event=Event("inactivity", "lines", 7))
    found = triangle(plan_of(LINES, metric), BASE[:8], BASE[:8])
    assert event_legs(found.of_metric(metric), metric, "a") is None
    rows, conflicts = reversals(found, {one.key: found.of_metric(one) for one in found.plan.metrics}, "a")
    assert [row.metric for row in rows] == ["lines"]
    assert conflicts == ()


def test_a_variant_without_events_has_no_hazard_ratio_and_says_so() -> None:
    nobody = np.zeros(HORIZON)
    row = reversal_of(triangle(plan_of(CHURN), BASE, nobody))
    assert (row.state, row.early_lift) == ("none", None)
    assert row.reason == "a variant has no events in weeks 0-3, so there is no hazard ratio"


def test_nothing_is_foreseen_of_a_time_to_event() -> None:
    found = triangle(plan_of(CHURN), BASE, CROSSING)
    legs = event_legs(found.of_metric(CHURN), CHURN, "a")
    assert isinstance(legs, EventLegs)
    assert legs.late_loss_probability(found.as_of) is None
    assert legs.direction == -1


# --- Conflicts and advice ---------------------------------------------------------------------------------------------
def winning(plan: Plan, treatment: np.ndarray) -> Triangle:
    """Lines win early by 20 % and are alike later; churn as given."""
    found = triangle(plan, BASE, treatment)
    size = len(plan.series) * (1 + HORIZON)
    mean = np.full(size, 5.0)
    mean[found.layout.week(LINES.series[0], 0) : found.layout.week(LINES.series[0], 3) + 1] = 6.0
    cells = {
        cell: exact(part.n, mean, np.eye(size)) if cell.variant == "a" else part for cell, part in found.cells.items()
    }  # fmt: skip
    return replace(found, cells=cells)


def conflicts_of(found: Triangle) -> tuple[ConflictRow, ...]:
    return reversals(found, {one.key: found.of_metric(one) for one in found.plan.metrics}, "a")[1]


def test_an_early_win_of_a_value_and_a_later_loss_of_units_are_a_conflict() -> None:
    plan = plan_of(LINES, CHURN)
    conflicts = conflicts_of(winning(plan, np.array([0.05] * 4 + [0.08] * 10)))
    assert [(one.short_metric, one.long_metric, one.state) for one in conflicts] == [("lines", "churn", "confirmed")]
    assert conflicts[0].first_seen is not None
    assert conflicts[0].reason is not None
    assert "lines is better in weeks 0-3, and the hazard of churn is 1.6" in conflicts[0].reason
    assert [one.state for one in conflicts_of(winning(plan, BASE))] == ["none"]


def comparison(low: float | None, high: float | None, **changes: object) -> SurvivalComparisonRow:
    given = {
        "metric": "churn", "role": "guardrail", "term": "long", "variant": "a", "tau": 13, "horizon_week": 13,
        "readable_from": date(2024, 5, 1), "decides": True, "rmst_difference": -0.3, "rmst_lift": -0.03, "margin": 0.1,
        "sequential_rmst_low": low, "sequential_rmst_high": high, "sequential_lift_low": low,
        "sequential_lift_high": high, "verdict": "undecided", **changes,
    }  # fmt: skip
    return SurvivalComparisonRow(**given)  # type: ignore[arg-type]


PRIMARY = Metric("stay", "event", "lower", "primary", "long", event=GAP)
DONE = date(2024, 6, 30)


def advice(plan: Plan, *rows: SurvivalComparisonRow, as_of: date = DONE) -> tuple[str, str]:
    found = recommend(Evidence(
        plan=plan, as_of=as_of, variant="a", effects=(), reversals=(), conflicts=(), rollback=(),
        checks=(CheckRow(check="srm", state="ok"),), survival=rows,
    ))  # fmt: skip
    return found.action, found.reasons[0]


def test_a_time_to_event_decides_as_a_guardrail_and_as_a_primary_metric() -> None:
    stay = {"metric": "stay", "role": "primary", "margin": None, "verdict": None}
    better, worse, unclear = ((0.01, 0.05), (-0.05, -0.01), (-0.02, 0.02))
    plan = plan_of(PRIMARY, CHURN)
    fine = comparison(-0.02, 0.02, verdict="non_inferior")
    assert advice(plan, comparison(*better, **stay), fine) == (
        "launch", "stay is surely better: weeks without it out of 13, -3.0 % (+1.0 % to +5.0 % over all looks)",
    )  # fmt: skip
    assert advice(plan, comparison(*worse, **stay), fine)[0] == "roll_back"
    assert advice(plan, comparison(*unclear, **stay), fine) == (
        "stop", "every window is readable, and no primary metric is surely better",
    )  # fmt: skip
    gone = comparison(-0.2, -0.11, verdict="inferior")
    action, reason = advice(plan, comparison(*better, **stay), gone)
    assert action == "roll_back"
    assert reason.startswith("guardrail churn is surely worse than its margin of 10 %: weeks without it out of 13")
    open_guard = comparison(-0.12, 0.02, verdict="undecided")
    action, reason = advice(plan, comparison(*better, **stay), open_guard)
    assert action == "keep_running"
    assert reason.startswith("guardrail churn is not surely within its margin of 10 %")


def test_what_cannot_be_read_yet_is_never_not_worse() -> None:
    plan = plan_of(CHURN)
    row = comparison(-0.02, 0.02, verdict="non_inferior", readable_from=DONE + timedelta(days=7))
    assert advice(plan, row) == ("keep_running", f"churn over 13 weeks is readable from {DONE + timedelta(days=7)}")
    broken = comparison(None, None, reason="no unit has had the event, so nothing can be tested")
    assert advice(plan, broken)[1] == "churn has no interval to decide on: " + str(broken.reason)
