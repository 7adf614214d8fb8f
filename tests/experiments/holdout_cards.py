"""A holdout's scorecard, estimated from drawn rows: nine planned weeks, seven of them lived."""

from datetime import date, timedelta

from analysis.plan import Plan, Variant, Window
from analysis.results import Scorecard
from analysis.scorecard import build
from tests.analysis.unit_rows import ACTIVE, HEAD_SHARE, LINES, START, draw_rows, make_plan, triangle_of_rows

WEEKS, LIVED = 9, 7


def holdout_plan() -> Plan:
    return make_plan(
        key="winter", name="Winter", kind="holdout", clock="calendar", fraction=0.2, owner="owner@example.com",
        planned_end_date=START + timedelta(days=7 * WEEKS), members=("ranker", "cards"),
        variants=(Variant("held_out", 0.2, control=True), Variant("launched", 0.8)), enrollment_weeks=3,
        horizon_weeks=8, metrics=(LINES, ACTIVE, HEAD_SHARE), windows=(Window("early", 0, 2), Window("late", 4, 6)),
    )  # fmt: skip


def holdout_card(as_of: date = START + timedelta(days=7 * LIVED)) -> Scorecard:
    plan = holdout_plan()
    return build(triangle_of_rows(plan, draw_rows(plan, 2_000, seed=71), as_of))
