"""Data for the benchmarks: seeded facts of many units, by week or by day, written in pieces of bounded size."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

WEEKS = 12
ENROLLMENT_WEEKS = 4
START = np.datetime64("2024-01-01")

#: Share of days on which a unit has a fact row, in the daily worlds: 39 rows a unit over 12 weeks.
ACTIVE_DAYS = 0.463

_PIECE = 100_000
_FACTS = pa.schema(
    [
        ("unit_id", pa.int64()),
        ("at", pa.date32()),
        ("lines", pa.float64()),
        ("head_lines", pa.float64()),
        ("sales", pa.float64()),
    ]
)

_DEFINITION = """\
version: 1
experiment: bench
name: Benchmark
owner: owner@example.com
variants: [{key: control, weight: 50, control: true}, {key: treatment, weight: 50}]
start_date: 2024-01-01
enrollment_weeks: 4
horizon_weeks: 12
source: {exposures: exposures.parquet, facts: facts.parquet}
windows: {early: [0, 4], late: [8, 12]}
metrics:
  - {key: lines, kind: mean, column: lines, better: higher, role: primary, term: short}
  - {key: sales, kind: mean, column: sales, better: higher, role: primary, term: long}
  - {key: head_lines, kind: mean, column: head_lines, better: lower, role: secondary}
"""


def world(folder: Path, units: int, daily: bool) -> Path:
    """Return the definition file of a world of ``units`` units, written once under ``folder``."""
    home = folder / f"{units}-{'daily' if daily else 'weekly'}"
    definition = home / "bench.yaml"
    if definition.exists():
        return definition
    home.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(units)
    exposed = START + rng.integers(0, 7 * ENROLLMENT_WEEKS, units)
    variant = np.where(rng.random(units) < 0.5, "control", "treatment")
    table = pa.table({"unit_id": np.arange(units), "variant": variant, "exposed_at": exposed})
    pq.write_table(table, home / "exposures.parquet")
    with pq.ParquetWriter(home / "facts.parquet", _FACTS) as writer:
        for low in range(0, units, _PIECE):
            writer.write_table(_facts(rng, np.arange(low, min(low + _PIECE, units)), exposed, daily))
    # Written last: an interrupted world is made again.
    definition.write_text(_DEFINITION)
    return definition


def _facts(rng: np.random.Generator, units: np.ndarray, exposed: np.ndarray, daily: bool) -> pa.Table:
    steps = WEEKS * 7 if daily else WEEKS
    unit = np.repeat(units, steps)
    if daily:
        day = np.tile(np.arange(steps), len(units))
        kept = rng.random(len(unit)) < ACTIVE_DAYS
        unit, day = unit[kept], day[kept]
    else:
        day = np.tile(np.arange(steps) * 7, len(units)) + rng.integers(0, 7, len(unit))
    lines = rng.poisson(5, len(unit)).astype(float)
    head = rng.binomial(lines.astype(int), 0.15).astype(float)
    sales = np.round(lines * rng.gamma(2, 1.5, len(unit)), 2)
    columns = [unit, exposed[unit] + day, lines, head, sales]
    return pa.table(dict(zip(_FACTS.names, columns, strict=True)), schema=_FACTS)
