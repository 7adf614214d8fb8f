"""Hold on to a claimed cell while the work lasts: a small thread extends the lease."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread

from django.db import connection
from django.db.models.functions import Now
from django.db.utils import Error

from experiments.models import Claim, LookCell

#: A lease is extended this many times within its length, so that one slow moment does not lose it.
BEATS = 3


@contextmanager
def kept(claim: Claim, seconds: int) -> Iterator[None]:
    """Extend the lease of ``claim`` by ``seconds`` again and again until the block ends."""
    with beating(lambda: extend(claim, seconds), seconds, f"lease-{claim.cell.pk}"):
        yield


@contextmanager
def beating(extend_it: Callable[[], bool], seconds: int, name: str) -> Iterator[None]:
    """Call ``extend_it`` several times in ``seconds`` until the block ends or it says that the lease is lost."""
    done = Event()
    thread = Thread(target=_beat, args=(extend_it, seconds, done), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _beat(extend_it: Callable[[], bool], seconds: int, done: Event) -> None:
    """Django gives each thread its own connection; it is opened with the first beat, so short work needs none."""
    try:
        while not done.wait(seconds / BEATS):
            if not _extended(extend_it):
                return
    finally:
        connection.close()


def _extended(extend_it: Callable[[], bool]) -> bool:
    """False once somebody else holds the cell.

    While the database cannot be reached, try again at the next beat: should the lease run out meanwhile, another worker
    takes over, and whose result counts is decided by the token when it is written.
    """
    try:
        return extend_it()
    except Error:
        connection.close()
        return True


def extend(claim: Claim, seconds: int) -> bool:
    """Extend a lease by the database's clock. False if somebody else holds the cell."""
    return LookCell.objects.held(claim).update(lease_until=Now() + timedelta(seconds=seconds)) == 1
