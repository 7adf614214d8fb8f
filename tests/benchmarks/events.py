"""How fast events are taken in: ``make bench``. Batches over HTTP to a real server, and what a look then reads of them.

In a database of its own, which is removed at the end.
"""

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from tests.benchmarks.scratch import scratch_database

#: Events of the measurement, of one batch, and clients that send at a time.
EVENTS, BATCH, CLIENTS = 200_000, 2_000, 4


def _sent(address: str) -> float:
    """Send all events and return the seconds that it took."""
    from tests.experiments import event_batches as batches

    now = batches.today()
    work = [
        [batches.exposure(n, now) if n < EVENTS // 10 else batches.fact(n, now) for n in range(first, first + BATCH)]
        for first in range(0, EVENTS, BATCH)
    ]
    headers = batches.sender()
    start = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as threads:
        answers = threads.map(lambda events: batches.send(address, headers, events), work)
        stored = sum(answer["stored"] for answer in answers)
    assert stored == EVENTS, stored
    return time.perf_counter() - start


def _read() -> float:
    """Read what was sent as a look does, and return the seconds that it took."""
    from analysis.plan import Metric
    from experiments.sources.base import OWN, OWN_TABLES, SourceSpec
    from experiments.sources.registry import open_source
    from tests.experiments import event_batches as batches
    from tests.sources.worlds import Recipe, plan_of

    today = batches.today().date()
    metrics = (Metric("orders", "mean", "higher", "primary", column="orders"),)
    plan = replace(plan_of(Recipe("bench", 0)), key="shop", metrics=metrics, start_date=today - timedelta(days=70))
    start = time.perf_counter()
    with open_source(SourceSpec("postgres", *OWN_TABLES, dsn=OWN, schema="public"), today) as source:
        source.read(plan, today)
    return time.perf_counter() - start


def main() -> None:
    with scratch_database():
        from tests.experiments.event_batches import Server

        with tempfile.TemporaryDirectory() as home:
            server = Server(Path(home))
            server.start()
            try:
                seconds = _sent(server.url)
            finally:
                server.kill()
        sys.stdout.write(f"{EVENTS:,} events in batches of {BATCH:,} from {CLIENTS} clients, and read by a look\n")
        sys.stdout.write(f"stored   {seconds:7.1f} s  {EVENTS / seconds:9,.0f} events a second\n")
        sys.stdout.write(f"read     {_read():7.1f} s\n")


if __name__ == "__main__":
    main()
