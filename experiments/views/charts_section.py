"""The trajectory charts of a scorecard's page, each with its finding, its specs and the numbers behind it."""

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.plan import Metric, Variant, Window
from analysis.results import EffectRow, Scorecard, TrajectoryRow
from experiments.charts import trajectory
from experiments.charts.finding import finding
from experiments.charts.vega import Spec
from experiments.views.figures import Figure, figure


@dataclass(frozen=True)
class Chart:
    """One metric of one treatment. A folded chart has no figure: it is fetched when somebody opens it."""

    title: str
    metric: Metric
    variant: Variant
    figure: Figure | None
    rows: tuple[TrajectoryRow, ...]
    open: bool

    @property
    def has_lifts(self) -> bool:
        return trajectory.is_drawable(self.rows)

    @property
    def first_readable(self) -> TrajectoryRow | None:
        """The first week, while it is not mature: its date is when there will be a chart."""
        return self.rows[0] if self.rows[0].state == "not_yet" else None


def charts_of(card: Scorecard, variant: Variant, effects: Mapping[tuple[str, str], EffectRow]) -> tuple[Chart, ...]:
    """Primary metrics first, unfolded; the other metrics follow, folded."""
    metrics = sorted(card.plan.estimated_metrics, key=lambda metric: metric.role != "primary")
    charts = (chart_of(card, metric, variant, effects, metric.role == "primary") for metric in metrics)
    return tuple(chart for chart in charts if chart is not None)


def chart_of(
    card: Scorecard, metric: Metric, variant: Variant, effects: Mapping[tuple[str, str], EffectRow], unfolded: bool
) -> Chart | None:
    """Return the chart of a metric that has windows, or None where there is nothing to say."""
    early, late = (effects.get((metric.key, window)) for window in ("early", "late"))
    rows = rows_of(card, metric, variant)
    weekly = tuple(row for row in rows if row.kind == "weekly")
    if early is None or late is None or not weekly:
        return None
    title = finding(metric, early, late, weekly)
    drawn = specs(card, metric, variant, rows, (early, late), title) if unfolded else None
    return Chart(
        title=title,
        metric=metric,
        variant=variant,
        figure=figure(card, "trajectory", metric.key, variant.key, title, drawn) if drawn else None,
        rows=weekly,
        open=unfolded,
    )


def rows_of(card: Scorecard, metric: Metric, variant: Variant) -> list[TrajectoryRow]:
    rows = (row for row in card.trajectory if (row.metric, row.variant) == (metric.key, variant.key))
    return sorted(rows, key=lambda row: row.week)


def specs(
    card: Scorecard,
    metric: Metric,
    variant: Variant,
    rows: list[TrajectoryRow],
    windows: tuple[EffectRow | Window, ...],
    title: str,
) -> dict[str, Spec]:
    """Return a spec for each kind of trajectory that has anything to draw, and one of the means behind the lifts.

    Weekly lifts come first, unless most weeks have none: then the averages so far do.
    """
    by_kind = {kind: [row for row in rows if row.kind == kind] for kind in ("weekly", "cumulative", "calendar")}
    if trajectory.is_sparse(by_kind["weekly"]):
        by_kind = {kind: by_kind[kind] for kind in ("cumulative", "weekly", "calendar")}
    drawn = {
        kind: trajectory.spec(metric, of_kind, windows, title)
        for kind, of_kind in by_kind.items()
        if trajectory.is_drawable(of_kind)
    }
    if trajectory.has_means(by_kind["weekly"]):
        sides = (card.plan.control.key, variant.key)
        shares = metric.kind in ("active", "event")
        drawn["means"] = trajectory.means_spec(by_kind["weekly"], sides, title, shares)
    return drawn
