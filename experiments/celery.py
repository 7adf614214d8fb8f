"""The Celery application. Workers and beat use Holdfast's own database server like every other process."""

import os
import sys
from pathlib import Path
from typing import Any

from celery import Celery
from celery.beat import PersistentScheduler
from celery.signals import beat_init, before_task_publish, celeryd_init, setup_logging, task_postrun, task_prerun
from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES

from experiments import embedded, logs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "experiments.settings")

TRANSPORT_ALIASES["filesystem"] = "experiments.filequeue:Transport"

app = Celery("holdfast")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


class Scheduler(PersistentScheduler):
    """Beat's own memory of when it last asked is a file in Holdfast's folder."""

    def setup_schedule(self) -> None:
        embedded.make_home(settings.HOLDFAST_HOME)
        super().setup_schedule()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Leave a mark at every turn: a beat that hangs is known by an old one."""
        settings.HOLDFAST_BEAT_MARK.touch()
        return float(super().tick(*args, **kwargs))


def make_queue_folders() -> None:
    """The folders of the file queue, private to this user; nothing to do with another broker."""
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    folders = [Path(value) for key, value in options.items() if "folder" in key]
    if not folders:
        return
    embedded.make_home(settings.HOLDFAST_HOME)
    settings.HOLDFAST_QUEUE_FOLDER.mkdir(mode=0o700, exist_ok=True)
    for folder in folders:
        folder.mkdir(mode=0o700, exist_ok=True)


@celeryd_init.connect
@beat_init.connect
def acquire_database(**_: Any) -> None:
    """In the main process only: pool children are forked later, and a forked child neither holds nor stops a server."""
    if not settings.HOLDFAST_EMBEDDED:
        return
    try:
        embedded.acquire(settings.HOLDFAST_HOME)
    except embedded.ServerProblem as problem:
        print(problem, file=sys.stderr)
        raise SystemExit(1) from None


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Celery sets up loggers of its own unless somebody takes this on: Django has done it, by LOGGING."""


@before_task_publish.connect
def send_request_id(headers: dict[str, Any], **_: Any) -> None:
    """A task carries the id of the request that asked for it, and so do the tasks that follow from it."""
    if found := logs.bound_request_id():
        headers[logs.REQUEST_ID] = found


@task_prerun.connect
def bind_task(task_id: str, task: Any, **_: Any) -> None:
    name = task.name.rpartition(".")[2]
    logs.begin(getattr(task.request, logs.REQUEST_ID, None), task=name, task_id=task_id)


@task_postrun.connect
def unbind_task(**_: Any) -> None:
    logs.begin()


make_queue_folders()
