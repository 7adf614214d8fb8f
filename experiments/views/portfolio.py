"""The home page: every experiment in a row, what needs attention first."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from analysis.plan import Metric
from analysis.results import EffectRow
from experiments.charts.drawings import ForestBar, Sparkline, forest_bar, forest_limit, sparkline
from experiments.charts.tones import Tone
from experiments.services import results
from experiments.services.results import PortfolioEntry
from experiments.views.estimates import Estimate, of_effect
from experiments.views.guard import needs
from experiments.views.health import check_item
from experiments.views.scorecard_page import HEADLINES


@dataclass(frozen=True)
class Flag:
    """Something to look at, in words; the smaller the rank, the more urgent."""

    words: str
    tone: Tone
    rank: int


@dataclass(frozen=True)
class Deciding:
    """The lift of one deciding metric with a small bar."""

    term: str
    metric: Metric
    estimate: Estimate
    bar: ForestBar | None
    weeks: str


@dataclass(frozen=True)
class Row:
    entry: PortfolioEntry
    flags: tuple[Flag, ...]
    deciding: tuple[Deciding, ...]
    spark: Sparkline | None
    spark_metric: str

    @property
    def rank(self) -> tuple[int, str]:
        return min((flag.rank for flag in self.flags), default=99), self.entry.key


@require_GET
@needs("read")
def portfolio(request: HttpRequest) -> HttpResponse:
    rows = sorted((row_of(entry) for entry in results.portfolio()), key=lambda row: row.rank)
    return render(request, "portfolio.html", {"rows": rows})


def row_of(entry: PortfolioEntry) -> Row:
    """Arrange one entry: its flags, the lift of the first short-term and the first long-term metric, its course."""
    metrics = {metric.key: metric for metric in entry.plan.metrics}
    chosen = [(metrics[row.metric], row) for row in entry.effects if row.metric in metrics and row.segment is None]
    pairs = list(filter(None, (_first(chosen, term) for term in ("short", "long"))))
    limit = forest_limit(pairs)
    charted = metrics.get(entry.trajectory[0].metric) if entry.trajectory else None
    return Row(
        entry=entry,
        flags=tuple(sorted(_flags(entry), key=lambda flag: flag.rank)),
        deciding=tuple(_deciding(entry, metric, row, limit) for metric, row in pairs),
        spark=sparkline(charted, entry.trajectory, entry.plan.horizon_weeks) if charted else None,
        spark_metric=charted.key if charted else "",
    )


def _first(pairs: list[tuple[Metric, EffectRow]], term: str) -> tuple[Metric, EffectRow] | None:
    return next((pair for pair in pairs if pair[0].role == "primary" and (pair[0].term or "long") == term), None)


def _deciding(entry: PortfolioEntry, metric: Metric, row: EffectRow, limit: float) -> Deciding:
    return Deciding(
        term=f"{metric.term or 'long'} term",
        metric=metric,
        estimate=of_effect(metric, row),
        bar=forest_bar(metric, row, limit),
        weeks=entry.plan.window(row.window).label,
    )


def _flags(entry: PortfolioEntry) -> list[Flag]:
    """One flag of a kind: two metrics that reverse are one thing to look at."""
    flags = [Flag(check_item(check).label, "bad", 0) for check in entry.checks if check.state == "alarm"]
    states = {row.state for row in entry.reversals}
    for rank, (state, words) in enumerate(HEADLINES.items(), start=1):
        if state in states:
            flags.append(Flag(words, "within" if state in ("warning", "fading") else "bad", rank))
            break
    if entry.look is not None and entry.look.state == "failed":
        flags.append(Flag("Last look failed", "bad", 1))
    return flags
