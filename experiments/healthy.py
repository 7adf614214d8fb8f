"""Ask a running process of this machine whether it is well: ``python -m experiments.healthy web``, worker or beat.

For the health checks of containers, which are run again and again: no command of ``manage.py``, since those load all of
Django and the statistics first, which takes longer than the answer. Exit codes: 0 well, 1 not, 2 wrong usage.
"""

import argparse
import json
import os
import sys
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPException

#: A beat leaves its mark at least every CELERY_BEAT_MAX_LOOP_INTERVAL; one that missed this many hangs.
MISSED_TURNS = 3

ANSWER_SECONDS = 5.0


class NotWell(Exception):
    """The process does not answer as it should. The message says how."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.healthy", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("process", choices=("web", "worker", "beat"), help="which of them is asked")
    parser.add_argument("--port", type=int, default=8000, help="of the web server (default: %(default)s)")
    parser.add_argument("--name", help="the worker's name, as in `celery worker --hostname`; any worker without it")
    given = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "experiments.settings")
    try:
        if given.process == "web":
            ask_web(given.port)
        elif given.process == "worker":
            ask_worker(given.name)
        else:
            look_at_beat(time.time())
    except NotWell as problem:
        print(f"Error: {problem}", file=sys.stderr)
        return 1
    print(f"The {given.process} is well.")
    return 0


def ask_web(port: int) -> None:
    """Raise NotWell unless the web server says that it is alive. No settings are read for it."""
    address = f"127.0.0.1:{port}"
    try:
        with closing(HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)) as web:
            web.request("GET", "/healthz")
            said = json.load(web.getresponse())
    except (OSError, HTTPException, ValueError) as error:
        raise NotWell(f"the web server does not answer at {address}: {error}") from None
    if said != {"alive": True}:
        raise NotWell(f"something else answers at {address}")


def ask_worker(name: str | None) -> None:
    """Raise NotWell unless the worker answers through the broker."""
    from django.conf import settings

    from experiments import queue

    if not settings.CELERY_WORKER_ENABLE_REMOTE_CONTROL:
        raise NotWell("workers on the file queue cannot be asked; set CELERY_BROKER_URL")
    try:
        answers = queue.answering(name, ANSWER_SECONDS)
    except queue.QueueProblem as problem:
        raise NotWell(str(problem)) from None
    if not answers:
        raise NotWell(f"no worker{f' {name}' if name else ''} answered within {ANSWER_SECONDS:.0f} seconds")


def look_at_beat(now: float) -> None:
    """Raise NotWell unless beat left its mark lately. ``now`` is in seconds since 1970."""
    from django.conf import settings

    mark = settings.HOLDFAST_BEAT_MARK
    try:
        age = now - mark.stat().st_mtime
    except FileNotFoundError:
        raise NotWell(f"beat has left no mark at {mark}") from None
    if age > MISSED_TURNS * settings.CELERY_BEAT_MAX_LOOP_INTERVAL:
        raise NotWell(f"beat left its last mark {age:.0f} seconds ago")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
