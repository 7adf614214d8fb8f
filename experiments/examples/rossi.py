"""The randomized trial of financial aid after release from prison, as exposures and weekly facts.

Rossi, P. H., R. A. Berk and K. J. Lenihan (1980). Money, Work, and Crime: Some Experimental Results. New York:
Academic Press. The table of 432 people comes with lifelines (``lifelines.datasets.load_rossi``; its documentation says
that they were released from Maryland state prisons in the 1970s). ``week`` is the week of first arrest, 1 .. 52, or 52
for people without an arrest, all of whom were followed for the full year.
"""

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

COVARIATES = ("age", "race", "wexp", "mar", "paro", "prio")
WEEKS = 52


def tables(start: date) -> dict[str, pa.Table]:
    """Return exposures (432 rows, everybody on the nominal ``start``) and facts (one row an arrested person).

    An arrest is dated on the last day of its week, so that week 52 is over on the day after the last fact.
    """
    from lifelines.datasets import load_rossi  # takes seconds to import: only a build that needs it pays

    people: Any = load_rossi()
    week = people["week"].to_numpy().astype(np.int64)
    arrested = people["arrest"].to_numpy() == 1
    if np.any(week[~arrested] != WEEKS):
        raise ValueError("somebody without an arrest was followed for less than 52 weeks")
    unit = np.arange(1, len(people) + 1, dtype=np.int64)
    first_day = np.datetime64(start, "D")
    exposures = {
        "unit_id": unit,
        "variant": np.where(people["fin"].to_numpy() == 1, "aid", "control"),
        "exposed_at": np.full(len(people), first_day),
        **{name: people[name].to_numpy().astype(np.int64) for name in COVARIATES},
    }
    facts = {
        "unit_id": unit[arrested],
        "at": first_day + (7 * week[arrested] - 1).astype("timedelta64[D]"),
        "arrested": np.ones(int(arrested.sum()), dtype=np.int32),
    }
    return {"exposures": pa.table(exposures), "facts": pa.table(facts)}
