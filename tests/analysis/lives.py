"""Life tables of rows with a duration and whether the event was seen."""

import csv
import json
from pathlib import Path

import numpy as np

from analysis.life_table import LifeTable

REFERENCE = Path(__file__).parents[1] / "reference"

#: R's answers, frozen by tests/reference/make_survival.R.
KNOWN = json.loads((REFERENCE / "survival.json").read_text(encoding="utf-8"))


def table_of(duration, had, weeks=None) -> LifeTable:
    """The table of rows: durations are whole numbers from 1 on."""
    duration, had = np.asarray(duration, dtype=int), np.asarray(had, dtype=bool)
    size = weeks or int(duration.max())
    events = np.bincount(duration[had], minlength=size + 1)[1:]
    ended = np.bincount(duration, minlength=size + 1)[1:]
    at_risk = len(duration) - np.concatenate([[0], np.cumsum(ended)])[:size]
    return LifeTable(at_risk[None, :].astype(np.int64), events[None, :].astype(np.int64))


def sides(duration, had, treated) -> tuple[LifeTable, LifeTable]:
    """Control's and the treatment's table, equally long."""
    duration, had, treated = np.asarray(duration), np.asarray(had, dtype=bool), np.asarray(treated, dtype=bool)
    weeks = int(duration.max())
    return tuple(table_of(duration[side], had[side], weeks) for side in (~treated, treated))


def rows_of(name: str, column: str = "time") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Durations, events and treatment of a frozen data set; ``days`` for those whose weeks are rounded days."""
    with (REFERENCE / "survival_rows.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["data"] == name]
    return (
        np.array([int(row[column]) for row in rows]), np.array([row["had"] == "TRUE" for row in rows]),
        np.array([row["treated"] == "TRUE" for row in rows]),
    )  # fmt: skip
