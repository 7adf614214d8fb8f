"""Short term against long term: every treatment as a point with its intervals, control at the origin."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.plan import Metric, Plan, Window
from analysis.results import EffectRow
from experiments import formatting
from experiments.charts import vega
from experiments.charts.tones import label
from experiments.charts.vega import Ends, Layer, Record, Spec

HEIGHT = 320
#: The axes end a little beyond the longest interval.
ROOM = 1.12
SMALLEST = 0.01


@dataclass(frozen=True)
class Axis:
    """A metric in the window that stands for the short or the long term."""

    metric: Metric
    window: Window

    @property
    def words(self) -> str:
        return f"{label(self.metric.key)}, {self.window.label}"


@dataclass(frozen=True)
class Point:
    """A treatment's lifts on both axes, each with the interval over all looks, or the plain one before there is any."""

    variant: str
    short: EffectRow
    long: EffectRow


def axes(plan: Plan) -> tuple[Axis, Axis] | None:
    """Return what is plotted: the first primary metric of each term, or one metric early and late. None without any."""
    primaries = [metric for metric in plan.estimated_metrics if metric.role == "primary"]
    if not primaries:
        return None
    short = next((metric for metric in primaries if metric.term == "short"), None)
    long = next((metric for metric in primaries if metric.term != "short"), None)
    first, last = short or primaries[0], long or primaries[0]
    return (
        Axis(first, plan.window(first.deciding_window if short else "early")),
        Axis(last, plan.window(last.deciding_window if long else "late")),
    )


def interval(row: EffectRow) -> tuple[float, float] | None:
    """The interval that is drawn, None where there is none."""
    if row.drawn is not None:
        return row.drawn
    return None if row.lift_low is None or row.lift_high is None else (row.lift_low, row.lift_high)


def spec(short: Axis, long: Axis, points: Sequence[Point], control: str, title: str) -> Spec:
    """Return the spec; the quarter in which both are better is shaded, and so is the one in which both are worse."""
    x, y = (_reach(rows) for rows in ([point.short for point in points], [point.long for point in points]))
    layers = [
        vega.frame(
            Ends(-x, x), Ends(-y, y), _axis(short), _axis(long),
        ),
        *_quarters(short, long, x, y),
        _rule({"x": {"datum": 0}}), _rule({"y": {"datum": 0}}),
        vega.layer("rule", "reach", x=vega.field("x low"), x2={"field": "x high"}, y=vega.field("y")),
        vega.layer("rule", "reach", x=vega.field("x"), y=vega.field("y low"), y2={"field": "y high"}),
        vega.layer("point", "treatment", x=vega.field("x"), y=vega.field("y"), tooltip=_told()),
        *(_named(record) for record in records(short, long, points)),
        vega.words_at("label-control", 0, 0, control, align="left", dx=6, dy=-8),
    ]  # fmt: skip
    return vega.chart(layers, records(short, long, points), title, HEIGHT)


def records(short: Axis, long: Axis, points: Sequence[Point]) -> list[Record]:
    return [_record(short, long, point) for point in points]


def _record(short: Axis, long: Axis, point: Point) -> Record:
    x, y = interval(point.short), interval(point.long)
    return {
        "variant": point.variant, "x": point.short.lift, "y": point.long.lift,
        "x low": x and x[0], "x high": x and x[1], "y low": y and y[0], "y high": y and y[1],
        "Treatment": point.variant, "Short term": f"{short.words}: {_lift(point.short, x)}",
        "Long term": f"{long.words}: {_lift(point.long, y)}",
    }  # fmt: skip


def _lift(row: EffectRow, ends: tuple[float, float] | None) -> str:
    told = formatting.percent(row.lift)
    return f"{told} ({formatting.percent_interval(*ends)})" if ends else told


def _told() -> list[dict[str, str]]:
    return [{"field": name, "type": "nominal"} for name in ("Treatment", "Short term", "Long term")]


def _reach(rows: Sequence[EffectRow]) -> float:
    ends: list[float] = [abs(end) for row in rows for end in (row.lift, *(interval(row) or ())) if end is not None]
    return ROOM * max(SMALLEST, *ends)


def _axis(axis: Axis) -> Record:
    better = "higher is better" if axis.metric.sign > 0 else "lower is better"
    return {**vega.value_axis(vega.PERCENT, f"{axis.words} ({better})"), "grid": False}


def _quarters(short: Axis, long: Axis, x: float, y: float) -> Iterator[Layer]:
    for style, side in (("shade-good", 1), ("shade-bad", -1)):
        across, up = side * short.metric.sign * x, side * long.metric.sign * y
        place = [{"x": 0, "x2": across, "y": 0, "y2": up}]
        yield vega.layer(
            "rect", style, place, x=vega.field("x"), x2={"field": "x2"}, y=vega.field("y"), y2={"field": "y2"}
        )


def _rule(encoding: Record) -> Layer:
    return vega.layer("rule", "zero", [{}], **encoding)


def _named(record: Record) -> Layer:
    # Towards the middle, where there is room.
    side = {"align": "right", "dx": -8} if record["x"] > 0 else {"align": "left", "dx": 8}
    return vega.words_at("label-treatment", record["x"], record["y"], record["variant"], **side, dy=-10)
