"""Does an experiment of the planned size find what the planner says it does, as often as it says?

Worlds are drawn with the lifts that were planned for, and their claims are counted as looks make them. The planner
assumes equal weeks of enrollment, units of all weeks alike, and a treatment that changes no variance: so are the worlds
here, and then it has to be right within Monte Carlo error; the recorded households, whose weeks differ, and churn,
which adds variance, are tests of their own. With n worlds and a probability p the binomial's standard error is
sqrt(p (1 - p) / n); four of them are given, so that a right planner fails in one of 16,000 runs.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from analysis import claims, power, rolling, survival, windows
from analysis.design import Design
from analysis.effects import means_of, score
from analysis.event_counts import EventCounts
from analysis.event_power import Lives
from analysis.hazards import log_rank
from analysis.life_table import life_table
from analysis.moments import Layout, Moments
from analysis.plan import DecisionRule, Event, Metric, Plan, Role, Window
from analysis.planned import Planned, PlannedReversal, PlannedRow
from analysis.results import SurvivalComparisonRow
from analysis.simulation_moments import CohortMoments
from analysis.triangle import Cell, Triangle
from tests.analysis.unit_rows import make_plan, triangle_of
from tests.rates.worlds import COLUMNS, HONEY, UNITS, control_moments, drawn, looks_at, moments_of, plan

STANDARD_ERRORS = 4.0

#: Worlds in the slow run, and in the thin slice of every run.
MANY, FEW = 4_000, 100

COUNTS = [pytest.param(FEW, id="thin"), pytest.param(MANY, id="full", marks=pytest.mark.slow)]

ALL = ("lines", "active", "head_share")

#: What exact worlds may be off by beside chance: effects are planned on the scale of lifts at no effect, and the level
#: of a look follows from the units that were drawn instead of those that were planned.
APPROXIMATION = 0.005


def bound(probability: float, count: int, approximation: float = APPROXIMATION) -> float:
    return STANDARD_ERRORS * math.sqrt(probability * (1 - probability) / count) + approximation


@cache
def alike(columns: tuple[str, ...]) -> CohortMoments:
    """The recorded households with every week of enrollment like the average one, and as large."""
    recorded = control_moments(columns)
    cohorts = len(recorded.share)
    mean = recorded.share @ recorded.mean
    away = recorded.mean - mean
    covariance = np.einsum("c,cij->ij", recorded.share, recorded.covariance + away[:, :, None] * away[:, None, :])
    return replace(
        recorded, share=np.full(cohorts, 1 / cohorts), mean=np.tile(mean, (cohorts, 1)),
        covariance=np.tile(covariance, (cohorts, 1, 1)),
    )  # fmt: skip


def history(moments: CohortMoments) -> Moments:
    """Moments of many units of all weeks of enrollment, exactly."""
    mean = moments.share @ moments.mean
    away = moments.mean - mean
    covariance = np.einsum("c,cij->ij", moments.share, moments.covariance + away[:, :, None] * away[:, None, :])
    return Moments.from_parts(UNITS, mean, covariance * (UNITS - 1))


def lifted(moments: CohortMoments, columns: tuple[str, ...], lifts: Mapping[Window, float]) -> CohortMoments:
    """The same units with these lifts of some columns in the weeks of each window, and nothing else changed."""
    mean = moments.mean.copy()
    for window, lift in lifts.items():
        for column in columns:
            for week in range(window.start_week, window.end_week):
                mean[:, moments.position(column, week)] *= 1 + lift  # type: ignore[arg-type]
    return replace(moments, mean=mean)


def designed(rule: DecisionRule | None = None, keys: tuple[str, ...] = ("lines",)) -> Plan:
    return replace(plan(*keys), decision=rule or plan(*keys).decision)


def planned_row(found: Planned, metric: str, window: str) -> PlannedRow:
    return next(row for row in found.rows if (row.metric, row.window) == (metric, window))


def share_claimed(triangles: Iterator[Triangle], whole: Plan, metric: Metric, window: Window, count: int) -> float:
    """Share of the worlds in which the metric is surely better at some look."""
    claimed = sum(
        any(claims.surely_better(metric, row) for row in looks_at(triangle, whole, metric, window))
        for triangle in triangles
    )
    return claimed / count


RULES = [
    pytest.param(DecisionRule(), id="obrien_fleming"),
    pytest.param(DecisionRule(spending="pocock", power=0.9), id="pocock"),
    pytest.param(DecisionRule(looks="any_time", planned_units=UNITS, power=0.6), id="any_time"),
]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["early", "late"])
def test_the_smallest_lift_is_claimed_with_the_planned_power(name: str, rule: DecisionRule, count: int) -> None:
    whole, columns = designed(rule), COLUMNS["lines",]
    metric, window, control = whole.metrics[0], whole.window(name), alike(columns)
    found = power.plan_power(whole, history(control), UNITS / whole.enrollment_weeks)
    row = planned_row(found, "lines", name)
    treatment = lifted(control, columns, {window: row.mde_lift})
    share = share_claimed(drawn(whole, control, treatment, count, 71, UNITS), whole, metric, window, count)
    print(f"{name}, {row.mde_lift:.4f}: claimed in {share:.4f} of {count}, planned {row.power:.4f}")
    assert row.power == rule.power
    assert share == pytest.approx(rule.power, abs=bound(rule.power, count))


@pytest.mark.parametrize("count", COUNTS)
def test_the_units_needed_find_what_was_wanted(count: int) -> None:
    """Planned at 40,000 units, drawn at what the plan says it takes."""
    whole, columns = designed(), COLUMNS["lines",]
    metric, late, control = whole.metrics[0], whole.window("late"), alike(columns)
    found = power.plan_power(whole, history(control), UNITS / whole.enrollment_weeks, wanted={"lines": 0.03})
    row = planned_row(found, "lines", "late")
    units = round(row.units_needed)
    assert units < UNITS
    treatment = lifted(control, columns, {late: 0.03})
    share = share_claimed(drawn(whole, control, treatment, count, 72, units), whole, metric, late, count)
    print(f"{units} units: claimed in {share:.4f} of {count}, planned {row.power:.4f}")
    assert share == pytest.approx(row.power, abs=bound(row.power, count))


@pytest.mark.parametrize("count", COUNTS)
def test_weeks_of_enrollment_that_differ_change_the_power_a_little(count: int) -> None:
    """As recorded: the first week has most units, the most active ones, so its look tells more than is planned for."""
    whole, columns = designed(), COLUMNS["lines",]
    metric, late, control = whole.metrics[0], whole.window("late"), control_moments(columns)
    found = power.plan_power(whole, history(control), UNITS / whole.enrollment_weeks)
    row = planned_row(found, "lines", "late")
    treatment = lifted(control, columns, {late: row.mde_lift})
    share = share_claimed(drawn(whole, control, treatment, count, 73, UNITS), whole, metric, late, count)
    print(f"{control.share.round(2)}: claimed in {share:.4f} of {count}, planned {row.power:.4f}")
    assert share == pytest.approx(row.power, abs=bound(row.power, count, approximation=0.03))


@pytest.mark.parametrize("count", COUNTS)
def test_a_guardrail_without_an_effect_holds_as_often_as_planned(count: int) -> None:
    whole, columns = plan(*ALL), COLUMNS[ALL]
    metric = next(one for one in whole.metrics if one.key == "head_share")
    units, control, late = 8_000, alike(columns), whole.window("late")
    found = power.plan_power(whole, history(control), units / whole.enrollment_weeks)
    row = planned_row(found, "head_share", "late")
    held = 0
    for triangle in drawn(whole, control, control, count, 74, units):
        held += any(row.verdict in ("non_inferior", "superior") for row in looks_at(triangle, whole, metric, late))
    print(f"holds in {held / count:.4f} of {count}, planned {row.margin_power:.4f}")
    assert 0.5 < row.margin_power < 0.95
    assert held / count == pytest.approx(row.margin_power, abs=bound(row.margin_power, count))


# --- Reversals --------------------------------------------------------------------------------------------------------
def share_reversed(triangles: Iterator[Triangle], whole: Plan, metric: Metric, count: int) -> float:
    """Share of the worlds whose two declared windows are both claimed, each in a single look at alpha / 4."""
    early, late = whole.window("early"), whole.window("late")
    everyone = tuple(range(whole.enrollment_weeks))
    level, both = whole.decision.alpha / 4, 0
    for triangle in triangles:
        means = means_of(triangle.of_metric(metric), metric, "treatment", [early, late], everyone)
        legs = [score(means, 0).z, score(means, 1).z]
        both += all(_p_above(sign * metric.sign * z) < level for sign, z in zip((1, -1), legs, strict=True))
    return both / count


def _p_above(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("times", [0.8, 1.2])
def test_reversals_are_claimed_with_the_planned_power(times: float, count: int) -> None:
    whole, columns = designed(), COLUMNS["lines",]
    control, metric = alike(columns), whole.metrics[0]
    design = Design(whole, history(control), UNITS / whole.enrollment_weeks, whole.horizon_weeks)
    found = power.plan_power(whole, design.history, design.units_per_week)
    lifts = {
        whole.window(name): sign * times * planned_row(found, "lines", name).mde_lift
        for name, sign in (("early", 1), ("late", -1))
    }
    expected = power.plan_reversal(design, metric, *lifts.values())
    treatment = lifted(control, columns, lifts)
    share = share_reversed(drawn(whole, control, treatment, count, 75, UNITS), whole, metric, count)
    print(f"{times}: both claimed in {share:.4f} of {count}, planned {expected.power:.4f}")
    assert 0.2 < expected.power < 0.97
    assert share == pytest.approx(expected.power, abs=bound(expected.power, count))


def honeymoon(units: int = UNITS) -> tuple[Plan, Design, PlannedReversal]:
    """The Honeymoon's own +3 % with a weekly churn of .6 % from the end of the early window on, as planned."""
    whole = designed()
    control = control_moments(COLUMNS["lines",])
    design = Design(whole, history(control), units / whole.enrollment_weeks, whole.horizon_weeks)
    return whole, design, power.plan_churn(design, whole.metrics[0], 0.03, 0.006)


def test_churn_makes_the_late_lift_that_is_known_exactly() -> None:
    """The truth enumerates households: +3.0 % early and -6.4 % late (experiments/examples/README.md)."""
    _, design, found = honeymoon()
    assert found.early_lift == pytest.approx(0.03, rel=1e-9)
    control, treatment = control_moments(COLUMNS["lines",]), moments_of(HONEY, COLUMNS["lines",])
    late = design.plan.window("late")
    weeks = [control.position("lines", week) for week in range(late.start_week, late.end_week)]
    truth = (treatment.share @ treatment.mean)[weeks].sum() / (control.share @ control.mean)[weeks].sum() - 1
    assert found.late_lift == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize("count", COUNTS)
def test_the_honeymoon_is_claimed_about_as_often_as_planned(count: int) -> None:
    """Churn adds variance to the late weeks, which the planner leaves out; the early leg decides, for it is smaller."""
    units = 16_000
    whole, _, expected = honeymoon(units)
    control, treatment = control_moments(COLUMNS["lines",]), moments_of(HONEY, COLUMNS["lines",])
    share = share_reversed(drawn(whole, control, treatment, count, 76, units), whole, whole.metrics[0], count)
    print(f"both claimed in {share:.4f} of {count}, planned {expected.power:.4f}")
    assert 0.5 < expected.power < 0.95
    assert share == pytest.approx(expected.power, abs=bound(expected.power, count, approximation=0.01))


def test_the_flag_reads_more_than_the_declared_windows() -> None:
    """So the planned power is a lower bound of the flag's: it has the declared late window as its last reading."""
    whole, *_ = honeymoon()
    control = control_moments(COLUMNS["lines",])
    triangle = next(drawn(whole, control, control, 1, 77, UNITS))
    readings = rolling.readings(triangle, "confirmed", whole.window("late"))
    assert readings[-1].window == whole.window("late")
    assert len(readings) > 1


# --- Times to event ---------------------------------------------------------------------------------------------------
#: Weekly hazards over the 17 weeks in which a four-week gap can begin: many leave at first, few later.
WEEKLY = 0.02 + 0.06 * np.exp(-np.arange(17) / 2)
GAP, HORIZON_WEEKS, COHORTS = Event("inactivity", "lines", 4), 20, 4


def churn_plan(role: Role) -> Plan:
    churn = Metric("churn", "event", "lower", role, "long", event=GAP, margin=0.02 if role == "guardrail" else None)
    return make_plan(
        metrics=(churn,), enrollment_weeks=COHORTS, horizon_weeks=HORIZON_WEEKS, pre_weeks=0,
        windows=(Window("early", 0, 4), Window("late", 10, HORIZON_WEEKS)),
    )  # fmt: skip


def churn_planned(role: Role, units: int) -> tuple[Planned, PlannedRow, Lives]:
    whole, known = churn_plan(role), Lives(np.concatenate([[1.0], np.cumprod(1 - WEEKLY)]))
    empty = Moments.of(np.zeros((100, Layout.of(whole).columns)))
    found = power.plan_power(whole, empty, units / COHORTS, lives={GAP: known})
    return found, found.rows[0], known


def churn_worlds(
    whole: Plan, curves: tuple[np.ndarray, np.ndarray], count: int, seed: int, units: int
) -> Iterator[Triangle]:
    """Yield experiments with equal cohorts of units whose events are drawn from the curves of control and treatment."""
    random, tau = np.random.default_rng(seed), len(WEEKLY)
    draws = [
        random.multinomial(units // (2 * COHORTS), np.append(-np.diff(curve), curve[-1]), size=(count, COHORTS))
        for curve in curves
    ]
    for world in range(count):
        cells = {}
        for variant, drawn_counts in zip(whole.variants, draws, strict=True):
            for cohort in range(COHORTS):
                counts = EventCounts.none(HORIZON_WEEKS, 0)
                counts.weeks[:tau, HORIZON_WEEKS] = drawn_counts[world, cohort, :tau]
                counts.weeks[HORIZON_WEEKS, HORIZON_WEEKS] = drawn_counts[world, cohort, tau]
                cells[Cell(variant.key, cohort)] = counts
        yield replace(triangle_of(whole, {}), events={GAP: cells})


def churn_looks(triangle: Triangle, metric: Metric) -> Iterator[SurvivalComparisonRow]:
    """Yield the comparison at each look: as one cohort after the other has lived the horizon."""
    for cohort in range(COHORTS):
        day = windows.readable(triangle.plan, cohort, HORIZON_WEEKS)
        yield survival.comparison(replace(triangle, as_of=day), metric, "a")


#: Beside chance, of a time to event: a look also knows the weeks that younger cohorts have lived, which the planner
#: leaves out, and a longer life varies less.
EVENT_APPROXIMATION = 0.02


@pytest.mark.parametrize("count", COUNTS)
def test_a_longer_time_to_event_is_claimed_with_the_planned_power(count: int) -> None:
    units = 6_000
    found, row, known = churn_planned("primary", units)
    ratio = known.hazard_ratio(row.mde_lift)
    curves = known.survival, known.survival**ratio
    claimed = sum(
        any(claims.surely_better(found.plan.metrics[0], look) for look in churn_looks(world, found.plan.metrics[0]))
        for world in churn_worlds(found.plan, curves, count, 78, units)
    )
    print(f"hazard ratio {ratio:.3f}: claimed in {claimed / count:.4f} of {count}, planned {row.power:.4f}")
    assert claimed / count == pytest.approx(row.power, abs=bound(row.power, count, EVENT_APPROXIMATION))


@pytest.mark.parametrize("count", COUNTS)
def test_a_margin_on_time_to_event_holds_as_often_as_planned(count: int) -> None:
    units = 8_000
    found, row, known = churn_planned("guardrail", units)
    metric, held = found.plan.metrics[0], 0
    for world in churn_worlds(found.plan, (known.survival, known.survival), count, 79, units):
        held += any(look.verdict in ("non_inferior", "superior") for look in churn_looks(world, metric))
    print(f"holds in {held / count:.4f} of {count}, planned {row.margin_power:.4f}")
    assert 0.3 < row.margin_power < 0.95
    assert held / count == pytest.approx(row.margin_power, abs=bound(row.margin_power, count, EVENT_APPROXIMATION))


@pytest.mark.parametrize("count", COUNTS)
def test_a_hazard_ratio_is_told_from_one_by_the_events_it_takes(count: int) -> None:
    """By the log-rank test of a single look, on as many units as are planned to have the events (Schoenfeld 1983)."""
    found, _, known = churn_planned("primary", 6_000)
    planned = next(one for one in found.events if one.hazard_ratio == 1.2)
    units = round(planned.units / (2 * COHORTS)) * 2 * COHORTS
    curves = known.survival, known.survival**planned.hazard_ratio
    told = 0
    for world in churn_worlds(found.plan, curves, count, 80, units):
        sides = [life_table(world, GAP, variant.key).total for variant in found.plan.variants]
        told += log_rank(*sides).p_value < found.plan.decision.alpha
    wanted = found.plan.decision.power
    print(f"{units} units: told in {told / count:.4f} of {count}, planned {wanted:.4f}")
    assert told / count == pytest.approx(wanted, abs=bound(wanted, count, EVENT_APPROXIMATION))
