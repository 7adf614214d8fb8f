"""Slices of holdouts: taken before any layer, kept until they are released, and the experiments that respect them."""

from datetime import date, timedelta

from analysis.plan import Plan
from experiments.assignment import BUCKETS
from experiments.models import Experiment, HoldoutMember, Traffic
from experiments.models.states import ENROLLMENT_CLOSED, RUNNING
from experiments.models.traffic import LARGEST_SLICE
from experiments.services.suggest import did_you_mean

#: Weeks between the release of a holdout and the start of the next one over the same experiments, unless the
#: definition says otherwise: units that were held out get many launches at once, and their habits need time.
WASHOUT_WEEKS = 2


class CannotSettle(Exception):
    """What a definition wants of the traffic is not to be had. The message says why, and what is."""


def percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def too_late(key: str, holdout: str) -> str:
    return (
        f"holdout: {key} has started without the holdout {holdout}, and may have treated units that it would hold out; "
        "only what starts later can respect it"
    )


def salt_of(plan: Plan) -> str:
    salt: str = plan.extra.get("salt", plan.key)
    return salt


def slice_of(plan: Plan) -> int:
    """How many buckets a holdout holds out."""
    return max(1, round(BUCKETS * (plan.fraction or 0.0)))


def check_salt(experiment: Experiment | None, plan: Plan, day: date) -> None:
    """Two things with one salt would share their units, so each would be measured with the other's effect."""
    salt = salt_of(plan)
    others = Traffic.objects.exclude(experiment=experiment).filter(salt=salt)
    live = others.on_or_after(day).select_related("experiment").first()
    if live is not None:
        raise CannotSettle(
            f"salt: `{salt}` is the salt of {live.experiment.key}; with the same one their variants would go together"
        )
    used = others.filter(held_out__isnull=False).select_related("experiment").first()
    if used is not None and plan.kind == "holdout":
        raise CannotSettle(
            f"salt: `{salt}` was the salt of the holdout {used.experiment.key}; the same units would be held out again"
        )


def slices() -> list[Traffic]:
    rows = Traffic.objects.filter(held_out__isnull=False).select_related("experiment__plan")
    return list(rows.order_by("experiment__key"))


def memberships(traffic: Traffic) -> list[HoldoutMember]:
    rows = traffic.holdouts.select_related("holdout__experiment__plan")
    return list(rows.order_by("holdout__experiment__key"))


def listed(holdout: Plan, plan: Plan) -> bool:
    """Whether a holdout names an experiment, or its layer, among its members."""
    return bool({plan.key, plan.extra.get("layer")} & set(holdout.members))


def holdouts_for(plan: Plan) -> list[Traffic]:
    """The holdouts that an experiment has to respect when it starts: the one it names, and those that name it."""
    there = slices()
    if plan.holdout is not None and all(one.experiment.key != plan.holdout for one in there):
        hint = did_you_mean(plan.holdout, [one.experiment.key for one in there])
        raise CannotSettle(f"holdout: there is no holdout `{plan.holdout}`{hint}")
    found = []
    for one in there:
        holdout, named = one.experiment.current_plan.load(), one.experiment.key == plan.holdout
        if not named and not listed(holdout, plan):
            continue
        if one.released_on is not None and one.released_on <= plan.start_date:
            if named:
                raise CannotSettle(
                    f"holdout: `{plan.holdout}` was released; it holds nobody out from {one.released_on}"
                )
            continue
        misfit = _misfit(holdout, plan)
        if misfit is not None:
            raise CannotSettle(misfit)
        found.append(one)
    return found


def _misfit(holdout: Plan, plan: Plan) -> str | None:
    """Why an experiment cannot respect a holdout, whatever their states; None if it can."""
    if holdout.unit != plan.unit:
        return (
            f"holdout: `{holdout.key}` holds out by the unit `{holdout.unit}`, and {plan.key} has the unit "
            f"`{plan.unit}`"
        )
    if plan.start_date < holdout.start_date:
        return (
            f"holdout: {plan.key} starts on {plan.start_date}, before the holdout `{holdout.key}` "
            f"({holdout.start_date}), and would treat units that it is to hold out"
        )
    return None


def settle_holdout(experiment: Experiment, plan: Plan, stored: Traffic | None) -> Traffic:
    check_slice(experiment, plan, stored)
    traffic = stored or Traffic(experiment=experiment)
    if experiment.started_at is None or stored is None:
        traffic.salt, traffic.days, traffic.held_out = salt_of(plan), (plan.start_date, None), slice_of(plan)
        traffic.save()
        traffic.refresh_from_db()
    _settle_members(traffic, plan)
    return traffic


def check_slice(experiment: Experiment | None, plan: Plan, stored: Traffic | None) -> None:
    """Raise CannotSettle where a holdout, None for a new one, cannot have the slice of a plan."""
    slice_ = slice_of(plan)
    if slice_ > LARGEST_SLICE:
        raise CannotSettle(f"fraction: {plan.fraction} is more than a half")
    if stored is None or experiment is None or experiment.started_at is None:
        check_salt(experiment, plan, plan.start_date)
        _check_washout(experiment, plan)
    elif (stored.held_out, stored.salt, stored.first_day) != (slice_, salt_of(plan), plan.start_date):
        held = percent((stored.held_out or 0) / BUCKETS)
        raise CannotSettle(
            f"{plan.key} has started: its fraction, salt and start_date ({held}, {stored.salt}, "
            f"{stored.first_day}) stay until it is released. Start another holdout beside it"
        )


def _check_washout(experiment: Experiment | None, plan: Plan) -> None:
    """The next holdout over the same members waits until those whom the last one held out are like everybody else."""
    weeks = int(plan.extra.get("washout_weeks", WASHOUT_WEEKS))
    for other in slices():
        before = other.experiment.current_plan.load()
        same = before.unit == plan.unit and set(before.members) & set(plan.members)
        if other.experiment == experiment or not same or other.released_on is None:
            continue
        ready = other.released_on + timedelta(weeks=weeks)
        if other.first_day <= plan.start_date < ready:
            raise CannotSettle(
                f"start_date: {plan.start_date} is within the washout of {weeks} weeks after the holdout "
                f"{before.key} was released; start on {ready} or later, or say washout_weeks"
            )


def _settle_members(traffic: Traffic, plan: Plan) -> None:
    """Take in what has not started yet, and refuse what has: its units may have been treated before."""
    current = {one.member.experiment.key: one for one in members_of(traffic)}
    for key, one in current.items():
        if stays(plan, one.member.experiment):
            continue
        if one.member.experiment.started_at is not None:
            raise CannotSettle(cannot_leave(key, plan.key))
        one.delete()
    for experiment in candidates(plan):
        if experiment.key in current:
            continue
        wrong = objection(plan, experiment)
        if wrong is not None:
            raise CannotSettle(wrong)
        if experiment.started_at is not None:
            continue
        joining = Traffic.objects.filter(experiment=experiment).first()
        if joining is not None:  # one from before there was any traffic joins when it is applied again
            HoldoutMember.objects.create(holdout=traffic, member=joining)


def stays(plan: Plan, member: Experiment) -> bool:
    """Whether a member of a holdout is one by the holdout's plan, or by its own."""
    theirs = member.current_plan.load()
    return theirs.holdout == plan.key or listed(plan, theirs)


def cannot_leave(key: str, holdout: str) -> str:
    return (
        f"members: {key} has started as a member; it must not treat the units held out until {holdout} is released. "
        "Leave it, or its layer, among the members"
    )


def objection(plan: Plan, experiment: Experiment) -> str | None:
    """Why an experiment that a holdout's plan names cannot become its member; None if it can, or is over."""
    if experiment.started_at is None:
        return _misfit(plan, experiment.current_plan.load())
    if experiment.key in plan.members or experiment.state in (RUNNING, ENROLLMENT_CLOSED):
        return f"members: {too_late(experiment.key, plan.key).removeprefix('holdout: ')}"
    return None


def members_of(traffic: Traffic) -> list[HoldoutMember]:
    rows = traffic.members.select_related("member__experiment__plan", "member__layer")
    return list(rows.order_by("member__experiment__key"))


def candidates(plan: Plan) -> list[Experiment]:
    """The experiments that a holdout's plan names, or whose layer it names."""
    rows = Experiment.objects.filter(kind="experiment").select_related("plan")
    named, layered = rows.filter(key__in=plan.members), rows.filter(traffic__layer__key__in=plan.members)
    return list((named | layered).order_by("key").distinct()) if plan.members else []
