"""Hand a task to Celery by its name: services ask for work, and never import who does it."""

from celery.exceptions import CeleryError
from django.conf import settings
from django.db import transaction
from kombu.exceptions import KombuError

from experiments.celery import app


class QueueProblem(Exception):
    """The message broker cannot be used. The message says which one."""


def enqueue(task: str, **ids: int) -> None:
    """Send a message for ``experiments.tasks.<task>`` as soon as the open transaction, if any, is committed."""
    transaction.on_commit(lambda: _send(task, ids))


def _send(task: str, ids: dict[str, int]) -> None:
    try:
        app.send_task(f"experiments.tasks.{task}", kwargs=ids, retry=False)
    except (CeleryError, KombuError, OSError) as error:
        broker = settings.CELERY_BROKER_URL.rpartition("@")[2]  # what stands before the @ is a password
        raise QueueProblem(f"the queue at {broker} cannot be used: {error}") from error
