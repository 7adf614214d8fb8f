"""The members of a holdout, and what has been decided on their treatments until a day."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from django.db.models import Q

from analysis.plan import Plan
from analysis.reconciliation import MemberState
from experiments.models import Decision, Experiment
from experiments.services.results import in_force

#: Decisions that end an experiment; the others leave it running.
LAUNCHES = ("launch", "launch_with_holdback")
_ENDINGS = (*LAUNCHES, "stop", "roll_back")


@dataclass(frozen=True)
class Side:
    """One treatment of a member with what has been decided on it until the holdout's day."""

    experiment: Experiment
    plan: Plan
    variant: str
    decision: Decision | None
    day: date | None

    @property
    def state(self) -> MemberState:
        if self.decision is None:
            return "running"
        return "launched" if self.decision.action in LAUNCHES else "ended"


def members(plan: Plan) -> list[Experiment]:
    """The experiments that a holdout's launches come from: named, of a named layer, or respecting it by themselves."""
    found = in_force().filter(kind="experiment").filter(
        Q(key__in=plan.members) | Q(plan__body__extra__layer__in=plan.members) | Q(plan__body__holdout=plan.key)
    )  # fmt: skip
    return list(found.order_by("key"))


def sides_of(plan: Plan, as_of: date) -> list[Side]:
    """All treatments of a holdout's members that began before a day."""
    return [side for member in members(plan) for side in _sides(member, as_of)]


def _sides(experiment: Experiment, as_of: date) -> Iterable[Side]:
    plan = experiment.current_plan.load()
    if plan.start_date >= as_of:
        return
    for treatment in plan.treatments:
        rows = experiment.decisions.filter(variant=treatment.key, action__in=_ENDINGS).defer("document").order_by("pk")
        days = [(row, row.decided_at.astimezone(ZoneInfo(plan.timezone)).date()) for row in rows]
        known = [(row, day) for row, day in days if day <= as_of]
        last = known[-1] if known else (None, None)
        yield Side(experiment, plan, treatment.key, *last)
