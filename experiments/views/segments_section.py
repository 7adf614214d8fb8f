"""Segments on a scorecard's page: the effect within each value, and whether effects differ. Exploration, no claims."""

from collections.abc import Iterator
from dataclasses import dataclass

from analysis.plan import Metric, Variant
from analysis.results import EffectRow, HeterogeneityRow, Scorecard
from experiments.charts.drawings import ForestBar, forest_bar
from experiments.charts.tones import label
from experiments.views.estimates import Estimate, of_effect

#: So many differences are named in a title; the others are counted.
NAMED = 2


@dataclass(frozen=True)
class ValueRow:
    """The effect within one value of a segment; the first row of a metric is that of all units."""

    value: str
    row: EffectRow
    estimate: Estimate
    bar: ForestBar | None


@dataclass(frozen=True)
class MetricSegments:
    """A metric in its deciding window by the values of a segment, with the test of whether its lift differs."""

    metric: Metric
    weeks: str
    rows: tuple[ValueRow, ...]
    test: HeterogeneityRow | None


@dataclass(frozen=True)
class Segment:
    """One declared column for one treatment."""

    column: str
    variant: Variant
    metrics: tuple[MetricSegments, ...]
    limit: float


@dataclass(frozen=True)
class Segments:
    title: str
    columns: tuple[str, ...]
    segments: tuple[Segment, ...]


def segments_of(card: Scorecard) -> Segments:
    found = tuple(
        segment
        for column in card.plan.segments
        for variant in card.plan.treatments
        if (segment := _segment(card, column, variant)).metrics
    )
    return Segments(_title(card), card.plan.segments, found)


def _title(card: Scorecard) -> str:
    """What differs in the windows that decide, by p values that are adjusted for the number of tests."""
    if not card.plan.segments:
        return "Segments: none declared"
    windows = {metric.key: metric.deciding_window for metric in card.plan.metrics}
    tests = [row for row in card.heterogeneity if row.window == windows.get(row.metric)]
    alpha = card.plan.decision.alpha
    differing = [row for row in tests if row.p_value_adjusted is not None and row.p_value_adjusted < alpha]
    if differing:
        told = [f"{label(row.metric)} by {row.segment}" for row in differing]
        more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
        return f"Segments: the lift differs for {', '.join(told[:NAMED])}{more}"
    if any(row.p_value is not None for row in tests):
        return "Segments: no difference to see"
    return "Segments: not yet"


def _segment(card: Scorecard, column: str, variant: Variant) -> Segment:
    rows = [
        row
        for row in card.effects
        if row.variant == variant.key and (row.segment is None or row.segment.startswith(f"{column}="))
    ]
    values = {row.segment for row in rows if row.segment is not None}
    limit = _limit(rows) if values else 0.01
    metrics = tuple(_metrics(card, column, variant, rows, limit)) if values else ()
    return Segment(column, variant, metrics, limit)


def _limit(rows: list[EffectRow]) -> float:
    """Bars share a scale that holds every lift; longer intervals are cut and say so."""
    return max([0.01, *(abs(row.lift) for row in rows if row.lift is not None)]) * 1.25


def _metrics(
    card: Scorecard, column: str, variant: Variant, rows: list[EffectRow], limit: float
) -> Iterator[MetricSegments]:
    for metric in card.plan.estimated_metrics:
        window = metric.deciding_window
        of_metric = [row for row in rows if (row.metric, row.window) == (metric.key, window)]
        if metric.role == "diagnostic" or not of_metric:
            continue
        told = sorted(of_metric, key=lambda row: row.segment or "")
        test = next(
            (
                row
                for row in card.heterogeneity
                if (row.metric, row.variant, row.window, row.segment) == (metric.key, variant.key, window, column)
            ),
            None,
        )
        yield MetricSegments(
            metric, card.plan.window(window).label, tuple(_value(metric, row, column, limit) for row in told), test
        )


def _value(metric: Metric, row: EffectRow, column: str, limit: float) -> ValueRow:
    value = "All units" if row.segment is None else row.segment.removeprefix(f"{column}=")
    return ValueRow(value, row, of_effect(metric, row), forest_bar(metric, row, limit))
