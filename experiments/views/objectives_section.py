"""Objectives on a scorecard's page: the weighted criterion, the guardrails as constraints, short against long term."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import reverse

from analysis.plan import Metric, Variant
from analysis.results import ClaimRow, EffectRow, OecRow, Scorecard, SurvivalComparisonRow
from experiments import formatting
from experiments.charts import pareto
from experiments.charts.pareto import Point
from experiments.charts.tones import Tone, label
from experiments.views.estimates import Estimate, of_effect, of_event
from experiments.views.figures import Figure

#: What a guardrail's verdict means for a launch, with its mark.
CONSTRAINTS: dict[str, tuple[str, str, Tone]] = {
    "superior": ("✓", "better", "good"),
    "non_inferior": ("✓", "within its margin", "good"),
    "inferior": ("✗", "beyond its margin", "bad"),
    "undecided": ("?", "not decided", "open"),
}


@dataclass(frozen=True)
class Objective:
    """A metric with a weight: what it adds to the criterion."""

    metric: Metric
    weeks: str
    estimate: Estimate


@dataclass(frozen=True)
class Constraint:
    """A guardrail and where it stands against its margin."""

    metric: Metric
    weeks: str
    estimate: Estimate
    mark: str
    words: str
    tone: Tone


@dataclass(frozen=True)
class Balance:
    """The objectives and constraints of one treatment."""

    variant: Variant
    oec: OecRow | None
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]

    @property
    def flips(self) -> list[tuple[Metric, float]]:
        """The metrics whose weight could turn the criterion around, and from which weight on."""
        metrics = {objective.metric.key: objective.metric for objective in self.objectives}
        flips = self.oec.flips if self.oec is not None else ()
        return [(metrics[flip.metric], flip.weight) for flip in flips if flip.metric in metrics]


@dataclass(frozen=True)
class Objectives:
    title: str
    balances: tuple[Balance, ...]
    total: float
    plot: Figure | None
    plot_missing: str

    @property
    def has_weights(self) -> bool:
        return self.total > 0


def objectives_of(card: Scorecard) -> Objectives:
    balances = tuple(_balance(card, variant) for variant in card.plan.treatments)
    plot, missing = _plot(card)
    total = sum(metric.weight or 0.0 for metric in card.plan.metrics)
    return Objectives(_title(balances), balances, total, plot, missing)


def _title(balances: tuple[Balance, ...]) -> str:
    """The criterion of a single treatment, where its interval leaves out zero or not."""
    rows = [balance.oec for balance in balances if balance.oec is not None]
    if len(rows) != 1 or rows[0].value is None or rows[0].low is None or rows[0].high is None:
        return "Objectives"
    told = f"{formatting.percent(rows[0].value)} ({formatting.percent_interval(rows[0].low, rows[0].high)})"
    if rows[0].low <= 0 <= rows[0].high:
        return f"Objectives together: not separable from zero, {told}"
    return f"Objectives together: {'better' if rows[0].value > 0 else 'worse'}, {told}"


def _balance(card: Scorecard, variant: Variant) -> Balance:
    return Balance(
        variant=variant,
        oec=next((row for row in card.oec if row.variant == variant.key), None),
        objectives=tuple(_objectives(card, variant)),
        constraints=tuple(_constraints(card, variant)),
    )


def _deciding(card: Scorecard, metric: Metric, variant: Variant) -> ClaimRow | None:
    """The row from which a metric is judged."""
    rows: list[ClaimRow] = [
        row
        for row in card.effects
        if (row.metric, row.variant, row.window, row.segment) == (metric.key, variant.key, metric.deciding_window, None)
    ]
    rows += [row for row in card.survival_comparisons if (row.metric, row.variant) == (metric.key, variant.key)]
    return rows[0] if rows else None


def _estimate(metric: Metric, row: ClaimRow) -> Estimate:
    return of_event(metric, "", row) if isinstance(row, SurvivalComparisonRow) else of_effect(metric, row)


def _weeks(card: Scorecard, metric: Metric, row: ClaimRow) -> str:
    if isinstance(row, SurvivalComparisonRow):
        return f"weeks without it out of {row.horizon_week or row.tau}"
    return card.plan.window(metric.deciding_window).label


def _objectives(card: Scorecard, variant: Variant) -> Iterator[Objective]:
    for metric in card.plan.metrics:
        row = _deciding(card, metric, variant)
        if metric.weight and row is not None:
            yield Objective(metric, _weeks(card, metric, row), _estimate(metric, row))


def _constraints(card: Scorecard, variant: Variant) -> Iterator[Constraint]:
    for metric in card.plan.metrics:
        row = _deciding(card, metric, variant)
        if metric.role != "guardrail" or row is None:
            continue
        estimate = _estimate(metric, row)
        mark, words, tone = CONSTRAINTS[row.verdict or "undecided"]
        if row.verdict in (None, "undecided") and card.as_of < row.readable_from:
            words = f"readable from {formatting.day(row.readable_from)}"
        yield Constraint(metric, _weeks(card, metric, row), estimate, mark, words, tone)


def _plot(card: Scorecard) -> tuple[Figure | None, str]:
    """The plot of all treatments that have both lifts, or why there is none."""
    axes = pareto.axes(card.plan)
    if axes is None:
        return None, "no primary metric has windows to compare"
    short, long = axes
    points = [point for variant in card.plan.treatments if (point := _point(card, variant.key, short, long))]
    if not points:
        day = max((row.readable_from for row in card.effects if row.window == long.window.name), default=None)
        if day is not None and card.as_of < day:
            return None, f"{long.words} can be read from {formatting.day(day)}"
        return None, f"{short.words} and {long.words} have no lifts to compare"
    told = [
        f"{point.variant} {formatting.percent(point.short.lift)} {short.window.name}, "
        f"{formatting.percent(point.long.lift)} {long.window.name}"
        for point in points
    ]
    title = f"{label(short.metric.key)} against {label(long.metric.key)}: {'; '.join(told)}"
    day_ = card.as_of.isoformat()
    query = urlencode({"as_of": day_, "part": "objectives"})
    figure = Figure(
        figure_id="objectives-plot", title=title, subtitle=f"{card.plan.name} · as of {day_}",
        name=f"{card.plan.key}-objectives-{day_}", numbers=f"{reverse('chart-csv', args=[card.plan.key])}?{query}",
        specs={"objectives": pareto.spec(short, long, points, card.plan.control.key, title)},
    )  # fmt: skip
    return figure, ""


def _point(card: Scorecard, variant: str, short: pareto.Axis, long: pareto.Axis) -> Point | None:
    found: dict[tuple[str, str], EffectRow] = {
        (row.metric, row.window): row
        for row in card.effects
        if row.variant == variant and row.segment is None and row.lift is not None
    }
    x, y = (found.get((axis.metric.key, axis.window.name)) for axis in (short, long))
    return Point(variant, x, y) if x is not None and y is not None else None
