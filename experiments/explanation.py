"""Why a unit gets its variant: the steps of ``assignment.assign`` with what each of them found. Pure.

``assign`` settles, and this says how it came to that: each step has the buckets it drew and the limits they were held
against. Tests hold the two together; whoever changes a step changes both.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any, Literal

from experiments.assignment import BUCKETS, ExperimentRule, HoldoutRule, Reason, bucket
from experiments.targeting import Condition, Rule

Name = Literal["forced", "holdout", "ended", "targeting", "layer", "phase", "enrollment", "variant"]


@dataclass(frozen=True)
class Draw:
    """A bucket that was drawn: of the SHA-256 of ``text``, which is salt, colon and unit."""

    salt: str
    unit: str

    @property
    def bucket(self) -> int:
        return bucket(self.salt, self.unit)

    @property
    def text(self) -> str:
        return f"{self.salt}:{self.unit}"

    @property
    def head(self) -> str:
        """The first 8 bytes of the SHA-256 in hexadecimal digits, as every tool prints them."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Judged:
    """A part of a targeting rule, how deep it lies, and whether it is met."""

    depth: int
    said: str
    met: bool


@dataclass(frozen=True)
class Step:
    """One step: what it found, and if it settled the matter, with which reason, variant and holdout.

    ``reason`` is None where the unit went on to the next step.
    """

    name: Name
    said: str
    draw: Draw | None = None
    judged: tuple[Judged, ...] = ()
    reason: Reason | None = None
    variant: str | None = None
    holdout: str | None = None


def explain(
    rule: ExperimentRule, unit: str, attributes: Mapping[str, Any], day: date, *, entered: bool = False
) -> tuple[Step, ...]:
    """Take a unit through the steps as ``assign`` does; the last of the steps returned settles it."""
    steps = []
    for step in _steps(rule, unit, attributes, day, entered):
        steps.append(step)
        if step.reason is not None:
            return tuple(steps)
    raise AssertionError("the last step gives a variant to whoever comes to it")


def _steps(
    rule: ExperimentRule, unit: str, attributes: Mapping[str, Any], day: date, entered: bool
) -> Iterator[Step]:  # fmt: skip
    yield _forced(rule, unit)
    yield from (_holdout(one, unit) for one in rule.holdouts)
    yield _ended(rule, unit)
    refused = _refusal(rule)
    yield _targeting(rule, attributes, refused)
    yield from _range(rule, unit, day, refused)
    yield _enrollment(rule, entered, refused)
    yield _variant(rule, unit)


def _refusal(rule: ExperimentRule) -> Callable[[Reason], dict[str, Any]]:
    """What it means not to enter: no variant while it runs; after a launch with holdback, the launched one."""

    def settled(reason: Reason) -> dict[str, Any]:
        return {"reason": reason} if rule.running else {"reason": "launched", "variant": rule.launched}

    return settled


def _forced(rule: ExperimentRule, unit: str) -> Step:
    if unit not in rule.forced:
        return Step("forced", "it is no tester")
    variant = rule.forced[unit]
    return Step("forced", f"a tester, who gets {variant} and is never counted", reason="forced", variant=variant)


def _holdout(holdout: HoldoutRule, unit: str) -> Step:
    draw, limit = Draw(holdout.salt, unit), round(BUCKETS * holdout.fraction)
    about = f"{holdout.key} holds out buckets below {limit:,}, and the unit has {draw.bucket:,}"
    if draw.bucket < limit:
        return Step("holdout", f"{about}: held out", draw, reason="held_out", holdout=holdout.key)
    return Step("holdout", f"{about}: not held out", draw)


def _ended(rule: ExperimentRule, unit: str) -> Step:
    if rule.running:
        return Step("ended", "nothing was launched or stopped")
    if rule.launched is None:
        return Step("ended", "it was stopped: nobody gets a variant", reason="stopped")
    if rule.holdback is None:
        said = f"{rule.launched} was launched to everybody"
        return Step("ended", said, reason="launched", variant=rule.launched)
    draw = Draw(rule.salt, unit)
    own = _of_bucket(rule, draw.bucket)
    about = f"{rule.launched} was launched with a holdback of {rule.holdback}, and bucket {draw.bucket:,} is of {own}"
    if own != rule.holdback:
        return Step("ended", f"{about}: it gets {rule.launched}", draw, reason="launched", variant=rule.launched)
    return Step("ended", f"{about}: it keeps that if it had entered", draw)


def _targeting(rule: ExperimentRule, attributes: Mapping[str, Any], refused: Callable[[Reason], Any]) -> Step:
    if rule.targeting is None:
        return Step("targeting", "everybody is meant")
    judged = tuple(judge(rule.targeting, attributes))
    if judged[0].met:
        return Step("targeting", "its attributes meet the rule", judged=judged)
    return Step("targeting", "its attributes do not meet the rule", judged=judged, **refused("not_targeted"))


def _range(rule: ExperimentRule, unit: str, day: date, refused: Callable[[Reason], Any]) -> Iterator[Step]:
    """The buckets of the layer that the experiment has, and the first part of them that enters on the day."""
    draw, layer = Draw(rule.layer.salt, unit), rule.layer
    about = f"the experiment has the buckets {_buckets(layer.first, layer.end)}, and the unit has {draw.bucket:,}"
    if not layer.first <= draw.bucket < layer.end:
        yield Step("layer", f"{about}: outside", draw, **refused("outside_layer"))
        return
    yield Step("layer", f"{about}: inside", draw)
    if not rule.phases:
        yield Step("phase", "there are no phases: all of these buckets enter")
        return
    share = rule.share(day)
    end = layer.first + round((layer.end - layer.first) * share)
    about = f"on {day} the first {100 * share:.4g} % of them enter, {_buckets(layer.first, end)}"
    if draw.bucket < end:
        yield Step("phase", f"{about}: inside", draw)
    else:
        yield Step("phase", f"{about}: not yet", draw, **refused("outside_layer"))


def _enrollment(rule: ExperimentRule, entered: bool, refused: Callable[[Reason], Any]) -> Step:
    if not rule.closed:
        return Step("enrollment", "it was not frozen")
    if entered:
        return Step("enrollment", "it was frozen, and the unit had entered before")
    return Step("enrollment", "it was frozen, and the unit is not among those in", **refused("enrollment_closed"))


def _variant(rule: ExperimentRule, unit: str) -> Step:
    draw = Draw(rule.salt, unit)
    key = _of_bucket(rule, draw.bucket)
    cuts = ", ".join(
        f"{variant.key} {_buckets(first, end)}"
        for variant, (first, end) in zip(rule.variants, pairwise((0, *rule.ends)), strict=True)
    )
    return Step(
        "variant", f"the unit has bucket {draw.bucket:,} of {cuts}: {key}", draw, reason="assigned", variant=key
    )


def _of_bucket(rule: ExperimentRule, place: int) -> str:
    ends = zip(rule.variants, pairwise((0, *rule.ends)), strict=True)
    return next(variant.key for variant, (first, end) in ends if first <= place < end)


def _buckets(first: int, end: int) -> str:
    return f"{first:,} to {end - 1:,}" if end > first else "none"


def judge(rule: Rule, attributes: Mapping[str, Any], depth: int = 0) -> Iterator[Judged]:
    """Say of each part of a rule whether it is met, outer parts first."""
    met = rule.met(attributes)
    if isinstance(rule, Condition):
        values = " or ".join(repr(value) for value in rule.values[:10])
        more = f" or {len(rule.values) - 10:,} more" if len(rule.values) > 10 else ""
        found = repr(attributes[rule.attribute]) if rule.attribute in attributes else "nothing"
        said = f"{rule.attribute} {rule.operator.replace('_', ' ')} {values}{more} (found {found})"
        yield Judged(depth, said, met)
        return
    yield Judged(depth, {"all": "all of", "any": "any of", "not": "not"}[rule.how], met)
    for inner in rule.rules:
        yield from judge(inner, attributes, depth + 1)
