"""Every branch of the recommendation, from hand-made rows; the first rule that holds gives the action."""

from dataclasses import replace
from datetime import timedelta

import pytest

from analysis import windows
from analysis.plan import DecisionRule, Metric
from analysis.recommendation import Evidence, recommend
from analysis.results import CheckRow, ConflictRow, EffectRow, ReversalRow, RollbackRow
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
    # what forbids a launch, or a holdback
    ("guardrail open", evidence(effects=effects(cost="undecided")), "keep_running", "guardrail cost is not surely"),
    ("short-term primary worse late", evidence(effects=effects(late=WORSE)), "keep_running", "lines is surely worse"),
    ("turned", evidence(reversals=(reversal("turned"),)), "keep_running", "turned"),
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
    ("fading forbids nothing", evidence(reversals=(reversal("fading"),)), "launch", "lines is surely better"),
    ("an unknown check forbids nothing", evidence(checks=srm("unknown", "attrition")), "launch", "surely better"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "action", "words"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_the_first_rule_that_holds_gives_the_action(given, action, words):
    found = recommend(given)
    assert found.action == action
    assert found.reasons
    assert words in " ".join(found.reasons)


def test_an_event_that_cannot_be_read_is_never_not_worse():
    plan = replace(PLAN, metrics=(*PLAN.metrics, CHURN))
    found = recommend(evidence(plan=plan))
    assert found.action == "launch_with_holdback"
    assert "churn" in " ".join(found.reasons)


def test_keep_running_says_on_which_day_that_may_change():
    found = recommend(evidence(START + timedelta(days=27), effects=UNREAD))
    assert found.changes_on == START + timedelta(days=28)
    waiting = recommend(evidence(EARLY_READ, effects=UNREAD))
    assert waiting.changes_on == windows.readable(PLAN, 0, 6)
    assert recommend(evidence()).changes_on is None
    assert recommend(evidence(checks=srm("alarm"))).changes_on is None
