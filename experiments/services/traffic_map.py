"""Who takes which units, all of it at once, for the map of traffic. In as many queries whatever there is."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from experiments.assignment import BUCKETS
from experiments.models import Experiment, HoldoutMember, Layer, Traffic
from experiments.models.states import ARCHIVED
from experiments.services.slices import percent
from experiments.services.traffic import Buckets, effective, free, taken


@dataclass(frozen=True)
class Part:
    """What an experiment takes of all units.

    Attributes:
        buckets: [first, end) of its layer; without a layer those of its own, which are nobody else's.
        first_day, until: the days of its hold, the last one left out; None until it is decided.
        begun: whether it holds its buckets today.
        held_by: the holdouts that hold units out of it, with their shares of all units.
        effective: the share of all units that can enter.
        said: the effective traffic in words, or since when it has none.
    """

    key: str
    name: str
    standing: str
    unit: str
    buckets: Buckets
    first_day: date
    until: date | None
    begun: bool
    frozen: bool
    held_by: tuple[str, ...]
    effective: float
    said: str


@dataclass(frozen=True)
class LayerMap:
    """A layer with what is taken of it today or later, in the order of buckets, and what is free."""

    key: str
    parts: tuple[Part, ...]
    gaps: tuple[Buckets, ...]

    @property
    def free(self) -> str:
        return percent(sum(end - first for first, end in self.gaps) / BUCKETS)


@dataclass(frozen=True)
class SliceMap:
    """A holdout's slice of all units, and its members with the effective traffic of each.

    ``overdue``: it still holds out though its planned end is past.
    """

    key: str
    name: str
    standing: str
    unit: str
    held_out: int
    first_day: date
    planned_end: date | None
    until: date | None
    begun: bool
    overdue: bool
    members: tuple[Part, ...]

    @property
    def share(self) -> str:
        return percent(self.held_out / BUCKETS)


@dataclass(frozen=True)
class Map:
    """All traffic from today on. ``past`` counts those that let go of theirs; ``unsettled`` have never been given any.

    ``unsettled`` has keys and names of experiments that were applied before there was any traffic.
    """

    holdouts: tuple[SliceMap, ...]
    layers: tuple[LayerMap, ...]
    outside: tuple[Part, ...]
    past: int
    unsettled: tuple[tuple[str, str], ...]

    @property
    def empty(self) -> bool:
        return not (self.holdouts or self.layers or self.outside)


def traffic_map(now: datetime) -> Map:
    """Return what every experiment and holdout takes today or later."""
    rows = list(Traffic.objects.select_related("experiment__plan__experiment", "layer").order_by("experiment__key"))
    holding, members = _memberships()
    held: list[Traffic] = []
    parts: dict[int, Part] = {}
    layered: dict[str, list[Part]] = defaultdict(list)
    outside: list[Part] = []
    for row in rows:
        if row.held_out is not None:
            held.append(row)
        else:
            parts[row.pk] = part = _part(row, holding.get(row.pk, []), now)
            if _is_over(row, now):
                continue
            (outside if row.layer is None else layered[row.layer.key]).append(part)
    slices = [_slice(row, members.get(row.pk, []), parts, now) for row in held if not _is_over(row, now)]
    never = Experiment.objects.filter(traffic__isnull=True).exclude(state=ARCHIVED).values_list("key", "name")
    return Map(
        tuple(slices), tuple(_layer(key, layered[key]) for key in Layer.objects.values_list("key", flat=True)),
        tuple(outside), sum(_is_over(row, now) for row in rows), tuple(never),
    )  # fmt: skip


def _memberships() -> tuple[Mapping[int, list[HoldoutMember]], Mapping[int, list[int]]]:
    """The holdouts of each experiment that are not released, and the members of each holdout."""
    holding, members = defaultdict(list), defaultdict(list)
    rows = HoldoutMember.objects.select_related("holdout__experiment")
    for one in rows.order_by("holdout__experiment__key", "member__experiment__key"):
        members[one.holdout_id].append(one.member_id)
        if one.holdout.released_on is None:
            holding[one.member_id].append(one)
    return holding, members


def _today(traffic: Traffic, now: datetime) -> date:
    return traffic.experiment.today(now)


def _is_over(traffic: Traffic, now: datetime) -> bool:
    return traffic.released_on is not None and traffic.released_on <= _today(traffic, now)


def _part(traffic: Traffic, holding: Sequence[HoldoutMember], now: datetime) -> Part:
    experiment = traffic.experiment
    plan = experiment.current_plan.load()
    share = effective(traffic, plan, holding)
    held = tuple(f"{one.holdout.experiment.key} {percent((one.holdout.held_out or 0) / BUCKETS)}" for one in holding)
    width = taken(traffic, plan)
    buckets = (0, width) if traffic.layer is None else (traffic.buckets.lower, traffic.buckets.upper)
    over = _is_over(traffic, now)
    said = f"none of its own since {traffic.released_on}" if over else _said(share, width / BUCKETS, held)
    return Part(
        experiment.key, experiment.name, experiment.standing, plan.unit, buckets, traffic.first_day,
        traffic.released_on, traffic.first_day <= _today(traffic, now), traffic.frozen_at is not None, held, share,
        said,
    )  # fmt: skip


def _said(share: float, taken_share: float, held: Sequence[str]) -> str:
    """The effective traffic, and what it is made of where that is more than one thing."""
    if not held:
        return f"{percent(share)} of all units"
    return f"{percent(share)} of all units: {percent(taken_share)} less what is held out by {', '.join(held)}"


def _layer(key: str, parts: list[Part]) -> LayerMap:
    ordered = sorted(parts, key=lambda part: (part.buckets, part.key))
    return LayerMap(key, tuple(ordered), free(part.buckets for part in ordered))


def _slice(traffic: Traffic, members: Iterable[int], parts: Mapping[int, Part], now: datetime) -> SliceMap:
    experiment = traffic.experiment
    plan, today = experiment.current_plan.load(), _today(traffic, now)
    overdue = traffic.released_on is None and plan.planned_end_date is not None and plan.planned_end_date < today
    return SliceMap(
        experiment.key, experiment.name, experiment.standing, plan.unit, traffic.held_out or 0, traffic.first_day,
        plan.planned_end_date, traffic.released_on, traffic.first_day <= today, overdue,
        tuple(parts[member] for member in members if member in parts),
    )  # fmt: skip
