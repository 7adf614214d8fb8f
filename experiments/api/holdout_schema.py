"""What the scorecard of a holdout has besides, as a schema: what ``services.holdouts.whole_json`` writes.

Weeks are calendar weeks from the holdout's start_date; lifts and shares are fractions. Tests hold the two together.
"""

from datetime import date
from typing import Literal

from ninja import Field, Schema

from analysis.reconciliation import MemberState, PartName
from analysis.results import Action, HoldoutKind
from experiments.api.scorecard_schema import Claimed, Number, ScorecardOut, Share


class HoldoutEffect(Claimed):
    """Everyone launched to against those held out, in calendar weeks. Single weeks claim nothing."""

    metric: str
    role: str
    kind: HoldoutKind
    band_low: Number
    band_high: Number


class Launched(Schema):
    """A decision on a member; ``week`` is its day in weeks from the holdout's start."""

    key: str
    name: str
    variant: str
    action: Action
    day: date
    week: float


class Span(Schema):
    kind: HoldoutKind
    start_week: int
    end_week: int


class GapPart(Schema):
    """A step of the explanation: what it adds, and the total that is expected after it."""

    name: PartName
    value: float
    total: float
    reason: str | None


class MemberLift(Schema):
    """A member's lift from its headline to what it should do in the span, step by step."""

    key: str
    variant: str
    state: MemberState
    launched_share: float
    running_share: float
    held_out_share: Share
    lift: Number
    shrunk: Number
    aged: Number
    diluted: Number
    running: Number
    held_out: Number
    posterior: Number
    reason: str | None


class ReconciliationOut(Schema):
    """The sum of launched lifts against the measured lift of the same weeks; the parts add up to the gap."""

    metric: str
    span: Span
    raw: Number
    shrunk: Number
    bayes: Number
    aged: Number
    expected: Number
    expected_se: Number
    measured: Number
    measured_low: Number
    measured_high: Number
    gap: Number
    rest_se: Number
    rest_low: Number
    rest_high: Number
    explained: bool | None
    parts: list[GapPart]
    members: list[MemberLift]
    reason: str | None


class Met(Schema):
    """Units held out that met a member's treatment all the same; ``weekly`` is by week, in shares of their days."""

    member: str
    variant: str
    launched: bool
    held_out: int
    met: int | None
    share: Share
    weekly: list[float]
    reason: str | None


class BoundOut(Schema):
    """The effect if those who met a launch had all that launched units have."""

    metric: str
    kind: HoldoutKind
    effect: Number
    lift: Number
    reason: str | None


class MetALaunch(Schema):
    """Units held out that met any launch."""

    held_out: int
    met: int | None
    share: Share
    weekly: list[float]
    reason: str | None
    bounds: list[BoundOut]


class HoldoutPart(Schema):
    fraction: float | None
    planned_end_date: date | None
    members: list[str]
    effects: list[HoldoutEffect]
    launches: list[Launched] | None
    ended: list[Launched] | None = Field(description="Decisions on members that launched nothing")
    reconciliation: list[ReconciliationOut] | None
    contamination: list[Met] | None
    met_a_launch: MetALaunch | None
    reason: str | None


class HoldoutScorecardOut(ScorecardOut):
    """A look at a holdout: a scorecard like any other, and what the holdout measures beside its members."""

    kind: Literal["holdout"]
    holdout: HoldoutPart
