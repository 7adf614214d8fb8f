"""The one sentence above a trajectory chart: what the two windows say, and when the lift crossed zero.

The windows' intervals over all looks decide between win, loss and neither. Single weeks do not: of 26 weekly intervals
one or two exclude zero by chance. The weekly lifts only date a crossing that the windows show.
"""

from collections.abc import Sequence

from analysis.plan import Metric
from analysis.results import EffectRow, TrajectoryRow
from experiments import formatting
from experiments.charts.tones import label

Side = int  # 1 a win for the metric, -1 a loss, 0 neither


def finding(metric: Metric, early: EffectRow, late: EffectRow, weekly: Sequence[TrajectoryRow]) -> str:
    """Return the title of a metric's trajectory; ``weekly`` holds its weekly rows in order."""
    return f"{label(metric.key)}: {_finding(metric, early, late, weekly)}"


def _finding(metric: Metric, early: EffectRow, late: EffectRow, weekly: Sequence[TrajectoryRow]) -> str:
    if early.state != "ok":
        return _without_early(early, weekly)
    first = side(metric, early)
    if late.state != "ok":
        return f"{_so_far(first)}, {_late_missing(late)}"
    last = side(metric, late)
    if first and first == -last:
        return _crossing(metric, first, late, weekly)
    return _SENTENCES[first, last]


_SENTENCES: dict[tuple[Side, Side], str] = {
    (1, 1): "a win, early and late",
    (-1, -1): "a loss, early and late",
    (0, 0): "not separable from zero, early or late",
    (1, 0): "an early win that is no longer separable from zero",
    (-1, 0): "an early loss that is no longer separable from zero",
    (0, 1): "no early effect to see, then a win",
    (0, -1): "no early effect to see, then a loss",
}


def side(metric: Metric, row: EffectRow) -> Side:
    """Return 1 if the lift's interval is all on the metric's good side of zero, -1 on the bad side, 0 otherwise."""
    if row.drawn is None or row.drawn[0] <= 0 <= row.drawn[1]:
        return 0
    return metric.sign if row.drawn[0] > 0 else -metric.sign


def crossing_week(weekly: Sequence[TrajectoryRow], before: int, late_start: int) -> int | None:
    """Return the first week from which the lift stays off its early side until the late window begins.

    ``before`` is the sign of the early lift. None if the lift is on that side right up to the late window, or if no
    week was.
    """
    lifts = [(row.week, row.lift) for row in weekly if row.state == "ok" and row.lift is not None]
    lifts = [(week, lift) for week, lift in lifts if week <= late_start]
    same_side = [week for week, lift in lifts if lift * before > 0]
    if not same_side:
        return None
    return next((week for week, _ in lifts if week > same_side[-1]), None)


def _crossing(metric: Metric, first: Side, late: EffectRow, weekly: Sequence[TrajectoryRow]) -> str:
    sentence = "a win turns into a loss" if first > 0 else "a loss turns into a win"
    week = crossing_week(weekly, first * metric.sign, late.start_week)
    return sentence if week is None else f"{sentence} in week {week}"


def _so_far(first: Side) -> str:
    return {1: "a win so far", -1: "a loss so far", 0: "not separable from zero so far"}[first]


def _late_missing(late: EffectRow) -> str:
    if late.state == "not_yet":
        return f"late weeks readable from {formatting.day(late.readable_from)}"
    return "late weeks not readable"


def _without_early(early: EffectRow, weekly: Sequence[TrajectoryRow]) -> str:
    if early.state != "not_yet":
        return "the early weeks are not readable"
    said = "too early to say" if any(row.state == "ok" for row in weekly) else "not yet"
    return f"{said}, early weeks readable from {formatting.day(early.readable_from)}"
