"""Which variant a unit gets: a pure function of the unit, its attributes and rules that any language can reproduce.

    bucket(salt, unit) = the first 8 bytes of SHA-256("<salt>:<unit>" in UTF-8), big-endian, modulo 10,000

Salts are keys without a colon, so no two pairs of salt and unit give the same text. Buckets of different salts are
independent. A unit is taken through these steps; the first that settles it wins:

    1. forced              a tester's variant: never counted in results
    2. holdout             its bucket under the holdout's salt is below fraction x 10,000: held out of every member,
                           also after a launch
    3. launched, stopped   after a launch everybody else gets the launched variant, after a stop nobody gets one; a
                           launch with holdback leaves the control units of the experiment theirs
    4. targeting           its attributes do not meet the rule
    5. layer               its bucket under the layer's salt is outside the experiment's range, of which a phase takes
                           the first part: a unit that entered stays in when the share grows
    6. enrollment closed   nobody new enters; who is known to have entered stays in
    7. variant             its bucket under the experiment's salt, by the variants' weights

The same unit gets the same variant as long as salts, weights and ranges stay: nothing is stored.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

from experiments.targeting import Rule

BUCKETS = 10_000

Reason = Literal[
    "stopped", "launched", "forced", "held_out", "not_targeted", "outside_layer", "enrollment_closed", "assigned"
]


def bucket(salt: str, unit: str) -> int:
    """Return the bucket of a unit, 0 to 9,999. Raises ValueError for a salt with a colon."""
    if ":" in salt:
        raise ValueError(f"a salt has no colon: {salt!r}")
    digest = hashlib.sha256(f"{salt}:{unit}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def fingerprint(unit: str) -> int:
    """Return 8 bytes that stand for a unit where its name need not be kept: of SHA-256(unit), big-endian.

    Two of a million units have the same with a chance below one in ten million.
    """
    return int.from_bytes(hashlib.sha256(unit.encode()).digest()[:8], "big")


def cut(shares: Sequence[float]) -> tuple[int, ...]:
    """Return where shares end in buckets: rounded cumulative sums, the last one 10,000.

    Raises ValueError without a positive share, and with a negative one.
    """
    total = sum(shares)
    if not shares or total <= 0 or min(shares) < 0:
        raise ValueError("shares are not negative, and one of them is positive")
    ends, so_far = [], 0.0
    for share in shares:
        so_far += share
        ends.append(round(BUCKETS * so_far / total))
    return tuple(ends)


@dataclass(frozen=True)
class HoldoutRule:
    """A holdout that an experiment respects; ``fraction`` of all units is held out by the holdout's own salt."""

    key: str
    salt: str
    fraction: float

    def holds_out(self, unit: str) -> bool:
        return bucket(self.salt, unit) < round(BUCKETS * self.fraction)


@dataclass(frozen=True)
class LayerRange:
    """The buckets [first, end) of a layer that an experiment may take; other experiments take others."""

    salt: str
    first: int = 0
    end: int = BUCKETS


@dataclass(frozen=True)
class Phase:
    """From ``start_date`` on, the first ``share`` of the range enters."""

    start_date: date
    share: float


@dataclass(frozen=True)
class VariantRule:
    """A variant with its weight (in any unit) and what it delivers."""

    key: str
    weight: float
    payload: Any = None


@dataclass(frozen=True)
class ExperimentRule:
    """All that decides on a unit, for one experiment.

    Attributes:
        phases: shares of the range by date, in order of time, never falling; without any, everybody enters at once.
        launched: the variant that everybody gets after a launch; None while it runs, and after a stop.
        running: whether units are assigned; afterwards ``launched`` says what they get.
        holdback: after the launch, units that steps 4 to 7 give this variant keep it; everybody else gets the launched.
        closed: no unit enters any more.
        forced: variants of testers by unit.
    """

    key: str
    salt: str
    variants: tuple[VariantRule, ...]
    layer: LayerRange
    holdouts: tuple[HoldoutRule, ...] = ()
    targeting: Rule | None = None
    phases: tuple[Phase, ...] = ()
    running: bool = True
    closed: bool = False
    launched: str | None = None
    holdback: str | None = None
    forced: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if any(later.share < earlier.share or later.start_date <= earlier.start_date
               for earlier, later in pairwise(self.phases)):  # fmt: skip
            raise ValueError("phases follow each other in time, and their shares never fall: units would drop out")

    def share(self, day: date) -> float:
        """The share of the range that enters on a day."""
        if not self.phases:
            return 1.0
        begun = [phase.share for phase in self.phases if phase.start_date <= day]
        return begun[-1] if begun else 0.0

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Where the buckets of each variant end."""
        return cut([variant.weight for variant in self.variants])

    @cached_property
    def propensities(self) -> dict[str, float]:
        """The probability of each variant among units that enter."""
        widths = [(end - start) / BUCKETS for start, end in pairwise((0, *self.ends))]
        return {variant.key: width for variant, width in zip(self.variants, widths, strict=True)}


@dataclass(frozen=True)
class Assignment:
    """What a unit gets: a variant or None, and why; ``holdout`` names the holdout that holds it out.

    ``counted``: an exposure to it belongs into results. A tester's does not; a held-out unit's does, in the holdout's.
    """

    experiment: str
    unit: str
    variant: str | None
    reason: Reason
    holdout: str | None = None
    propensity: float | None = None
    counted: bool = False


def assign(
    rule: ExperimentRule, unit: str, attributes: Mapping[str, Any], day: date, *, entered: bool = False
) -> Assignment:
    """Take a unit through the steps above, as of a day in the experiment's time zone.

    ``entered``: the unit is known to have been exposed before enrollment was closed.
    """

    def settled(reason: Reason, variant: str | None = None, **more: Any) -> Assignment:
        return Assignment(rule.key, unit, variant, reason, **more)

    if unit in rule.forced:
        return settled("forced", rule.forced[unit])
    held_out = next((one.key for one in rule.holdouts if one.holds_out(unit)), None)
    if held_out is not None:
        return settled("held_out", holdout=held_out, counted=True)
    if not rule.running:
        if rule.launched is None:
            return settled("stopped")
        if rule.holdback is None or _variant(rule, unit) != rule.holdback:
            return settled("launched", rule.launched)
    found = _entered(rule, unit, attributes, day, entered)
    if found != "assigned":
        return settled(found) if rule.running else settled("launched", rule.launched)
    key = _variant(rule, unit)
    return settled("assigned", key, propensity=rule.propensities[key], counted=True)


def _entered(rule: ExperimentRule, unit: str, attributes: Mapping[str, Any], day: date, entered: bool) -> Reason:
    """Steps 4 to 6: whether a unit gets a variant by weight, or why not."""
    if rule.targeting is not None and not rule.targeting.met(attributes):
        return "not_targeted"
    width = rule.layer.end - rule.layer.first
    place = bucket(rule.layer.salt, unit) - rule.layer.first
    if not 0 <= place < round(width * rule.share(day)):
        return "outside_layer"
    return "enrollment_closed" if rule.closed and not entered else "assigned"


def _variant(rule: ExperimentRule, unit: str) -> str:
    place = bucket(rule.salt, unit)
    return next(variant.key for variant, end in zip(rule.variants, rule.ends, strict=True) if place < end)


def exposures(rule: ExperimentRule, found: Assignment) -> tuple[tuple[str, str], ...]:
    """Return what is to be logged when a unit meets the flag: pairs of an experiment or holdout, and a variant.

    Every holdout gets both of its sides from the same moment, whatever became of the unit afterwards: held_out if it is
    in this holdout's slice, launched if not. The experiment gets its variant where one was assigned. A tester is never
    logged.
    """
    if found.reason == "forced":
        return ()
    held = tuple((one.key, "held_out" if one.holds_out(found.unit) else "launched") for one in rule.holdouts)
    own = ((found.experiment, found.variant),) if found.counted and found.variant is not None else ()
    return held + own
