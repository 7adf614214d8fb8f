"""What a launch with a holdback showed 30, 60 and 90 days later, arranged for its experiment's pages."""

from dataclasses import dataclass

from analysis.plan import Metric
from experiments.charts.tones import Tone
from experiments.services.holdbacks import Holdback, Reading
from experiments.views.advice import ACTIONS
from experiments.views.decisions import CriterionRow, criterion_row
from experiments.views.estimates import Estimate, of_effect, of_event


@dataclass(frozen=True)
class Lift:
    """A primary metric in the window that decides."""

    metric: Metric
    window: str
    estimate: Estimate


@dataclass(frozen=True)
class Row:
    """One reading: primary metrics, rollback criteria and recommendation of that day, or why there is none."""

    reading: Reading
    action: str
    tone: Tone
    lifts: tuple[Lift, ...]
    criteria: tuple[CriterionRow, ...]


@dataclass(frozen=True)
class Section:
    holdback: Holdback
    rows: tuple[Row, ...]


def section_of(holdback: Holdback) -> Section:
    """Arrange the readings of a treatment."""
    metrics = {metric.key: metric for metric in holdback.plan.metrics}
    return Section(holdback, tuple(_row(reading, metrics) for reading in holdback.readings))


def _row(reading: Reading, metrics: dict[str, Metric]) -> Row:
    action, tone = ACTIONS[reading.advice.action] if reading.advice else ("", "open")
    effects = [
        Lift(metrics[row.metric], row.window, of_effect(metrics[row.metric], row)) for row in reading.effects
    ]  # fmt: skip
    events = [
        Lift(metrics[row.metric], "weeks without it", of_event(metrics[row.metric], "", row)) for row in reading.events
    ]
    criteria = tuple(criterion_row(reading.due.as_of, row) for row in reading.criteria)
    return Row(reading, action, tone, (*effects, *events), criteria)
