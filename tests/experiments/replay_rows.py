"""Replays for tests: rows with every field and with few, values that the database refuses, and a whole one."""

from datetime import date, timedelta
from math import inf, nan
from typing import Any

from django.db import models

from analysis.replay import NaiveLaunch, Outcome, Replay, ReplayStep
from analysis.results import Action
from experiments.models import NaiveLaunchRow, OutcomeRow, ReplayStepRow
from tests.experiments.cards import START

DAY = date(2017, 7, 9)
LAUNCHED = NaiveLaunch(
    "treatment", DAY, True, "lines", 0.031, 1e-300,
    (Outcome("lines", 13, 26, -0.84, -0.059, True), Outcome("active", 13, 26, None, None, False)), "an odd one",
)  # fmt: skip
UNREAD = NaiveLaunch("bold", DAY, None, reason="not every unit has lived two weeks: all have on 2017-07-09")
STEP = ReplayStep("treatment", 3, date(2017, 6, 19), "keep_running", ("it is too early", 'so "they" say, {really}'))

#: As tests/experiments/test_models_constraints.py lists them.
REFUSED: list[tuple[str, type[models.Model], dict[str, Any]]] = [
    ("replay_step_action_is_known", ReplayStepRow, {"action": "pray"}),
    ("replay_step_has_reasons", ReplayStepRow, {"reasons": []}),
    ("replay_step_has_reasons", ReplayStepRow, {"reasons": ["well", ""]}),
    ("naive_launch_is_finite", NaiveLaunchRow, {"lift": inf}),
    ("naive_launch_is_finite", NaiveLaunchRow, {"p_value": 1.2}),
    ("naive_launch_is_a_number_or_a_reason", NaiveLaunchRow, {"metric": None}),  # launched without a metric
    ("naive_launch_is_a_number_or_a_reason", NaiveLaunchRow, {"p_value": None, "launched": False, "reason": ""}),
    ("outcome_has_weeks", OutcomeRow, {"end_week": 13}),
    ("outcome_is_finite", OutcomeRow, {"lift": nan}),
]
TWICE: list[tuple[str, type[models.Model], dict[str, Any]]] = [
    ("replay_step_is_unique", ReplayStepRow, {"position": 99}),
    ("naive_launch_is_unique", NaiveLaunchRow, {"position": 99}),
    ("outcome_is_unique", OutcomeRow, {"position": 99}),
]


def honeymoon(looks: int = 30, variant: str = "treatment") -> Replay:
    """Keep running, launch with holdback from look 7 on, roll back from look 18 on; the two-week test launches."""
    steps = []
    for look in range(1, looks + 1):
        action: Action = "keep_running" if look < 7 else "launch_with_holdback" if look < 18 else "roll_back"
        steps.append(ReplayStep(variant, look, START + timedelta(days=7 * look), action, (f"{action}, look {look}",)))
    outcomes = (Outcome("lines", 13, 26, -0.84, -0.059, True), Outcome("active", 13, 26, 0.01, 0.002, False))
    return Replay(tuple(steps), (NaiveLaunch(variant, DAY, True, "lines", 0.031, 5e-5, outcomes),))
