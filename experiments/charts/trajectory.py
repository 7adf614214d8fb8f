"""The trajectory chart: the lift of each week since exposure, with the two windows that decide.

The spec is color-free: marks name styles, and ``theme.config`` gives them colors. Weeks that are not mature are absent,
and the part of the axis that they will fill is greyed.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from analysis.plan import Metric
from analysis.results import EffectRow, TrajectoryRow
from experiments import formatting
from experiments.charts.tones import tone

HEIGHT = 300
WEEKS = "weeks"
HALF_WEEK = 0.5
LABEL_TOP = -26
LABEL_LINE = 16
NOT_YET_LINE = 3  # inside the plot, the other labels are above it
PERCENT_AXIS = "datum.value === 0 ? '0' : format(datum.value * 100, '+,~r') + ' %'"
#: Lifts beyond these are cut off: a few units and a rare metric would otherwise flatten everything else.
LOWEST_SHOWN, HIGHEST_SHOWN = -1.0, 3.0
Records = list[dict[str, Any]]


class Span(NamedTuple):
    """The horizontal axis: how many weeks, and what they count."""

    weeks: int
    title: str


Layer = Any  # altair's chained calls are not typed


def spec(metric: Metric, rows: Sequence[TrajectoryRow], windows: Sequence[EffectRow], title: str) -> dict[str, Any]:
    """Return the Vega-Lite spec of one metric, one treatment and one kind of trajectory.

    ``rows`` are in order of weeks. ``windows`` are shaded; their lifts are written in them where given as weekly.
    """
    domain = lift_domain(rows)
    layers = [
        *_shades(_span(rows), metric, windows, rows),
        _joint_band(domain),
        _band(domain),
        _zero(),
        _line(),
        _points(),
        _tooltips(),
    ]
    chart = alt.layer(*layers, data=alt.NamedData(WEEKS), height=HEIGHT, width="container")
    described: dict[str, Any] = chart.properties(description=title).to_dict(validate=False)  # a test does
    described.pop("config", None)  # the page gives the config of its theme
    # Given to altair earlier, the records would be copied at every step.
    described["datasets"] = {**described.get("datasets", {}), WEEKS: records(rows)}
    return described


def _span(rows: Sequence[TrajectoryRow]) -> Span:
    calendar = bool(rows) and rows[0].kind == "calendar"
    return Span(len(rows), "calendar week since start" if calendar else "week since exposure")


def records(rows: Sequence[TrajectoryRow]) -> Records:
    """Return the weeks up to the last mature one as chart data; a week in between without a value breaks the line."""
    last = last_mature_week(rows)
    return [_record(row) for row in rows if last is not None and row.week <= last]


def last_mature_week(rows: Sequence[TrajectoryRow]) -> int | None:
    return max((row.week for row in rows if row.state != "not_yet"), default=None)


def is_drawable(rows: Sequence[TrajectoryRow]) -> bool:
    """Whether any week has a lift to draw."""
    return any(row.lift is not None for row in rows)


def lift_domain(rows: Sequence[TrajectoryRow]) -> list[float]:
    """Return the ends of the vertical axis: zero and every interval, as far as they are shown."""
    lows = [low for row in rows for low in (row.lift, row.lift_low, row.band_low) if low is not None]
    highs = [high for row in rows for high in (row.lift, row.lift_high, row.band_high) if high is not None]
    return [max(LOWEST_SHOWN, min(0.0, *lows, 0.0)), min(HIGHEST_SHOWN, max(0.0, *highs, 0.0))]


def _inline(values: Records) -> Any:
    make: Any = alt.InlineData
    return make(values=values)


def _record(row: TrajectoryRow) -> dict[str, Any]:
    return {
        "week": row.week,
        "from": row.week - HALF_WEEK,
        "to": row.week + HALF_WEEK,
        "lift": row.lift,
        "low": row.lift_low,
        "high": row.lift_high,
        "joint low": row.band_low,
        "joint high": row.band_high,
        "Week": f"0 to {row.week}" if row.kind == "cumulative" else str(row.week),
        "Lift": formatting.percent(row.lift),
        "95 % interval": formatting.percent_interval(row.lift_low, row.lift_high),
        "95 % band, all weeks": formatting.percent_interval(row.band_low, row.band_high),
        "Control": f"{formatting.number(row.control_mean)} · {formatting.count(row.n_control)} units",
        "Treatment": f"{formatting.number(row.treatment_mean)} · {formatting.count(row.n_treatment)} units",
    }


def _week(field: str, span: Span | None = None) -> alt.X:
    if span is None:
        return alt.X(f"{field}:Q")
    step = next(step for step in (1, 2, 4, 13, 26) if span.weeks <= 14 * step or step == 26)
    axis = alt.Axis(
        title=span.title,
        values=list(range(0, span.weeks, step)),
        format="d",
        grid=False,
        labelOverlap=True,
    )
    domain = [-HALF_WEEK, span.weeks - HALF_WEEK]
    return alt.X(f"{field}:Q", axis=axis, scale=alt.Scale(domain=domain, nice=False, zero=False))


def _lift(field: str, domain: list[float] | None = None) -> alt.Y:
    if domain is None:
        return alt.Y(f"{field}:Q")
    axis = alt.Axis(title=None, labelExpr=PERCENT_AXIS, tickCount=5)
    return alt.Y(f"{field}:Q", axis=axis, scale=alt.Scale(domain=domain, nice=True))


def _shades(span: Span, metric: Metric, windows: Sequence[EffectRow], rows: Sequence[TrajectoryRow]) -> list[Layer]:
    last = last_mature_week(rows)
    first_missing = 0 if last is None else last + 1
    weekly = all(row.kind == "weekly" for row in rows)
    # Windows are weeks since exposure; on the axis of calendar weeks they have no place.
    placed = [] if rows and rows[0].kind == "calendar" else windows
    shown = [layer for row in placed for layer in _window(span, metric, row, first_missing, weekly)]
    if first_missing < span.weeks:
        shown += [
            _rect(span, "immature", first_missing, span.weeks),
            _text(first_missing, span.weeks, "not yet", "label", line=NOT_YET_LINE),
        ]
    return shown


def _window(span: Span, metric: Metric, row: EffectRow, first_missing: int, weekly: bool) -> list[Layer]:
    """The mature part of a window shaded, its name above it, and its lift where single weeks are drawn."""
    known = weekly and row.state == "ok"
    shown = tone(metric, *row.drawn) if known and row.drawn else "open"
    layers: list[Layer] = [_text(row.start_week, row.end_week, row.window, "label", line=0)]
    if row.start_week < first_missing:
        layers.append(_rect(span, f"shade-{shown}", row.start_week, min(row.end_week, first_missing)))
    if known:
        layers.append(_text(row.start_week, row.end_week, formatting.percent(row.lift), f"label-{shown}", line=1))
    return layers


def _rect(span: Span, style: str, start: int, end: int) -> Layer:
    values = [{"from": start - HALF_WEEK, "to": end - HALF_WEEK}]
    return (
        alt.Chart(_inline(values)).mark_rect(style=style, aria=False).encode(x=_week("from", span), x2=alt.X2("to:Q"))
    )


def _text(start: int, end: int, text: str, style: str, line: int) -> Layer:
    values = [{"middle": (start + end) / 2 - HALF_WEEK, "text": text}]
    mark = alt.Chart(_inline(values)).mark_text(style=style, align="center", baseline="middle", aria=False)
    return mark.encode(x=alt.X("middle:Q"), y=alt.value(LABEL_TOP + LABEL_LINE * line), text=alt.Text("text:N"))


def _band(domain: list[float]) -> Layer:
    mark = alt.Chart().mark_area(style="band", aria=False, clip=True)
    return mark.encode(x=_week("week"), y=_lift("low", domain), y2=alt.Y2("high:Q"))


def _joint_band(domain: list[float]) -> Layer:
    mark = alt.Chart().mark_area(style="joint-band", aria=False, clip=True)
    return mark.encode(x=_week("week"), y=_lift("joint low", domain), y2=alt.Y2("joint high:Q"))


def _zero() -> Layer:
    return alt.Chart(_inline([{"zero": 0}])).mark_rule(style="zero", aria=False).encode(y=_lift("zero"))


def _line() -> Layer:
    return alt.Chart().mark_line(style="line", aria=False, clip=True).encode(x=_week("week"), y=_lift("lift"))


def _points() -> Layer:
    return alt.Chart().mark_point(style="point", aria=False, clip=True).encode(x=_week("week"), y=_lift("lift"))


def _tooltips() -> Layer:
    """A whole week's column answers to the pointer, so that a finger finds it too."""
    fields = ["Week", "Lift", "95 % interval", "95 % band, all weeks", "Control", "Treatment"]
    tooltip = [alt.Tooltip(f"{field}:N") for field in fields]
    return alt.Chart().mark_rect(opacity=0, aria=False).encode(x=_week("from"), x2=alt.X2("to:Q"), tooltip=tooltip)
