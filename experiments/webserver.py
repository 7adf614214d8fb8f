"""What gunicorn is told: ``gunicorn --config python:experiments.webserver``."""

import os
import shutil
import tempfile
from typing import Any

from prometheus_client import multiprocess

from experiments import settings

COUNTS = "PROMETHEUS_MULTIPROC_DIR"

workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 4
control_socket_disable = True
# Whether a request came by https is for Django to say, which knows how many proxies there are (HOLDFAST_PROXIES).
secure_scheme_headers: dict[str, str] = {}
# A body of more is refused by Django; this is for what comes before it.
limit_request_line = 8190
limit_request_fields = 100
logconfig_dict = settings.LOGGING


def on_starting(server: Any) -> None:
    """Each process counts its requests in files of this folder, and whichever is asked adds all of them up."""
    os.environ[COUNTS] = tempfile.mkdtemp(prefix="holdfast-counts-")


def child_exit(server: Any, worker: Any) -> None:
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    shutil.rmtree(os.environ.get(COUNTS, ""), ignore_errors=True)
