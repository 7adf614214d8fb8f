"""The evidence of a decision, frozen: what a look said of a treatment, under which plan, on which data, by which code.

Kept as one JSON document beside the decision, written by ``to_json`` and read by ``from_json`` alone. A field that is
added to the rows later needs a default, or another version here: documents of years ago have to be read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import TypeAdapter

from analysis import decay
from analysis.results import (
    CheckRow,
    ConflictRow,
    EffectRow,
    OecRow,
    RecommendationRow,
    ReversalRow,
    RollbackRow,
    SurvivalComparisonRow,
)
from experiments import __version__
from experiments.models.look import Look
from experiments.models.scorecard import read_scorecard

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was known of one treatment when it was decided on.

    Attributes:
        version: of this document. software: the version of Holdfast. prior_version: of the forecast behind warnings.
        plan_digest: sha256 of the frozen plan; with ``fingerprint`` of the data it says how to get these numbers again.
        effects: of every metric and window, segments left out.
    """

    version: int
    software: str
    prior_version: int
    key: str
    variant: str
    plan_version: int
    plan_digest: str
    as_of: date
    look: int
    planned_looks: int
    fingerprint: str
    first_fact: date | None
    last_fact: date | None
    fact_rows: int
    units: Mapping[str, int]
    excluded: Mapping[str, int]
    checks: tuple[CheckRow, ...]
    effects: tuple[EffectRow, ...]
    reversals: tuple[ReversalRow, ...]
    conflicts: tuple[ConflictRow, ...]
    rollback: tuple[RollbackRow, ...]
    oec: OecRow | None
    recommendation: RecommendationRow | None
    survival: tuple[SurvivalComparisonRow, ...] = ()

    def effect(self, metric: str, window: str) -> EffectRow | None:
        return next((row for row in self.effects if (row.metric, row.window) == (metric, window)), None)

    def reversal(self, metric: str) -> ReversalRow | None:
        return next((row for row in self.reversals if row.metric == metric), None)


_DOCUMENT: TypeAdapter[Evidence] = TypeAdapter(Evidence)


def of_look(look: Look, variant: str) -> Evidence:
    """Return what a finished look says of a treatment."""
    card = read_scorecard(look)
    return Evidence(
        version=VERSION, software=__version__, prior_version=decay.PRIOR_VERSION,
        key=card.plan.key, variant=variant, plan_version=look.plan.version, plan_digest=look.plan.digest,
        as_of=card.as_of, look=card.look, planned_looks=card.planned_looks, fingerprint=look.fingerprint,
        first_fact=card.first_fact, last_fact=card.last_fact, fact_rows=card.fact_rows,
        units=dict(card.units), excluded=dict(card.excluded), checks=card.checks,
        effects=tuple(row for row in card.effects if row.variant == variant and row.segment is None),
        reversals=tuple(row for row in card.reversals if row.variant == variant),
        conflicts=tuple(row for row in card.conflicts if row.variant == variant),
        rollback=tuple(row for row in card.rollback if row.variant == variant),
        oec=next((row for row in card.oec if row.variant == variant), None),
        recommendation=next((row for row in card.recommendations if row.variant == variant), None),
        survival=tuple(row for row in card.survival_comparisons if row.variant == variant),
    )  # fmt: skip


def to_json(evidence: Evidence) -> dict[str, Any]:
    """Return the document as plain JSON values. Floats are not rounded."""
    document: dict[str, Any] = _DOCUMENT.dump_python(evidence, mode="json")
    return document


def from_json(document: Mapping[str, Any]) -> Evidence:
    """Return the evidence that ``to_json`` wrote. Raises ValueError for a version this code does not know."""
    version = document.get("version")
    if version != VERSION:
        raise ValueError(f"evidence of version {version} cannot be read; this Holdfast reads version {VERSION}")
    return _DOCUMENT.validate_python(document)
