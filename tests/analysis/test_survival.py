"""Times to event in a triangle: who is followed how long, what is compared, and what is claimed."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from analysis import claims, survival, windows
from analysis.adjusted_hazard import adjusted_hazard
from analysis.event_counts import EventCounts
from analysis.life_table import Curve, LifeTable, life_table, longest, restricted_mean
from analysis.plan import Event, Metric, Plan
from analysis.scorecard import build
from analysis.triangle import Cell, Triangle, UnitRows
from tests.analysis.lives import KNOWN, table_of
from tests.analysis.unit_rows import LINES, make_plan, triangle_of, variants

GAP = Event("inactivity", "lines", 3)
BOUGHT = Event("occurrence", "bought")
CHURN = Metric("churn", "event", "lower", "guardrail", "long", event=GAP, margin=0.05)
SALE = Metric("sale", "event", "higher", "secondary", event=BOUGHT)

#: The same integers counted in two ways, and sums of the same few floats.
SAME = 1e-12

#: Newton's method against R's, as in test_survival_reference.py.
FITTED = 1e-6


def plan_of(*metrics: Metric, **changes) -> Plan:
    return make_plan(metrics=metrics, **{"enrollment_weeks": 3, "horizon_weeks": 9, "pre_weeks": 2, **changes})


def activity(seed: int, units: int, weeks: int, chance: float = 0.6) -> np.ndarray:
    """Weekly activity with a rate of its own for each unit; a third stop for good in some week."""
    random = np.random.default_rng(seed)
    active = random.random((units, weeks)) < random.beta(2, 2 / chance - 2, units)[:, None]
    stops = np.where(random.random(units) < 1 / 3, random.integers(0, weeks, units), weeks)
    return active & (np.arange(weeks) < stops[:, None])


def triangle(plan: Plan, active: dict[tuple[str, int], np.ndarray], day: date | None = None) -> Triangle:
    """Units by (variant, cohort); the same activity is read for every event of the plan."""
    events = {
        event: {Cell(*key): EventCounts.of(rows, plan.pre_weeks, event) for key, rows in active.items()}
        for event in plan.events
    }  # fmt: skip
    whole = triangle_of(plan, {}, day)
    return replace(whole, events=events)


def drawn(plan: Plan, seed: int = 1, units: int = 200, day: date | None = None) -> tuple[Triangle, dict]:
    weeks = plan.pre_weeks + plan.horizon_weeks
    keys = [(variant.key, cohort) for variant in plan.variants for cohort in range(plan.enrollment_weeks)]
    active = {key: activity(seed + place, units + 10 * place, weeks) for place, key in enumerate(keys)}
    return triangle(plan, active, day), active


def duration_of(active: list[bool], event: Event, lived: int) -> tuple[int, bool] | None:
    """How long a unit is followed after ``lived`` weeks and whether it had its event, read off week by week."""
    if event.type == "occurrence":
        first = next((week for week in range(lived) if active[week]), None)
        return (lived, False) if first is None else (first + 1, True)
    gap = event.gap_weeks
    if lived < gap:
        return None
    for week in range(lived - gap + 1):
        if not any(active[week : week + gap]):
            return week + 1, True
    return lived - gap + 1, False


# --- Who is followed how long -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "event", [GAP, BOUGHT, Event("inactivity", "lines", 1), Event("inactivity", "lines", 9)], ids=str
)
@pytest.mark.parametrize("days", [0, 13, 26, 34, 41, 55, 62, 69, 76, 83, 90, 200])
def test_a_life_table_counts_the_units_that_a_reader_of_their_weeks_would_count(event: Event, days: int) -> None:
    metric = replace(CHURN, event=event)
    plan = plan_of(metric)
    day = plan.start_date + timedelta(days=days)
    found, active = drawn(plan, day=day)
    for variant in plan.variants:
        lives = [
            life
            for cohort in range(plan.enrollment_weeks)
            for unit in active[variant.key, cohort][:, plan.pre_weeks :]
            if (lived := windows.mature_weeks(plan, cohort, day)) > 0
            and (life := duration_of(unit.tolist(), event, lived)) is not None
        ]
        table = life_table(found, event, variant.key).total
        expected = table_of([t for t, _ in lives], [had for _, had in lives], longest(plan, event)) if lives else None
        assert table.at_risk.tolist() == ([[0] * table.weeks] if expected is None else expected.at_risk.tolist())
        assert table.events.tolist() == ([[0] * table.weeks] if expected is None else expected.events.tolist())


def test_units_that_come_back_are_counted_in_the_weeks_lived() -> None:
    plan = plan_of(CHURN)
    day = plan.start_date + timedelta(days=62)
    found, active = drawn(plan, day=day)
    returned = 0
    for cohort in range(3):
        lived = windows.mature_weeks(plan, cohort, day)
        for unit in active["a", cohort][:, plan.pre_weeks :]:
            life = duration_of(unit.tolist(), GAP, lived)
            if life is not None and life[1]:
                returned += bool(unit[life[0] - 1 + 3 : lived].any())
    assert life_table(found, GAP, "a").returned == returned > 20
    assert life_table(found, BOUGHT, "a").returned == 0


def test_an_earlier_day_shortens_the_follow_up_and_is_what_was_known_then() -> None:
    plan = plan_of(CHURN)
    early = plan.start_date + timedelta(days=48)
    later, _ = drawn(plan, day=plan.start_date + timedelta(days=90))
    then, _ = drawn(plan, day=early)
    left, right = life_table(later, GAP, "a", early), life_table(then, GAP, "a")
    assert (left.at_risk == right.at_risk).all()
    assert (left.events == right.events).all()
    assert left.returned == right.returned


def test_nobody_is_counted_as_gone_by_being_inactive_so_far() -> None:
    """A unit that is silent in the two newest weeks has no gap of three weeks yet, and is at risk."""
    plan = plan_of(CHURN, enrollment_weeks=1)
    silent = np.ones((50, 11), dtype=bool)
    silent[:, 2 + 4 :] = False
    for days, at_risk, events in ((7 * 5 + 13, 4, 0), (7 * 6 + 13, 5, 50)):
        day = plan.start_date + timedelta(days=days)
        table = life_table(triangle(plan, {("control", 0): silent}, day), GAP, "control")
        assert int((table.at_risk > 0).sum()) == at_risk
        assert table.events.sum() == events


def test_censored_units_leave_after_the_weeks_they_were_followed() -> None:
    table = LifeTable(np.array([[10, 8, 5, 0]]), np.array([[2, 1, 2, 0]]))
    assert table.censored.tolist() == [0, 2, 3, 0]
    assert table.total.at_risk.tolist() == [[10, 8, 5, 0]]


def test_a_restricted_mean_beyond_the_curve_is_refused() -> None:
    with pytest.raises(ValueError, match="the curve has 3 weeks, not 4"):
        restricted_mean(Curve.of(table_of([1, 2, 3], [True, False, True])), 4)


def test_a_curve_that_ends_at_zero_has_no_infinities() -> None:
    curve = Curve.of(table_of([1, 2, 3], [True, True, True]))
    assert curve.survival.tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert curve.interval(3) == (0.0, 0.0)
    assert curve.variance(3) == 0
    assert restricted_mean(curve, 3).variance == pytest.approx((1 / 3 + 2 / 3) ** 2 / 6 + (1 / 3) ** 2 / 2)


# --- What is compared -------------------------------------------------------------------------------------------------
def test_a_comparison_says_what_the_curves_say() -> None:
    plan = plan_of(CHURN)
    found, _ = drawn(plan, units=300)
    row = survival.comparison(found, CHURN, "a")
    control, treatment = (Curve.of(life_table(found, GAP, key)) for key in ("control", "a"))
    assert (row.tau, row.horizon_week, row.decides, row.state) == (7, 7, True, "ok")
    means = [restricted_mean(curve, 7) for curve in (control, treatment)]
    assert (row.rmst_control, row.rmst_treatment) == tuple(mean.weeks for mean in means)
    assert row.rmst_difference == means[1].weeks - means[0].weeks
    assert row.rmst_se == pytest.approx(np.sqrt(means[0].variance + means[1].variance), rel=SAME)
    assert row.rmst_lift == pytest.approx(means[1].weeks / means[0].weeks - 1, rel=SAME)
    assert [one.week for one in row.survival_difference] == [4, 7]
    for one in row.survival_difference:
        assert one.difference == treatment.survival[one.week - 1] - control.survival[one.week - 1]
        half = 1.959963984540054 * np.sqrt(control.variance(one.week) + treatment.variance(one.week))
        assert (one.low, one.high) == pytest.approx((one.difference - half, one.difference + half), rel=SAME)
    assert (row.n_control, row.n_treatment) == (300 + 310 + 320, 330 + 340 + 350)
    assert row.events_control == control.events.sum()
    assert [(one.start_week, one.end_week) for one in row.periods] == [(0, 2), (2, 4), (4, 7)]
    assert row.readable_from == windows.fully_readable(plan, 9)


def test_until_the_horizon_is_known_the_longest_one_with_thirty_units_is_shown_and_claims_nothing() -> None:
    plan = plan_of(CHURN)
    day = windows.readable(plan, 0, 9) - timedelta(days=7)
    row = survival.comparison(drawn(plan, day=day)[0], CHURN, "a")
    assert (row.horizon_week, row.decides, row.drawn, row.verdict) == (6, False, None, "undecided")
    assert row.rmst_difference is not None
    assert row.reason == "week 7, the horizon that decides, cannot be read yet"


def test_before_anybody_is_followed_the_day_is_named() -> None:
    plan = plan_of(CHURN)
    day = plan.start_date + timedelta(days=20)
    row = survival.comparison(drawn(plan, day=day)[0], CHURN, "a")
    assert (row.state, row.horizon_week, row.rmst_difference) == ("not_yet", None, None)
    assert row.reason == f"nobody has been followed for a week: readable from {windows.first_readable(plan, 3)}"


def test_with_few_units_nothing_is_compared() -> None:
    row = survival.comparison(drawn(plan_of(CHURN), units=1)[0], CHURN, "a")
    assert row.state in ("ok", "too_few")
    few = survival.comparison(triangle(plan_of(CHURN), {("control", 0): np.ones((40, 11), dtype=bool)}), CHURN, "a")
    assert (few.state, few.reason) == ("too_few", "fewer than 30 units at risk in a variant")


def test_without_any_event_there_is_no_error_and_the_reason_says_so() -> None:
    plan = plan_of(CHURN)
    keys = [(variant.key, cohort) for variant in plan.variants for cohort in range(3)]
    row = survival.comparison(triangle(plan, {key: np.ones((50, 11), dtype=bool) for key in keys}), CHURN, "a")
    assert (row.rmst_control, row.rmst_treatment, row.rmst_difference, row.rmst_se) == (7, 7, 0, None)
    assert (row.hazard_ratio, row.verdict) == (None, "undecided")
    assert row.reason == "no unit has had the event, so nothing can be tested"


def test_with_events_on_one_side_there_is_a_mean_and_no_hazard_ratio() -> None:
    plan = plan_of(CHURN)
    active = drawn(plan)[1]
    stay = {key: np.ones_like(rows) if key[0] == "a" else rows for key, rows in active.items()}
    row = survival.comparison(triangle(plan, stay), CHURN, "a")
    assert row.rmst_treatment == 7
    assert (row.verdict, row.hazard_ratio) == ("superior", None)
    assert row.reason == "a variant has no events, so there is no hazard ratio"


def test_a_gap_is_advised_that_one_pause_in_twenty_reaches_before_exposure() -> None:
    plan = plan_of(CHURN, pre_weeks=8)
    row = np.zeros((1, 17), dtype=bool)
    row[0, [0, 2]] = True  # a pause of one week
    longer = np.zeros((1, 17), dtype=bool)
    longer[0, [0, 5]] = True  # of four weeks
    for short, long, advised in ((95, 5, 2), (94, 6, 5), (50, 50, 5), (99, 0, None), (100, 0, 2)):
        rows = np.vstack([np.repeat(row, short, axis=0), np.repeat(longer, long, axis=0)])
        assert survival.advised_gap(triangle(plan, {("control", 0): rows}), GAP) == advised, (short, long)


# --- What is claimed --------------------------------------------------------------------------------------------------
def rates(plan: Plan, control: float, treatment: float, units: int, day: date | None = None) -> Triangle:
    """Units that stop for good with a constant weekly hazard, exactly as many as expected."""
    weeks = plan.pre_weeks + plan.horizon_weeks
    active = {}
    for key, hazard in (("control", control), ("a", treatment)):
        for cohort in range(plan.enrollment_weeks):
            rows = np.ones((units, weeks), dtype=bool)
            left = np.round(units * (1 - hazard) ** np.arange(1, plan.horizon_weeks + 1)).astype(int)
            for week, stays in enumerate(left):
                rows[stays:, plan.pre_weeks + week] = False
            active[key, cohort] = rows
    return triangle(plan, active, day)


@pytest.mark.parametrize(
    ("better", "treatment", "verdict"),
    [("lower", 0.02, "superior"), ("lower", 0.051, "non_inferior"), ("lower", 0.13, "inferior"),
     ("lower", 0.064, "undecided"), ("higher", 0.13, "superior"), ("higher", 0.02, "inferior")],
)  # fmt: skip
def test_the_margin_is_relative_on_weeks_without_the_event(better: str, treatment: float, verdict: str) -> None:
    """Whichever way is better: the whole interval over all looks lies on one side of the margin, or nothing is said."""
    metric = replace(CHURN, better=better)
    plan = plan_of(LINES, metric)
    row = survival.comparison(rates(plan, 0.05, treatment, 700), metric, "a")
    assert row.verdict == verdict
    assert row.drawn is not None
    worst, best = row.drawn if better == "lower" else (-row.drawn[1], -row.drawn[0])
    known = {"superior": worst > 0, "non_inferior": -0.05 < worst <= 0, "inferior": best < -0.05}
    assert known.get(verdict, worst <= -0.05 <= best)


def test_each_cohort_that_has_lived_the_horizon_is_a_look() -> None:
    plan = plan_of(LINES, CHURN)
    found = rates(plan, 0.05, 0.06, 400)
    for number in (1, 2, 3):
        day = windows.readable(plan, number - 1, 9)
        row = survival.comparison(replace(found, as_of=day), CHURN, "a")
        assert (row.sequential_look, row.sequential_looks) == (number, 3)
        looks = survival.looks(replace(found, as_of=day), CHURN, "a")
        assert looks.times == pytest.approx([(look + 1) / 3 for look in range(number)])
        assert looks.information[-1] == pytest.approx(1 / row.rmst_se**2, rel=SAME)
        assert row.sequential_critical == pytest.approx(claims.critical(plan, looks, 0.05), rel=SAME)


def test_information_grows_with_units_that_have_not_lived_the_horizon_yet() -> None:
    """At the first look the other cohorts have been followed for a part of it, and count for that part."""
    plan = plan_of(LINES, CHURN)
    whole = rates(plan, 0.05, 0.06, 400)
    first = survival.looks(replace(whole, as_of=windows.readable(plan, 0, 9)), CHURN, "a").information[0]
    last = survival.looks(whole, CHURN, "a").information[-1]
    assert last / 3 < first < last


def test_events_take_part_in_the_number_of_claims() -> None:
    primary = replace(CHURN, role="primary", margin=None, term="short")
    plan = plan_of(LINES, primary)
    assert claims.judged(plan) == (("lines", "early"), ("lines", "late"), ("churn", "early"))
    row = survival.comparison(rates(plan, 0.05, 0.06, 400), primary, "a")
    looks = survival.looks(rates(plan, 0.05, 0.06, 400), primary, "a")
    assert row.p_value_adjusted == pytest.approx(
        min(1, 3 * claims.repeated_p(plan, looks, row.rmst_difference / row.rmst_se)), rel=SAME
    )
    assert row.verdict is None


# --- Covariates -------------------------------------------------------------------------------------------------------
def rossi_triangle(columns: tuple[str, ...]) -> tuple[Triangle, Metric]:
    from lifelines.datasets import load_rossi

    rows = load_rossi()
    metric = Metric("arrest", "event", "lower", "secondary", event=Event("occurrence", "arrested"), adjust=columns)
    plan = make_plan(
        metrics=(metric,),
        variants=variants(50, 50),
        enrollment_weeks=1,
        horizon_weeks=52,
        pre_weeks=0,
        clock="calendar",
    )
    weeks = np.where(rows["arrest"] == 1, rows["week"] - 1, 52)
    units = UnitRows(
        rows["fin"].to_numpy(), np.zeros(len(rows), dtype=int), {metric.event: weeks},
        rows[list(columns)].to_numpy(dtype=float),
    )  # fmt: skip
    return replace(triangle_of(plan, {}, plan.start_date + timedelta(days=364)), rows=units), metric


def test_the_adjusted_hazard_ratio_of_financial_aid_is_the_published_one() -> None:
    """Beside all six covariates -.37942 (.19138); beside age and priors as R has it."""
    for columns, name in ((("age", "race", "wexp", "mar", "paro", "prio"), "all"), (("age", "prio"), "age_prio")):
        found = adjusted_hazard(*rossi_triangle(columns), "a")
        log, se = KNOWN["rossi_adjusted"][name]
        assert found is not None
        assert found.hazard_ratio == pytest.approx(np.exp(log), rel=FITTED)
        assert (found.low, found.high) == pytest.approx(np.exp([log - 1.96 * se, log + 1.96 * se]), rel=1e-4)
        assert (found.units, found.left_out) == (432, 0)


def test_units_without_a_covariate_are_left_out_of_the_adjusted_fit_and_counted() -> None:
    whole, metric = rossi_triangle(("age",))
    rows = whole.rows
    assert rows is not None
    covariates = rows.covariates.copy()
    covariates[:7] = np.nan
    found = adjusted_hazard(replace(whole, rows=replace(rows, covariates=covariates)), metric, "a")
    assert found is not None
    assert (found.units, found.left_out) == (425, 7)


def test_what_cannot_be_adjusted_has_no_adjusted_hazard_ratio() -> None:
    whole, metric = rossi_triangle(("age",))
    rows = whole.rows
    assert rows is not None
    assert adjusted_hazard(replace(whole, rows=None), metric, "a") is None
    assert adjusted_hazard(whole, replace(metric, adjust=()), "a") is None
    nobody = replace(rows, events={metric.event: np.full(432, 52)})
    assert adjusted_hazard(replace(whole, rows=nobody), metric, "a") is None


# --- In the scorecard -------------------------------------------------------------------------------------------------
def test_the_scorecard_has_curves_of_every_variant_and_retention_beside_them() -> None:
    plan = plan_of(CHURN, SALE)
    card = build(drawn(plan)[0])
    assert {(row.metric, row.variant) for row in card.survival} == {
        (metric, variant) for metric in ("churn", "sale") for variant in ("control", "a")
    }
    assert [(row.metric, row.variant) for row in card.survival_comparisons] == [("churn", "a"), ("sale", "a")]
    assert {row.metric for row in card.trajectory} == {"churn"}, "retention is of inactivity alone"
