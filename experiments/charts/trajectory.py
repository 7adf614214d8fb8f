"""The trajectory chart: the lift of each week since exposure, with the two windows that decide.

Weeks that are not mature are absent, and the part of the axis that they will fill is greyed. Below the axis stand the
units that have lived the week.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

from analysis.plan import Metric, Window
from analysis.results import EffectRow, TrajectoryKind, TrajectoryRow
from experiments import formatting
from experiments.charts import vega
from experiments.charts.tones import tone
from experiments.charts.vega import HALF_WEEK, Ends, Layer, Record, Spec

#: What a trajectory chart can show: three kinds of lifts, and the means behind them.
View = Literal[TrajectoryKind, "means"]
VIEWS: tuple[View, ...] = (*get_args(TrajectoryKind), "means")

LABEL_TOP = -26
LABEL_LINE = 16
NOT_YET_LINE = 3  # inside the plot, the other labels are above it
#: Lifts beyond these are cut off: a few units and a rare metric would otherwise flatten everything else.
LOWEST_SHOWN, HIGHEST_SHOWN = -1.0, 3.0


def spec(
    metric: Metric, rows: Sequence[TrajectoryRow], windows: Sequence[EffectRow | Window], title: str
) -> Spec:  # fmt: skip
    """Return the Vega-Lite spec of one metric, one treatment and one kind of trajectory.

    ``rows`` are in order of weeks. ``windows`` are shaded; their lifts are written in them where given as weekly.
    """
    low, high = lift_domain(rows)
    layers = [
        _frame(rows, Ends(low, high, nice=True), vega.PERCENT),
        *_shades(metric, windows, rows),
        vega.band("joint-band", "joint low", "joint high"),
        vega.band("band", "low", "high"),
        vega.zero(),
        vega.line("line", "lift"),
        vega.points("point", "lift"),
        vega.tooltips(["Week", "Lift", "95 % interval", "95 % band, all weeks", "Control", "Treatment"]),
    ]
    return vega.chart(layers, records(rows), title)


def means_spec(rows: Sequence[TrajectoryRow], sides: tuple[str, str], title: str, shares: bool) -> Spec:
    """Return the spec of the two means behind weekly lifts; ``sides`` are the variants' keys, control first."""
    known = [row for row in rows if row.control_mean is not None and row.treatment_mean is not None]
    means = [mean for row in known for mean in (row.control_mean, row.treatment_mean) if mean is not None]
    low, high = min(0.0, *means), max(0.0, *means)
    layers = [
        _frame(rows, Ends(low, high, nice=True), vega.SHARE if shares else "format(datum.value, ',~r')"),
        *_immature(rows),
        vega.line("line-control", "control"),
        vega.line("line", "treatment"),
        *_named_ends(known, sides),
        vega.tooltips(["Week", "Lift", "Control", "Treatment"]),
    ]
    return vega.chart(layers, records(rows), title)


def _named_ends(known: Sequence[TrajectoryRow], sides: tuple[str, str]) -> Iterator[Layer]:
    """The variants' names at the ends of their lines, the higher line's above it."""
    last = known[-1]
    control, treatment = last.control_mean or 0.0, last.treatment_mean or 0.0
    above = treatment >= control
    yield vega.words_at("label-control", last.week, control, sides[0], align="right", dy=14 if above else -12)
    yield vega.words_at("label-treatment", last.week, treatment, sides[1], align="right", dy=-12 if above else 14)


def _frame(rows: Sequence[TrajectoryRow], y: Ends, label: str) -> Layer:
    calendar = bool(rows) and rows[0].kind == "calendar"
    weeks = vega.weeks_shown(0, len(rows) - 1)
    units = {row.week: row.n_control + row.n_treatment for row in rows if row.state == "ok"}
    below = {week: formatting.short_count(units[week]) for week in weeks if week in units}
    title = ["calendar week since start" if calendar else "week since exposure"]
    if len(set(below.values())) > 1:
        title += ["below it: the units that have lived it"]
    elif below:
        title, below = [*title, f"{next(iter(below.values()))} units have lived each"], {}
    x = Ends(-HALF_WEEK, len(rows) - HALF_WEEK)
    return vega.frame(x, y, vega.weeks_axis(title, weeks, below), vega.value_axis(label))


def records(rows: Sequence[TrajectoryRow]) -> list[Record]:
    """Return the weeks up to the last mature one as chart data; a week in between without a value breaks the line."""
    last = last_mature_week(rows)
    return [_record(row) for row in rows if last is not None and row.week <= last]


def last_mature_week(rows: Sequence[TrajectoryRow]) -> int | None:
    return max((row.week for row in rows if row.state != "not_yet"), default=None)


def is_drawable(rows: Sequence[TrajectoryRow]) -> bool:
    """Whether any week has a lift to draw."""
    return any(row.lift is not None for row in rows)


def is_sparse(rows: Sequence[TrajectoryRow]) -> bool:
    """Whether most of the mature weeks have no lift, as of a rare metric."""
    mature = [row for row in rows if row.state != "not_yet"]
    return sum(row.lift is not None for row in mature) < len(mature) / 2


def has_means(rows: Sequence[TrajectoryRow]) -> bool:
    """Whether any week has means to draw."""
    return any(row.control_mean is not None for row in rows)


def lift_domain(rows: Sequence[TrajectoryRow]) -> list[float]:
    """Return the ends of the vertical axis: zero and every interval, as far as they are shown."""
    lows = [low for row in rows for low in (row.lift, row.lift_low, row.band_low) if low is not None]
    highs = [high for row in rows for high in (row.lift, row.lift_high, row.band_high) if high is not None]
    return [max(LOWEST_SHOWN, min(0.0, *lows, 0.0)), min(HIGHEST_SHOWN, max(0.0, *highs, 0.0))]


def _record(row: TrajectoryRow) -> Record:
    return {
        "week": row.week,
        "from": row.week - HALF_WEEK,
        "to": row.week + HALF_WEEK,
        "lift": row.lift,
        "low": row.lift_low,
        "high": row.lift_high,
        "joint low": row.band_low,
        "joint high": row.band_high,
        "control": row.control_mean,
        "treatment": row.treatment_mean,
        "Week": f"0 to {row.week}" if row.kind == "cumulative" else str(row.week),
        "Lift": formatting.percent(row.lift),
        "95 % interval": formatting.percent_interval(row.lift_low, row.lift_high),
        "95 % band, all weeks": formatting.percent_interval(row.band_low, row.band_high),
        "Control": f"{formatting.number(row.control_mean)} · {formatting.count(row.n_control)} units",
        "Treatment": f"{formatting.number(row.treatment_mean)} · {formatting.count(row.n_treatment)} units",
    }


def _first_missing(rows: Sequence[TrajectoryRow]) -> int:
    last = last_mature_week(rows)
    return 0 if last is None else last + 1


def _immature(rows: Sequence[TrajectoryRow]) -> Iterator[Layer]:
    start, end = _first_missing(rows), len(rows)
    if start < end:
        yield vega.shade("immature", start - HALF_WEEK, end - HALF_WEEK)
        yield _label(start, end, "not yet", "label", line=NOT_YET_LINE)


def _shades(
    metric: Metric, windows: Sequence[EffectRow | Window], rows: Sequence[TrajectoryRow]
) -> Iterator[Layer]:  # fmt: skip
    weekly = all(row.kind == "weekly" for row in rows)
    # Windows are weeks since exposure; on the axis of calendar weeks they have no place.
    if not rows or rows[0].kind != "calendar":
        for window in windows:
            yield from _window(metric, window, _first_missing(rows), weekly)
    yield from _immature(rows)


def _window(metric: Metric, window: EffectRow | Window, first_missing: int, weekly: bool) -> Iterator[Layer]:
    """The mature part of a window shaded, its name above it, and its lift where single weeks are drawn."""
    start, end = window.start_week, window.end_week
    effect = window if isinstance(window, EffectRow) and weekly and window.state == "ok" else None
    shown = tone(metric, *effect.drawn) if effect and effect.drawn else "open"
    yield _label(start, end, window.window if isinstance(window, EffectRow) else window.name, "label", line=0)
    if start < first_missing:
        yield vega.shade(f"shade-{shown}", start - HALF_WEEK, min(end, first_missing) - HALF_WEEK)
    if effect is not None:
        yield _label(start, end, formatting.percent(effect.lift), f"label-{shown}", line=1)


def _label(start: int, end: int, text: str, style: str, line: int) -> Layer:
    return vega.words(style, (start + end) / 2 - HALF_WEEK, LABEL_TOP + LABEL_LINE * line, text)
