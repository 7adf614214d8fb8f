"""Do tests and intervals of a time to event hold their levels, with staggered entry and gaps that are not known yet?

Worlds are drawn as counts: units of a cohort by the week of their event. Everything is read as a look reads it, on a
day on which the youngest cohort has been followed for half the horizon, and on the last one. Bounds are two-sided: a
test that never rejects must fail as well. In the full run a rate of .05 has a standard error of .0034 and must lie
within .04 to .06, coverage within .94 to .96; the thin slice is given four standard errors.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import cache

import numpy as np
import pytest

from analysis import claims, survival, windows
from analysis.event_counts import EventCounts
from analysis.life_table import longest
from analysis.plan import Event, Metric, Plan, Window
from analysis.reversal import reversals
from analysis.triangle import Cell, Triangle
from tests.analysis.unit_rows import make_plan, triangle_of, variants

MANY, FEW = 4_000, 60
COUNTS = [pytest.param(FEW, id="thin"), pytest.param(MANY, id="full", marks=pytest.mark.slow)]
ALPHA, STANDARD_ERRORS, PROMISED = 0.05, 4.0, 0.01

GAP = 4
HORIZON, COHORTS, UNITS = 20, 4, 500
MARGIN = 0.05

#: Many leave in the first weeks, few later: hazards of the first 17 weeks, after which no gap can be known.
WEEKS = np.arange(HORIZON - GAP + 1)
HAZARDS = 0.02 + 0.06 * np.exp(-WEEKS / 2)


def plan_of(role: str = "primary") -> Plan:
    churn = Metric(
        "churn", "event", "lower", role, "long", event=Event("inactivity", "lines", GAP),  # type: ignore[arg-type]
        margin=MARGIN if role == "guardrail" else None,
    )  # fmt: skip
    return make_plan(
        metrics=(churn,), variants=variants(50, 50), enrollment_weeks=COHORTS, horizon_weeks=HORIZON, pre_weeks=0,
        windows=(Window("early", 0, 4), Window("late", 10, HORIZON)),
    )  # fmt: skip


def chances(hazards: np.ndarray) -> np.ndarray:
    stays = np.concatenate([[1.0], np.cumprod(1 - hazards)])
    return np.concatenate([stays[:-1] * hazards, stays[-1:]])


def worlds(treatment: np.ndarray, count: int, seed: int, plan: Plan, units: int = UNITS) -> Iterator[Triangle]:
    """Yield drawn experiments, everything mature: variants of different size, cohorts of different size."""
    random, tau = np.random.default_rng(seed), longest(plan, plan.events[0])
    sizes = {"control": [units, units // 2, units, 2 * units], "a": [units, units, units // 2, units]}
    drawn = {
        (key, cohort): random.multinomial(sizes[key][cohort], chances(hazards), size=count)
        for key, hazards in (("control", HAZARDS), ("a", treatment))
        for cohort in range(COHORTS)
    }
    empty = triangle_of(plan, {})
    for world in range(count):
        cells = {}
        for (key, cohort), numbers in drawn.items():
            counts = EventCounts.none(HORIZON, 0)
            counts.weeks[:tau, HORIZON], counts.weeks[HORIZON, HORIZON] = numbers[world][:tau], numbers[world][tau]
            cells[Cell(key, cohort)] = counts
        yield replace(empty, events={plan.events[0]: cells})


@cache
def days() -> dict[str, date]:
    """The youngest cohort has lived half the horizon; everything is mature."""
    plan = plan_of()
    return {"half": windows.readable(plan, COHORTS - 1, HORIZON // 2), "end": windows.fully_readable(plan, HORIZON)}


def near(rate: float, expected: float, count: int) -> bool:
    chance = STANDARD_ERRORS * math.sqrt(expected * (1 - expected) / count)
    return abs(rate - expected) <= (PROMISED if count == MANY else chance)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("when", ["half", "end"])
def test_of_experiments_without_effect_each_test_rejects_one_in_twenty(when: str, count: int) -> None:
    plan, rejected = plan_of(), np.zeros(4)
    for whole in worlds(HAZARDS, count, 91, plan):
        row = survival.comparison(replace(whole, as_of=days()[when]), plan.metrics[0], "a")
        values = (row.rmst_p_value, row.logrank_p_value, row.hazard_p_value, row.proportional_p_value)
        rejected += [value is not None and value < ALPHA for value in values]
    rates = dict(zip(("rmst", "log-rank", "hazard ratio", "proportional hazards"), rejected / count, strict=True))
    print(f"{when}: {rates} of {count} worlds")
    assert all(near(rate, ALPHA, count) for rate in rates.values()), rates


TREATMENTS = {"no effect": HAZARDS, "1.3 times": 1.3 * HAZARDS, "crossing": HAZARDS * np.linspace(0.5, 2, len(WEEKS))}


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", TREATMENTS)
def test_intervals_hold_the_truth_in_nineteen_of_twenty(name: str, count: int) -> None:
    """Of the restricted mean's difference and ratio, of the share without the event, and of its difference."""
    plan, treatment = plan_of(), TREATMENTS[name]
    curves = {key: np.cumprod(1 - hazards) for key, hazards in (("control", HAZARDS), ("a", treatment))}
    inside = dict.fromkeys(("difference", "ratio", "share", "curve"), 0)
    for whole in worlds(treatment, count, 92, plan):
        row = survival.comparison(replace(whole, as_of=days()["half"]), plan.metrics[0], "a")
        horizon = row.horizon_week
        assert horizon is not None
        means = {key: 1 + curve[: horizon - 1].sum() for key, curve in curves.items()}
        inside["difference"] += row.rmst_low <= means["a"] - means["control"] <= row.rmst_high
        inside["ratio"] += row.rmst_lift_low <= means["a"] / means["control"] - 1 <= row.rmst_lift_high
        share = next(one for one in row.survival_difference if one.week == 9)
        inside["share"] += share.low <= curves["a"][8] - curves["control"][8] <= share.high
        point = next(one for one in survival.curves(replace(whole, as_of=days()["half"])) if one.week == 9)
        inside["curve"] += point.low <= curves["control"][8] <= point.high
    rates = {key: hits / count for key, hits in inside.items()}
    print(f"{name}: {rates} of {count} worlds")
    assert all(near(rate, 1 - ALPHA, count) for rate in rates.values()), rates


def over_looks(whole: Triangle, metric: Metric) -> Iterator[survival.SurvivalComparisonRow]:
    """Yield the comparison at each look at the horizon."""
    for cohort in range(COHORTS):
        day = windows.readable(whole.plan, cohort, HORIZON)
        yield survival.comparison(replace(whole, as_of=day), metric, "a")


@pytest.mark.parametrize("count", COUNTS)
def test_read_at_every_look_a_primary_is_wrong_in_at_most_alpha(count: int) -> None:
    """Spending .05 over four looks whose increments are independent: wrong at some look in .05, not in more or less."""
    plan, wrong, joint = plan_of(), 0, 0
    for whole in worlds(HAZARDS, count, 93, plan):
        rows = list(over_looks(whole, plan.metrics[0]))
        wrong += any(claims.surely_better(plan.metrics[0], row) or claims.surely_worse(plan.metrics[0], row)
                     for row in rows)  # fmt: skip
        joint += all(row.drawn is None or row.drawn[0] <= 0 <= row.drawn[1] for row in rows)
    print(f"ever wrong {wrong / count:.4f}, intervals hold at all looks {joint / count:.4f} of {count} worlds")
    assert near(wrong / count, ALPHA, count)
    assert near(joint / count, 1 - ALPHA, count)


@pytest.mark.parametrize("count", COUNTS)
def test_a_guardrail_at_its_margin_is_hardly_ever_called_within_it(count: int) -> None:
    """The true loss is the margin: non-inferior at some look in alpha / 2, inferior in alpha / 2."""
    plan = plan_of("guardrail")
    low, high = 0.5, 3.0
    wanted = (1 - MARGIN) * (1 + np.cumprod(1 - HAZARDS)[:-1].sum())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 + np.cumprod(1 - middle * HAZARDS)[:-1].sum() > wanted else (low, middle)
    verdicts = {"non_inferior": 0, "inferior": 0}
    for whole in worlds(low * HAZARDS, count, 94, plan):
        found = {row.verdict for row in over_looks(whole, plan.metrics[0])}
        verdicts["non_inferior"] += bool(found & {"non_inferior", "superior"})
        verdicts["inferior"] += "inferior" in found
    rates = {key: hits / count for key, hits in verdicts.items()}
    print(f"at the margin: {rates} of {count} worlds")
    assert all(near(rate, ALPHA / 2, count) for rate in rates.values()), rates


#: Early benefit, then exactly nothing: the hardest case. The others have no early benefit or no later harm at all.
HARMLESS = {
    "no effect": HAZARDS, "fewer leave": 0.7 * HAZARDS, "more leave": 1.4 * HAZARDS,
    "fewer early, then none": HAZARDS * np.where(WEEKS < 4, 0.5, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_no_reversal_of_hazards_is_flagged_in_at_most_half_of_alpha(name: str, count: int) -> None:
    plan, flagged = plan_of(), 0
    for whole in worlds(HARMLESS[name], count, 95, plan, units=2_000):
        row = reversals(whole, {"churn": whole}, "a")[0][0]
        flagged += row.state in ("confirmed", "turned")
    print(f"{name}: flagged {flagged / count:.4f} of {count} worlds")
    upper = ALPHA / 2 + STANDARD_ERRORS * math.sqrt(ALPHA / 2 * (1 - ALPHA / 2) / count)
    assert flagged / count <= upper
    if name.endswith("none") and count == MANY:
        assert flagged / count >= ALPHA / 16
