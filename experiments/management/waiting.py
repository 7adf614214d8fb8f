"""Wait for a look in a terminal: a bar on stderr, and a push for work that has come to a standstill."""

import sys
import time
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from experiments.services.cells import wake
from experiments.services.results import LookStatus, status_of

POLL_SECONDS = 0.2

#: Without any progress for so long, cells that are ready are sent to the queue again: a message may have been lost, or
#: a worker with it. The wait doubles each time, because a second message is harmless but not free.
PUSH_SECONDS = 2.0
LONGEST_PUSH_SECONDS = 60.0

#: Nobody works on the look for so long: say how to start a worker.
HINT_SECONDS = 10.0

HINT = "No worker has picked this up yet. If none is running, start one with: python manage.py up"


def wait_for(look_id: int, stream: TextIO | None = None) -> LookStatus:
    """Show a look's progress until it has ended, done or failed."""
    console = Console(file=stream or sys.stderr)
    columns = (TextColumn("{task.fields[key]}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal)
    with bar as progress:
        task = progress.add_task("", total=None, key="")
        hinted = False
        for status, still in _statuses(look_id):
            progress.update(
                task, total=status.total_cells, completed=status.done_cells, description=status.step, key=status.key
            )
            if not hinted and still > HINT_SECONDS and not status.leased_cells:
                console.print(HINT)
                hinted = True
    return status


def _statuses(look_id: int) -> Iterator[tuple[LookStatus, float]]:
    """Yield the look's status and the seconds since it last changed, until the look has ended."""
    before, changed, pushed, patience = None, time.monotonic(), time.monotonic(), PUSH_SECONDS
    while True:
        status, now = status_of(look_id), time.monotonic()
        if status != before:
            before, changed, pushed, patience = status, now, now, PUSH_SECONDS
        elif now - pushed > patience:
            wake(look_id)
            pushed, patience = now, min(2 * patience, LONGEST_PUSH_SECONDS)
        yield status, now - changed
        if status.state in ("done", "failed"):
            return
        time.sleep(POLL_SECONDS)
