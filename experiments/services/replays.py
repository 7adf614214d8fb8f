"""Replay: what each past look would have recommended. Stored with the newest look, from its own triangle."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from analysis.replay import NaiveLaunch, Replay, ReplayStep
from analysis.replay import replay as replayed
from experiments.models import CurrentTriangle, read_replay
from experiments.services.results import NoLookYet, find_experiment, stored_scorecard


def replay(key: str) -> tuple[Replay, date]:
    """Return the replay of an experiment under its plan in force, and the day of the data it rests on.

    Looks of an earlier version have none stored; theirs is computed here. Raises NoSuchExperiment, NoLookYet.
    """
    experiment = find_experiment(key)
    stored = CurrentTriangle.objects.filter(plan=experiment.plan_id).select_related("look", "plan__experiment").first()
    if stored is None:
        stored_scorecard(key)  # says why there is none
        raise NoLookYet(f"{key} has no stored moments", f"Take a look with: python manage.py refresh {key} --wait")
    found = read_replay(stored.look)
    return found if found.naive else replayed(stored.load()), stored.as_of


def replay_to_json(key: str, found: Replay, as_of: date) -> dict[str, Any]:
    """Return a replay as plain JSON values. Floats are not rounded."""
    return {
        "version": 1, "key": key, "as_of": as_of.isoformat(),
        "looks": [_step(step) for step in found.steps],
        "two_week_test": [_naive(row) for row in found.naive],
    }  # fmt: skip


def _step(step: ReplayStep) -> Mapping[str, Any]:
    return {
        "variant": step.variant, "look": step.look, "as_of": step.as_of.isoformat(), "action": step.action,
        "reasons": list(step.reasons),
    }  # fmt: skip


def _naive(row: NaiveLaunch) -> Mapping[str, Any]:
    return {
        "variant": row.variant, "as_of": row.as_of.isoformat(), "launched": row.launched, "metric": row.metric,
        "lift": row.lift, "p_value": row.p_value, "outcomes": [vars(outcome) for outcome in row.outcomes],
        "reason": row.reason,
    }  # fmt: skip
