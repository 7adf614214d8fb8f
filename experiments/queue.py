"""Hand a task to Celery by its name: services ask for work, and never import who does it."""

from contextlib import closing
from typing import Any

from celery.exceptions import CeleryError
from django.conf import settings
from django.db import transaction
from kombu.exceptions import KombuError

from experiments.celery import app

#: Who asks for the length of the queue does not wait longer.
ANSWER_SECONDS = 2.0

RETRY = {"max_retries": 1, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2}


class QueueProblem(Exception):
    """The message broker cannot be used. The message says which one."""


def enqueue(task: str, **ids: int) -> None:
    """Send a message for ``experiments.tasks.<task>`` as soon as the open transaction, if any, is committed."""
    transaction.on_commit(lambda: _send(task, ids))


def waiting() -> int:
    """Return how many messages no worker has taken yet. Raises QueueProblem if the broker does not answer."""
    with closing(app.connection_for_read(connect_timeout=ANSWER_SECONDS)) as broker:
        errors: tuple[type[BaseException], ...] = (CeleryError, KombuError, OSError, *broker.connection_errors)
        try:
            broker.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            channel: Any = broker.default_channel
            return int(channel.queue_declare(settings.CELERY_TASK_DEFAULT_QUEUE, passive=True).message_count)
        except errors as error:
            raise _problem(error) from error
        except broker.channel_errors:  # there is no such queue before its first message or worker
            return 0


def answering(name: str | None, seconds: float) -> int:
    """Ask the worker of this name, or all of them, and return how many answered. Raises QueueProblem."""
    waiting()  # says so at once where there is no broker: asking through it would try again for long
    return len(app.control.ping(destination=[name] if name else None, timeout=seconds) or [])


def _send(task: str, ids: dict[str, int]) -> None:
    try:
        # A connection that was kept while the broker was started anew is noticed at its first use: try once more.
        app.send_task(f"experiments.tasks.{task}", kwargs=ids, retry=True, retry_policy=RETRY)
    except (CeleryError, KombuError, OSError) as error:
        raise _problem(error) from error


def _problem(error: BaseException) -> QueueProblem:
    broker = settings.CELERY_BROKER_URL.rpartition("@")[2]  # what stands before the @ is a password
    return QueueProblem(f"the queue at {broker} cannot be used: {error}")
