"""The numbers behind one chart as CSV: rows as they are stored, floats not rounded. Django-free."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from analysis.results import Scorecard
from experiments.services.scorecards import cell, plain
from experiments.services.suggest import did_you_mean

_TRAJECTORY = (
    "metric", "variant", "kind", "week", "n_control", "n_treatment", "control_mean", "treatment_mean", "effect",
    "effect_se", "lift", "lift_low", "lift_high", "band_low", "band_high", "readable_from", "state", "reason",
)  # fmt: skip
_HOLDOUT = (
    "metric", "kind", "start_week", "end_week", "n_control", "n_treatment", "control_mean", "treatment_mean", "effect",
    "effect_se", "lift", "lift_low", "lift_high", "band_low", "band_high", "sequential_lift_low",
    "sequential_lift_high", "readable_from", "state", "reason",
)  # fmt: skip
_SURVIVAL = ("metric", "variant", "week", "at_risk", "events", "censored", "survival", "low", "high")
_DIFFERENCE = ("week", "difference", "low", "high")
_OBJECTIVES = (
    "metric", "variant", "window", "start_week", "end_week", "n_control", "n_treatment", "lift", "lift_low",
    "lift_high", "sequential_lift_low", "sequential_lift_high", "readable_from", "state", "reason",
)  # fmt: skip

Row = Mapping[str, Any]


class NoSuchNumbers(LookupError):
    """The scorecard has no such part, metric or treatment. The message says which there are."""


def to_csv(card: Scorecard, part: str, metric: str, variant: str) -> str:
    """Return one part of a scorecard as CSV. Raises NoSuchNumbers."""
    if part not in PARTS:
        raise NoSuchNumbers(f"part is `{part}`; it must be one of {', '.join(PARTS)}")
    if part != "objectives":
        _known("variant", variant, [treatment.key for treatment in card.plan.treatments])
        _known("metric", metric, [one.key for one in card.plan.metrics])
    columns, rows_of = PARTS[part]
    head = {"key": card.plan.key, "as_of": card.as_of.isoformat()}
    out = io.StringIO()
    writer = csv.DictWriter(out, (*head, *columns), lineterminator="\n")
    writer.writeheader()
    for row in rows_of(card, metric, variant):
        told = {**head, **{name: plain(row[name]) for name in columns}}
        writer.writerow({name: cell(value) for name, value in told.items()})
    return out.getvalue()


def _known(name: str, value: str, known: list[str]) -> None:
    if value not in known:
        raise NoSuchNumbers(f"{name} is `{value}`{did_you_mean(value, known)}")


def _trajectory(card: Scorecard, metric: str, variant: str) -> Iterator[Row]:
    return (vars(row) for row in card.trajectory if (row.metric, row.variant) == (metric, variant))


def _holdout(card: Scorecard, metric: str, variant: str) -> Iterator[Row]:
    return (vars(row) for row in card.holdout if row.metric == metric)


def _survival(card: Scorecard, metric: str, variant: str) -> Iterator[Row]:
    sides = (card.plan.control.key, variant)
    return (vars(row) for row in card.survival if row.metric == metric and row.variant in sides)


def _difference(card: Scorecard, metric: str, variant: str) -> Iterator[Row]:
    for row in card.survival_comparisons:
        if (row.metric, row.variant) == (metric, variant):
            yield from (vars(one) | {"metric": metric, "variant": variant} for one in row.survival_difference)


def _objectives(card: Scorecard, metric: str, variant: str) -> Iterator[Row]:
    """All metrics and treatments in the early window, the late one and the one that decides."""
    shown = {(one.key, window) for one in card.plan.metrics for window in ("early", "late", one.deciding_window)}
    return (vars(row) for row in card.effects if row.segment is None and (row.metric, row.window) in shown)


PARTS: Mapping[str, tuple[tuple[str, ...], Callable[[Scorecard, str, str], Iterator[Row]]]] = {
    "trajectory": (_TRAJECTORY, _trajectory),
    "survival": (_SURVIVAL, _survival),
    "difference": (("metric", "variant", *_DIFFERENCE), _difference),
    "holdout": (_HOLDOUT, _holdout),
    "objectives": (_OBJECTIVES, _objectives),
}
