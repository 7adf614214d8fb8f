"""Units held out that met a launch all the same: how many, in which share of their days, and what that hides at most.

A unit has met a treatment from the first day on which its member exposed it to that. Units that met it bring both sides
of a holdout together: control has a part of what it is to be compared with.
"""

from datetime import date

import numpy as np
from numpy.typing import NDArray

from analysis import windows
from analysis.plan import Plan

#: The day of what has not happened.
NEVER = np.iinfo(np.int64).max

Days = NDArray[np.int64]


def places(units: NDArray[np.uint64], found: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return where each unit found stands among ``units``, which are sorted, and whether it is one of them."""
    if not len(units):
        return np.zeros(len(found), np.intp), np.zeros(len(found), np.bool_)
    place = np.minimum(np.searchsorted(units, found), len(units) - 1)
    return place, units[place] == found


def meet(units: NDArray[np.uint64], first: Days, found: NDArray[np.uint64], days: Days) -> None:
    """Put the days on which units were found into ``first``, in place, where they are the earliest so far.

    ``units``: sorted, shape (n,), as ``first``. Units found that are none of them are passed over.
    """
    place, known = places(units, found)
    np.minimum.at(first, place[known], days[known])


def weekly_shares(plan: Plan, as_of: date, exposed: Days, met: Days) -> tuple[float, ...]:
    """Return for each whole calendar week of a holdout the share of its units' days after they met a treatment.

    As in the holdout's estimates, units count from the week after their exposure; 0 where none does yet. ``exposed``
    and ``met``: days from start_date of the same units, shape (n,), ``NEVER`` for those that did not meet it.
    """
    shares = []
    for week in range(max(0, windows.week_of(plan, windows.read_until(plan, as_of)))):
        days = met[exposed < 7 * week]
        lived = 7 * (week + 1) - np.minimum(days, 7 * (week + 1))
        shares.append(float(np.minimum(lived, 7).mean()) / 7 if len(days) else 0.0)
    return tuple(shares)


def span_shares(weekly: tuple[float, ...], start: int, end: int, decided: float) -> tuple[float, float]:
    """Return the parts of a span of weeks [start, end) that units spent with a treatment: after a decision, before it.

    ``decided`` is a point in time in weeks. Together they are the average of the weeks' shares; weeks that were not
    measured are left out.
    """
    known = [(week, weekly[week]) for week in range(start, min(end, len(weekly)))]
    if not known:
        return 0.0, 0.0
    after = sum(share * min(1.0, max(0.0, week + 1 - decided)) for week, share in known) / len(known)
    return after, sum(share for _, share in known) / len(known) - after


def bound(lift: float, share: float) -> float | None:
    """Return the lift if the units that met a launch had all that launched units have; None where control had all.

    The effect is the measured one / (1 - share), of control's mean without it: lift / (1 - share (1 + lift)).
    """
    left = 1 - share * (1 + lift)
    return lift / left if left > 0 else None
