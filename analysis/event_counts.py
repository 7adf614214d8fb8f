"""Time to event in whole weeks, counted: how many units have their event in which week, and come back in which.

Counts add like moments, and like them rebuild every earlier look: the first week of an event never changes, and whether
it was known by then follows from the weeks lived (``analysis.life_table``).

Definitions, for a unit followed over weeks 0 .. H-1 since exposure:
    occurrence   the event falls in the first week with activity
    inactivity   with a gap of G weeks: in the first week k such that weeks k .. k+G-1 all lack activity; a unit comes
                 back in the first week with activity after these
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.plan import Event

Whole = NDArray[np.int64]
Activity = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class EventCounts:
    """The units of a cell, counted for one event.

    Attributes:
        weeks: shape (H + 1, H + 1): units by week of the event and week of the return, H standing for none.
        pauses: shape (P + 1,): pauses of so many weeks between two active ones in the P weeks before exposure, of all
            units; zeros for an occurrence.
    """

    weeks: Whole
    pauses: Whole

    @classmethod
    def none(cls, horizon_weeks: int, pre_weeks: int) -> "EventCounts":
        """Return the counts of no units."""
        return cls(np.zeros((horizon_weeks + 1,) * 2, dtype=np.int64), np.zeros(pre_weeks + 1, dtype=np.int64))

    @classmethod
    def of(cls, active: Activity, pre_weeks: int, event: Event) -> "EventCounts":
        """Count units by their activity, shape (units, pre_weeks + H)."""
        after = active[:, pre_weeks:]
        size = after.shape[1] + 1
        found = event_weeks(after, event)
        codes = found * size + _return_weeks(after, event, found)
        weeks = np.bincount(codes, minlength=size * size).reshape(size, size).astype(np.int64)
        pauses = np.zeros(pre_weeks + 1, dtype=np.int64)
        if event.type == "inactivity":
            pauses[:] = _pauses(active[:, :pre_weeks])
        return cls(weeks, pauses)

    def __add__(self, other: "EventCounts") -> "EventCounts":
        return EventCounts(self.weeks + other.weeks, self.pauses + other.pauses)

    @property
    def n(self) -> int:
        return int(self.weeks.sum())


def event_weeks(active: Activity, event: Event) -> Whole:
    """Return the week of each unit's event, H for none; ``active`` has shape (units, H)."""
    weeks = active.shape[1]
    if event.type == "occurrence":
        return _first(active, weeks)
    before = np.zeros((len(active), weeks + 1), dtype=np.int32)
    np.cumsum(active, axis=1, out=before[:, 1:])
    silent = before[:, event.gap_weeks :] == before[:, : weeks + 1 - event.gap_weeks]
    return _first(silent, weeks)


def _return_weeks(active: Activity, event: Event, found: Whole) -> Whole:
    """Return the week in which each unit with an event in week ``found`` comes back, H for none."""
    weeks = active.shape[1]
    if event.type == "occurrence":
        return np.full(len(active), weeks)
    # After no event (week H) there is no week left.
    return _first(active & (np.arange(weeks) >= (found + event.gap_weeks)[:, None]), weeks)


def _first(there: Activity, none: int) -> Whole:
    """The first column in which each row is true, ``none`` where it never is."""
    return np.asarray(np.where(there.any(axis=1), there.argmax(axis=1), none), dtype=np.int64)


def _pauses(active: Activity) -> Whole:
    """Count the pauses between one active week and the next by their length in weeks, 0 left out."""
    weeks = active.shape[1]
    last = np.full(len(active), -1)
    counts = np.zeros(weeks + 1, dtype=np.int64)
    for week in range(weeks):
        now = active[:, week]
        lengths = (week - last - 1)[now & (last >= 0)]
        counts += np.bincount(lengths, minlength=weeks + 1)
        last[now] = week
    counts[0] = 0
    return counts
