"""Charts of a time to event: the share of units without it, by variant, and the difference between two variants.

The horizontal axis is completed weeks since exposure, from 0, where nobody has had the event, to the horizon that
decides. Curves are steps: an event is known at the end of its week.
"""

from collections.abc import Iterator, Sequence

from analysis.plan import Metric
from analysis.results import SurvivalDifference, SurvivalRow
from experiments import formatting
from experiments.charts import vega
from experiments.charts.vega import HALF_WEEK, Ends, Layer, Record, Spec

STEP = {"interpolate": "step-after"}
HEIGHT = 260
AXIS_TITLE = ("completed weeks since exposure",)
NOT_YET_TOP = 18
SIDE_ABOVE = -12
#: The variants' names stand beside their curves at this part of the way.
NAMED_AT = 0.6


def curves_spec(
    control: Sequence[SurvivalRow], treatment: Sequence[SurvivalRow], tau: int, title: str
) -> Spec:  # fmt: skip
    """Return the spec of two curves with their 95 % intervals; rows are in order of weeks."""
    lows = [row.low for row in (*control, *treatment)]
    last = max(len(control), len(treatment))
    layers = [
        _frame(Ends(min(lows, default=0.0), 1.0, nice=True), tau, vega.value_axis(vega.SHARE)),
        *_immature(last, tau),
        vega.band("band-control", "control low", "control high", **STEP),
        vega.band("band", "treatment low", "treatment high", **STEP),
        vega.line("line-control", "control", **STEP),
        vega.line("line", "treatment", **STEP),
        *_named(control, treatment),
        vega.tooltips(["After", "Control", "Treatment"]),
    ]
    return vega.chart(layers, curve_records(control, treatment), title, HEIGHT)


def curve_records(control: Sequence[SurvivalRow], treatment: Sequence[SurvivalRow]) -> list[Record]:
    """Return both curves as chart data, a record a week, from week 0 on."""
    records: list[Record] = [
        {"week": 0, "control": 1, "control low": 1, "control high": 1,
         "treatment": 1, "treatment low": 1, "treatment high": 1}
    ]  # fmt: skip
    by_week = [{row.week: row for row in rows} for rows in (control, treatment)]
    for week in sorted({*by_week[0], *by_week[1]}):
        record: Record = {"week": week, **_column(week)}
        for side, rows in zip(("control", "treatment"), by_week, strict=True):
            row = rows.get(week)
            record |= {side: row and row.survival, f"{side} low": row and row.low, f"{side} high": row and row.high}
            record[side.capitalize()] = _told(row)
        records.append(record)
    return records


def difference_spec(metric: Metric, differences: Sequence[SurvivalDifference], tau: int, title: str) -> Spec:
    """Return the spec of treatment less control in the share without the event, in percentage points."""
    ends = [end for one in differences for end in (one.low, one.high)]
    last = max((one.week for one in differences), default=0)
    gone = metric.event is not None and metric.event.type == "inactivity"
    fewer, more = ("fewer gone", "more gone") if gone else ("fewer with it", "more with it")
    above, below = ("good", "bad") if metric.sign > 0 else ("bad", "good")
    edge = {"align": "left", "dx": 2}
    layers = [
        _frame(
            Ends(min(0.0, *ends, 0.0), max(0.0, *ends, 0.0), nice=True), tau,
            vega.value_axis(vega.POINTS, "percentage points"),
        ),
        *_immature(last, tau),
        vega.band("band", "low", "high", **STEP),
        vega.zero(),
        vega.line("line", "difference", **STEP),
        vega.words(f"label-{above}", 0, SIDE_ABOVE, f"↑ {fewer}", **edge),
        vega.words(f"label-{below}", 0, "height", f"↓ {more}", **edge, dy=-12),
        vega.tooltips(["After", "Difference", "95 % interval"]),
    ]  # fmt: skip
    return vega.chart(layers, difference_records(differences), title, HEIGHT)


def difference_records(differences: Sequence[SurvivalDifference]) -> list[Record]:
    start: Record = {"week": 0, "difference": 0, "low": 0, "high": 0}
    return [start, *(_difference(one) for one in differences)]


def _difference(one: SurvivalDifference) -> Record:
    return {
        "week": one.week, **_column(one.week), "difference": one.difference, "low": one.low, "high": one.high,
        "Difference": f"{formatting.points(one.difference)} points",
        "95 % interval": formatting.points_interval(one.low, one.high),
    }  # fmt: skip


def weeks_shown(tau: int) -> list[int]:
    """The completed weeks that are named on the axis, and in the table of units at risk."""
    return vega.weeks_shown(0, tau, most=7)


def _frame(y: Ends, tau: int, y_axis: Record) -> Layer:
    return vega.frame(Ends(0.0, float(tau)), y, vega.weeks_axis(AXIS_TITLE, weeks_shown(tau)), y_axis)


def _column(week: int) -> Record:
    return {"from": week - HALF_WEEK, "to": week + HALF_WEEK, "After": f"{week} weeks" if week > 1 else "1 week"}


def _told(row: SurvivalRow | None) -> str:
    if row is None:
        return formatting.NOTHING
    interval = formatting.share_interval(row.low, row.high)
    share = formatting.percent(row.survival, signed=False)
    return f"{share} ({interval}) · {formatting.count(row.at_risk)} at risk"


def _immature(last: int, tau: int) -> Iterator[Layer]:
    if last < tau:
        yield vega.shade("immature", last, tau)
        yield vega.words("label", (last + tau) / 2, NOT_YET_TOP, "not yet")


def _named(control: Sequence[SurvivalRow], treatment: Sequence[SurvivalRow]) -> Iterator[Layer]:
    """The variants' names: curves fall, so there is room to the right above the higher one and to the left below."""
    if not control or not treatment:
        return
    place = round(NAMED_AT * min(len(control), len(treatment)))
    at = max(0, place - 1)
    above = treatment[at].survival >= control[at].survival
    for row, style, up in ((control[at], "label-control", not above), (treatment[at], "label-treatment", above)):
        corner = {"align": "left", "dx": 4, "dy": -10} if up else {"align": "right", "dx": -4, "dy": 14}
        yield vega.words_at(style, row.week, row.survival, row.variant, **corner)
