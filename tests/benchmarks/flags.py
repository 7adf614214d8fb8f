"""What a flag costs: ``make bench``. Evaluations in memory, and answers of a real web server over loopback.

In a database of its own, which is removed at the end. Every request is timed by its client, the wait for a free process
included; the clients take their share of the same machine.
"""

import http.client
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from tests.benchmarks.scratch import scratch_database

FLAGS, IN_MEMORY = 50, 20_000
CLIENTS, REQUESTS = 4, 1_000
#: Requests of each client before it counts: every web process imports the application and reads its flags once.
WARM_UP = 50
#: Milliseconds within which 99 of 100 answers about one flag are there.
MOST_MS = 50.0


def _in_memory() -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext
    from django.utils import timezone

    from experiments.services.assignment import Warm

    warm, now = Warm(check_seconds=3600), timezone.now()
    warm.get(0.0)
    with CaptureQueriesContext(connection) as captured:
        start = time.perf_counter()
        for number in range(IN_MEMORY):
            warm.get(1.0).evaluate("flag-1", f"user-{number}", {"country": "de"}, now)
        seconds = time.perf_counter() - start
    sys.stdout.write(
        f"{'in memory, one process':<40}{IN_MEMORY / seconds:9,.0f} a second {1e6 * seconds / IN_MEMORY:8.1f} µs each, "
        f"{len(captured)} queries\n"
    )


def _client(port: int, key: str, path: str, client: int, requests: int = REQUESTS) -> list[float]:
    """One program with one connection; the seconds of each of its requests."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    times = []
    for number in range(requests):
        body = json.dumps({"context": {"targetingKey": f"user-{client}-{number}", "country": "de"}})
        start = time.perf_counter()
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        response.read()
        times.append(time.perf_counter() - start)
        assert response.status == 200, response.status
    connection.close()
    return times


def _over_loopback(name: str, port: int, key: str, path: str) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda client: _client(port, key, path, client, WARM_UP), range(CLIENTS)))
        start = time.perf_counter()
        times = sorted(chain(*pool.map(lambda client: _client(port, key, path, client), range(CLIENTS))))
    seconds = time.perf_counter() - start
    half, late = (1000 * times[int(len(times) * share)] for share in (0.5, 0.99))
    rate = CLIENTS * REQUESTS / seconds
    verdict = f"  more than {MOST_MS:.0f} ms" if late > MOST_MS and name.startswith("one") else ""
    sys.stdout.write(f"{name:<40}{rate:9,.0f} a second {half:8.1f} ms half, {late:.1f} ms p99{verdict}\n")


def _serve(port: int, key: str) -> None:
    from experiments.processes import Children, wait_until_listening, web_command
    from tests.experiments.crowd import database_address

    with tempfile.TemporaryDirectory() as home, Children() as children:
        variables = {"DATABASE_URL": database_address(), "HOLDFAST_HOME": home, "HOLDFAST_FLAG_RATE": "1000000"}
        log = Path(home) / "web.log"
        children.start("web server", web_command("127.0.0.1", port), log=log, variables=variables)
        wait_until_listening(children, "127.0.0.1", port)
        _over_loopback(f"one flag, {CLIENTS} clients", port, key, "/ofrep/v1/evaluate/flags/flag-1")
        _over_loopback(f"all {FLAGS + 1} flags, {CLIENTS} clients", port, key, "/ofrep/v1/evaluate/flags")


def main() -> None:
    with scratch_database():
        from tests.experiments.flag_programs import server_key
        from tests.experiments.test_up import free_port
        from tests.experiments.traffic_world import experiment, holdout, put

        rule = {"attribute": "country", "in": ["de", "fr"]}
        flags = (experiment(f"flag-{number}", holdout="winter", targeting=rule) for number in range(FLAGS))
        put(holdout(), *flags)
        sys.stdout.write(f"Flags: {FLAGS} experiments under a holdout, each with a targeting rule\n")
        _in_memory()
        _serve(free_port(), server_key())


if __name__ == "__main__":
    main()
