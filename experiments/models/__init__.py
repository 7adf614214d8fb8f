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
from experiments.models.draft import Draft
from experiments.models.event import EventName
from experiments.models.evidence import Evidence
from experiments.models.experiment import CannotChange, CannotDecide, CannotStart, Experiment, Variant
from experiments.models.holdout import ContaminationRow, HoldoutRow
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
from experiments.models.token import ApiToken
from experiments.models.traffic import ForcedVariant, HoldoutMember, Layer, SdkKey, Traffic

__all__ = [
    "AdjustedHazardRow", "Amendment", "ApiToken", "AuditEntry", "CannotChange", "CannotDecide", "CannotStart",
    "CheckRow", "Claim", "ConflictRow", "ContaminationRow", "CurrentTriangle", "Decision", "DepartureRow", "Draft",
    "EffectRow", "EventCell", "EventName", "Evidence", "Experiment", "FactCountRow", "FlipRow", "ForcedVariant",
    "HazardPeriodRow", "HeterogeneityRow", "HoldoutMember", "HoldoutRow", "Layer", "Look", "LookCell",
    "LookExclusion", "LookUnits", "Metric", "MetricUse", "MomentsCell", "NaiveLaunchRow", "OecRow", "OutcomeRow",
    "Person", "Plan", "RecommendationRow", "ReplayStepRow", "ReversalRow", "RollbackRow", "SdkKey", "Source",
    "SourceCheck", "SourceDraft", "SourceFinding", "SurvivalComparisonRow", "SurvivalDifferenceRow", "SurvivalRow",
    "TallyExclusion", "TallyRow", "Traffic", "TrajectoryRow", "Variant", "read_replay", "read_scorecard",
    "write_replay", "write_scorecard",
]  # fmt: skip
