"""What is to be measured: the frozen dataclasses that sources and estimators share.

A plan holds no paths and no data. It is built from a definition file by ``experiments.definitions`` (which explains
violations to users) and is frozen when the experiment starts.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Literal

Kind = Literal["experiment", "holdout"]
Clock = Literal["unit", "calendar"]
MetricKind = Literal["mean", "active", "ratio", "event"]
Role = Literal["primary", "secondary", "guardrail", "diagnostic"]
Term = Literal["short", "long"]
Better = Literal["higher", "lower"]
SeriesKind = Literal["sum", "active", "rows"]
Looks = Literal["weekly", "any_time"]
Spending = Literal["obrien_fleming", "pocock"]


@dataclass(frozen=True)
class Variant:
    """One side of the comparison. ``weight`` is the designed share in any unit (50 and 50, or 0.9 and 0.1).

    None for all variants of a plan: the designed split is not known.
    """

    key: str
    weight: float | None
    control: bool = False


@dataclass(frozen=True)
class Window:
    """Weeks since exposure [start_week, end_week): the end week is left out."""

    name: str
    start_week: int
    end_week: int

    @property
    def weeks(self) -> int:
        return self.end_week - self.start_week

    @property
    def label(self) -> str:
        """The weeks in words, both ends named: ``weeks 0-3``."""
        last = self.end_week - 1
        return f"week {last}" if self.weeks == 1 else f"weeks {self.start_week}-{last}"


@dataclass(frozen=True, order=True)
class Series:
    """One value of a unit in a week, pushed down to the source.

    ``sum``: the sum of ``column`` over the week's fact rows, at most ``cap``. ``active``: 1 if any row has
    ``column`` above zero. ``rows``: the number of fact rows (``column`` is empty).
    """

    kind: SeriesKind
    column: str
    cap: float | None = None


@dataclass(frozen=True)
class Event:
    """Time to event. ``occurrence``: first week with column above zero. ``inactivity``: first gap of ``gap_weeks``."""

    type: Literal["occurrence", "inactivity"]
    column: str
    gap_weeks: int = 0


@dataclass(frozen=True)
class Metric:
    """A metric with its part in the decision. ``margin`` is relative (0.02 is 2 %) and belongs to guardrails."""

    key: str
    kind: MetricKind
    better: Better
    role: Role
    term: Term | None = None
    column: str = ""
    numerator: str = ""
    denominator: str = ""
    event: Event | None = None
    margin: float | None = None
    weight: float | None = None
    cap: float | None = None
    window: str | None = None
    adjust: tuple[str, ...] = ()

    @cached_property
    def series(self) -> tuple[Series, ...]:
        """The weekly values this metric is made of: two for a ratio, one for all others (an event: weeks with any)."""
        if self.kind == "mean":
            return (Series("sum", self.column, self.cap),)
        if self.kind == "active":
            return (Series("active", self.column),)
        if self.kind == "ratio":
            rows = self.denominator == "rows"
            below = Series("rows", "") if rows else Series("sum", self.denominator, self.cap)
            return (Series("sum", self.numerator, self.cap), below)
        assert self.event is not None
        return (Series("active", self.event.column),)

    @property
    def columns(self) -> tuple[str, ...]:
        """The fact columns this metric reads."""
        return tuple(series.column for series in self.series if series.column)

    @property
    def deciding_window(self) -> str:
        """The window that decides: early for a short-term metric, late otherwise, unless the metric names one."""
        return self.window or ("early" if self.term == "short" else "late")

    @property
    def sign(self) -> int:
        """1 where a larger estimate is better, -1 where a smaller one is. Of an event it is the time without it."""
        return 1 if (self.better == "higher") != (self.kind == "event") else -1


@dataclass(frozen=True)
class RollbackCriterion:
    """Asks for a rollback when the lift of ``metric`` in ``window`` is surely below ``below`` (a fraction)."""

    metric: str
    window: str
    below: float


@dataclass(frozen=True)
class DecisionRule:
    """How claims are made: two-sided ``alpha``, planned ``power``, looks, and what asks for a rollback.

    ``looks``: weekly looks share alpha by ``spending``; with any_time, intervals hold at every moment and are tightest
    at ``planned_units`` mature units.
    """

    alpha: float = 0.05
    power: float = 0.8
    looks: Looks = "weekly"
    min_weeks: int = 0
    rollback: tuple[RollbackCriterion, ...] = ()
    spending: Spending = "obrien_fleming"
    planned_units: int | None = None


@dataclass(frozen=True)
class Plan:
    """An experiment's or a holdout's frozen plan.

    Attributes:
        start_date: first day on which a unit can be exposed; exposure cohort c starts on start_date + 7 c days.
        enrollment_weeks: number of exposure cohorts; later exposures are left out and counted.
        horizon_weeks: weeks since exposure that are followed.
        pre_weeks: weeks before exposure that feed the CUPED adjustment; 0 switches it off.
        lag_days: the last lag_days days before as_of are not complete and are not read.
        extra: reserved keys, validated and shown to readers, not used in estimates.
    """

    key: str
    name: str
    unit: str
    variants: tuple[Variant, ...]
    metrics: tuple[Metric, ...]
    windows: tuple[Window, ...]
    start_date: date
    enrollment_weeks: int
    horizon_weeks: int
    pre_weeks: int = 0
    clock: Clock = "unit"
    timezone: str = "UTC"
    lag_days: int = 0
    kind: Kind = "experiment"
    hypothesis: str = ""
    owner: str = ""
    segments: tuple[str, ...] = ()
    decision: DecisionRule = field(default_factory=DecisionRule)
    holdout: str | None = None
    fraction: float | None = None
    planned_end_date: date | None = None
    members: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def control(self) -> Variant:
        return next(variant for variant in self.variants if variant.control)

    @property
    def treatments(self) -> tuple[Variant, ...]:
        return tuple(variant for variant in self.variants if not variant.control)

    @property
    def estimated_metrics(self) -> tuple[Metric, ...]:
        """The metrics with an effect per window: all but time-to-event metrics."""
        return tuple(metric for metric in self.metrics if metric.kind != "event")

    @cached_property
    def event_metrics(self) -> tuple[Metric, ...]:
        """The metrics with a time to event."""
        return tuple(metric for metric in self.metrics if metric.event is not None)

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """The events of all metrics, each once."""
        return tuple(dict.fromkeys(metric.event for metric in self.metrics if metric.event is not None))

    @cached_property
    def covariates(self) -> tuple[str, ...]:
        """The exposure columns for which a metric is adjusted, each once."""
        return tuple(dict.fromkeys(column for metric in self.metrics for column in metric.adjust))

    @cached_property
    def series(self) -> tuple[Series, ...]:
        """The weekly values of all metrics, each once, in order of first use."""
        return tuple(dict.fromkeys(series for metric in self.metrics for series in metric.series))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The fact columns of all metrics, each once."""
        return tuple(dict.fromkeys(column for metric in self.metrics for column in metric.columns))

    def window(self, name: str) -> Window:
        """Return the window called ``name``; raises KeyError if the plan has none."""
        for window in self.windows:
            if window.name == name:
                return window
        raise KeyError(name)

    @cached_property
    def digest(self) -> str:
        """The sha256 of the plan in canonical JSON, less what only describes it: name, hypothesis and owner."""
        body = {key: value for key, value in asdict(self).items() if key not in ("name", "hypothesis", "owner")}
        text = json.dumps(body, sort_keys=True, default=str, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
