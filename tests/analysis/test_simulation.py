"""Worlds drawn from trajectories, and their exact truth, against slow direct enumeration."""

from collections import defaultdict
from itertools import product

import numpy as np
import pytest

from analysis.simulation import (
    NOTHING,
    Enrollment,
    Injection,
    Trajectories,
    World,
    draw_world,
    exposure_days,
)
from analysis.simulation_truth import enumerate_pairs, expected_metrics, inactivity_survival, weekly_sums
from tests.analysis.small_world import ENROLLMENT, INJECTION, ROUNDING, STANDARD_ERRORS, WEEKS, trajectories


def slow_pairs(recorded: Trajectories, enrollment: Enrollment) -> dict[tuple[int, int], float]:
    """(household, exposure day) with probability: the definition read aloud, day by day."""
    count: dict[tuple[int, int], int] = defaultdict(int)
    for household in range(recorded.households):
        for eligible in range(enrollment.start_day, enrollment.end_day):
            for day in range(eligible, enrollment.end_day):
                if recorded.lines[household, day]:
                    count[household, day] += 1
                    break
    return {pair: times / sum(count.values()) for pair, times in count.items()}


def slow_week(values: np.ndarray, household: int, exposed: int, week: int) -> list[int]:
    """The seven recorded daily values of a week since exposure."""
    return [int(value) for value in values[household, exposed + 7 * week : exposed + 7 * week + 7]]


def same_world(one: World, other: World) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in World.__dataclass_fields__)


def test_the_truth_equals_a_slow_direct_enumeration() -> None:
    recorded = trajectories()
    pairs = slow_pairs(recorded, ENROLLMENT)
    truth = expected_metrics(recorded, ENROLLMENT, INJECTION, WEEKS)
    stays = 1.0
    for week in range(WEEKS):
        m, h, r = (
            profile[min(week, len(profile) - 1)]
            for profile in (INJECTION.multiplier, INJECTION.hazard, INJECTION.head_conversion)
        )
        stays *= 1 - h
        total: dict[str, float] = defaultdict(float)
        for (household, exposed), chance in pairs.items():
            lines = slow_week(recorded.lines, household, exposed, week)
            head = sum(slow_week(recorded.head_lines, household, exposed, week))
            total["lines"] += chance * sum(lines)
            total["head"] += chance * head
            total["treated_head"] += chance * stays * m * (head + r * (sum(lines) - head))
            total["sales"] += chance * sum(slow_week(recorded.cents, household, exposed, week)) / 100
            total["active"] += chance * (sum(lines) > 0)
            emptied = np.prod([max(0.0, 1 - m * value) if value else 1.0 for value in lines])
            total["treated_active"] += chance * stays * (1 - emptied)
        expected = {
            "lines": (total["lines"], stays * m * total["lines"]),
            "sales": (total["sales"], stays * m * total["sales"]),
            "active": (total["active"], total["treated_active"]),
            "head_share": (total["head"] / total["lines"], total["treated_head"] / (stays * m * total["lines"])),
        }
        for metric, (control, treatment) in expected.items():
            found = truth[metric].window(week, week + 1)
            assert found.control == pytest.approx(control, rel=ROUNDING), (metric, week)
            assert found.treatment == pytest.approx(treatment, rel=ROUNDING), (metric, week)


def test_the_lift_of_lines_in_a_week_is_the_multiplier_times_the_share_still_there_less_one() -> None:
    truth = expected_metrics(trajectories(), ENROLLMENT, INJECTION, WEEKS)["lines"]
    first = truth.window(0, 1)
    assert first.effect == pytest.approx(-0.4 * first.control, rel=ROUNDING)
    expected = np.array([0.6, 0.9, 1.0, 1.3, 1.3, 1.3]) * np.array([1, 1, 0.9, 0.72, 0.576, 0.4608]) - 1
    assert [week.lift for week in truth.weekly()] == pytest.approx(expected, rel=ROUNDING)


def test_the_truth_of_the_gap_event_equals_an_enumeration_of_every_pattern_of_active_weeks() -> None:
    recorded, gap = trajectories(households=3), 2
    found = inactivity_survival(recorded, ENROLLMENT, INJECTION, WEEKS, gap)
    stays = [float(value) for value in INJECTION.survival(WEEKS)] + [0.0]
    survival = np.zeros(WEEKS - gap + 1)
    for (household, exposed), chance in slow_pairs(recorded, ENROLLMENT).items():
        active = []
        for week in range(WEEKS):
            m = INJECTION.multipliers(WEEKS)[week]
            lines = slow_week(recorded.lines, household, exposed, week)
            active.append(1 - np.prod([max(0.0, 1 - m * value) if value else 1.0 for value in lines]))
        for last, pattern in product(range(WEEKS + 1), product((0, 1), repeat=WEEKS)):
            # `last` weeks are lived, then the unit is gone; the pattern says which of all weeks would be active.
            leaves = (stays[last - 1] if last else 1.0) - stays[last] if last < WEEKS else stays[WEEKS - 1]
            weight = chance * leaves * np.prod([p if on else 1 - p for p, on in zip(active, pattern, strict=True)])
            seen = [on if week < last else 0 for week, on in enumerate(pattern)]
            gaps = [week for week in range(WEEKS - gap + 1) if not any(seen[week : week + gap])]
            duration = gaps[0] + 1 if gaps else WEEKS
            survival += weight * (duration > np.arange(1, WEEKS - gap + 2))
    assert found.treatment == pytest.approx(survival, abs=ROUNDING)
    assert found.restricted_mean(3).treatment == pytest.approx(1 + survival[0] + survival[1], rel=ROUNDING)
    untouched = inactivity_survival(recorded, ENROLLMENT, NOTHING, WEEKS, gap)
    assert np.array_equal(untouched.treatment, found.control)


def test_the_truth_of_some_cohorts_is_that_of_units_exposed_in_these_weeks() -> None:
    recorded = trajectories()
    pairs = {key: chance for key, chance in slow_pairs(recorded, ENROLLMENT).items() if key[1] < 35}
    mean = sum(chance * sum(slow_week(recorded.lines, *pair, 0)) for pair, chance in pairs.items())
    found = expected_metrics(recorded, ENROLLMENT, NOTHING, WEEKS, cohorts=[0])["lines"].window(0, 1).control
    assert found == pytest.approx(mean / sum(pairs.values()), rel=ROUNDING)


def test_pairs_have_the_probabilities_of_drawing_again_until_somebody_is_exposed() -> None:
    recorded = trajectories()
    found = enumerate_pairs(recorded, ENROLLMENT)
    keys = zip(found.household.tolist(), found.exposed_day.tolist(), strict=True)
    assert dict(zip(keys, found.probability, strict=True)) == pytest.approx(slow_pairs(recorded, ENROLLMENT))


def test_a_week_outside_the_recorded_days_is_refused_and_not_read_as_zero() -> None:
    recorded = trajectories()
    pairs = enumerate_pairs(recorded, ENROLLMENT)
    with pytest.raises(ValueError, match="outside the recorded days"):
        weekly_sums(recorded.lines, pairs, 0, 12)
    with pytest.raises(ValueError, match="outside the recorded days"):
        weekly_sums(recorded.lines, pairs, -8, 0)


def test_a_drawn_world_has_the_expected_lines_head_lines_and_sales_of_the_truth() -> None:
    recorded, units = trajectories(households=40), 60_000
    world = draw_world(np.random.default_rng(2), recorded, ENROLLMENT, INJECTION, units)
    truth = expected_metrics(recorded, ENROLLMENT, INJECTION, WEEKS)
    week = (world.fact_day - world.exposed_day[world.fact_unit]) // 7
    head_truth = truth["head_share"]
    columns = {
        "lines": (world.lines, truth["lines"].control, truth["lines"].treatment),
        "head_lines": (world.head_lines, head_truth.control, head_truth.treatment),
        "sales": (world.cents / 100, truth["sales"].control, truth["sales"].treatment),
        "active": (np.ones(len(week)), truth["active"].control, truth["active"].treatment),
    }
    for (name, (values, control, treatment)), number in product(columns.items(), range(WEEKS)):
        here = week == number
        value = np.bincount(world.fact_unit[here], weights=values[here], minlength=units)
        if name == "active":
            value = (value > 0).astype(float)
        for variant, expected in ((False, control[number]), (True, treatment[number])):
            chosen = value[world.treated == variant]
            error = chosen.std() / np.sqrt(len(chosen))
            assert abs(chosen.mean() - expected) <= STANDARD_ERRORS * error + ROUNDING, (name, number, variant)


def test_the_share_of_units_still_there_follows_the_hazard() -> None:
    units = 50_000
    world = draw_world(np.random.default_rng(3), trajectories(), ENROLLMENT, INJECTION, units, treatment_share=1.0)
    last = np.where(world.churn_week < 0, 99, world.churn_week)
    for week, stays in enumerate(INJECTION.survival(WEEKS)):
        error = np.sqrt(stays * (1 - stays) / units)
        assert abs((last > week).mean() - stays) <= STANDARD_ERRORS * error


def test_no_unit_has_a_fact_from_its_churn_week_on_and_control_units_never_churn() -> None:
    world = draw_world(np.random.default_rng(4), trajectories(), ENROLLMENT, INJECTION, 5_000)
    week = (world.fact_day - world.exposed_day[world.fact_unit]) // 7
    churn = world.churn_week[world.fact_unit]
    assert (world.churn_week >= 0).any()
    assert not np.any((churn >= 0) & (week >= churn))
    assert np.all(world.churn_week[~world.treated] == -1)


def test_control_units_and_the_time_before_exposure_are_as_recorded() -> None:
    recorded = trajectories()
    world = draw_world(np.random.default_rng(5), recorded, ENROLLMENT, INJECTION, 500)
    untouched = ~world.treated[world.fact_unit] | (world.fact_day < world.exposed_day[world.fact_unit])
    source = world.household[world.fact_unit]
    for values, table in (
        (world.lines, recorded.lines),
        (world.head_lines, recorded.head_lines),
        (world.cents, recorded.cents),
    ):
        assert np.array_equal(values[untouched], table[source, world.fact_day][untouched])
    control = np.flatnonzero(~world.treated)
    shown = slice(ENROLLMENT.first_day, ENROLLMENT.last_day)
    expected_rows = (recorded.lines[world.household[control], shown] > 0).sum()
    assert np.isin(world.fact_unit, control).sum() == expected_rows


def test_a_world_without_treatment_units_is_as_recorded_and_equals_one_without_a_treatment() -> None:
    arguments = trajectories(), ENROLLMENT
    nobody = draw_world(np.random.default_rng(5), *arguments, INJECTION, 300, treatment_share=0.0)
    nothing = draw_world(np.random.default_rng(5), *arguments, NOTHING, 300, treatment_share=0.0)
    assert not nobody.treated.any()
    assert same_world(nobody, nothing)


def test_facts_are_sorted_positive_and_head_lines_never_exceed_lines() -> None:
    world = draw_world(np.random.default_rng(6), trajectories(), ENROLLMENT, INJECTION, 2_000)
    order = world.fact_unit * 1_000 + world.fact_day
    assert np.all(np.diff(order) > 0)
    assert world.lines.min() >= 1
    assert np.all((world.head_lines >= 0) & (world.head_lines <= world.lines))
    assert np.all(world.cents >= 0)


def test_units_are_exposed_on_an_active_day_within_the_enrollment() -> None:
    recorded = trajectories()
    world = draw_world(np.random.default_rng(7), recorded, ENROLLMENT, INJECTION, 2_000)
    assert np.all(recorded.lines[world.household, world.exposed_day] > 0)
    assert world.exposed_day.min() >= ENROLLMENT.start_day
    assert world.exposed_day.max() < ENROLLMENT.end_day
    exposed = exposure_days(recorded, ENROLLMENT)
    assert exposed.shape == (recorded.households, ENROLLMENT.days)


def test_the_same_seed_gives_the_same_world_and_another_seed_another_one() -> None:
    recorded = trajectories()
    worlds = [draw_world(np.random.default_rng(s), recorded, ENROLLMENT, INJECTION, 300) for s in (8, 8, 9)]
    assert same_world(worlds[0], worlds[1])
    assert not same_world(worlds[0], worlds[2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"multiplier": ()}, "at least one week"),
        ({"multiplier": (0.0,)}, "positive and finite"),
        ({"multiplier": (float("nan"),)}, "positive and finite"),
        ({"hazard": (1.0,)}, r"\[0, 1\)"),
        ({"hazard": (-0.1,)}, r"\[0, 1\)"),
        ({"head_conversion": (1.1,)}, r"\[0, 1\]"),
    ],
)
def test_an_impossible_injection_is_refused(change: dict[str, tuple[float, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Injection(**change)


def test_impossible_trajectories_and_enrollments_are_refused() -> None:
    lines = np.array([[1, 0]])
    with pytest.raises(ValueError, match="one shape"):
        Trajectories(lines, lines[:, :1], lines)
    with pytest.raises(ValueError, match="negative"):
        Trajectories(lines, -lines, lines)
    with pytest.raises(ValueError, match="exceed"):
        Trajectories(lines, 2 * lines, lines)
    with pytest.raises(ValueError, match="without lines"):
        Trajectories(lines, 0 * lines, np.array([[1, 1]]))
    with pytest.raises(ValueError, match="first_day"):
        Enrollment(first_day=5, start_day=4, last_day=30, weeks=1)
    with pytest.raises(ValueError, match="recorded days"):
        exposure_days(trajectories(days=90), ENROLLMENT)
    silent = Trajectories(np.zeros((2, 100), int), np.zeros((2, 100), int), np.zeros((2, 100), int))
    with pytest.raises(ValueError, match="nobody can be exposed"):
        draw_world(np.random.default_rng(1), silent, ENROLLMENT, NOTHING, 10)
    with pytest.raises(ValueError, match="nobody can be exposed"):
        enumerate_pairs(silent, ENROLLMENT)


def test_windows_gaps_and_horizons_outside_the_weeks_are_refused() -> None:
    recorded = trajectories()
    truth = expected_metrics(recorded, ENROLLMENT, INJECTION, WEEKS)["lines"]
    with pytest.raises(ValueError, match="outside the 6 weeks"):
        truth.window(4, 7)
    with pytest.raises(ValueError, match="does not fit"):
        inactivity_survival(recorded, ENROLLMENT, INJECTION, WEEKS, WEEKS + 1)
    with pytest.raises(ValueError, match="tau 7"):
        inactivity_survival(recorded, ENROLLMENT, INJECTION, WEEKS, 2).restricted_mean(7)
