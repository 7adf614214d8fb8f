"""What a look costs: ``make bench``. Prints times and memory beside DuckDB's own work; fails on none of them.

The pass is one whole read of exposures and facts into moments, with the checks of the data. It is timed beside two
queries of plain DuckDB in the same process, on the same threads: a bare scan that sums every column the pass needs,
and the join of facts to exposures, grouped by unit and week. Peak memory is taken in a process of its own. Last comes
the scorecard of 20 metrics and 26 weeks from moments, beyond the pass.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb

from analysis import scorecard
from experiments.definitions import load
from experiments.sources.registry import open_source
from tests.benchmarks import cards
from tests.benchmarks.worlds import WEEKS, world

MILLION = 1_000_000
_TODAY = date(2026, 1, 1)
_COLUMNS = ("lines", "sales", "head_lines")

#: What the pass is held to: times the bare scan and times the join at a million units, and MiB at any number.
MOST_SCANS, MOST_JOINS, MOST_MEMORY = 10.0, 1.0, 1024.0


@dataclass(frozen=True)
class Measured:
    """One workload: seconds (the shortest of several), and MiB at the peak."""

    units: int
    facts: str
    rows: float
    scan: float
    join: float
    read: float
    peak: float

    @property
    def name(self) -> str:
        return f"{self.units / MILLION:g} M {self.facts}"


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure_memory(definition: Path) -> dict[str, float]:
    """One read and its scorecard, as a look does them; peak resident memory of the process in MiB."""
    loaded = load(definition)
    with open_source(loaded.source, _TODAY) as source:
        triangle = source.read(loaded.plan, source.inspect(loaded.plan).last + timedelta(days=1))
    scorecard.build(triangle)
    return {"rows": triangle.data.rows, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def measure_speed(definition: Path, repeats: int) -> dict[str, float]:
    """The pass, the scan and the join, turn by turn; of each the shortest time, least disturbed by other work."""
    loaded = load(definition)
    facts, exposures = (f"read_parquet('{definition.parent / name}.parquet')" for name in ("facts", "exposures"))
    sums = ", ".join(f"sum({column})" for column in _COLUMNS)
    scan = f'SELECT sum(unit_id), max("at"), {sums} FROM {facts}'
    # The groups are added up, so that the join need not write them anywhere.
    join = (
        f"SELECT {sums} FROM (SELECT {', '.join(f'sum({column}) AS {column}' for column in _COLUMNS)} "
        f'FROM {facts} f JOIN {exposures} e USING (unit_id) GROUP BY unit_id, (f."at" - e.exposed_at) // 7)'
    )
    times: dict[str, list[float]] = {"scan": [], "join": [], "read": []}
    with open_source(loaded.source, _TODAY) as source, duckdb.connect() as plain:
        as_of = source.inspect(loaded.plan).last + timedelta(days=1)
        for _ in range(repeats):
            times["scan"].append(_seconds(lambda: plain.execute(scan).fetchall()))
            times["join"].append(_seconds(lambda: plain.execute(join).fetchall()))
            times["read"].append(_seconds(lambda: source.read(loaded.plan, as_of)))
    return {name: min(values) for name, values in times.items()}


def _child(kind: str, definition: Path, repeats: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.run", "--child", kind, str(definition), "--repeats"]
    output = subprocess.run([*command, str(repeats)], check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, float] = json.loads(output)
    return result


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _measure(folder: Path, units: int, facts: str, repeats: int) -> Measured:
    name = f"{units / MILLION:g} M units, {facts} facts"
    _progress(f"{name}: data")
    definition = world(folder, units, daily=facts == "daily")
    _progress(f"{name}: memory")
    memory = _child("memory", definition, repeats)
    _progress(f"{name}: speed, {repeats} times")
    return Measured(units, facts, **memory, **_child("speed", definition, repeats))


def machine() -> list[str]:
    """Say what the figures were measured on, and how busy it was with other work."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = names[0].partition(":")[2].strip() if names else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("duckdb", "numpy", "pyarrow")]
    return [
        f"Machine:  {model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}",
        f"Versions: Python {platform.python_version()}, {', '.join(versions)}",
        f"Load:     {os.getloadavg()[0]:.1f} processes over the minute before; other work lengthens the times",
    ]


def table(found: Sequence[Measured]) -> list[str]:
    """The figures as a Markdown table."""
    rows = [("units, facts", "rows", "scan", "join + GROUP BY", "pass", "pass / scan", "pass / join", "peak memory")]
    rows += [
        (
            *(one.name, f"{one.rows / MILLION:.1f} M", f"{one.scan:.2f} s", f"{one.join:.2f} s", f"{one.read:.2f} s"),
            *(f"{one.read / one.scan:.1f}", f"{one.read / one.join:.2f}", f"{one.peak:,.0f} MiB"),
        )
        for one in found
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [" | ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    rule = " | ".join("-" * (width - 1) + ":" for width in widths)
    return [f"| {line} |" for line in (lines[0], rule, *lines[1:])]


def bounds(found: Sequence[Measured]) -> list[str]:
    """Say of each bound on which workloads it holds. Those on time are for a million units."""
    million = [one for one in found if one.units == MILLION]
    held = [
        ("pass at most the join + GROUP BY, 1 M units", MOST_JOINS, [(one, one.read / one.join) for one in million]),
        ("pass at most 10 bare scans, 1 M units", MOST_SCANS, [(one, one.read / one.scan) for one in million]),
        ("peak memory at most 1 GiB", MOST_MEMORY, [(one, one.peak) for one in found]),
    ]
    lines = []
    for name, most, values in held:
        broken = [one.name for one, value in values if value > most]
        verdict = f"broken by {', '.join(broken)}" if broken else "holds" if values else "not measured"
        lines.append(f"{name}: {verdict}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, nargs="+", default=[MILLION, 3 * MILLION], help="numbers of units")
    parser.add_argument("--facts", nargs="+", choices=("weekly", "daily"), default=["weekly", "daily"])
    parser.add_argument("--repeats", type=int, default=5, help="the shortest of so many times is shown")
    parser.add_argument("--folder", type=Path, default=Path(".holdfast/bench"), help="where the data are kept")
    parser.add_argument("--child", nargs=2, metavar=("KIND", "DEFINITION"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.repeats < 1 or min(options.units) < 1:
        parser.error("--units and --repeats take numbers from 1")
    if options.child:
        kind, path = options.child[0], Path(options.child[1])
        print(json.dumps(measure_memory(path) if kind == "memory" else measure_speed(path, options.repeats)))
        return
    found = [
        _measure(options.folder, units, facts, options.repeats) for units in options.units for facts in options.facts
    ]
    print("\n".join([*machine(), "", f"{WEEKS} weeks x {len(_COLUMNS)} metrics, best of {options.repeats}:", ""]))
    _progress("scorecards")
    card = cards.measure(options.repeats)
    print("\n".join([*table(found), "", *cards.told(card), "", "Bounds:"]))
    print("\n".join(f"  {line}" for line in (*bounds(found), cards.bound(card))))


if __name__ == "__main__":
    main()
