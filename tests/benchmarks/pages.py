"""What the pages cost: ``make bench``. Server time of the portfolio with 200 experiments, and of a large scorecard.

In a database of its own, which is removed at the end. The shortest of several requests; the page may take 200 ms.
"""

import sys
import time
from collections.abc import Callable

from tests.benchmarks.scratch import scratch_database

#: Milliseconds a page may take, and the requests of which the shortest counts.
MOST_MS, TRIES = 200.0, 5
EXPERIMENTS, METRICS = 200, 20


def _measure(name: str, get: Callable[[], object]) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    get()  # templates are compiled once
    with CaptureQueriesContext(connection) as captured:
        get()
        queries = len(captured)
    times = []
    for _ in range(TRIES):
        start = time.perf_counter()
        get()
        times.append(1000 * (time.perf_counter() - start))
    verdict = "" if min(times) <= MOST_MS else f"  more than {MOST_MS:.0f} ms"
    sys.stdout.write(f"{name:<48}{min(times):7.0f} ms {queries:4} queries{verdict}\n")


def main() -> None:
    with scratch_database():
        from tests.experiments import cards, replay_rows
        from tests.experiments.large_card import large
        from tests.experiments.stored import stored
        from tests.experiments.test_portfolio_page import many
        from tests.people import signed_in

        many(cards.honeymoon(), EXPERIMENTS)
        stored(large(METRICS), replay_rows.honeymoon())
        client = signed_in("viewer")
        pages = [
            (f"portfolio, {EXPERIMENTS} experiments", "/"),
            ("portfolio, filtered by text and flag", "/?q=many&flag=reversal"),
            (f"scorecard, {METRICS} metrics x 26 weeks", "/experiments/large/"),
            ("one folded chart", "/experiments/large/charts/treatment/sales/"),
            ("metrics", "/metrics/"),
            ("sources", "/sources/"),
        ]
        sys.stdout.write(f"Server time of the pages, the shortest of {TRIES} requests\n")
        for name, address in pages:
            _measure(name, lambda address=address: client.get(address))  # type: ignore[misc]


if __name__ == "__main__":
    main()
