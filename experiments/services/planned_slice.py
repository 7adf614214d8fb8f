"""What the slice of a holdout entails while somebody plans it: how small an effect it finds, and who respects it.

The rules are those of ``slices``, by which definitions are applied; here they are told before.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from analysis import windows
from analysis.holdout import FIRST_WEEK
from analysis.plan import Plan
from analysis.power import FRACTIONS
from analysis.sample_size import holdout_factor
from experiments.models import Experiment, Layer, Traffic
from experiments.models.states import DRAFT, IN_REVIEW
from experiments.models.traffic import held_share
from experiments.services import traffic
from experiments.services.slices import (
    CannotSettle,
    candidates,
    cannot_leave,
    check_slice,
    members_of,
    objection,
    slice_of,
    slices,
    stays,
)


@dataclass(frozen=True)
class Choice:
    """What a holdout can name as a member: a layer, or an experiment that has not started."""

    key: str
    words: str


@dataclass(frozen=True)
class Member:
    """An experiment that would respect the holdout, or why it cannot.

    ``share``: of all units, what can enter it then; None if nothing was settled for it yet.
    """

    key: str
    name: str
    standing: str
    share: float | None
    refusal: str | None


@dataclass(frozen=True)
class Neighbor:
    """Another holdout of the same units in the same days. ``together``: the share that one of the two holds out."""

    key: str
    name: str
    standing: str
    until: date
    together: float


@dataclass(frozen=True)
class PlannedSlice:
    """What is told of a slice.

    Attributes:
        factor: how many times larger the smallest effect found is than with an even split of the same units.
        others: the same of other fractions.
        absent: names that no experiment and no layer has yet.
        refusal: why the slice cannot be had as planned.
        first_read: the day on which the first whole calendar week can be read, None beyond the calendar.
        weeks: calendar weeks until the planned end.
    """

    fraction: float
    factor: float
    others: tuple[tuple[float, float], ...]
    members: tuple[Member, ...]
    absent: tuple[str, ...]
    neighbors: tuple[Neighbor, ...]
    refusal: str | None
    first_read: date | None
    planned_end: date | None
    weeks: int


def choices(members: tuple[str, ...]) -> tuple[Choice, ...]:
    """The layers and experiments that can be chosen: what has not started, and what is a member already."""
    layers = tuple(Choice(one.key, "layer") for one in Layer.objects.all())
    rows = Experiment.objects.filter(kind="experiment").order_by("key")
    found = tuple(Choice(one.key, one.name) for one in rows if one.state in (DRAFT, IN_REVIEW) or one.key in members)
    taken = {one.key for one in layers}
    return (*layers, *(one for one in found if one.key not in taken))


def planned_slice(plan: Plan, but: Experiment | None = None) -> PlannedSlice:
    """Return what a holdout's plan entails; ``but`` is the holdout that it changes."""
    assert plan.fraction is not None
    stored = Traffic.objects.filter(experiment=but).first() if but is not None else None
    members = tuple(_members(plan, but, stored))
    named = {one.key for one in members} | set(Layer.objects.values_list("key", flat=True))
    known = named | set(Experiment.objects.filter(key__in=plan.members).values_list("key", flat=True))
    return PlannedSlice(
        plan.fraction, holdout_factor(plan.fraction),
        tuple((one, holdout_factor(one)) for one in sorted({*FRACTIONS[:-1], plan.fraction})),
        members, tuple(name for name in plan.members if name not in known), tuple(_neighbors(plan, but)),
        _refusal(plan, but, stored), _first_read(plan), plan.planned_end_date, windows.planned_weeks(plan),
    )  # fmt: skip


def _members(plan: Plan, but: Experiment | None, stored: Traffic | None) -> Iterator[Member]:
    current = [] if stored is None else [one.member.experiment for one in members_of(stored)]
    for experiment in current:
        if stays(plan, experiment):
            yield _member(plan, experiment, but, None)
        elif experiment.started_at is not None:
            yield _member(plan, experiment, but, cannot_leave(experiment.key, plan.key))
    there = {one.pk for one in current}
    for experiment in candidates(plan):
        wrong = objection(plan, experiment)
        if experiment.pk not in there and (wrong is not None or experiment.started_at is None):
            yield _member(plan, experiment, but, wrong)


def _member(plan: Plan, experiment: Experiment, but: Experiment | None, wrong: str | None) -> Member:
    theirs = Traffic.objects.filter(experiment=experiment).first()
    share = None
    if theirs is not None and wrong is None:
        share = traffic.effective_beside(theirs, experiment.current_plan.load(), slice_of(plan), but)
    said = None if wrong is None else wrong.partition(": ")[2]
    return Member(experiment.key, experiment.name, experiment.standing, share, said)


def _neighbors(plan: Plan, but: Experiment | None) -> Iterator[Neighbor]:
    assert plan.planned_end_date is not None
    for other in slices():
        theirs = other.experiment.current_plan.load()
        until = other.released_on or theirs.planned_end_date
        if other.experiment == but or theirs.unit != plan.unit or until is None:
            continue
        if until > plan.start_date and other.first_day < plan.planned_end_date:
            together = held_share([slice_of(plan), other.held_out or 0])
            yield Neighbor(theirs.key, theirs.name, other.experiment.standing, until, together)


def _first_read(plan: Plan) -> date | None:
    try:
        return windows.first_readable(plan, FIRST_WEEK + 1)
    except OverflowError:
        return None


def _refusal(plan: Plan, but: Experiment | None, stored: Traffic | None) -> str | None:
    try:
        check_slice(but, plan, stored)
    except CannotSettle as problem:
        return str(problem)
    return None
