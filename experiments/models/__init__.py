"""What Holdfast keeps: experiments and their plans, looks and their work, moments, results, people and decisions."""

from experiments.models.audit import AuditEntry
from experiments.models.claims import (
    ConflictRow,
    FlipRow,
    HeterogeneityRow,
    OecRow,
    RecommendationRow,
    ReversalRow,
    RollbackRow,
)
from experiments.models.decision import Decision
from experiments.models.evidence import Evidence
from experiments.models.experiment import CannotChange, CannotDecide, CannotStart, Experiment, Variant
from experiments.models.look import Claim, Look, LookCell
from experiments.models.metric import Metric, MetricUse
from experiments.models.moments import (
    CurrentTriangle,
    DepartureRow,
    EventCell,
    FactCountRow,
    MomentsCell,
    TallyExclusion,
    TallyRow,
)
from experiments.models.person import Person
from experiments.models.plan import Amendment, Plan
from experiments.models.replay import NaiveLaunchRow, OutcomeRow, ReplayStepRow, read_replay, write_replay
from experiments.models.results import CheckRow, EffectRow, LookExclusion, LookUnits, TrajectoryRow
from experiments.models.scorecard import read_scorecard, write_scorecard
from experiments.models.source import Source, SourceCheck, SourceDraft, SourceFinding
from experiments.models.survival import (
    AdjustedHazardRow,
    HazardPeriodRow,
    SurvivalComparisonRow,
    SurvivalDifferenceRow,
    SurvivalRow,
)

__all__ = [
    "AdjustedHazardRow", "Amendment", "AuditEntry", "CannotChange", "CannotDecide", "CannotStart", "CheckRow",
    "Claim", "ConflictRow", "CurrentTriangle", "Decision", "DepartureRow", "EffectRow", "EventCell", "Evidence",
    "Experiment", "FactCountRow", "FlipRow", "HazardPeriodRow", "HeterogeneityRow", "Look", "LookCell",
    "LookExclusion", "LookUnits", "Metric", "MetricUse", "MomentsCell", "NaiveLaunchRow", "OecRow", "OutcomeRow",
    "Person", "Plan", "RecommendationRow", "ReplayStepRow", "ReversalRow", "RollbackRow", "Source",
    "SourceCheck", "SourceDraft", "SourceFinding",
    "SurvivalComparisonRow", "SurvivalDifferenceRow", "SurvivalRow", "TallyExclusion", "TallyRow", "TrajectoryRow",
    "Variant", "read_replay", "read_scorecard", "write_replay", "write_scorecard",
]  # fmt: skip
