"""Celery tasks: one line each. They take ids, may be delivered twice, and read the clock for the services."""

from celery import shared_task
from django.utils import timezone

from experiments.services import cells, event_store, people, schedule, source_checks, sources
from experiments.sources import spills


@shared_task(acks_late=True, reject_on_worker_lost=True)
def run_cell(*, cell_id: int) -> None:
    cells.run(cell_id, timezone.now())


@shared_task(acks_late=True, reject_on_worker_lost=True)
def take_due_looks() -> None:
    schedule.take_due(timezone.now())


@shared_task(acks_late=True, reject_on_worker_lost=True)
def forget_old_sessions() -> None:
    people.forget_old_sessions(timezone.now())


@shared_task(acks_late=True, reject_on_worker_lost=True)
def make_event_partitions() -> None:
    event_store.make_partitions_ahead(timezone.now())


@shared_task(acks_late=True, reject_on_worker_lost=True)
def forget_event_ids() -> None:
    event_store.forget_ids(timezone.now())


@shared_task(acks_late=True, reject_on_worker_lost=True)
def sweep_uploads() -> None:
    sources.sweep(timezone.now())


@shared_task(acks_late=True, reject_on_worker_lost=True)
def sweep_spills() -> None:
    spills.sweep(timezone.now())


@shared_task(acks_late=True, reject_on_worker_lost=True)
def check_source(*, check_id: int) -> None:
    source_checks.run(check_id, timezone.now())


@shared_task(acks_late=True, reject_on_worker_lost=True)
def resume_checks() -> None:
    source_checks.resume()
