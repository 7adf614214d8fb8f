"""Times to event that are planned: against rows of durations, the life table's own variance, and closed forms."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from analysis import survival, windows
from analysis.design import Claim
from analysis.event_counts import EventCounts
from analysis.event_power import Lives, lives_of
from analysis.life_table import Curve, restricted_mean
from analysis.moments import Layout
from analysis.multiplicity import adjusted_power
from analysis.plan import Event, Metric, Plan
from analysis.planned import Planned
from analysis.power import plan_power
from analysis.sample_size import distance, needed_events
from analysis.triangle import Cell, Triangle
from tests.analysis.lives import table_of
from tests.analysis.unit_rows import LINES, exact, make_plan, triangle_of, variants

#: Sums of some dozen numbers in another order.
ROUNDING = 1e-10

#: Root finding stops at a relative 1e-12 of the drift, and probabilities by quadrature are right to 1e-9 or better.
SOLVED = 1e-7

GAP = Event("inactivity", "lines", 2)
CHURN = Metric("churn", "event", "lower", "guardrail", "long", event=GAP, margin=0.03)


def drawn(size: int, tau: int, seed: int = 3) -> np.ndarray:
    """Durations of units, 1 .. tau, and tau + 1 for units without the event."""
    return np.minimum(np.random.default_rng(seed).geometric(0.07, size), tau + 1)


def lives(durations: np.ndarray, tau: int) -> Lives:
    return Lives(np.array([(durations > t).mean() for t in range(tau + 1)]))


# --- What a curve says ------------------------------------------------------------------------------------------------
def test_mean_and_variance_are_those_of_the_units_weeks_without_the_event():
    tau, durations = 9, drawn(700, 9)
    weeks = np.minimum(durations, tau)
    found = lives(durations, tau)
    assert found.mean == pytest.approx(weeks.mean(), rel=ROUNDING)
    assert found.variance == pytest.approx(weeks.var(), rel=ROUNDING)


def test_the_variance_is_that_of_the_life_table_without_censoring():
    tau, durations = 9, drawn(700, 9)
    known = restricted_mean(Curve.of(table_of(np.minimum(durations, tau), durations <= tau, tau)), tau)
    found = lives(durations, tau)
    assert found.mean == pytest.approx(known.weeks, rel=ROUNDING)
    assert found.variance / 700 == pytest.approx(known.variance, rel=ROUNDING)


def test_units_that_all_live_alike_do_not_vary():
    assert Lives(np.ones(10)).variance == 0
    assert Lives(np.array([1.0, 1, 1, 0, 0, 0])).variance == 0


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.2, 3.0])
def test_a_hazard_ratio_makes_the_lift_of_a_geometric_curve(ratio):
    stays, tau = 0.95, 20
    found = Lives(stays ** np.arange(tau + 1))

    def mean(q):
        return (1 - q**tau) / (1 - q)

    lift = mean(stays**ratio) / mean(stays) - 1
    assert found.lift(ratio) == pytest.approx(lift, abs=ROUNDING)
    assert found.hazard_ratio(lift) == pytest.approx(ratio, rel=1e-9)
    share = 0.75 * (1 - stays**tau) + 0.25 * (1 - stays ** (ratio * tau))
    assert found.share_with_event(ratio, 0.25) == pytest.approx(share, rel=ROUNDING)


def test_a_lift_that_no_hazard_ratio_makes_has_none():
    found = Lives(0.95 ** np.arange(21))
    assert found.hazard_ratio(-0.99) is None
    assert found.hazard_ratio(3.0) is None


# --- From a triangle --------------------------------------------------------------------------------------------------
def triangle_of_durations(plan: Plan, event: Event, by_cohort: dict[int, np.ndarray]) -> Triangle:
    """A triangle whose control has these durations, by exposure cohort; longer ones than can be known are no event."""
    cells = {}
    for cohort, durations in by_cohort.items():
        counts = EventCounts.none(plan.horizon_weeks, plan.pre_weeks)
        known = np.where(durations <= plan.horizon_weeks - event.gap_weeks + 1, durations - 1, plan.horizon_weeks)
        np.add.at(counts.weeks, (known, np.full(len(known), plan.horizon_weeks)), 1)
        cells[Cell("control", cohort)] = counts
    return replace(triangle_of(plan, {}), events={event: cells})


def test_the_curve_is_the_controls_own():
    plan = make_plan(metrics=(LINES, CHURN))
    durations = {cohort: drawn(80, 5, seed=cohort) for cohort in range(3)}
    found = lives_of(triangle_of_durations(plan, GAP, durations), GAP)
    known = lives(np.concatenate(list(durations.values())), 5)
    assert found.survival == pytest.approx(known.survival, abs=ROUNDING)


def test_units_that_have_not_lived_the_horizon_count_as_far_as_they_have():
    plan = make_plan(metrics=(LINES, CHURN))
    durations = {cohort: drawn(80, 5, seed=cohort) for cohort in range(3)}
    as_of = windows.readable(plan, 0, 6)  # the second cohort has lived five weeks by then, the third four
    found = lives_of(replace(triangle_of_durations(plan, GAP, durations), as_of=as_of), GAP)
    followed = {0: 5, 1: 4, 2: 3}
    curve = 1.0
    for t in range(1, 6):
        risk = sum((durations[cohort] >= t).sum() for cohort in range(3) if followed[cohort] >= t)
        had = sum((durations[cohort] == t).sum() for cohort in range(3) if followed[cohort] >= t)
        curve *= 1 - had / risk
        assert found.survival[t] == pytest.approx(curve, rel=ROUNDING)


def test_too_few_units_at_the_horizon_are_no_history():
    plan = make_plan(metrics=(LINES, CHURN))
    few = {0: np.concatenate([np.full(29, 9), np.ones(60, dtype=int)])}
    assert lives_of(triangle_of_durations(plan, GAP, few), GAP) is None
    enough = {0: np.concatenate([np.full(30, 9), np.ones(60, dtype=int)])}
    assert lives_of(triangle_of_durations(plan, GAP, enough), GAP) is not None
    young = replace(triangle_of_durations(plan, GAP, enough), as_of=windows.readable(plan, 0, 5))
    assert lives_of(young, GAP) is None


# --- What is planned --------------------------------------------------------------------------------------------------
def planned(metric: Metric = CHURN, rate: float = 2_000, known: Lives | None = None, **changes: object) -> Planned:
    given = {"metrics": (LINES, metric), "variants": variants(70, 30), **changes}
    plan = make_plan(**given)
    columns = Layout.of(plan).columns
    found = known or lives(drawn(700, 5), 5)
    return plan_power(plan, exact(900, np.full(columns, 2.0), np.eye(columns)), rate, lives={GAP: found})


def row_of(found: Planned):
    return next(row for row in found.rows if row.metric == "churn")


def test_the_standard_error_is_that_of_the_rows():
    weeks = np.minimum(drawn(700, 5), 5)
    row = row_of(planned())
    known = math.sqrt(weeks.var() * (1 / 4_200 + 1 / 1_800)) / weeks.mean()
    assert row.se == pytest.approx(known, rel=ROUNDING)
    assert row.control_mean == pytest.approx(weeks.mean(), rel=ROUNDING)
    assert (row.window, row.start_week, row.end_week, row.units) == ("horizon", 0, 5, 6_000)
    assert row.readable_from == survival.readable_from(planned().plan, GAP)


def test_a_guardrail_is_planned_on_the_log_of_its_margin():
    row = row_of(planned(enrollment_weeks=1))
    far = -math.log(1 - 0.03) / row.se
    assert row.margin_power == pytest.approx(special.ndtr(far - special.ndtri(0.975)), abs=1e-6)
    assert (row.margin, row.wanted_lift, row.power) == (0.03, 0.03, pytest.approx(adjusted_power(0.8, 1)))
    assert -math.log(1 - row.mde_lift) == pytest.approx(distance(0.05, row.power) * row.se, rel=SOLVED)
    assert row.units_needed == pytest.approx(2_000 * (distance(0.05, row.power) / far) ** 2, rel=SOLVED)


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_a_primary_is_planned_like_any_other(better):
    primary = replace(CHURN, role="primary", better=better, margin=None)
    found = planned(primary)
    row = row_of(found)
    # Judged: lines early and late, the event once.
    assert row.alpha == pytest.approx(0.05 / 3)
    drift = Claim(found.plan, row.alpha, 0.8).drift(3, row.units)
    assert row.mde_lift == pytest.approx(drift * row.se, rel=SOLVED)
    assert (row.margin, row.margin_power, row.reason) == (None, None, None)


def test_hazard_ratios_are_told_with_the_units_they_take_and_the_margins_own():
    found, known = planned(), lives(drawn(700, 5), 5)
    ratios = {one.hazard_ratio: one for one in found.events}
    own = next(one for one in found.events if one.is_margin)
    assert [one.is_margin for one in found.events].count(True) == 1
    assert list(ratios) == sorted(ratios)
    assert own.lift == pytest.approx(-0.03, abs=1e-9)
    for ratio, one in ratios.items():
        assert one.events == pytest.approx(needed_events(ratio, 0.05, 0.8, 0.3), rel=ROUNDING)
        share = 0.7 * (1 - known.survival[-1]) + 0.3 * (1 - known.survival[-1] ** ratio)
        assert one.units == pytest.approx(one.events / share, rel=ROUNDING)
        assert one.lift == pytest.approx(known.lift(ratio), rel=ROUNDING)


def test_of_an_event_that_is_wanted_the_margin_is_a_lower_hazard():
    own = next(one for one in planned(replace(CHURN, better="higher")).events if one.is_margin)
    assert own.hazard_ratio < 1
    assert own.lift == pytest.approx(0.03, abs=1e-9)


def test_several_treatments_need_units_of_all_variants():
    two, three = planned(), planned(variants=variants(70, 30, 100))
    pairs = zip(two.events, three.events, strict=True)
    assert all(b.units == pytest.approx(2 * a.units, rel=ROUNDING) for a, b in pairs)


def test_without_history_there_are_events_and_reasons():
    plan = make_plan(metrics=(LINES, CHURN))
    columns = Layout.of(plan).columns
    found = plan_power(plan, exact(900, np.full(columns, 2.0), np.eye(columns)), 2_000)
    row = row_of(found)
    assert (row.mde_lift, row.reason) == (
        None,
        "fewer than 30 units of the history have lived the 6 weeks that are needed",
    )
    assert [(one.units, one.lift, one.is_margin) for one in found.events] == [(None, None, False)] * 3


def test_events_that_nobody_has_and_too_few_units_have_reasons():
    still = planned(known=Lives(np.ones(6)))
    assert row_of(still).reason == "no unit of the history has had the event"
    assert [one.units for one in still.events] == [None] * 3
    assert row_of(planned(rate=20)).reason == "fewer than 30 units in a variant are planned"


def test_a_margin_that_no_hazard_makes_is_left_out():
    found = planned(replace(CHURN, margin=0.9))
    assert not any(one.is_margin for one in found.events)


def test_a_wanted_lift_that_is_not_positive_is_refused():
    primary = replace(CHURN, role="primary", margin=None)
    plan = make_plan(metrics=(primary,))
    columns = Layout.of(plan).columns
    with pytest.raises(ValueError, match="positive fraction, not 0"):
        plan_power(plan, exact(900, np.full(columns, 2.0), np.eye(columns)), 2_000, wanted={"churn": 0})


def test_a_holdout_is_planned_for_times_to_event_too():
    primary = replace(CHURN, role="primary", margin=None)
    found = planned(primary, kind="holdout", variants=variants(5, 95))
    rows = [one for one in found.holdouts if one.metric == "churn"]
    assert [one.window for one in rows] == ["horizon"] * 6
    assert rows[0].mde_lift / rows[-1].mde_lift == pytest.approx(rows[0].factor, rel=1e-9)
