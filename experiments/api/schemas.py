"""What the API says of experiments, looks, decisions and the catalog."""

from datetime import date, datetime
from typing import Any, Literal

from ninja import Field, Schema

from analysis.results import Action
from experiments.api.scorecard_schema import Curve, Recommendation, SurvivalComparison, TrajectoryPoint


class LookOut(Schema):
    """How far a look is. ``state`` is planned, running, done or failed; ``error`` says why it failed."""

    as_of: date
    number: int
    planned: int = Field(description="How many looks the plan has")
    state: str
    percent: int
    step: str = Field(description="What is being done, in words")
    error: str


class Looks(Schema):
    looks: list[LookOut]


#: Where an experiment stands; of a decided one what was decided.
Standing = Literal[
    "draft", "in review", "running", "enrollment closed", "launched", "launched with holdback", "rolled back",
    "stopped", "archived",
]  # fmt: skip


class ReversedOut(Schema):
    metric: str
    state: str


class ExperimentBrief(Schema):
    """An experiment or holdout at a glance: what its newest finished look says that needs attention."""

    key: str
    name: str
    kind: str = Field(description="experiment or holdout")
    owner: str
    hypothesis: str
    standing: Standing
    start_date: date
    enrollment_weeks: int
    horizon_weeks: int
    look: LookOut | None = Field(description="The newest look, whatever its state")
    as_of: date | None = Field(description="The day of the newest finished look, from which the rest is")
    due: date | None = Field(description="The day of a weekly look that is overdue")
    alarms: list[str] = Field(description="Checks that alarm")
    reversals: list[ReversedOut]
    harmed: list[str] = Field(description="Guardrails that are surely beyond their margin")
    recommendation: list[Recommendation]


class Experiments(Schema):
    experiments: list[ExperimentBrief]
    next: str | None = Field(description="Give it as `after` for the next page; null on the last one")


class PlanOut(Schema):
    version: int
    digest: str = Field(description="sha256")
    frozen_at: datetime | None
    body: dict[str, Any] = Field(description="The plan as it is stored")


class ExperimentOut(Schema):
    """An experiment or holdout with its plan in force."""

    key: str
    name: str
    kind: str = Field(description="experiment or holdout")
    owner: str
    owners: list[str] = Field(description="Assigned besides the one in the definition")
    hypothesis: str
    standing: Standing
    revision: int
    source: str | None = Field(description="The registered source; null where the definition brought paths")
    created_at: datetime
    started_at: datetime | None
    enrollment_closed_at: datetime | None
    decided_at: datetime | None
    archived_at: datetime | None
    plan: PlanOut


class ChangeOut(Schema):
    """One field with its values; null where there is none."""

    field: str
    before: Any
    after: Any


class AppliedOut(Schema):
    """What applying a definition did, or would do."""

    key: str
    kind: str = Field(description="experiment or holdout")
    action: Literal["created", "updated", "amended", "unchanged"]
    dry_run: bool
    plan_version: int
    starts: bool = Field(description="Its start date has come, and the plan is frozen with it")
    changes: list[ChangeOut]


class Trajectories(Schema):
    key: str
    as_of: date
    trajectory: list[TrajectoryPoint]


class Survival(Schema):
    key: str
    as_of: date
    survival: list[Curve]
    survival_comparison: list[SurvivalComparison]


class ReplayLook(Schema):
    variant: str
    look: int
    as_of: date
    action: Action
    reasons: list[str]


class Outcome(Schema):
    metric: str
    start_week: int
    end_week: int
    effect: float | None
    lift: float | None
    loss: bool


class TwoWeekTest(Schema):
    """What launching on a two-week test would have done, and what became of it."""

    variant: str
    as_of: date
    launched: bool | None
    metric: str | None
    lift: float | None
    p_value: float | None
    outcomes: list[Outcome]
    reason: str | None


class Replay(Schema):
    version: Literal[1]
    key: str
    as_of: date
    looks: list[ReplayLook]
    two_week_test: list[TwoWeekTest]


class ChartOut(Schema):
    """One chart of the pages, as Vega-Lite specs that need nothing else."""

    title: str = Field(description="The finding")
    subtitle: str
    specs: dict[str, dict[str, Any]] = Field(description="By name: weekly, cumulative, calendar, means, curves, ...")


class DecisionOut(Schema):
    """What somebody decided on a treatment, beside what was recommended."""

    number: int
    experiment: str
    variant: str
    action: Action
    recommended: Action | None
    reason: str
    by: str
    decided_at: datetime
    as_of: date | None = Field(description="The look it rests on; null where there was none")


class Decisions(Schema):
    decisions: list[DecisionOut]
    next: int | None = Field(description="Give it as `older_than` for the next page; null on the last one")


class DecisionWithEvidence(DecisionOut):
    evidence: dict[str, Any] | None = Field(description="What was known, frozen with the decision")


class UseOut(Schema):
    key: str
    name: str
    standing: Standing
    role: str
    term: str
    margin: float | None
    weight: float | None


class MetricVersionOut(Schema):
    """One way in which a metric is measured. ``current``: definitions take it with `use:`; see ``published_at``."""

    version: int
    kind: str
    better: str
    column: str
    numerator: str
    denominator: str
    cap: float | None
    event_type: str
    event_column: str
    gap_weeks: int
    uses: list[UseOut]
    description: str
    published_at: datetime | None
    current: bool


class MetricOut(Schema):
    """A metric with its versions, the newest first, and who uses each."""

    key: str
    versions: list[MetricVersionOut]


class Metrics(Schema):
    metrics: list[MetricOut]


class ReadingOut(Schema):
    key: str
    name: str
    standing: Standing
    as_of: date | None
    first_fact: date | None
    last_fact: date | None
    fact_rows: int
    error: str


class SourceOut(Schema):
    """Where data are, and what was last read of them. ``key`` is empty where one experiment brought its own paths."""

    key: str
    kind: str
    columns: dict[str, str]
    readings: list[ReadingOut]


class Sources(Schema):
    sources: list[SourceOut]


class Me(Schema):
    """Whose token this is, and what it may be used for."""

    email: str
    role: str | None
    token: str
    scopes: list[str]
    expires_at: datetime | None
