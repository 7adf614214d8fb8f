"""What the page of a holdout shows, arranged from its scorecard and what stands beside it."""

from collections.abc import Iterator
from dataclasses import dataclass

from analysis.holdout import metrics_read, newest
from analysis.plan import Metric, Plan
from analysis.reconciliation import MemberRow, Reconciliation
from analysis.results import HoldoutKind, HoldoutRow, RecommendationRow, Scorecard
from experiments import formatting
from experiments.charts import holdout as charts
from experiments.charts.holdout import Bar
from experiments.charts.tones import label, tone
from experiments.charts.vega import Spec
from experiments.holdout_table import PARTS, bounded, contaminated, verdict, weeks_of
from experiments.services.holdouts import SPANS, Beside, Size, sizes
from experiments.views.estimates import MISSING, Estimate
from experiments.views.figures import Figure, figure


@dataclass(frozen=True)
class Row:
    """A metric: all weeks so far, which decides, and the newest weeks."""

    metric: Metric
    estimates: tuple[Estimate, ...]
    row: HoldoutRow | None
    size: Size


@dataclass(frozen=True)
class Step:
    """A line of the waterfall: a total, or a part that leads to the next."""

    name: str
    words: str
    value: str
    total: str
    bar: Bar
    strong: bool = False


@dataclass(frozen=True)
class Section:
    """A metric's chart and its reconciliation, now; ``short`` says the same of all weeks.

    ``bound``: what units held out that met a launch may hide, in words; empty where none did.
    """

    metric: Metric
    title: str
    figure: Figure | None
    rows: tuple[HoldoutRow, ...]
    found: Reconciliation | None
    steps: tuple[Step, ...]
    zero: float
    members: tuple[MemberRow, ...]
    verdict: str
    bound: str
    short: str
    open: bool


@dataclass(frozen=True)
class Page:
    card: Scorecard
    plan: Plan
    weeks: int
    advice: RecommendationRow | None
    rows: tuple[Row, ...]
    sections: tuple[Section, ...]
    beside: Beside
    contamination: tuple[str, ...]


def page(card: Scorecard, beside: Beside) -> Page:
    """Arrange a holdout's page."""
    metrics = metrics_read(card.plan)
    by_key = {size.metric: size for size in sizes(card)}
    return Page(
        card=card, plan=card.plan, weeks=card.look, advice=next(iter(card.recommendations), None),
        rows=tuple(_row(card, metric, by_key[metric.key]) for metric in metrics),
        sections=tuple(_section(card, beside, metric) for metric in metrics), beside=beside,
        contamination=tuple(contaminated(card, beside)),
    )  # fmt: skip


def estimate(card: Scorecard, metric: Metric, kind: HoldoutKind) -> Estimate:
    """The cell of a metric: claimed over all weeks, drawn and not claimed over the newest."""
    row = newest(card.holdout, metric.key, kind)
    if row is None:
        return Estimate(kind, missing="nothing read yet")
    heading = weeks_of(row.start_week, row.end_week)
    if row.state != "ok" or row.lift is None:
        return Estimate(heading, missing=MISSING[row.state], reason=row.reason or "")
    if row.drawn is None:
        return Estimate(heading, row.lift, row.lift_low, row.lift_high, reason=row.reason or "")
    return Estimate(heading, row.lift, *row.drawn, tone(metric, *row.drawn) if kind == "cumulative" else "open")


def _row(card: Scorecard, metric: Metric, size: Size) -> Row:
    found = tuple(estimate(card, metric, kind) for kind in ("cumulative", "now"))
    return Row(metric, found, newest(card.holdout, metric.key, "cumulative"), size)


def _section(card: Scorecard, beside: Beside, metric: Metric) -> Section:
    found = beside.of(metric.key, SPANS[0])
    whole = beside.of(metric.key, SPANS[1])
    steps, zero = _steps(metric, found)
    read = tuple(row for row in card.holdout if (row.metric, row.kind) == (metric.key, "weekly"))
    title = _title(card, metric)
    members = found.members if found else ()
    return Section(
        metric=metric, title=title, figure=_figure(card, beside, metric, title), rows=read, found=found, steps=steps,
        zero=zero, members=tuple(row for row in members if row.lift is not None or row.reason),
        verdict=verdict(found) if found else "", bound=bounded(beside.bound(metric.key, SPANS[0])),
        short=_in_short(whole), open=metric.role == "primary",
    )  # fmt: skip


def _title(card: Scorecard, metric: Metric) -> str:
    """The finding of the chart: what all launches do together, and what they do now."""
    so_far, now = (newest(card.holdout, metric.key, kind) for kind in ("cumulative", "now"))
    if so_far is None or now is None or so_far.lift is None or now.lift is None:
        return f"{label(metric.key)}: nothing can be read yet"
    weeks = weeks_of(now.start_week, now.end_week)
    return f"{label(metric.key)}: {formatting.percent(so_far.lift)} so far, {formatting.percent(now.lift)} in {weeks}"


def _figure(card: Scorecard, beside: Beside, metric: Metric, title: str) -> Figure | None:
    kinds: tuple[HoldoutKind, ...] = ("weekly", "cumulative")
    specs: dict[str, Spec] = {}
    for kind in kinds:
        rows = [row for row in card.holdout if (row.metric, row.kind) == (metric.key, kind)]
        if any(row.lift is not None for row in rows):
            specs[kind] = charts.spec(rows, [one.week for one in beside.launches], title)
    if not specs:
        return None
    return figure(card, "holdout", metric.key, card.plan.treatments[0].key, title, specs)


def _steps(metric: Metric, found: Reconciliation | None) -> tuple[tuple[Step, ...], float]:
    if found is None or found.raw is None:
        return (), 0.0
    lines = list(_lines(metric, found))
    drawn = charts.waterfall([(start, stop, shown) for _, _, _, _, start, stop, shown in lines])
    steps = tuple(
        Step(name, words, value, total, bar, strong=not value)
        for (name, words, value, total, *_), bar in zip(lines, drawn.bars, strict=True)
    )
    return steps, drawn.zero


def _lines(metric: Metric, found: Reconciliation) -> Iterator[tuple[str, str, str, str, float, float, str]]:
    """Name, words, value and total of each line, and its bar: from, to, tone."""
    raw = found.raw or 0.0
    yield "Sum of launched lifts", "", "", formatting.percent(raw), 0.0, raw, "total"
    for part in found.parts:
        start = part.total - part.value
        shown = "good" if part.value * metric.sign > 0 else "bad"
        words = part.reason or PARTS[part.name]
        if part.name == "rest":
            yield "Expected", "", "", formatting.percent(start), 0.0, start, "total"
        told = (formatting.percent(part.value), formatting.percent(part.total))
        yield label(part.name), words, *told, start, part.total, shown
    if found.measured is not None:
        interval = formatting.percent_interval(found.measured_low, found.measured_high)
        words = f"one look: {interval}"
        yield "Measured", words, "", formatting.percent(found.measured), 0.0, found.measured, "total"


def _in_short(whole: Reconciliation | None) -> str:
    if whole is None or whole.measured is None:
        return ""
    return (
        f"Over {weeks_of(whole.span.start_week, whole.span.end_week)}: sum {formatting.percent(whole.raw)}, expected "
        f"{formatting.percent(whole.expected)}, measured {formatting.percent(whole.measured)}. {verdict(whole)}"
    )
