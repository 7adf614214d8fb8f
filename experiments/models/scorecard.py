"""A scorecard as the rows of a look: written and read as a whole, in as many queries whatever its size."""

from collections.abc import Mapping

from django.db.models import Model, Q

from analysis.results import Scorecard
from experiments.models.claims import (
    ConflictRow,
    HeterogeneityRow,
    OecRow,
    RecommendationRow,
    ReversalRow,
    RollbackRow,
)
from experiments.models.holdout import ContaminationRow, HoldoutRow
from experiments.models.look import Look
from experiments.models.results import CheckRow, EffectRow, LookExclusion, LookUnits, TrajectoryRow
from experiments.models.rows import ResultRow
from experiments.models.survival import SurvivalComparisonRow, SurvivalRow

#: The table of each part of a scorecard that is made of rows.
TABLES: Mapping[str, type[ResultRow]] = {
    "checks": CheckRow,
    "effects": EffectRow,
    "trajectory": TrajectoryRow,
    "reversals": ReversalRow,
    "conflicts": ConflictRow,
    "heterogeneity": HeterogeneityRow,
    "oec": OecRow,
    "rollback": RollbackRow,
    "survival": SurvivalRow,
    "survival_comparisons": SurvivalComparisonRow,
    "recommendations": RecommendationRow,
    "holdout": HoldoutRow,
    "contamination": ContaminationRow,
}

#: What experiments have none of.
_OF_HOLDOUTS = (HoldoutRow, ContaminationRow)


def write_scorecard(look: Look, scorecard: Scorecard) -> None:
    """Put a scorecard's rows in place of the look's. The caller holds a transaction; the look itself is not saved.

    Raises ValueError for a number that is not finite.
    """
    tables: tuple[type[Model], ...] = (*TABLES.values(), LookUnits, LookExclusion)
    for table in tables:
        table._default_manager.filter(look=look).delete()
    for part, rows in TABLES.items():
        rows.store(look, getattr(scorecard, part))
    LookUnits.objects.bulk_create(LookUnits(look=look, variant=key, n=n) for key, n in scorecard.units.items())
    left_out = scorecard.excluded.items()
    LookExclusion.objects.bulk_create(LookExclusion(look=look, reason=reason, n=n) for reason, n in left_out)
    look.planned_looks = scorecard.planned_looks
    look.first_fact, look.last_fact, look.fact_rows = scorecard.first_fact, scorecard.last_fact, scorecard.fact_rows


def read_scorecard(look: Look, trajectory: Q | None = None) -> Scorecard:
    """Return the scorecard that ``write_scorecard`` stored, or of its trajectory only the rows that are asked for."""
    chosen = {"trajectory": trajectory} if trajectory is not None else {}
    plan = look.plan.load()
    # Experiments have none of a holdout's rows: they are not asked for.
    tables = {part: table for part, table in TABLES.items() if table not in _OF_HOLDOUTS or plan.kind == "holdout"}
    return Scorecard(
        plan=plan, as_of=look.as_of, look=look.number, planned_looks=look.planned_looks,
        first_fact=look.first_fact, last_fact=look.last_fact, fact_rows=look.fact_rows,
        units=dict(LookUnits.objects.filter(look=look).values_list("variant", "n")),
        excluded=dict(LookExclusion.objects.filter(look=look).values_list("reason", "n")),
        **{part: table.read(look, chosen.get(part)) for part, table in tables.items()},
    )  # fmt: skip
