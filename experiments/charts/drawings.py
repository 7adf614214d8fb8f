"""Geometry of the small inline drawings: forest bars in tables, hazard ratios, and sparklines in the portfolio.

Templates draw them as SVG with attributes only, for the content security policy allows no inline styles.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from analysis.plan import Metric
from analysis.results import ClaimRow, SurvivalComparisonRow
from experiments.charts.tones import Tone, tone
from experiments.charts.trajectory import HIGHEST_SHOWN, LOWEST_SHOWN

FOREST_WIDTH = 160.0
FOREST_EDGE = 8.0
SPARK_WIDTH = 140.0
SPARK_HEIGHT = 36.0
SPARK_EDGE = 3.0
#: A scale of hazard ratios reaches at least to 1.25.
SMALLEST_LOG = math.log(1.25)


@dataclass(frozen=True)
class ForestBar:
    """One lift on a scale from -limit to +limit, zero in the middle; x in units of the view box.

    The bar is the interval of this one look; its wings reach to the interval over all looks, which decides.
    """

    zero: float
    low: float
    high: float
    wing_low: float
    wing_high: float
    lift: float
    cut_low: bool
    cut_high: bool
    tone: Tone
    margin: float | None = None

    @property
    def width(self) -> float:
        return round(self.high - self.low, 2)


@dataclass(frozen=True)
class Sparkline:
    """The weekly lifts as points of a polyline, their intervals as a polygon, and the height of zero."""

    line: str
    band: str
    zero: float
    last_x: float
    last_y: float
    tone: Tone


class Lifted(NamedTuple):
    """A lift with its plain interval; of a time to event that of the weeks without it."""

    lift: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, row: ClaimRow) -> "Lifted":
        if isinstance(row, SurvivalComparisonRow):
            return cls(row.rmst_lift, row.rmst_lift_low, row.rmst_lift_high)
        return cls(row.lift, row.lift_low, row.lift_high)


@dataclass(frozen=True)
class RatioBar:
    """A ratio with its interval on a logarithmic scale, 1 in the middle; x in units of the view box."""

    one: float
    low: float
    high: float
    ratio: float

    @property
    def width(self) -> float:
        return round(self.high - self.low, 2)


def forest_limit(rows: Iterable[tuple[Metric, ClaimRow]]) -> float:
    """Return the end of the scale that a table's bars share.

    It holds every lift and margin, and the whole intervals of primary metrics; a longer interval is cut and says so.
    """
    ends = [0.0]
    for metric, row in rows:
        shown = Lifted.of(row)
        ends += [abs(end) for end in (shown.lift, metric.margin) if end is not None]
        if metric.role == "primary":
            ends += [abs(end) for end in row.drawn or (shown.low, shown.high) if end is not None]
    return max(ends) or 0.01


def forest_bar(metric: Metric, row: ClaimRow, limit: float) -> ForestBar | None:
    """Return the bar of one estimate, or None if there is none."""
    lift, low, high = Lifted.of(row)
    if lift is None or low is None or high is None:
        return None
    middle = FOREST_WIDTH / 2
    scale = (middle - FOREST_EDGE) / limit

    def place(at: float) -> float:
        return round(min(max(middle + at * scale, FOREST_EDGE), FOREST_WIDTH - FOREST_EDGE), 2)

    wings = row.drawn or (low, high)
    # A guardrail's two ends are drawn at different levels, and the inner one may lie inside the plain interval.
    wing_low, wing_high = min(wings[0], low), max(wings[1], high)
    return ForestBar(
        zero=middle,
        low=place(low),
        high=place(high),
        wing_low=place(wing_low),
        wing_high=place(wing_high),
        lift=place(lift),
        cut_low=wing_low < -limit,
        cut_high=wing_high > limit,
        tone=tone(metric, *row.drawn) if row.drawn else "open",
        margin=None if metric.margin is None else place(-metric.sign * metric.margin),
    )


def ratio_limit(intervals: Iterable[tuple[float | None, float | None]]) -> float:
    """Return the end of the scale that ratio bars share, above 1; the other end is one over it."""
    ends = [abs(math.log(end)) for ends in intervals for end in ends if end is not None and end > 0]
    return math.exp(max([SMALLEST_LOG, *ends]))


def ratio_bar(ratio: float | None, low: float | None, high: float | None, limit: float) -> RatioBar | None:
    """Return the bar of one ratio, or None if there is none."""
    if ratio is None or low is None or high is None or min(ratio, low) <= 0:
        return None
    middle = FOREST_WIDTH / 2
    scale = (middle - FOREST_EDGE) / math.log(limit)
    one, *ends = (round(middle + math.log(at) * scale, 2) for at in (1.0, low, high, ratio))
    return RatioBar(one, *ends)


def sparkline(metric: Metric, known: Sequence[tuple[int, float, float, float]], horizon_weeks: int) -> Sparkline | None:
    """Return the weekly trajectory over the whole horizon; None before two weeks are known, or where most have none.

    ``known`` has the week, its lift, and the ends of its interval, for each week that has them.
    """
    if len(known) < 2 or len(known) < (known[-1][0] + 1) / 2:
        return None
    bottom = max(LOWEST_SHOWN, min(0.0, *(low for _, _, low, _ in known)))
    top = min(HIGHEST_SHOWN, max(0.0, *(high for _, _, _, high in known)))
    span = (top - bottom) or 1.0

    def x(week: int) -> float:
        return round(SPARK_EDGE + week / max(1, horizon_weeks - 1) * (SPARK_WIDTH - 2 * SPARK_EDGE), 1)

    def y(lift: float) -> float:
        return round(SPARK_EDGE + (top - min(max(lift, bottom), top)) / span * (SPARK_HEIGHT - 2 * SPARK_EDGE), 1)

    places = [x(week) for week, _, _, _ in known]
    points = list(zip(places, known, strict=True))
    lows = [f"{place},{y(low)}" for place, (_, _, low, _) in reversed(points)]
    highs = [f"{place},{y(high)}" for place, (_, _, _, high) in points]
    week, lift, low, high = known[-1]
    return Sparkline(
        line=" ".join(f"{place},{y(lift)}" for place, (_, lift, _, _) in points),
        band=" ".join(highs + lows),
        zero=y(0.0),
        last_x=x(week),
        last_y=y(lift),
        tone=tone(metric, low, high),
    )
