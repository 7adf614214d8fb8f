"""Handmade scorecards as real rows: the experiment is applied, and its look is stored as a finished one."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from django.db import transaction

from analysis.results import Action, Scorecard
from experiments.definitions import Definition
from experiments.models import Decision, Experiment, Look, write_scorecard
from experiments.models.look import DONE
from experiments.services import decisions
from experiments.services.apply import apply
from experiments.sources.base import SourceSpec
from tests.people import person

NOW = datetime(2018, 1, 2, 12, tzinfo=UTC)
FOLDER = Path("/nowhere")


def applied(card: Scorecard, now: datetime = NOW) -> str:
    """Apply the scorecard's plan, without any data behind it, and return its key."""
    source = SourceSpec(kind="files", folder=FOLDER, exposures="exposures.parquet", facts="facts.parquet")
    apply([Definition(plan=card.plan, source=source, file="test.yaml", text="")], now)
    return card.plan.key


def stored(card: Scorecard) -> str:
    """Store the scorecard as a finished look of its experiment, and return the experiment's key."""
    key = applied(card)
    with transaction.atomic():
        look = new_look(key, card.as_of, number=card.look)
        write_scorecard(look, card)
        look.state, look.finished_at = DONE, NOW
        look.save()
    return key


def renamed(card: Scorecard, key: str, name: str) -> Scorecard:
    return replace(card, plan=replace(card.plan, key=key, name=name))


def new_look(key: str, as_of: date, number: int = 1) -> Look:
    """A look that was planned and is waiting for a worker."""
    return Look.objects.create(
        plan=Experiment.objects.get(key=key).current_plan,
        as_of=as_of,
        number=number,
        planned_looks=30,
        fingerprint="test",
        planned_at=NOW,
    )


def decide(key: str, action: Action, reason: str = "", by: str = "owner", **changes: Any) -> Decision:
    """Decide on what is there now."""
    found = decisions.situation(key, "treatment")
    read = {"look_id": found.look_id, "revision": found.experiment.revision, **changes}
    return decisions.decide(key, "treatment", action, reason=reason, by=person(by), now=NOW, **read)
