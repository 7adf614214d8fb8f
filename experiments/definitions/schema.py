"""The shape of a definition file: names, types and ranges of every key. Rules that join keys are in ``rules``."""

import math
import re
from datetime import date, datetime
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

KEY_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
LONGEST_WEEKS = 520

#: Where tables of a database are if nobody says it.
DEFAULT_SCHEMA = "public"
MOST_UNITS = 10_000_000_000


def _key(value: str) -> str:
    if not KEY_PATTERN.match(value):
        raise ValueError("a key is 1 to 63 of a-z, 0-9, dot, underscore and dash, and begins with a letter or a digit")
    return value


def _day(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise ValueError("must be a date written as YYYY-MM-DD") from error
    if isinstance(value, datetime) or not isinstance(value, date):
        raise ValueError("must be a date written as YYYY-MM-DD, without a time")
    return value


def _zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("must be a time zone name such as UTC or Europe/Berlin")
    return value


def _connection(value: str) -> str:
    if not KEY_PATTERN.match(value):
        raise ValueError(
            "must be the name of a connection, such as shop, whose address is in the environment variable "
            "HOLDFAST_DSN_SHOP: addresses and passwords are not written into definitions"
        )
    return value


def _number(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


Key = Annotated[str, AfterValidator(_key)]
Day = Annotated[date, BeforeValidator(_day)]
Zone = Annotated[str, AfterValidator(_zone)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Number = Annotated[float, AfterValidator(_number)]
Positive = Annotated[Number, Field(gt=0)]
Weeks = Annotated[int, Field(ge=0, le=LONGEST_WEEKS)]


class Strict(BaseModel):
    """Unknown keys are errors and nothing is converted silently: `"4"` is not a number."""

    model_config = ConfigDict(extra="forbid", strict=True)


class VariantFile(Strict):
    key: Key
    weight: Positive | None = None
    control: bool = False
    payload: Any = None


class ColumnsFile(Strict):
    unit: Name = "unit_id"
    variant: Name = "variant"
    exposed_at: Name = "exposed_at"
    at: Name = "at"
    left_at: Name | None = None


class SourceFile(Strict):
    kind: Name = "files"
    name: Key | None = None
    dsn: Annotated[str, AfterValidator(_connection)] | None = None
    schema_name: Name | None = Field(default=None, alias="schema")
    exposures: Name | None = None
    facts: Name | None = None
    columns: ColumnsFile = Field(default_factory=ColumnsFile)
    lag_days: Annotated[int, Field(ge=0, le=90)] = 0


class EventFile(Strict):
    type: Literal["occurrence", "inactivity"]
    column: Name
    gap_weeks: Annotated[int, Field(ge=1, le=LONGEST_WEEKS)] | None = None


class MetricPart(Strict):
    """The part that a metric plays in a decision, whoever says what it measures."""

    role: Literal["primary", "secondary", "guardrail", "diagnostic"]
    term: Literal["short", "long"] | None = None
    margin: Annotated[Number, Field(gt=0, lt=1)] | None = None
    weight: Annotated[Number, Field(ge=0)] | None = None
    window: Name | None = None
    adjust: list[Name] = Field(default_factory=list)


class MetricFile(MetricPart):
    key: Key
    kind: Literal["mean", "active", "ratio", "event"]
    better: Literal["higher", "lower"]
    column: Name | None = None
    numerator: Name | None = None
    denominator: Name | None = None
    event: EventFile | None = None
    cap: Positive | None = None


class UseFile(MetricPart):
    """A metric of the catalog in a definition. Without ``version`` it is the one that was published last."""

    use: Key
    version: Annotated[int, Field(ge=1)] | None = None


class RollbackFile(Strict):
    metric: Key
    window: Name
    below: Number


class DecisionFile(Strict):
    alpha: Annotated[Number, Field(gt=0, lt=0.5)] = 0.05
    power: Annotated[Number, Field(gt=0, lt=1)] = 0.8
    looks: Literal["weekly", "any_time"] = "weekly"
    spending: Literal["obrien_fleming", "pocock"] | None = None
    planned_units: Annotated[int, Field(ge=1, le=MOST_UNITS)] | None = None
    min_weeks: Weeks = 0
    rollback: list[RollbackFile] | None = None


class AnnotationFile(Strict):
    date: Day
    text: Name


class PhaseFile(Strict):
    """From enrollment week ``week`` on, the first ``share`` of the experiment's buckets enters."""

    week: Weeks
    share: Annotated[Number, Field(gt=0, le=1)]


class PlanFile(Strict):
    """Keys that experiments and holdouts share."""

    version: Literal[1]
    name: Name
    hypothesis: str = ""
    owner: Name
    unit: Name = "unit"
    start_date: Day
    pre_weeks: Annotated[int, Field(ge=0, le=104)] = 0
    timezone: Zone = "UTC"
    source: SourceFile
    windows: dict[str, Annotated[list[Weeks], Field(min_length=2, max_length=2)]]
    metrics: Annotated[list[MetricFile], Field(min_length=1, max_length=200)]
    segments: list[Name] = Field(default_factory=list)
    decision: DecisionFile = Field(default_factory=DecisionFile)
    layer: Key | None = None
    share: Annotated[Number, Field(gt=0, le=1)] | None = None
    phases: Annotated[list[PhaseFile], Field(min_length=1)] | None = None
    targeting: Any = None
    salt: Key | None = None
    training_data: Literal["shared", "diverted", "co-diverted"] | None = None
    model_version: str | None = None
    exploration: str | Number | None = None
    annotations: list[AnnotationFile] | None = None


class ExperimentFile(PlanFile):
    experiment: Key
    variants: Annotated[list[VariantFile], Field(min_length=2, max_length=50)]
    enrollment_weeks: Annotated[int, Field(ge=1, le=LONGEST_WEEKS)]
    horizon_weeks: Annotated[int, Field(ge=1, le=LONGEST_WEEKS)]
    clock: Literal["unit", "calendar"] = "unit"
    planned_end_date: Day | None = None
    holdout: Key | None = None


class HoldoutFile(PlanFile):
    holdout: Key
    fraction: Annotated[Number, Field(gt=0, le=0.5)]
    planned_end_date: Day
    members: list[Key] = Field(default_factory=list)
    washout_weeks: Annotated[int, Field(ge=0, le=52)] | None = None
    variants: Annotated[list[VariantFile], Field(min_length=2, max_length=2)] | None = None
    enrollment_weeks: Annotated[int, Field(ge=1, le=LONGEST_WEEKS)] | None = None
    horizon_weeks: Annotated[int, Field(ge=1, le=LONGEST_WEEKS)] | None = None
    clock: Literal["calendar"] = "calendar"


#: Keys kept with the plan for readers and for assignment; no estimate uses them.
RESERVED = (
    "layer", "share", "phases", "targeting", "salt", "washout_weeks",
    "training_data", "model_version", "exploration", "annotations",
)  # fmt: skip
