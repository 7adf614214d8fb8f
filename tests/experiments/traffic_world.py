"""Experiments and holdouts by their definitions, without data: what they take of all units is all that is asked."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from experiments.definitions import Definition
from experiments.models import Experiment, Traffic
from experiments.services.apply import Applied, apply
from tests.experiments.looks import definition

#: A Wednesday. Experiments of these tests start on the Monday before unless they say otherwise.
NOW = datetime(2024, 6, 5, 12, tzinfo=UTC)
MONDAY, NEXT_MONDAY = date(2024, 6, 3), date(2024, 6, 10)
FOLDER = Path("/nowhere")


def experiment(key: str, **changes: Any) -> Definition:
    return definition(FOLDER, **{"experiment": key, "start_date": MONDAY, **changes})


def holdout(key: str = "winter", **changes: Any) -> Definition:
    given = {
        "experiment": None, "holdout": key, "fraction": 0.05, "planned_end_date": date(2024, 12, 30), "variants": None,
        "start_date": MONDAY, "enrollment_weeks": None, "horizon_weeks": None,
    }  # fmt: skip
    return definition(FOLDER, **{**given, **changes})


def put(*definitions: Definition, now: datetime = NOW, **options: Any) -> tuple[Applied, ...]:
    return apply(definitions, now, **options)


def of(key: str) -> Traffic:
    return Traffic.objects.select_related("experiment__plan").get(experiment__key=key)


def buckets(key: str) -> tuple[int, int]:
    found = of(key).buckets
    return found.lower, found.upper


def named(key: str) -> Experiment:
    return Experiment.objects.get(key=key)
