"""How the installation itself is doing, for probes and monitoring: what is missing, and how much of what there is."""

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Count, F, FloatField, Min, Q, QuerySet, Sum
from django.db.models.functions import Extract

from experiments import queue
from experiments.models import Decision, Experiment, Look, LookCell
from experiments.models.look import DONE, PLANNED, RUNNING
from experiments.queue import QueueProblem

log = logging.getLogger(__name__)

#: Upper ends of the classes in which the durations of looks are counted, in seconds.
LOOK_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)


@dataclass(frozen=True)
class Amounts:
    """What the database holds of each kind.

    Attributes:
        cells: of open looks, by kind and state.
        look_seconds: looks that were done within each of LOOK_SECONDS, from being asked for to being stored.
        done, done_seconds: all looks that were done, and the sum of their seconds.
        oldest_seconds: the age of the oldest look that is open; 0 without one.
    """

    experiments: Mapping[str, int]
    looks: Mapping[str, int]
    cells: Mapping[tuple[str, str], int]
    decisions: Mapping[str, int]
    look_seconds: Mapping[float, int]
    done: int
    done_seconds: float
    oldest_seconds: float


def unready() -> list[str]:
    """Say what keeps this installation from working, each in a sentence that gives no address away; [] if nothing."""
    return [*_database_problems(), *_queue_problems()]


def _database_problems() -> list[str]:
    try:
        missing = _migrations() - set(MigrationRecorder(connection).applied_migrations())
    except DatabaseError as error:
        log.warning("not ready: %s", error)
        return ["the database cannot be reached"]
    if missing:
        return [f"{len(missing)} migrations are not applied to the database; run `manage.py migrate`"]
    return []


def _queue_problems() -> list[str]:
    try:
        queue.waiting()
    except QueueProblem as problem:
        log.warning("not ready: %s", problem)
        return ["the queue cannot be reached, so no looks are taken"]
    return []


@functools.cache
def _migrations() -> frozenset[tuple[str, str]]:
    """All migrations of this code. They are files, and do not change while the process lives."""
    return frozenset(MigrationLoader(None).disk_migrations)


def amounts(now: datetime) -> Amounts:
    """Count, with ages as of ``now``. Raises DatabaseError."""
    done = Look.objects.filter(state=DONE, finished_at__gte=F("planned_at")).annotate(
        seconds=Extract(F("finished_at") - F("planned_at"), "epoch", output_field=FloatField())
    )
    within = {f"within_{number}": Count("pk", filter=Q(seconds__lte=end)) for number, end in enumerate(LOOK_SECONDS)}
    counted = done.aggregate(all=Count("pk"), total=Sum("seconds"), **within)
    still_open = Look.objects.filter(state__in=(PLANNED, RUNNING))
    oldest = still_open.aggregate(at=Min("planned_at"))["at"]
    cells = LookCell.objects.filter(look__in=still_open).values_list("kind", "state").annotate(Count("pk"))
    return Amounts(
        experiments=_by(Experiment.objects.all(), "state"),
        looks=_by(Look.objects.all(), "state"),
        cells={(kind, state): count for kind, state, count in cells},
        decisions=_by(Decision.objects.all(), "action"),
        look_seconds={end: counted[f"within_{number}"] for number, end in enumerate(LOOK_SECONDS)},
        done=counted["all"],
        done_seconds=float(counted["total"] or 0),
        oldest_seconds=0.0 if oldest is None else max(0.0, (now - oldest).total_seconds()),
    )


def _by(rows: QuerySet[Any], field: str) -> dict[str, int]:
    return dict(rows.order_by().values_list(field).annotate(Count("pk")))
