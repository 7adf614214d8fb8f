"""Celery messages as files, for machines without Redis: kombu's filesystem transport with its races closed.

kombu writes a message under its final name, so a reader can take it half-written, and it writes the table of queues
while others read it. Here a message appears by a rename, and the table is read and written under a lock. A message is
also deleted when it is taken, and passes through no folder but ours.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps, loads


class Channel(filesystem.Channel):
    def _put(self, queue: str, payload: Any, **_: Any) -> None:  # type: ignore[override]  # kombu's own name for it
        # wall-clock nanoseconds of a fixed width: names sort by age, across restarts of the machine too
        name = f"{time.time_ns():020d}_{uuid.uuid4()}"
        draft = Path(self.data_folder_out) / f".{name}.draft"
        draft.write_text(dumps(payload), encoding="utf-8")
        draft.rename(draft.with_name(f"{name}.{queue}.msg"))

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        ending = f"{queue}.msg"
        for message in sorted(Path(self.data_folder_in).iterdir()):
            if message.name.partition(".")[2] != ending:
                continue
            taken = Path(self.processed_folder) / message.name
            try:
                message.rename(taken)
            except FileNotFoundError:  # another worker was quicker
                continue
            payload = loads(taken.read_text(encoding="utf-8"))
            taken.unlink()
            return payload
        raise Empty

    def get_table(self, exchange: str) -> Any:
        with self._table_lock(fcntl.LOCK_SH):
            return super().get_table(exchange)

    def _queue_bind(self, exchange: str, routing_key: str | None, pattern: str | None, queue: str) -> None:
        with self._table_lock(fcntl.LOCK_EX):
            super()._queue_bind(exchange, routing_key or "", pattern, queue)

    def _delete(self, queue: str, exchange: str, routing_key: str, pattern: str, *args: Any, **kwargs: Any) -> None:
        with self._table_lock(fcntl.LOCK_EX):
            super()._delete(queue, exchange, routing_key, pattern, *args, **kwargs)

    @contextlib.contextmanager
    def _table_lock(self, kind: int) -> Iterator[None]:
        lock = os.open(self.control_folder / "table.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, kind)
            yield
        finally:
            os.close(lock)


class Transport(filesystem.Transport):
    Channel = Channel
