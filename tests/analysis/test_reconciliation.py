"""The gap between the sum of launched lifts and the measured lift: parts that add up, each by hand, and its error."""

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.effects import effect_of, means_of
from analysis.plan import Event, Metric, Window
from analysis.reconciliation import Member, Reading, Reconciliation, read_member, reconcile, weeks_since
from analysis.results import Comparison
from analysis.shrinkage import corrected_error
from tests.analysis.brute_force import brute
from tests.analysis.unit_rows import (
    ACTIVE,
    HEAD_SHARE,
    LINES,
    START,
    draw_rows,
    make_plan,
    triangle_of_rows,
)

#: Differences of totals near one: the last digits.
ADDS_UP = 1e-12

#: As for effects: adjustment divides by a variance.
ADJUSTED = 1e-6

SPAN = Window("", 20, 24)


def reading(lift: float, se: float, aged: float | None = None, **changes: object) -> Reading:
    given = {
        "lift": lift, "se": se, "start_week": 0, "end_week": 4, "aged_lift": lift if aged is None else aged,
        "aged_se": se, "aged_start_week": 8, "aged_end_week": 12, "correlation": 1.0 if aged is None else 0.5,
        "threshold": 2.0,
    }  # fmt: skip
    return Reading(**{**given, **changes})  # type: ignore[arg-type]


def member(key: str, found: Reading | None, **changes: object) -> Member:
    given = {
        "key": key, "variant": "treatment", "state": "launched", "started": 0.0, "decided": 12.0, "exposed_share": 1.0,
        "treated_share": 0.5, "reading": found, "met": (0.0,) * 40,
    }  # fmt: skip
    return Member(**{**given, **changes})  # type: ignore[arg-type]


def measured(lift: float, half: float) -> Comparison:
    """A lift whose interval is symmetric on the log scale, with this half width there."""
    low, high = ((1 + lift) * math.exp(sign * half) - 1 for sign in (-1, 1))
    return Comparison(lift=lift, lift_low=low, lift_high=high)


def parts(found: Reconciliation) -> dict[str, float]:
    return {part.name: part.value for part in found.parts}


def test_every_part_is_what_it_says_by_hand() -> None:
    """Three launches (one faded, one late and met by half, one plain), one that was ended, and one that runs."""
    members = [
        member("faded", reading(0.05, 0.01, aged=0.02), met=(0.1,) * 24),
        member("late", reading(0.04, 0.02, threshold=None), decided=21.0, started=16.0, exposed_share=0.5,
               met=(*(0.0,) * 20, 0.02, 0.04, 0.06, 0.08)),
        member("plain", reading(0.03, 0.012)),
        member("ended", reading(0.02, 0.012), state="ended", met=(0.3,) * 24),
        member("runs", reading(0.06, 0.01), state="running", decided=None, started=22.0, treated_share=0.4,
               met=(*(0.0,) * 22, 0.2, 0.2)),
    ]  # fmt: skip
    found = reconcile(LINES, SPAN, measured(0.06, 0.02), members)

    def bias(x: float, se: float, rho: float = 1.0) -> float:
        return rho * se * float(stats.norm.pdf(2.0 - x / se))

    raw = 1.05 * 1.04 * 1.03 - 1
    ended = -bias(0.02, 0.012)
    shrunk = [0.05 - bias(0.05, 0.01), 0.04, 0.03 - bias(0.03, 0.012), ended]
    aged = [0.02 - bias(0.05, 0.01, 0.5), 0.04, 0.03 - bias(0.03, 0.012), ended]
    # `late` was launched in week 21 of the weeks 20 to 23: three of four, half of the units; before that it ran.
    shares = [1, 0.5 * 3 / 4, 1, 1]
    running = [0, 0.04 * 0.5 / 4, 0, 0, 0.06 * 0.4 * 2 / 4]
    diluted = [a * s for a, s in zip(aged, shares, strict=True)]
    totals = [
        math.prod(1 + one for one in values) - 1
        for values in (shrunk, aged, diluted, [d + r for d, r in zip([*diluted, 0], running, strict=True)])
    ]
    # Of the units held out: a tenth all the time; week 20 of `late` before its launch, 21 to 23 after it; a fifth in
    # two of four weeks. What was ended takes the cost of its selection from them too.
    late_before, late_after = 0.02 / 4, (0.04 + 0.06 + 0.08) / 4
    held = [0.1 * aged[0], 0.04 * (late_before + late_after), 0.0, 0.3 * ended, 0.06 * 0.2 / 2]
    expected = (1 + totals[-1]) / math.prod(1 + one for one in held) - 1
    assert [row.held_out for row in found.members] == pytest.approx(held)
    assert [row.held_out_share for row in found.members] == pytest.approx([0.1, 0.05, 0.0, 0.3, 0.1])
    assert found.raw == pytest.approx(raw)
    assert [part.total for part in found.parts] == pytest.approx([*totals, expected, 0.06])
    assert parts(found) == pytest.approx(
        {
            "selection": totals[0] - raw, "aging": totals[1] - totals[0], "dilution": totals[2] - totals[1],
            "running": totals[3] - totals[2], "contamination": expected - totals[3], "rest": 0.06 - expected,
        }
    )  # fmt: skip
    assert found.gap == pytest.approx(0.06 - raw)
    # An error moves both sides where both have the treatment: what is left of it is the difference of their shares.
    noise = [
        corrected_error(0.05, 0.01, 2.0, correlation=0.5) * (0.9 * 0.01) ** 2, ((0.375 - late_after) * 0.02) ** 2,
        corrected_error(0.03, 0.012, 2.0) * 0.012**2, corrected_error(0.02, 0.012, 2.0) * (0.7 * 0.012) ** 2,
    ]  # fmt: skip
    variance = sum(noise) + ((0.125 - late_before) * 0.02) ** 2 + ((0.2 - 0.1) * 0.01) ** 2
    assert found.expected_se == pytest.approx(math.sqrt(variance))
    assert found.rest_se == pytest.approx(math.hypot(1.06 * 0.02 / stats.norm.ppf(0.975), math.sqrt(variance)))
    assert found.rest_high - found.rest_low == pytest.approx(2 * stats.norm.ppf(0.975) * found.rest_se)


LIFT, ERROR = st.floats(-0.3, 0.5), st.floats(1e-4, 0.2)


@st.composite
def any_member(draw: st.DrawFn, number: int) -> Member:
    found = reading(
        draw(LIFT), draw(ERROR), aged=draw(LIFT), aged_se=draw(ERROR), correlation=draw(st.floats(-1, 1)),
        threshold=draw(st.none() | st.floats(0, 6)),
    )  # fmt: skip
    state = draw(st.sampled_from(["launched", "running", "ended"]))
    decided = None if state == "running" else draw(st.floats(-10, 40))
    return member(
        f"m{number}", draw(st.sampled_from([found, None])), state=state, decided=decided,
        started=draw(st.floats(-10, 40)), exposed_share=draw(st.floats(0, 1)), treated_share=draw(st.floats(0, 1)),
        met=draw(st.none() | st.lists(st.floats(0, 1), max_size=26).map(tuple)),
    )  # fmt: skip


@given(
    members=st.lists(st.integers(0, 99), max_size=6, unique=True).flatmap(
        lambda numbers: st.tuples(*(any_member(number) for number in numbers))
    ),
    lift=LIFT, metric=st.sampled_from([LINES, HEAD_SHARE]),
)  # fmt: skip
def test_parts_always_add_up_to_the_gap(members: tuple[Member, ...], lift: float, metric: Metric) -> None:
    found = reconcile(metric, SPAN, measured(lift, 0.03), members)
    assert math.fsum(parts(found).values()) == pytest.approx(found.gap, abs=ADDS_UP)
    assert found.gap == pytest.approx(lift - (found.raw or 0.0), abs=ADDS_UP)
    assert all(part.total == pytest.approx(lift) for part in found.parts if part.name == "rest")


def test_of_a_metric_where_less_is_better_the_correction_moves_a_fall_up() -> None:
    falls = [member("falls", reading(-0.04, 0.02))]
    found = reconcile(HEAD_SHARE, SPAN, measured(-0.02, 0.01), falls)
    mirrored = reconcile(LINES, SPAN, measured(-0.02, 0.01), [member("rises", reading(0.04, 0.02))])
    assert parts(found)["selection"] == pytest.approx(-parts(mirrored)["selection"])
    assert parts(found)["selection"] > 0


def test_the_rest_covers_zero_where_nothing_else_happens_and_not_where_launches_clash() -> None:
    """A thousand programs of ten experiments with known lifts: launched by their estimates, measured by a holdout."""
    rng, worlds, b = np.random.default_rng(3), 1_000, 1.96
    truth, se, measured_se = rng.normal(0.01, 0.02, 10), 0.01, 0.015
    covered, naive, clash = 0, [], 0
    for _ in range(worlds):
        seen = truth + se * rng.standard_normal(10)
        members = [
            member(str(i), reading(x, se, threshold=b), state="launched" if x > b * se else "ended", treated_share=0.0)
            for i, x in enumerate(seen)
        ]
        total = math.prod(1 + t for t, x in zip(truth, seen, strict=True) if x > b * se) - 1
        shown = total + measured_se * rng.standard_normal()
        half = stats.norm.ppf(0.975) * measured_se / (1 + shown)
        found = reconcile(LINES, SPAN, measured(shown, half), members)
        covered += bool(found.explained)
        naive.append((found.raw or 0.0) - total)
        clash += not reconcile(LINES, SPAN, measured(shown - 0.15, half), members).explained
    # Selection is in the raw sum in every program; after the correction the rest is noise.
    assert np.mean(naive) > 0.01
    assert covered / worlds == pytest.approx(0.95, abs=0.03)
    assert clash / worlds > 0.9


def test_the_rest_covers_zero_where_units_held_out_met_launches_by_different_shares() -> None:
    """Units, one by one: three launches multiply what launched units do, and each that of its own part of the others.

    The lift among 4,000 units held out is off by who happens to have met what, not by more. Without the shares, and
    with the one share of those that met any launch, the rest is more than noise.
    """
    rng, worlds, n = np.random.default_rng(11), 400, 4_000
    truth, leaks, se = np.array([0.10, 0.30, -0.08]), (0.5, 0.05, 0.2), 0.004
    told: dict[str, list[bool]] = {"own": [], "none": [], "any": []}
    for _ in range(worlds):
        met = rng.random((n, 3)) < leaks
        control = np.prod(1 + truth * met, axis=1).mean()
        shown = float(np.prod(1 + truth) / control - 1) + 0.01 * rng.standard_normal()
        half = stats.norm.ppf(0.975) * 0.01 / (1 + shown)
        seen = truth + se * rng.standard_normal(3)
        for name, shares in (("own", met.mean(axis=0)), ("none", np.zeros(3)), ("any", [met.any(axis=1).mean()] * 3)):
            members = [
                member(str(i), reading(x, se, threshold=None), met=(float(share),) * 24)
                for i, (x, share) in enumerate(zip(seen, shares, strict=True))
            ]
            found = reconcile(LINES, SPAN, measured(shown, half), members)
            assert math.fsum(parts(found).values()) == pytest.approx(found.gap, abs=ADDS_UP)
            told[name].append(bool(found.explained))
    assert np.mean(told["own"]) == pytest.approx(0.95, abs=0.03)
    assert np.mean(told["none"]) < 0.1
    assert np.mean(told["any"]) < 0.1


def test_what_cannot_be_read_is_named_and_left_in_the_rest() -> None:
    members = [
        member("known", reading(0.02, 0.01), met=None, met_reason="its files are gone"),
        member("blind", None, reason="it has no metric lines", met=None),
        member("other", reading(0.0, 0.01), met=None, met_reason="its files are gone"),
        member("clean", reading(0.0, 0.01)),
        member("later", reading(0.0, 0.01), met=None, started=30.0, decided=None, state="running"),
    ]
    found = reconcile(LINES, SPAN, measured(0.05, 0.02), members)
    assert found.reason == "in the rest, for their lift cannot be read: blind"
    assert [(row.key, row.lift, row.reason) for row in found.members] == [
        ("known", 0.02, None), ("blind", None, "it has no metric lines"), ("other", 0.0, None), ("clean", 0.0, None),
        ("later", 0.0, None),
    ]  # fmt: skip
    leak = next(part for part in found.parts if part.name == "contamination")
    # What nobody knows adds nothing, and that is said; of what adds nothing anyway there is nothing to know.
    assert (leak.value, leak.reason) == (0.0, "not measured for known, other: its files are gone")
    assert [row.held_out for row in found.members] == [None, None, None, 0.0, None]
    assert reconcile(LINES, SPAN, measured(0.05, 0.02), members[:1]).bayes is None
    nothing = reconcile(LINES, SPAN, measured(0.05, 0.02), [])
    assert (nothing.raw, nothing.expected, nothing.reason) == (0.0, 0.0, "nothing has been launched yet")
    waiting = reconcile(LINES, SPAN, None, members[:1])
    assert (waiting.gap, waiting.explained) == (None, None)
    assert waiting.reason == "the holdout has no lift over these weeks yet"
    assert [part.name for part in waiting.parts][-1] == "contamination"


def test_time_after_a_launch_is_a_share_of_the_span() -> None:
    assert [weeks_since(SPAN, week) for week in (0.0, 20.0, 21.5, 24.0, 60.0, math.inf)] == [1, 1, 0.625, 0, 0, 0]


# --- One member -------------------------------------------------------------------------------------------------------
PLAN = make_plan(
    horizon_weeks=10, windows=(Window("early", 0, 2), Window("late", 5, 10)), metrics=(LINES, ACTIVE, HEAD_SHARE)
)
ROWS = draw_rows(PLAN, 1_500, seed=8)
READ = START + timedelta(days=7 * 16)


def test_a_member_is_read_on_the_window_that_decides_and_on_its_newest_weeks() -> None:
    for metric, window in ((LINES, Window("early", 0, 2)), (ACTIVE, Window("late", 5, 10))):
        found = read_member(triangle_of_rows(PLAN, ROWS, READ), metric, "a")
        assert isinstance(found, Reading)
        assert (found.start_week, found.end_week) == (window.start_week, window.end_week)
        assert (found.aged_start_week, found.aged_end_week) == (6, 10)
        expected = brute(ROWS, metric.key, "a", [0, 1, 2], [window, Window("", 6, 10)], adjust=True)
        first, second = (expected.treatment[i] / expected.control[i] for i in (0, 1))
        assert (found.lift, found.aged_lift) == pytest.approx((first - 1, second - 1), rel=ADJUSTED)
        errors = (first * expected.relative_se[0], second * expected.relative_se[1])
        assert (found.se, found.aged_se) == pytest.approx(errors, rel=ADJUSTED)
        a, b = expected.relative_se
        assert found.correlation == pytest.approx(
            (a**2 + b**2 - expected.log_contrast_se**2) / (2 * a * b), rel=1e3 * ADJUSTED
        )


def test_the_threshold_is_the_critical_value_of_the_launch_and_there_is_none_without_a_claim() -> None:
    triangle = triangle_of_rows(PLAN, ROWS, READ)
    judged = read_member(triangle, LINES, "a")
    guardrail = read_member(triangle, HEAD_SHARE, "a")
    assert isinstance(judged, Reading)
    assert isinstance(guardrail, Reading)
    # Three pairs of metric and window share alpha, and looks spend it: beyond Bonferroni's value.
    assert judged.threshold is not None
    assert stats.norm.ppf(1 - 0.05 / 6) < judged.threshold < stats.norm.ppf(1 - 0.05 / 6) + 0.2
    assert guardrail.threshold is None


def test_until_the_late_window_is_lived_the_early_one_is_the_headline() -> None:
    early = START + timedelta(days=7 * 5 + 6)
    found = read_member(triangle_of_rows(PLAN, ROWS, early), ACTIVE, "a")
    assert isinstance(found, Reading)
    assert (found.start_week, found.end_week) == (0, 2)
    # Four weeks have not been lived by enough units: the same weeks stand for both.
    means = means_of(triangle_of_rows(PLAN, ROWS, early).of_metric(ACTIVE), ACTIVE, "a", [Window("", 0, 2)], (0, 1, 2))
    assert means is not None
    assert found.lift == pytest.approx(effect_of(means).lift)


def test_a_metric_that_is_not_the_holdouts_has_a_reason() -> None:
    triangle = triangle_of_rows(PLAN, ROWS, READ)
    assert read_member(triangle, replace(LINES, key="gone"), "a") == "it has no metric gone"
    other = replace(LINES, column="head_lines")
    assert read_member(triangle, other, "a") == "its metric lines is measured in another way than the holdout's"
    young = triangle_of_rows(PLAN, ROWS, START + timedelta(days=3))
    assert str(read_member(young, LINES, "a")).startswith("none of its cohorts has lived the early window")
    churn = Metric(key="churn", kind="event", event=Event("inactivity", "lines", 2), better="lower", role="secondary")
    eventful = make_plan(metrics=(churn,), horizon_weeks=10)
    assert read_member(triangle_of_rows(eventful, ROWS), churn, "a") == "a time to event has no lift that adds up"
