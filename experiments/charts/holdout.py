"""Charts of a holdout: its effect by calendar week with launches on the axis, and the way from promise to measure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.results import HoldoutRow
from experiments import formatting
from experiments.charts import vega
from experiments.charts.trajectory import HIGHEST_SHOWN, LABEL_TOP, LOWEST_SHOWN
from experiments.charts.vega import HALF_WEEK, Ends, Layer, Record, Spec

#: Width of a bar of the waterfall in its own units.
WIDTH = 200.0

#: Launches closer than this many weeks have their numbers on different lines.
_CLOSE = 1.5
_LABEL_LINE = 14


def spec(rows: Sequence[HoldoutRow], launches: Sequence[float], title: str) -> Spec:
    """Return the Vega-Lite spec of one metric's weekly or cumulative rows; ``launches`` are calendar weeks."""
    kind = rows[0].kind
    joint = "95 % band, all weeks" if kind == "weekly" else "Over all looks"
    last = max(row.end_week for row in rows)
    lows = [value for row in rows for value in (row.lift, row.lift_low, _wide(row)[0]) if value is not None]
    highs = [value for row in rows for value in (row.lift, row.lift_high, _wide(row)[1]) if value is not None]
    low, high = max(LOWEST_SHOWN, min(0.0, *lows, 0.0)), min(HIGHEST_SHOWN, max(0.0, *highs, 0.0))
    axis = vega.weeks_axis(["calendar week, launches numbered"], vega.weeks_shown(0, last - 1))
    layers = [
        vega.frame(Ends(-HALF_WEEK, last - HALF_WEEK), Ends(low, high, nice=True), axis, vega.value_axis(vega.PERCENT)),
        *_not_yet(rows, last),
        *_marked(launches),
        vega.band("joint-band", "joint low", "joint high"),
        vega.band("band", "low", "high"),
        vega.zero(),
        vega.line("line", "lift"),
        vega.points("point", "lift"),
        vega.tooltips(["Week", "Lift", "95 % interval", joint, "Held out", "Launched"]),
    ]
    return vega.chart(layers, [_record(row, joint) for row in rows if row.state != "not_yet"], title)


def _wide(row: HoldoutRow) -> tuple[float | None, float | None]:
    """The interval that holds for more than this week alone: of all weeks at once, or of all looks."""
    if row.kind == "weekly":
        return row.band_low, row.band_high
    return row.sequential_lift_low, row.sequential_lift_high


def _record(row: HoldoutRow, joint: str) -> Record:
    low, high = _wide(row)
    week = row.end_week - 1
    return {
        "week": week, "from": week - HALF_WEEK, "to": week + HALF_WEEK, "lift": row.lift, "low": row.lift_low,
        "high": row.lift_high, "joint low": low, "joint high": high,
        "Week": str(week) if row.kind == "weekly" else f"{row.start_week} to {week}",
        "Lift": formatting.percent(row.lift),
        "95 % interval": formatting.percent_interval(row.lift_low, row.lift_high),
        joint: formatting.percent_interval(low, high),
        "Held out": f"{formatting.number(row.control_mean)} · {formatting.count(row.n_control)} units",
        "Launched": f"{formatting.number(row.treatment_mean)} · {formatting.count(row.n_treatment)} units",
    }  # fmt: skip


def _not_yet(rows: Sequence[HoldoutRow], last: int) -> Iterator[Layer]:
    read = max((row.end_week for row in rows if row.state != "not_yet"), default=0)
    if read < last:
        yield vega.shade("immature", read - HALF_WEEK, last - HALF_WEEK)
        yield vega.words("label", (read + last) / 2 - HALF_WEEK, LABEL_TOP + 3 * _LABEL_LINE, "not yet")


def _marked(launches: Sequence[float]) -> Iterator[Layer]:
    """A rule at the beginning of the week of each launch, and its number above."""
    before, line = -10.0, 0
    for number, week in enumerate(launches, start=1):
        place = week - HALF_WEEK
        line = 1 - line if place - before < _CLOSE else 0
        before = place
        yield vega.layer("rule", "zero", [{"x": place}], x=vega.field("x"))
        yield vega.words("label-treatment", place, LABEL_TOP + _LABEL_LINE * line, str(number))


@dataclass(frozen=True)
class Bar:
    """One step of the waterfall: where its bar lies, from ``x`` on and ``width`` wide, of ``WIDTH``."""

    x: float
    width: float
    tone: str


@dataclass(frozen=True)
class Waterfall:
    """The bars of all steps on one scale, and where zero lies on it."""

    zero: float
    bars: tuple[Bar, ...]


def _width(part: float) -> float:
    """A part of the scale as a bar: what is there can be seen, and nothing is nothing."""
    return max(round(part * WIDTH, 2), 1.0) if part else 0.0


def waterfall(steps: Sequence[tuple[float, float, str]]) -> Waterfall:
    """Return bars from one total to the next; a step is (from, to, tone), as fractions."""
    ends = [0.0, *(end for start, stop, _ in steps for end in (start, stop))]
    low, span = min(ends), (max(ends) - min(ends)) or 1.0

    def place(value: float) -> float:
        return round((value - low) / span * WIDTH, 2)

    bars = tuple(Bar(place(min(start, stop)), _width(abs(stop - start) / span), tone) for start, stop, tone in steps)
    return Waterfall(place(0.0), bars)
