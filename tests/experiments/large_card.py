"""A large scorecard: as many metrics as asked for over 26 weeks, with both events and every section filled."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from analysis.results import Scorecard
from tests.experiments import cards
from tests.experiments.survival_cards import with_events


def large(metrics: int = 20) -> Scorecard:
    """The scorecard of an experiment ``large``: secondary metrics are copies of sales."""
    card = with_events()
    extra = [replace(cards.SALES, key=f"sales_{number}") for number in range(metrics - len(card.plan.metrics))]

    def copies(rows: Sequence[Any]) -> tuple[Any, ...]:
        of_sales = [row for row in rows if row.metric == "sales"]
        return (*rows, *(replace(row, metric=metric.key) for metric in extra for row in of_sales))

    calendar = [replace(row, kind="calendar") for row in card.trajectory if row.kind == "weekly"]
    return replace(
        card, plan=replace(card.plan, key="large", metrics=(*card.plan.metrics, *extra)), effects=copies(card.effects),
        trajectory=copies([*card.trajectory, *calendar]), reversals=copies(card.reversals),
    )  # fmt: skip
