"""The trajectory charts of a scorecard's page, each with its finding, its two specs and the numbers behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.plan import Metric, Variant
from analysis.results import EffectRow, Scorecard, TrajectoryRow
from experiments.charts import trajectory
from experiments.charts.finding import finding


@dataclass(frozen=True)
class Chart:
    """One metric of one treatment. ``specs`` has a Vega-Lite spec for each kind of trajectory that is known."""

    chart_id: str
    title: str
    metric: Metric
    specs: Mapping[str, Mapping[str, Any]]
    rows: tuple[TrajectoryRow, ...]
    open: bool

    @property
    def first_readable(self) -> TrajectoryRow | None:
        """The first week, while it is not mature: its date is when there will be a chart."""
        return self.rows[0] if self.rows[0].state == "not_yet" else None


def charts_of(card: Scorecard, variant: Variant, effects: Mapping[tuple[str, str], EffectRow]) -> tuple[Chart, ...]:
    """Primary metrics first, unfolded; the other metrics follow, folded."""
    metrics = sorted(card.plan.estimated_metrics, key=lambda metric: metric.role != "primary")
    position = card.plan.treatments.index(variant)
    charts = (_chart(card, metric, variant, effects, f"chart-{position}-{metric.key}") for metric in metrics)
    return tuple(chart for chart in charts if chart is not None)


def _chart(
    card: Scorecard,
    metric: Metric,
    variant: Variant,
    effects: Mapping[tuple[str, str], EffectRow],
    chart_id: str,
) -> Chart | None:
    windows = [effects.get((metric.key, window)) for window in ("early", "late")]
    early, late = windows
    rows = sorted(
        (row for row in card.trajectory if (row.metric, row.variant) == (metric.key, variant.key)),
        key=lambda row: row.week,
    )
    weekly = tuple(row for row in rows if row.kind == "weekly")
    if early is None or late is None or not weekly:
        return None
    title = finding(metric, early, late, weekly)
    by_kind = {kind: [row for row in rows if row.kind == kind] for kind in ("weekly", "cumulative", "calendar")}
    return Chart(
        chart_id=chart_id,
        title=title,
        metric=metric,
        specs={
            kind: trajectory.spec(metric, of_kind, (early, late), title)
            for kind, of_kind in by_kind.items()
            if trajectory.is_drawable(of_kind)
        },
        rows=weekly,
        open=metric.role == "primary",
    )
