"""Every branch of the recommendation, from hand-made rows; the first rule that holds gives the action."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import windows
from analysis.plan import DecisionRule, Metric
from analysis.recommendation import Evidence, recommend
from analysis.results import CheckRow, ConflictRow, EffectRow, ReversalRow, RollbackRow, SurvivalComparisonRow
from tests.analysis.unit_rows import START, all_mature, make_plan

LINES = Metric(key="lines", kind="mean", column="lines", better="higher", role="primary", term="short")
STAYS = Metric(key="stays", kind="active", column="lines", better="higher", role="primary", term="long")
COST = Metric(key="cost", kind="mean", column="cost", better="lower", role="guardrail", margin=0.02)
CHURN = Metric(key="churn", kind="event", better="lower", role="guardrail", margin=0.02)
PLAN = make_plan(metrics=(LINES, STAYS, COST), decision=DecisionRule(min_weeks=4))
DONE = all_mature(PLAN)
EARLY_READ = windows.fully_readable(PLAN, 2) + timedelta(days=1)


def effect(metric, window, low, high, verdict=None, plan=PLAN):
    span = plan.window(window)
    return EffectRow(
        metric=metric.key, role=metric.role, term=metric.term, variant="a", window=window,
        start_week=span.start_week, end_week=span.end_week, readable_from=windows.fully_readable(plan, span.end_week),
        n_control=1000, n_treatment=1000, effect=(low + high) / 2, effect_se=1.0, lift=(low + high) / 2,
        sequential_effect_low=low, sequential_effect_high=high, sequential_lift_low=low, sequential_lift_high=high,
        margin=metric.margin, verdict=verdict,
    )  # fmt: skip


BETTER, WORSE, OPEN = (0.01, 0.03), (-0.03, -0.01), (-0.01, 0.02)


def effects(early=BETTER, late=OPEN, stays=OPEN, cost="non_inferior"):
    return (
        effect(LINES, "early", *early), effect(LINES, "late", *late), effect(STAYS, "late", *stays),
        effect(COST, "late", *OPEN, verdict=cost),
    )  # fmt: skip


def reversal(state, metric="lines"):
    return ReversalRow(metric=metric, variant="a", state=state, readable_from=DONE, reason="why")


def evidence(as_of=DONE, **changes):
    given = {
        "plan": PLAN, "as_of": as_of, "variant": "a", "effects": effects(), "reversals": (), "conflicts": (),
        "rollback": (), "checks": (CheckRow(check="srm", state="ok"),),
    }  # fmt: skip
    return Evidence(**{**given, **changes})


def srm(state, check="srm"):
    return (CheckRow(check=check, state=state, detail="seen"),)


MET = RollbackRow(metric="stays", variant="a", window="latest", below=-0.03, met=True, lift=-0.1, lift_high=-0.04)
CONFLICT = ConflictRow(
    variant="a", short_metric="lines", long_metric="cost", state="confirmed", readable_from=DONE, reason="why"
)
UNREAD = tuple(
    row if row.window == "early" else replace(row, sequential_effect_low=None, sequential_effect_high=None,
                                              sequential_lift_low=None, sequential_lift_high=None, verdict=None)
    for row in effects()
)  # fmt: skip

COST_EARLY = effect(COST, "early", 0.03, 0.05)
CLICKS = Metric(key="clicks", kind="mean", column="clicks", better="higher", role="secondary")
WITH_CLICKS = replace(PLAN, metrics=(*PLAN.metrics, CLICKS))
SHORT_ALONE = replace(PLAN, metrics=(LINES,))
NO_INTERVAL = replace(UNREAD[2], reason="the units do not vary")

CASES = [
    # a mismatch goes before everything else, even before harm
    ("srm alarm", evidence(checks=srm("alarm"), rollback=(MET,)), "stop", "not split as designed"),
    ("sequential srm alarm", evidence(checks=srm("alarm", "srm_sequential")), "stop", "not split as designed"),
    # harm
    ("rollback criterion", evidence(rollback=(MET,)), "roll_back", "rollback criterion met"),
    ("rollback before min_weeks", evidence(START + timedelta(days=8), rollback=(MET,)), "roll_back", "criterion met"),
    ("confirmed on a primary", evidence(reversals=(reversal("confirmed"),)), "roll_back", "early win, later loss"),
    ("guardrail inferior", evidence(effects=effects(cost="inferior")), "roll_back", "guardrail cost"),
    ("long-term primary worse", evidence(effects=effects(stays=WORSE)), "roll_back", "stays is surely worse"),
    # time
    ("before min_weeks", evidence(START + timedelta(days=27), effects=UNREAD), "keep_running", "asks for 4 weeks"),
    # launches
    ("short-term win, all readable", evidence(), "launch", "lines is surely better"),
    ("long-term win", evidence(effects=effects(early=OPEN, stays=BETTER)), "launch", "stays is surely better"),
    ("short-term win on late", evidence(effects=effects(early=OPEN, late=BETTER)), "launch", "lines is surely better"),
    ("long term unread", evidence(EARLY_READ, effects=UNREAD), "launch_with_holdback", "readable from"),
    ("early loss made up late", evidence(effects=effects(early=WORSE, late=BETTER)), "launch", "has made up for it"),
    ("guardrail bad before it decides", evidence(effects=(*effects(), COST_EARLY)), "launch", "lines is surely better"),
    # what forbids a launch, or a holdback
    ("guardrail open", evidence(effects=effects(cost="undecided")), "keep_running", "guardrail cost is not surely"),
    ("short-term primary worse late", evidence(effects=effects(late=WORSE)), "keep_running", "lines is surely worse"),
    ("early loss not made up", evidence(effects=effects(early=WORSE, stays=BETTER)), "keep_running",
     "lines is surely worse: weeks 0-1"),
    ("early loss, long term unread", evidence(EARLY_READ, effects=(effect(LINES, "early", *WORSE), *UNREAD[1:])),
     "keep_running", "lines is surely worse"),
    ("guardrail bad so far, long term unread", evidence(EARLY_READ, effects=(*UNREAD, COST_EARLY)), "keep_running",
     "guardrail cost is surely worse than its margin of 2 % so far: weeks 0-1"),
    ("a criterion not met", evidence(rollback=(replace(MET, met=False),)), "launch", "lines is surely better"),
    ("turned", evidence(reversals=(reversal("turned"),)), "keep_running", "turned"),
    ("turned, long term unread", evidence(EARLY_READ, effects=UNREAD, reversals=(reversal("turned"),)),
     "keep_running", "turned"),
    ("an alarm, long term unread", evidence(EARLY_READ, effects=UNREAD, checks=srm("alarm", "freshness")),
     "keep_running", "freshness is in alarm"),
    ("conflict, long term unread", evidence(EARLY_READ, effects=UNREAD, conflicts=(CONFLICT,)), "keep_running",
     "lines against cost"),
    ("conflict not confirmed", evidence(conflicts=(replace(CONFLICT, state="immature"),)), "launch", "surely better"),
    ("confirmed on a secondary", evidence(plan=WITH_CLICKS, reversals=(reversal("confirmed", "clicks"),)),
     "keep_running", "clicks: confirmed"),
    ("warned", evidence(reversals=(reversal("warning"),)), "keep_running", "warning"),
    ("warned, long term unread", evidence(EARLY_READ, effects=UNREAD, reversals=(reversal("warning"),)),
     "keep_running", "warning"),
    ("confirmed on a guardrail", evidence(reversals=(reversal("confirmed", "cost"),)), "keep_running", "confirmed"),
    ("conflict", evidence(conflicts=(CONFLICT,)), "keep_running", "lines against cost"),
    ("another alarm", evidence(checks=srm("alarm", "freshness")), "keep_running", "freshness is in alarm"),
    # nothing won
    ("nothing won", evidence(effects=effects(early=OPEN)), "stop", "no primary metric is surely better"),
    ("nothing won yet", evidence(EARLY_READ, effects=(replace(UNREAD[0], sequential_effect_low=-1.0), *UNREAD[1:])),
     "keep_running", "readable from"),
    ("nothing is there at all", evidence(effects=()), "keep_running", "stays has no interval to decide on"),
    ("short term alone, unread", evidence(EARLY_READ, plan=SHORT_ALONE, effects=(effect(LINES, "early", *OPEN),)),
     "keep_running", "lines in weeks 4-5 is readable"),
    ("short term alone, early win", evidence(EARLY_READ, plan=SHORT_ALONE, effects=(effect(LINES, "early", *BETTER),)),
     "launch_with_holdback", "lines in weeks 4-5 is readable"),
    ("short term alone, read", evidence(plan=SHORT_ALONE, effects=effects()[:2]), "launch", "lines is surely better"),
    ("lived, but no interval", evidence(effects=(*effects()[:2], NO_INTERVAL, effects()[3])), "keep_running",
     "stays has no interval to decide on: the units do not vary"),
    ("lived, no interval and no reason", evidence(effects=(*effects()[:2], replace(NO_INTERVAL, reason=None),
     effects()[3])), "keep_running", "stays has no interval to decide on: nothing is known of it"),
    ("fading forbids nothing", evidence(reversals=(reversal("fading"),)), "launch", "lines is surely better"),
    ("an unknown check forbids nothing", evidence(checks=srm("unknown", "attrition")), "launch", "surely better"),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "action", "words"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_the_first_rule_that_holds_gives_the_action(rows, action, words):
    found = recommend(rows)
    assert found.action == action
    assert found.reasons
    assert words in " ".join(found.reasons)


def survival(readable_from, verdict=None):
    """The row of churn at its horizon; without a verdict it cannot be read yet."""
    row = SurvivalComparisonRow(
        metric="churn", role="guardrail", term=None, variant="a", tau=5, horizon_week=5, readable_from=readable_from,
        margin=0.02, verdict=verdict, reason=None if verdict else "not lived yet",
    )  # fmt: skip
    if verdict is None:
        return (row,)
    ends = {"rmst": (-0.3, -0.2), "lift": (-0.06, -0.04)}
    return (replace(row, rmst_difference=-0.25, rmst_lift=-0.05, **{
        f"sequential_{name}_{end}": value for name, pair in ends.items()
        for end, value in zip(("low", "high"), pair, strict=True)
    }),)  # fmt: skip


EVENTS = [
    (survival(DONE + timedelta(days=14)), "launch_with_holdback", "churn over 5 weeks is readable from"),
    (survival(DONE), "keep_running", "churn has no interval to decide on: not lived yet"),
    (survival(DONE, "inferior"), "roll_back", "guardrail churn is surely worse than its margin of 2 %: weeks without"),
    (survival(DONE, "undecided"), "keep_running", "guardrail churn is not surely within its margin"),
    (survival(DONE, "non_inferior"), "launch", "lines is surely better"),
]


@pytest.mark.parametrize(("rows", "action", "words"), EVENTS)
def test_a_time_to_event_guards_as_other_metrics_do(rows, action, words):
    plan = replace(PLAN, metrics=(*PLAN.metrics, CHURN))
    found = recommend(evidence(plan=plan, survival=rows))
    assert found.action == action
    assert words in " ".join(found.reasons)


def test_an_effect_without_a_lift_is_told_in_its_own_unit():
    bare = replace(effect(STAYS, "late", *WORSE), lift=None, sequential_lift_low=None, sequential_lift_high=None)
    found = recommend(evidence(effects=(*effects()[:2], bare, effects()[3])))
    assert found.reasons == ("stays is surely worse: weeks 4-5, effect -0.02",)


ENDS = st.sampled_from([BETTER, WORSE, OPEN, None])
FINDINGS = st.builds(
    lambda early, late, stays, cost, cost_early, verdict: tuple(
        effect(metric, window, *ends, verdict=verdict if (metric, window) == (COST, "late") else None)
        if ends is not None else replace(effect(metric, window, *OPEN), **NOTHING)
        for metric, window, ends in (
            (LINES, "early", early), (LINES, "late", late), (STAYS, "late", stays), (COST, "late", cost),
            (COST, "early", cost_early),
        )
    ),
    ENDS, ENDS, ENDS, ENDS, ENDS, st.sampled_from(["superior", "non_inferior", "inferior", "undecided"]),
)  # fmt: skip
NOTHING = dict.fromkeys(
    ("effect", "lift", "sequential_effect_low", "sequential_effect_high", "sequential_lift_low", "sequential_lift_high")
)
GIVEN = st.builds(
    evidence,
    st.integers(0, 80).map(lambda days: START + timedelta(days=days)),
    effects=st.one_of(FINDINGS, FINDINGS.map(lambda rows: rows[1:]), st.just(())),
    reversals=st.sampled_from(["confirmed", "turned", "warning", "immature", "fading", "none"]).map(
        lambda state: (reversal(state),)
    ),
    conflicts=st.sampled_from([(), (CONFLICT,)]),
    rollback=st.sampled_from([(), (MET,), (replace(MET, met=False, lift=None, lift_high=None),)]),
    checks=st.sampled_from(["ok", "alarm", "unknown"]).map(srm),
)


@settings(derandomize=True, database=None, deadline=None, max_examples=400)
@given(GIVEN)
def test_whatever_is_missing_there_is_a_reason_and_nothing_unread_is_launched_for_good(given_rows):
    found = recommend(given_rows)
    assert found.reasons
    assert all(reason and "None" not in reason and "nan" not in reason for reason in found.reasons)
    deciding = [("lines", "early"), ("lines", "late"), ("stays", "late"), ("cost", "late")]
    unread = [pair for pair in deciding if not given_rows.readable(given_rows.claim(*pair))]
    if found.action == "launch":
        assert not unread
    if found.action == "stop" and "split" not in found.reasons[0]:
        assert not unread
    if found.changes_on is not None:
        assert found.changes_on > given_rows.as_of


def test_keep_running_says_on_which_day_that_may_change():
    found = recommend(evidence(START + timedelta(days=27), effects=UNREAD))
    assert found.changes_on == START + timedelta(days=28)
    waiting = recommend(evidence(EARLY_READ, effects=UNREAD))
    assert waiting.changes_on == windows.readable(PLAN, 0, 6)
    assert recommend(evidence()).changes_on is None
    assert recommend(evidence(checks=srm("alarm"))).changes_on is None
