"""What an experiment or a holdout takes of all units: settled whenever its definition is applied, let go at its end.

A definition with `layer` and `share` is given buckets that no other experiment of the layer has, or is refused with
what is free. A holdout takes its slice before any layer. Whatever units of a started experiment rest on stays.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta

from analysis.plan import Plan
from experiments.assignment import BUCKETS
from experiments.models import Experiment, HoldoutMember, Layer, Traffic
from experiments.models.states import ARCHIVED, DECIDED
from experiments.models.traffic import held_share
from experiments.services.slices import (
    CannotSettle,
    check_salt,
    holdouts_for,
    listed,
    members_of,
    memberships,
    percent,
    salt_of,
    settle_holdout,
    too_late,
)

Buckets = tuple[int, int]


def settle(experiment: Experiment, now: datetime) -> tuple[str, ...]:
    """Give an experiment or a holdout what its plan in force asks for, and say in lines what that is.

    The caller holds the lock under which definitions are applied. Raises CannotSettle.
    """
    plan = experiment.current_plan.load()
    stored = Traffic.objects.for_update_of(experiment)
    if plan.kind == "holdout":
        return tuple(_told_of_holdout(settle_holdout(experiment, plan, stored), plan))
    return tuple(_told_of_experiment(_settle_experiment(experiment, plan, stored, now), plan))


def told(experiment: Experiment) -> tuple[str, ...]:
    """Say in lines what an experiment or a holdout takes of all units; none if nothing was settled."""
    traffic, plan = Traffic.objects.filter(experiment=experiment).first(), experiment.current_plan.load()
    if traffic is None:
        return ()
    return tuple((_told_of_holdout if plan.kind == "holdout" else _told_of_experiment)(traffic, plan))


def let_go(experiment: Experiment, now: datetime) -> None:
    """End its hold on a layer once nobody is assigned any more; what never started leaves nothing behind.

    After `launch_with_holdback` it keeps its buckets: the control units there are the holdback.
    """
    traffic = Traffic.objects.for_update_of(experiment)
    if traffic is None or (traffic.held_out is not None and experiment.started_at is not None):
        return
    if experiment.started_at is None and experiment.state == ARCHIVED:
        traffic.holdouts.all().delete()
        traffic.members.all().delete()
        traffic.delete()
    elif experiment.state in (DECIDED, ARCHIVED) and experiment.outcome != "launched_with_holdback":
        close(traffic, experiment.today(now))


def close(traffic: Traffic, today: date) -> None:
    """From tomorrow on others may have what it takes. What was closed before stays closed since then."""
    if traffic.released_on is None:
        traffic.days = (traffic.first_day, max(today, traffic.first_day) + timedelta(days=1))
        traffic.save(update_fields=["days"])
        traffic.refresh_from_db()


# --- experiments ------------------------------------------------------------------------------------------------------
def _settle_experiment(experiment: Experiment, plan: Plan, stored: Traffic | None, now: datetime) -> Traffic:
    salt, started = salt_of(plan), experiment.started_at is not None
    if started and stored is not None:
        _check_kept(stored, plan)
        if salt != stored.salt:
            check_salt(experiment, plan, stored.first_day)
            stored.salt = salt
        _grow(stored, plan)
        stored.save()
        return stored
    check_salt(experiment, plan, plan.start_date)
    holdouts = holdouts_for(plan)
    if started and holdouts:
        names = ", ".join(one.experiment.key for one in holdouts)
        raise CannotSettle(too_late(plan.key, names))
    traffic = stored or Traffic(experiment=experiment)
    traffic.salt, traffic.days = salt, (plan.start_date, None)
    traffic.layer, traffic.buckets = _allotted(experiment, plan, traffic, now)
    traffic.save()
    traffic.refresh_from_db()
    traffic.holdouts.exclude(holdout__in=holdouts).delete()
    for holdout in holdouts:
        HoldoutMember.objects.get_or_create(holdout=holdout, member=traffic)
    if experiment.state == DECIDED:
        let_go(experiment, now)
    return traffic


def _check_kept(stored: Traffic, plan: Plan) -> None:
    """A started experiment keeps its layer and its holdouts."""
    layer, before = plan.extra.get("layer"), stored.layer.key if stored.layer else None
    if layer != before:
        raise CannotSettle(
            f"layer: {plan.key} has started {f'in the layer `{before}`' if before else 'outside of any layer'}; its "
            "units would enter or drop out. Give a new experiment the other layer"
        )
    kept = {one.holdout.experiment.key: one.holdout for one in memberships(stored)}
    if plan.holdout is not None and plan.holdout not in kept:
        raise CannotSettle(too_late(plan.key, plan.holdout))
    for key, holdout in kept.items():
        if key != plan.holdout and not listed(holdout.experiment.current_plan.load(), plan):
            raise CannotSettle(
                f"holdout: {plan.key} has started as a member of the holdout `{key}`, whose units it must never "
                f"treat; keep `holdout: {key}`"
            )


def _wanted(plan: Plan) -> int:
    wanted = round(BUCKETS * float(plan.extra.get("share", 1.0)))
    if not wanted:
        raise CannotSettle(f"share: {plan.extra['share']} is less than one of the {BUCKETS:,} buckets (0.0001)")
    return wanted


def _allotted(
    experiment: Experiment, plan: Plan, traffic: Traffic, now: datetime
) -> tuple[Layer | None, Buckets | None]:
    """Return the layer of a plan and buckets of it that are free from the start date on, if possible the old ones."""
    wanted, key = _wanted(plan), plan.extra.get("layer")
    if key is None:
        return None, None
    layer, _ = Layer.objects.get_or_create(key=key, defaults={"created_at": now})
    others = _neighbors(layer, experiment, plan)
    gaps = free(_buckets(one) for one in others)
    before = traffic.buckets if traffic.pk and traffic.layer_id == layer.pk else None
    places = [(first, first + wanted) for first, end in gaps if end - first >= wanted]
    if before is not None and before.upper - before.lower == wanted:
        old = (before.lower, before.upper)
        places = [old for first, end in gaps if first <= old[0] and old[1] <= end] + places
    if places:
        return layer, places[0]
    raise CannotSettle(_no_room(plan, layer, wanted, gaps, others))


def _neighbors(layer: Layer, experiment: Experiment, plan: Plan) -> list[Traffic]:
    """The other experiments that take buckets of the layer from the start date on."""
    rows = Traffic.objects.on_or_after(plan.start_date).filter(layer=layer).exclude(experiment=experiment)
    others = list(rows.select_related("experiment__plan").order_by("buckets"))
    for other in others:
        unit = other.experiment.current_plan.load().unit
        if unit != plan.unit:
            raise CannotSettle(
                f"layer: `{layer}` is a layer of the unit `{unit}` ({other.experiment.key}), and {plan.key} has the "
                f"unit `{plan.unit}`; give it another layer"
            )
    return others


def _buckets(traffic: Traffic) -> Buckets:
    return traffic.buckets.lower, traffic.buckets.upper


def free(taken: Iterable[Buckets]) -> tuple[Buckets, ...]:
    """Return the buckets [first, end) that are left by those that are taken, sorted; on other days they may overlap."""
    gaps, start = [], 0
    for first, end in taken:
        if first > start:
            gaps.append((start, first))
        start = max(start, end)
    if start < BUCKETS:
        gaps.append((start, BUCKETS))
    return tuple(gaps)


def _no_room(plan: Plan, layer: Layer, wanted: int, gaps: Sequence[Buckets], others: Sequence[Traffic]) -> str:
    left = ", ".join(f"{first:,}-{end - 1:,} ({percent((end - first) / BUCKETS)})" for first, end in gaps) or "none"
    taken = ", ".join(f"{one.experiment.key} ({percent(one.width / BUCKETS)})" for one in others)
    return (
        f"share: the layer `{layer}` has no {percent(wanted / BUCKETS)} of its buckets free in one piece from "
        f"{plan.start_date} on. Free: {left}; taken by {taken}. Take a smaller share, or decide on one of these first"
    )


def _grow(stored: Traffic, plan: Plan) -> None:
    """Widen the buckets of a started experiment in place: whoever is in stays in."""
    if stored.layer is None or stored.buckets is None or stored.released_on is not None:
        return
    wanted = _wanted(plan)
    if wanted < stored.width:
        raise CannotSettle(
            f"share: {plan.key} has started with {percent(stored.width / BUCKETS)} of the layer `{stored.layer}`; with "
            f"{percent(wanted / BUCKETS)} units would drop out"
        )
    first, end = stored.buckets.lower, stored.buckets.lower + wanted
    others = _neighbors(stored.layer, stored.experiment, plan)
    if end > BUCKETS or any(low < end and high > first for low, high in map(_buckets, others)):
        room = next(high for low, high in free(map(_buckets, others)) if low <= first < high) - first
        raise CannotSettle(
            f"share: {plan.key} takes the buckets {first:,}-{stored.buckets.upper - 1:,} of the layer "
            f"`{stored.layer}` and can grow in place to {percent(room / BUCKETS)}, not to {percent(wanted / BUCKETS)}"
        )
    stored.buckets = (first, end)
    stored.save(update_fields=["buckets"])
    stored.refresh_from_db(fields=["buckets"])


# --- in words ---------------------------------------------------------------------------------------------------------
def effective(traffic: Traffic, plan: Plan, holding: Sequence[HoldoutMember] | None = None) -> float:
    """The share of all units that can enter an experiment: its buckets, less those that its holdouts hold out.

    ``holding``: its memberships in holdouts that are not released, where somebody has read them already.
    """
    held = _holding(traffic) if holding is None else holding
    return _entering(traffic, plan, [one.holdout.held_out or 0 for one in held])


def effective_beside(traffic: Traffic, plan: Plan, held: int, but: Experiment | None) -> float:
    """The same once a holdout of ``held`` buckets holds out too; ``but`` is that holdout as it is stored."""
    others = [one.holdout.held_out or 0 for one in _holding(traffic) if one.holdout.experiment != but]
    return _entering(traffic, plan, [*others, held])


def taken(traffic: Traffic, plan: Plan) -> int:
    """How many buckets an experiment takes, of its layer or of its own."""
    return traffic.width if traffic.layer is not None else _wanted(plan)


def _entering(traffic: Traffic, plan: Plan, slices: Sequence[int]) -> float:
    return taken(traffic, plan) / BUCKETS * (1 - held_share(slices))


def _holding(traffic: Traffic) -> list[HoldoutMember]:
    return [one for one in memberships(traffic) if one.holdout.released_on is None]


def _told_of_experiment(traffic: Traffic, plan: Plan) -> Iterator[str]:
    holding = _holding(traffic)
    if traffic.layer is not None:
        first, end = _buckets(traffic)
        yield f"layer {traffic.layer}: buckets {first:,}-{end - 1:,} ({percent(traffic.width / BUCKETS)})"
    if holding:
        slices = [one.holdout.held_out or 0 for one in holding]
        each = ", ".join(
            f"{one.holdout.experiment.key} {percent(held / BUCKETS)}"
            for one, held in zip(holding, slices, strict=True)
        )  # fmt: skip
        together = f"; together {percent(held_share(slices))}, for each holds out by itself" if len(slices) > 1 else ""
        yield f"held out by {each}{together}"
    if traffic.layer is not None or holding or "share" in plan.extra:
        yield f"effective traffic: {percent(effective(traffic, plan))} of all units"


def _told_of_holdout(traffic: Traffic, plan: Plan) -> Iterator[str]:
    held, until = percent((traffic.held_out or 0) / BUCKETS), traffic.released_on or plan.planned_end_date
    word = "released" if traffic.released_on else "planned until"
    yield f"holds out {held} of all units from {traffic.first_day} on, before any layer ({word} {until})"
    members = members_of(traffic)
    names = {one.member.experiment.key for one in members} | {
        one.member.layer.key for one in members if one.member.layer
    }
    absent = [name for name in plan.members if name not in names]
    if absent:
        yield f"no member yet: {', '.join(absent)} (an experiment or a layer of this name will be)"
    for one in members:
        share = effective(one.member, one.member.experiment.current_plan.load())
        yield f"effective traffic of {one.member.experiment.key}: {percent(share)} of all units"
