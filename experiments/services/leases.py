"""Hold on to a claimed cell while the work lasts: a small thread extends the lease."""

from collections.abc import Iterator
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
    done = Event()
    thread = Thread(target=_beat, args=(claim, seconds, done), name=f"lease-{claim.cell.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _beat(claim: Claim, seconds: int, done: Event) -> None:
    """Django gives each thread its own connection; it is opened with the first beat, so short work needs none."""
    try:
        while not done.wait(seconds / BEATS):
            if not _extended(claim, seconds):
                return
    finally:
        connection.close()


def _extended(claim: Claim, seconds: int) -> bool:
    """False once somebody else holds the cell.

    While the database cannot be reached, try again at the next beat: should the lease run out meanwhile, another worker
    takes over, and whose result counts is decided by the token when it is written.
    """
    try:
        return extend(claim, seconds)
    except Error:
        connection.close()
        return True


def extend(claim: Claim, seconds: int) -> bool:
    """Extend a lease by the database's clock. False if somebody else holds the cell."""
    return LookCell.objects.held(claim).update(lease_until=Now() + timedelta(seconds=seconds)) == 1
