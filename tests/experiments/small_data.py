"""Small experiments written to a folder: a definition, its exposures and its facts, every part open to change.

200 units, two exposure cohorts, six weeks since exposure; at the default as_of everything is mature.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import yaml

START = date(2024, 1, 1)
ENROLLMENT_WEEKS, HORIZON_WEEKS, PRE_WEEKS = 2, 6, 2
UNITS = 200
LAST_DAY = 7 * (ENROLLMENT_WEEKS + HORIZON_WEEKS) - 1

Table = dict[str, Any]


def definition() -> dict[str, Any]:
    """A valid definition as plain values, a new one at each call."""
    return {
        "version": 1,
        "experiment": "small",
        "name": "A small experiment",
        "owner": "owner@example.com",
        "unit": "user",
        "variants": [{"key": "control", "weight": 50, "control": True}, {"key": "treatment", "weight": 50}],
        "start_date": START,
        "enrollment_weeks": ENROLLMENT_WEEKS,
        "horizon_weeks": HORIZON_WEEKS,
        "pre_weeks": PRE_WEEKS,
        "source": {"kind": "files", "exposures": "exposures.parquet", "facts": "facts.parquet"},
        "windows": {"early": [0, 2], "late": [4, 6]},
        "metrics": [
            {"key": "lines", "kind": "mean", "column": "lines", "term": "short", "better": "higher", "role": "primary"},
            {
                "key": "active", "kind": "active", "column": "lines",
                "better": "higher", "role": "primary", "term": "long",
            },
            {
                "key": "price", "kind": "ratio", "numerator": "sales", "denominator": "lines",
                "better": "higher", "role": "guardrail", "margin": 0.02,
            },
        ],
    }  # fmt: skip


def exposures(units: int = UNITS) -> Table:
    """Units spread evenly over the days of enrollment, every second one in treatment."""
    days = np.arange(units) % (7 * ENROLLMENT_WEEKS)
    return {
        "unit_id": [f"user-{unit:04d}" for unit in range(units)],
        "variant": ["treatment" if unit % 2 else "control" for unit in range(units)],
        "exposed_at": [START + timedelta(days=int(day)) for day in days],
    }


def facts(units: int = UNITS, seed: int = 20240101) -> Table:
    """For every unit a row every second day or so, from before the pre-period to the last day."""
    random = np.random.default_rng(seed)
    first = -7 * (PRE_WEEKS + 1)
    unit, day = np.meshgrid(np.arange(units), np.arange(first, LAST_DAY + 1), indexing="ij")
    kept = random.random(unit.shape) < 0.5
    kept[:, -1] = True
    unit, day = unit[kept], day[kept]
    lines = random.poisson(3 + unit % 5)
    return {
        "unit_id": [f"user-{number:04d}" for number in unit],
        "at": [START + timedelta(days=int(number)) for number in day],
        "lines": lines.astype(float),
        "sales": np.round(lines * random.gamma(4.0, 0.5, len(lines)), 2),
    }


@dataclass
class SmallData:
    """The three parts, to be changed before they are written."""

    folder: Path
    definition: dict[str, Any] = field(default_factory=definition)
    exposures: Table = field(default_factory=exposures)
    facts: Table = field(default_factory=facts)

    @property
    def path(self) -> Path:
        return self.folder / "small.yaml"

    def metric(self, number: int, **changes: Any) -> None:
        """Change one metric; a value of None takes the key away."""
        changed = {**self.definition["metrics"][number], **changes}
        self.definition["metrics"][number] = {key: value for key, value in changed.items() if value is not None}

    def write(self) -> Path:
        """Write all three parts and return the path of the definition."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("exposures", "facts"):
            if name in self.definition["source"]:
                write_table(self.folder / self.definition["source"][name], getattr(self, name))
        self.path.write_text(yaml.safe_dump(self.definition, sort_keys=False))
        return self.path


def write_table(path: Path, table: Table) -> None:
    """Write columns as Parquet or CSV, as the file's name says."""
    arrow = pa.table(table)
    if path.suffix == ".csv":
        pa_csv.write_csv(arrow, path)
    else:
        pq.write_table(arrow, path)


def rows_of(table: Table, keep: Any) -> Table:
    """The rows of a table where ``keep`` is true."""
    mask = np.asarray(keep, dtype=bool)
    return {name: [value for value, kept in zip(column, mask, strict=True) if kept] for name, column in table.items()}


def stacked(*tables: Table) -> Table:
    """Tables one below the other."""
    return {name: [value for table in tables for value in table[name]] for name in tables[0]}
