"""Flags in memory: what every program is told, without a query to the database as long as nothing has changed.

A snapshot holds all experiments and holdouts that take traffic, and the keys of programs. Its version is a few counters
that move with every change; they are asked at most once in CHECK_SECONDS, and only if they moved is all of it read
again. While the database cannot be reached, the last snapshot goes on serving.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from django.db import Error as DatabaseProblem
from django.db.models import Count, Max, Sum

from experiments import payloads, targeting
from experiments.assignment import (
    BUCKETS,
    Assignment,
    ExperimentRule,
    HoldoutRule,
    LayerRange,
    Phase,
    VariantRule,
    assign,
    exposures,
    fingerprint,
)
from experiments.models import Decision, Experiment, ForcedVariant, HoldoutMember, SdkKey, Traffic
from experiments.models.states import DRAFT, ENROLLMENT_CLOSED, IN_REVIEW, RUNNING
from experiments.services.entry import STORED

log = logging.getLogger(__name__)

#: A change of a definition, a decision or a key is served after this time at the latest.
CHECK_SECONDS = 1.0

#: What a unit is told in place of a variant: it is in a holdout's slice, or it did not enter.
HELD_OUT, NONE = "held_out", "none"
LAUNCHED = "launched"

ProtocolReason = Literal["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN"]

#: The few reasons that the protocol knows; the true one is ``cause`` in the metadata.
REASONS: Mapping[str, ProtocolReason] = {
    "forced": "TARGETING_MATCH", "held_out": "SPLIT", "assigned": "SPLIT", "outside_layer": "SPLIT",
    "launched": "STATIC", "stopped": "DISABLED", "not_started": "DISABLED", "enrollment_closed": "DISABLED",
    "not_targeted": "UNKNOWN", "released": "STATIC",
}  # fmt: skip

_ACTIVE = (RUNNING, ENROLLMENT_CLOSED)


class UnknownFlag(LookupError):
    """No experiment or holdout that takes traffic has this key."""


class BrokenFlag(Exception):
    """What is stored of an experiment cannot be read; the others are served."""


@dataclass(frozen=True)
class Slice:
    """A holdout with the days on which it holds out, the last one left out."""

    rule: HoldoutRule
    first: date
    end: date | None

    def holds_on(self, day: date) -> bool:
        return self.first <= day and (self.end is None or day < self.end)


@dataclass(frozen=True)
class Flag:
    """All that answers for one experiment or holdout.

    Attributes:
        rule: without holdouts, for these depend on the day; None for a holdout, which has its slice alone.
        values: what is delivered by variant; ``default`` names the variant whose value units get that have none.
        entered: sorted fingerprints of the units that were in when enrollment was frozen.
    """

    key: str
    version: int
    zone: ZoneInfo
    started: bool
    slices: tuple[Slice, ...]
    rule: ExperimentRule | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    default: str = ""
    entered: npt.NDArray[np.uint64] | None = None

    def rule_on(self, day: date) -> ExperimentRule:
        assert self.rule is not None
        holdouts = tuple(one.rule for one in self.slices if one.holds_on(day))
        return replace(self.rule, holdouts=holdouts) if holdouts else self.rule

    def has_entered(self, unit: str) -> bool:
        if self.entered is None:
            return False
        mark = np.uint64(fingerprint(unit))
        place = int(np.searchsorted(self.entered, mark))
        return place < len(self.entered) and bool(self.entered[place] == mark)


@dataclass(frozen=True)
class Caller:
    """A program's key: ``kind`` is server or client."""

    name: str
    kind: str
    origins: frozenset[str]


@dataclass(frozen=True)
class Evaluation:
    """What a unit is told about a flag. ``metadata`` is flat: texts, numbers and booleans."""

    key: str
    value: Any
    reason: ProtocolReason
    variant: str
    metadata: Mapping[str, str | float | bool]


@dataclass
class Snapshot:
    """Flags by key in order, those that cannot be read with the reason, and callers by the digest of their key."""

    version: tuple[int, ...]
    flags: Mapping[str, Flag]
    broken: Mapping[str, str] = field(default_factory=dict)
    callers: Mapping[str, Caller] = field(default_factory=dict)
    _today: dict[str, tuple[date, ExperimentRule]] = field(default_factory=dict)

    @cached_property
    def origins(self) -> frozenset[str]:
        """Where web pages may ask from, with whichever key."""
        return frozenset(origin for caller in self.callers.values() for origin in caller.origins)

    @property
    def keys(self) -> list[str]:
        return sorted({*self.flags, *self.broken})

    def evaluate(self, key: str, unit: str, attributes: Mapping[str, Any], now: datetime) -> Evaluation:
        """Return what a unit is told at a moment. Raises UnknownFlag, BrokenFlag."""
        if key in self.broken:
            raise BrokenFlag(self.broken[key])
        flag = self.flags.get(key)
        if flag is None:
            raise UnknownFlag(f"there is no flag `{key}`")
        day = now.astimezone(flag.zone).date()
        if flag.rule is None:
            return _of_holdout(flag, unit, day)
        rule = self._rule(flag, day)
        if not flag.started:
            return _answer(flag, "not_started", NONE, {"counted": False})
        found = assign(rule, unit, attributes, day, entered=flag.has_entered(unit))
        return _of_experiment(flag, rule, found)

    def _rule(self, flag: Flag, day: date) -> ExperimentRule:
        kept = self._today.get(flag.key)
        if kept is None or kept[0] != day:
            kept = self._today[flag.key] = (day, flag.rule_on(day))
        return kept[1]


def _of_experiment(flag: Flag, rule: ExperimentRule, found: Assignment) -> Evaluation:
    more: dict[str, str | float | bool] = {"counted": found.counted}
    if found.holdout is not None:
        more["holdout"] = found.holdout
    if found.propensity is not None:
        more["propensity"] = found.propensity
    logged = exposures(rule, found)
    if logged:
        more["exposures"] = ",".join(f"{key}:{variant}" for key, variant in logged)
    variant = HELD_OUT if found.reason == "held_out" else found.variant or NONE
    return _answer(flag, found.reason, variant, more)


def _of_holdout(flag: Flag, unit: str, day: date) -> Evaluation:
    """A holdout is a flag too, for what is launched without an experiment."""
    (own,) = flag.slices
    if not own.holds_on(day) or not flag.started:
        return _answer(flag, "not_started" if day < own.first or not flag.started else "released", LAUNCHED,
                       {"counted": False})  # fmt: skip
    variant = HELD_OUT if own.rule.holds_out(unit) else LAUNCHED
    more: dict[str, str | float | bool] = {"counted": True, "exposures": f"{flag.key}:{variant}"}
    if variant == HELD_OUT:
        more["holdout"] = flag.key
    return _answer(flag, "held_out" if variant == HELD_OUT else "assigned", variant, more)


def _answer(flag: Flag, cause: str, variant: str, more: Mapping[str, str | float | bool]) -> Evaluation:
    value = flag.values[variant if variant in flag.values else flag.default]
    kind = "holdout" if flag.rule is None else "experiment"
    return Evaluation(
        flag.key, value, REASONS[cause], variant, {kind: flag.key, "cause": cause, "version": flag.version, **more}
    )


# --- keeping it warm --------------------------------------------------------------------------------------------------
class Warm:
    """The newest snapshot. Moments are seconds of a clock that never goes back."""

    def __init__(self, check_seconds: float = CHECK_SECONDS) -> None:
        self._check_seconds = check_seconds
        self._snapshot: Snapshot | None = None
        self._checked = 0.0
        self._lock = threading.Lock()

    def get(self, moment: float) -> Snapshot:
        """Return the snapshot, looked after if its time has come. Raises a database error if there never was one."""
        found = self._snapshot
        if found is not None and moment - self._checked < self._check_seconds:
            return found
        if not self._lock.acquire(blocking=found is None):
            assert found is not None
            return found  # another thread is looking after it
        try:
            self._look_after(moment)
        finally:
            self._lock.release()
        assert self._snapshot is not None
        return self._snapshot

    def forget(self) -> None:
        """Read everything again at the next request."""
        self._snapshot = None

    def _look_after(self, moment: float) -> None:
        found = self._snapshot
        try:
            version = current_version()
            if found is None or found.version != version:
                self._snapshot = load(version)
        except DatabaseProblem as problem:
            if found is None:
                raise
            log.warning("flags are served as they were: %s", str(problem).strip())
        self._checked = moment


#: The snapshot of this process.
FLAGS = Warm()


def current_version() -> tuple[int, ...]:
    """Counters that move with every change of a flag or a key. Revisions never fall, and rows are not deleted."""
    told = Experiment.objects.aggregate(
        rows=Count("pk"), newest=Max("pk"), revisions=Sum("revision"), taking=Count("traffic")
    )
    keys = SdkKey.objects.aggregate(rows=Count("pk"), newest=Max("pk"), revoked=Count("revoked_at"))
    return tuple(int(value or 0) for value in (*told.values(), *keys.values()))


def load(version: tuple[int, ...]) -> Snapshot:
    """Read all flags and keys. A version asked before is at most too old, and then the next check reads again."""
    stored = _Stored.read()
    flags: dict[str, Flag] = {}
    broken: dict[str, str] = {}
    for traffic in Traffic.objects.select_related("experiment__plan__experiment", "layer").order_by("experiment__key"):
        key = traffic.experiment.key
        try:
            flags[key] = _flag(traffic, stored)
        except Exception as error:  # whatever is wrong with one of them, the others are served
            log.exception("the flag %s cannot be served", key)
            broken[key] = f"what is stored of `{key}` cannot be read ({type(error).__name__})"
    callers = {
        key.digest: Caller(key.name, key.kind, frozenset(key.origins))
        for key in SdkKey.objects.filter(revoked_at__isnull=True)
    }
    return Snapshot(version, flags, broken, callers)


@dataclass(frozen=True)
class _Stored:
    """Rows about all experiments, by experiment or by its traffic."""

    slices: Mapping[int, tuple[Slice, ...]]
    forced: Mapping[int, Mapping[str, str]]
    endings: Mapping[int, Mapping[str, str]]

    @classmethod
    def read(cls) -> "_Stored":
        slices: dict[int, list[Slice]] = defaultdict(list)
        rows = HoldoutMember.objects.select_related("holdout__experiment").order_by("holdout__experiment__key")
        for one in rows:
            if one.holdout.experiment.started_at is not None:
                slices[one.member_id].append(_slice(one.holdout))
        forced: dict[int, dict[str, str]] = defaultdict(dict)
        for experiment, unit, variant in ForcedVariant.objects.values_list("experiment_id", "unit", "variant"):
            forced[experiment][unit] = variant
        endings: dict[int, dict[str, str]] = defaultdict(dict)
        decided = Decision.objects.order_by("pk").values_list("experiment_id", "variant", "action")
        for experiment, variant, action in decided:
            endings[experiment][variant] = action
        return cls({key: tuple(value) for key, value in slices.items()}, forced, endings)


def _slice(traffic: Traffic) -> Slice:
    rule = HoldoutRule(traffic.experiment.key, traffic.salt, (traffic.held_out or 0) / BUCKETS)
    return Slice(rule, traffic.first_day, traffic.released_on)


def _flag(traffic: Traffic, stored: _Stored) -> Flag:
    experiment = traffic.experiment
    plan = experiment.current_plan.load()
    known = (experiment.key, experiment.revision, ZoneInfo(plan.timezone), experiment.started_at is not None)
    if plan.kind == "holdout":
        values = {HELD_OUT: HELD_OUT, LAUNCHED: LAUNCHED}
        return Flag(*known, (_slice(traffic),), values=values, default=LAUNCHED)
    variants = tuple(variant.key for variant in plan.variants)
    launched = _launched(experiment, stored.endings.get(experiment.pk, {}), variants)
    active = experiment.state in (*_ACTIVE, DRAFT, IN_REVIEW)
    keeps = experiment.outcome == "launched_with_holdback" and traffic.released_on is None
    rule = ExperimentRule(
        key=experiment.key, salt=traffic.salt, layer=_range(traffic, plan.extra),
        variants=tuple(VariantRule(one.key, 1.0 if one.weight is None else one.weight) for one in plan.variants),
        targeting=targeting.parse(plan.extra["targeting"]) if plan.extra.get("targeting") is not None else None,
        phases=tuple(_phases(plan.start_date, plan.extra.get("phases") or ())),
        running=active, launched=launched, holdback=plan.control.key if keeps else None,
        closed=traffic.frozen_at is not None,
        forced={unit: key for unit, key in stored.forced.get(experiment.pk, {}).items() if key in variants},
    )  # fmt: skip
    entered = None
    if traffic.entered is not None:
        entered = np.frombuffer(bytes(traffic.entered), dtype=STORED).astype(np.uint64)
    delivered = payloads.values(plan.extra.get("payload", {}), variants)
    return Flag(*known, stored.slices.get(traffic.pk, ()), rule, delivered, plan.control.key, entered)


def _launched(experiment: Experiment, endings: Mapping[str, str], variants: tuple[str, ...]) -> str | None:
    """The variant that everybody gets: of several that were launched, the first in the definition."""
    if experiment.decided_at is None:
        return None
    return next((key for key in variants if endings.get(key, "").startswith("launch")), None)


def _range(traffic: Traffic, extra: Mapping[str, Any]) -> LayerRange:
    """Its buckets of the layer; without a layer, the first share of buckets that are nobody else's."""
    if traffic.layer is None:
        return LayerRange(f"entry/{traffic.salt}", 0, round(BUCKETS * float(extra.get("share", 1.0))))
    return LayerRange(traffic.layer.salt, traffic.buckets.lower, traffic.buckets.upper)


def _phases(start: date, phases: Any) -> Iterator[Phase]:
    for phase in phases:
        yield Phase(start + timedelta(days=7 * int(phase["week"])), float(phase["share"]))
