"""What a look costs: ``make bench``. Prints figures beside DuckDB's own in the same process; fails on none of them.

Each measurement runs in a process of its own, so that its peak memory is its own.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import duckdb

from analysis import scorecard
from experiments.definitions import load
from experiments.sources.registry import open_source
from tests.benchmarks.worlds import world

MILLION = 1_000_000
_TODAY = date(2026, 1, 1)
_COLUMNS = ("lines", "sales", "head_lines")


def best(run: Callable[[], object], repeats: int) -> float:
    """Return the shortest of several times, in seconds: the one least disturbed by other work."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def measure_memory(definition: Path) -> dict[str, float]:
    """One read, as a look does it; peak resident memory of the process in MiB."""
    loaded = load(definition)
    start = time.perf_counter()
    with open_source(loaded.source, _TODAY) as source:
        triangle = source.read(loaded.plan, source.inspect(loaded.plan).last + timedelta(days=1))
    seconds = time.perf_counter() - start
    started = time.perf_counter()
    scorecard.build(triangle)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": triangle.data.rows, "read": seconds, "scorecard": time.perf_counter() - started, "peak": peak}


def measure_speed(definition: Path, repeats: int) -> dict[str, float]:
    """The read, DuckDB's bare scan of the same columns, and its join + GROUP BY, in one process, turn by turn."""
    loaded = load(definition)
    folder = definition.parent
    sums = ", ".join(f"sum({column})" for column in _COLUMNS)
    facts, exposures = (f"read_parquet('{folder / name}.parquet')" for name in ("facts", "exposures"))
    scan = f'SELECT sum(unit_id), max("at"), {sums} FROM {facts}'
    group = (
        f'CREATE OR REPLACE TEMP TABLE grouped AS SELECT e.unit_id, e.variant, (f."at" - e.exposed_at) // 7 AS week, '
        f"{sums} FROM {facts} f JOIN {exposures} e USING (unit_id) GROUP BY ALL"
    )
    times: dict[str, list[float]] = {"read": [], "scan": [], "group": []}
    with open_source(loaded.source, _TODAY) as source, duckdb.connect() as plain:
        as_of = source.inspect(loaded.plan).last + timedelta(days=1)
        for _ in range(repeats):
            times["read"].append(best(lambda: source.read(loaded.plan, as_of), 1))
            times["scan"].append(best(lambda: plain.execute(scan).fetchall(), 1))
            times["group"].append(best(lambda: plain.execute(group).fetchall(), 1))
    return {name: min(values) for name, values in times.items()}


def _child(kind: str, definition: Path, repeats: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.run", "--child", kind, str(definition), str(repeats)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(output)
    return result


def _machine() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = names[0].partition(":")[2].strip() if names else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}, DuckDB {duckdb.__version__}"  # noqa: E501


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".holdfast/bench"), help="where the data are kept")
    parser.add_argument("--quick", action="store_true", help="1 M units of weekly facts only")
    parser.add_argument("--repeats", type=int, default=5, help="the shortest of so many times is shown")
    parser.add_argument("--child", nargs=3, metavar=("KIND", "DEFINITION", "REPEATS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        kind, definition, repeats = options.child
        path = Path(definition)
        print(json.dumps(measure_memory(path) if kind == "memory" else measure_speed(path, int(repeats))))
        return
    _report(options.folder, options.quick, options.repeats)


def _report(folder: Path, quick: bool, repeats: int) -> None:
    print(f"Machine: {_machine()}\n")
    sizes = (
        [(MILLION, False)] if quick else [(MILLION, False), (3 * MILLION, False), (MILLION, True), (3 * MILLION, True)]
    )
    print("Reading exposures and facts into moments, 12 weeks x 3 metrics")
    for units, daily in sizes:
        definition = world(folder, units, daily)
        found = _child("memory", definition, 1)
        name = f"{units // MILLION} M units, {'daily' if daily else 'weekly'} facts ({found['rows'] / 1e6:.1f} M rows)"
        print(
            f"  {name:46s} {found['read']:6.2f} s with a cold start, scorecard {found['scorecard'] * 1000:.0f} ms, "
            f"peak memory {found['peak']:,.0f} MiB (bound 1,024)"
        )
    speed = _child("speed", world(folder, MILLION, daily=False), repeats)
    print(f"\nBeside DuckDB in the same process, 1 M units, weekly facts (best of {repeats})")
    print(f"  exposures and moments        {speed['read']:.2f} s")
    print(
        f"  its join + GROUP BY          {speed['group']:.2f} s   ours takes {speed['read'] / speed['group']:.2f} of it (bound 1)"  # noqa: E501
    )
    print(
        f"  its bare scan                {speed['scan']:.2f} s   ours takes {speed['read'] / speed['scan']:.1f} times it (bound 10)"  # noqa: E501
    )


if __name__ == "__main__":
    main()
