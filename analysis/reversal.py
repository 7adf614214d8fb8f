"""Early win, later loss: the formal flag, its weaker relatives, and conflicts between metrics.

Intersection-union test (Berger 1982, Technometrics 24:295): the null is "no early win, or no later loss"; it is
rejected when both one-sided tests reject at alpha / 4. Its level is alpha / 4 whatever the covariance of the legs,
without splitting alpha between them. The early leg is the early window on all units mature for it, over its looks; the
late leg is read week by week (``analysis.rolling``). ``turned`` and ``confirmed`` spend alpha / 4 each, so that both
together are false in at most alpha / 2 of experiments; over the metrics of a treatment, and its conflicts, Holm's
method adjusts each. Once crossed, a boundary stays crossed.

States, the first that holds: ``confirmed``, ``turned``, ``warning`` (an early win, and a late loss has a probability
above .8 under the prior of ``analysis.decay``), ``immature`` (not every cohort has lived the late window), ``fading``
(the lift shrank surely, and is not surely a loss; informational), ``none``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from analysis import windows
from analysis.event_legs import event_legs
from analysis.legs import Legs, window_legs
from analysis.moments import Array
from analysis.multiplicity import holm
from analysis.numbers import finite
from analysis.plan import Metric
from analysis.results import ConflictRow, ReversalRow, ReversalState
from analysis.rolling import Path, Reading
from analysis.triangle import Triangle

#: A late loss more probable than this is worth a warning.
WARNING_PROBABILITY = 0.8


@dataclass(frozen=True)
class Crossing:
    """The first look beyond the boundary: what was read, and the day of the look."""

    reading: Reading
    day: date


@dataclass(frozen=True)
class Tested:
    """A test of an early win and a later loss over all looks so far: p values now, and where it was crossed."""

    p_value: float | None = None
    p_value_adjusted: float | None = None
    crossing: Crossing | None = None


def tested(members: Sequence[tuple[Legs, Path]], as_of: date, level: float) -> list[Tested]:
    """Test every pair of an early win and a later loss, adjusted for their number (Holm 1979), look by look."""
    days = sorted({reading.day for _, path in members for reading in path.readings})
    if not days:
        return [Tested() for _ in members]
    days.append(as_of)
    raw = np.array([[np.maximum(early.early_p(day), path.p_value(day)) for day in days] for early, path in members])
    adjusted = np.array([holm([finite(value) for value in column]) for column in raw.T], dtype=float).T
    return [
        Tested(finite(raw[row, -1]), finite(adjusted[row, -1]), _crossing(path, days, adjusted[row] < level))
        for row, (_, path) in enumerate(members)
    ]


def _crossing(path: Path, days: Sequence[date], beyond: Array) -> Crossing | None:
    looks = np.flatnonzero(beyond)
    if not len(looks):
        return None
    day = days[int(looks[0])]
    return Crossing(path.readings[path.read_by(day) - 1], day)


def reversals(triangle: Triangle, of_metric: Mapping[str, Triangle], variant: str) -> tuple[
    tuple[ReversalRow, ...], tuple[ConflictRow, ...]
]:  # fmt: skip
    """Return the reversal of each metric of a treatment, and the conflicts between them.

    Diagnostic metrics are left out: nothing is claimed of them. ``of_metric`` has each metric's own triangle.
    """
    level = triangle.plan.decision.alpha / 4
    read = dict(_legs(triangle, of_metric, variant))
    pairs = list(_conflicting(one.metric for one in read.values()))
    alone = [(one, one.late["turned"]) for one in read.values()]
    both = [(one, one.late["confirmed"]) for one in read.values()]
    both += [(read[short.key], read[long.key].late["confirmed"]) for short, long in pairs]
    turned = tested(alone, triangle.as_of, level)
    confirmed = tested(both, triangle.as_of, level)
    rows = [_row(one, *results) for one, *results in zip(read.values(), turned, confirmed[: len(read)], strict=True)]
    conflicts = [
        _conflict(read[short.key], read[long.key], triangle.as_of, one)
        for (short, long), one in zip(pairs, confirmed[len(read) :], strict=True)
    ]
    return tuple(rows), tuple(conflicts)


def _legs(triangle: Triangle, of_metric: Mapping[str, Triangle], variant: str) -> Iterator[tuple[str, Legs]]:
    """Yield the legs of every metric that can claim anything, by its key."""
    for metric in triangle.plan.metrics:
        if metric.role == "diagnostic":
            continue
        if metric.event is None:
            yield metric.key, window_legs(of_metric[metric.key], metric, variant)
        else:
            found = event_legs(of_metric[metric.key], metric, variant)
            if found is not None:
                yield metric.key, found


def _conflicting(metrics: Iterable[Metric]) -> Iterator[tuple[Metric, Metric]]:
    """Yield (short-term primary, another metric that must not lose late)."""
    known = list(metrics)
    for short in known:
        if (short.role, short.term) != ("primary", "short") or short.event is not None:
            continue
        for other in known:
            long = other.role == "guardrail" or (other.role, other.term) == ("primary", "long")
            if other is not short and (long or other.event is not None):
                yield short, other


def _conflict(short: Legs, long: Legs, as_of: date, found: Tested) -> ConflictRow:
    early, late = short.triangle.plan.window("early"), long.late_window
    row = ConflictRow(
        variant=short.variant, short_metric=short.metric.key, long_metric=long.metric.key, state="none",
        readable_from=long.readable_from, p_value=found.p_value, p_value_adjusted=found.p_value_adjusted,
    )  # fmt: skip
    if found.crossing is not None:
        weeks, day = found.crossing.reading.window, found.crossing.day
        lift = long.lift(found.crossing.reading)
        worse = f"{row.long_metric} is worse in {weeks.label}"
        if long.metric.event is not None and lift is not None:
            worse = f"the hazard of {row.long_metric} is {1 + lift:.2f} times control's in {weeks.label}"
        reason = f"{row.short_metric} is better in {early.label}, and {worse}; first seen on {day}"
        return replace(row, state="confirmed", first_seen=day, reason=reason)
    if as_of < row.readable_from:
        reason = f"the late weeks of {row.long_metric} ({late.label}) are readable from {row.readable_from}"
        return replace(row, state="immature", reason=reason)
    reason = f"not both {row.short_metric} better in {early.label} and {row.long_metric} worse late"
    return replace(row, first_seen=row.readable_from, reason=reason)


def _row(one: Legs, turned: Tested, confirmed: Tested) -> ReversalRow:
    row = one.shown(ReversalRow(
        metric=one.metric.key, variant=one.variant, state="none", p_value=confirmed.p_value,
        p_value_adjusted=confirmed.p_value_adjusted, readable_from=one.readable_from,
    ))  # fmt: skip
    if turned.crossing is not None:
        weeks = turned.crossing.reading.window
        row = replace(
            row, turned_start_week=weeks.start_week, turned_end_week=weeks.end_week, turned_p_value=turned.p_value,
            turned_lift=one.lift(turned.crossing.reading), turned_first_seen=turned.crossing.day,
        )  # fmt: skip
    row = replace(row, late_loss_probability=one.late_loss_probability(one.triangle.as_of))
    state, first_seen, reason = _state(one, row, turned, confirmed)
    return replace(row, state=state, first_seen=first_seen, reason=reason)


def _state(
    one: Legs, row: ReversalRow, turned: Tested, confirmed: Tested
) -> tuple[ReversalState, date | None, str | None]:
    """Return the state, the day of the first look that showed it, and why."""
    plan, as_of = one.triangle.plan, one.triangle.as_of
    early, late = plan.window("early"), one.late_window
    level = f"one-sided {plan.decision.alpha / 4:g} over all looks"
    crossing = confirmed.crossing or turned.crossing
    if crossing is not None:
        words = f"better in {early.label} and worse in {crossing.reading.window.label} ({level})"
        return "confirmed" if confirmed.crossing else "turned", crossing.day, words
    if _warned(one, row.late_loss_probability, as_of):
        first = first_warning(one) or as_of
        words = f"better in {early.label}; a loss in {late.label} has a probability of {row.late_loss_probability:.2f}"
        return "warning", first, words
    if as_of < row.readable_from:
        looks = windows.weekly_looks(plan, as_of)
        words = f"the late window ({late.label}) is readable from {row.readable_from}"
        return "immature", looks[0] if looks else as_of, words
    if row.reason is not None:
        return "none", row.readable_from, row.reason or "the late weeks have no estimate"
    ends = [end for end in (row.lift_contrast_low, row.lift_contrast_high) if end is not None]
    direction = one.direction
    loss = one.late["confirmed"].p_values[-1] < plan.decision.alpha / 4
    if ends and max(direction * end for end in ends) < 0 and not loss:
        words = f"the lift shrank from {early.label} to {late.label}, and is not surely a loss"
        return "fading", row.readable_from, words
    return "none", row.readable_from, f"not both better in {early.label} and worse in {late.label} ({level})"


def _warned(one: Legs, probability: float | None, as_of: date) -> bool:
    win = one.early_p(as_of) < one.triangle.plan.decision.alpha / 4
    return win and probability is not None and probability > WARNING_PROBABILITY


def first_warning(one: Legs) -> date | None:
    """Return the first weekly look at which an early win carried a warning; None if none did so far."""
    level = one.triangle.plan.decision.alpha / 4
    for day in windows.weekly_looks(one.triangle.plan, one.triangle.as_of):
        if one.early_p(day) < level and _warned(one, one.late_loss_probability(day), day):
            return day
    return None
