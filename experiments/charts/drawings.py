"""Geometry of the small inline drawings: forest bars in tables and sparklines in the portfolio.

Templates draw them as SVG with attributes only, for the content security policy allows no inline styles.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analysis.plan import Metric
from analysis.results import EffectRow, TrajectoryRow
from experiments.charts.tones import Tone, tone
from experiments.charts.trajectory import lift_domain

FOREST_WIDTH = 160.0
FOREST_EDGE = 8.0
SPARK_WIDTH = 140.0
SPARK_HEIGHT = 36.0
SPARK_EDGE = 3.0


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


def forest_limit(rows: Iterable[tuple[Metric, EffectRow]]) -> float:
    """Return the end of the scale that a table's bars share.

    It holds every lift and margin, and the whole intervals of primary metrics; a longer interval is cut and says so.
    """
    ends = [0.0]
    for metric, row in rows:
        ends += [abs(end) for end in (row.lift, metric.margin) if end is not None]
        if metric.role == "primary":
            ends += [abs(end) for end in row.drawn or (row.lift_low, row.lift_high) if end is not None]
    return max(ends) or 0.01


def forest_bar(metric: Metric, row: EffectRow, limit: float) -> ForestBar | None:
    """Return the bar of one estimate, or None if there is none."""
    if row.lift is None or row.lift_low is None or row.lift_high is None:
        return None
    middle = FOREST_WIDTH / 2
    scale = (middle - FOREST_EDGE) / limit

    def place(lift: float) -> float:
        return round(min(max(middle + lift * scale, FOREST_EDGE), FOREST_WIDTH - FOREST_EDGE), 2)

    wings = row.drawn or (row.lift_low, row.lift_high)
    # A guardrail's two ends are drawn at different levels, and the inner one may lie inside the plain interval.
    wing_low, wing_high = min(wings[0], row.lift_low), max(wings[1], row.lift_high)
    return ForestBar(
        zero=middle,
        low=place(row.lift_low),
        high=place(row.lift_high),
        wing_low=place(wing_low),
        wing_high=place(wing_high),
        lift=place(row.lift),
        cut_low=wing_low < -limit,
        cut_high=wing_high > limit,
        tone=tone(metric, *row.drawn) if row.drawn else "open",
        margin=None if metric.margin is None else place(-metric.sign * metric.margin),
    )


def sparkline(metric: Metric, weekly: Sequence[TrajectoryRow], horizon_weeks: int) -> Sparkline | None:
    """Return the weekly trajectory over the whole horizon, or None before two weeks are mature."""
    known = [
        (row.week, row.lift, row.lift_low, row.lift_high)
        for row in weekly
        if row.lift is not None and row.lift_low is not None and row.lift_high is not None
    ]
    if len(known) < 2:
        return None
    bottom, top = lift_domain(weekly)
    span = (top - bottom) or 1.0

    def x(week: int) -> float:
        return round(SPARK_EDGE + week / max(1, horizon_weeks - 1) * (SPARK_WIDTH - 2 * SPARK_EDGE), 1)

    def y(lift: float) -> float:
        return round(SPARK_EDGE + (top - min(max(lift, bottom), top)) / span * (SPARK_HEIGHT - 2 * SPARK_EDGE), 1)

    lows = [f"{x(week)},{y(low)}" for week, _, low, _ in reversed(known)]
    highs = [f"{x(week)},{y(high)}" for week, _, _, high in known]
    week, lift, low, high = known[-1]
    return Sparkline(
        line=" ".join(f"{x(week)},{y(lift)}" for week, lift, _, _ in known),
        band=" ".join(highs + lows),
        zero=y(0.0),
        last_x=x(week),
        last_y=y(lift),
        tone=tone(metric, low, high),
    )
