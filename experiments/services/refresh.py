"""Plan a look: which day, which data, which cells of work. The same question twice is answered once."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from analysis import windows
from analysis.plan import Plan as PlanBody
from analysis.triangle import CannotRebuild, Triangle
from experiments.models import AuditEntry, CannotStart, CurrentTriangle, Experiment, Look, LookCell
from experiments.models.audit import EXPERIMENT, HOLDFAST
from experiments.models.look import DONE, FAILED, PLANNED
from experiments.models.states import ARCHIVED, IN_REVIEW
from experiments.services import cells
from experiments.services.results import find_experiment
from experiments.sources import registry
from experiments.sources.base import Inspection, SourceProblem

Outcome = Literal["planned", "resumed", "done"]


class CannotRefresh(Exception):
    """The look cannot be taken. The message says why and what to do."""


@dataclass(frozen=True)
class PlannedLook:
    """A look that was asked for. ``done``: it was there already, and nothing is computed."""

    look_id: int
    key: str
    as_of: date
    outcome: Outcome


def plan_look(key: str, as_of: date | None, now: datetime, *, by: str = HOLDFAST) -> PlannedLook:
    """Plan the look of an experiment as of a day and send its work on its way. ``by`` says who asks for it.

    Without ``as_of`` it is the day after the last one in the data, today at most. Raises NoSuchExperiment,
    CannotRefresh.
    """
    experiment = find_experiment(key)
    start(experiment, now)
    plan = experiment.current_plan.load()
    today = experiment.today(now)
    if as_of is not None:
        _check_as_of(plan, as_of, today)
    try:
        with registry.open_source(experiment.read_from, today) as source:
            found = source.inspect(plan)
    except SourceProblem as problem:
        raise CannotRefresh(experiment.source.spec.told(problem)) from problem
    if as_of is None:
        as_of = _day_after_data(plan, found.last, today)
    look, outcome = _planned(experiment, plan, as_of, found, by, now)
    if outcome != "done":
        cells.wake(look.pk)
    return PlannedLook(look.pk, key, as_of, outcome)


def start(experiment: Experiment, now: datetime) -> None:
    """Start an experiment whose day has come, and freeze its plan. Raises CannotRefresh if there is nothing to read."""
    with transaction.atomic():
        locked = Experiment.objects.select_for_update(of=("self",)).get(pk=experiment.pk)
        try:
            locked.start_if_due(now)
        except CannotStart as problem:
            raise CannotRefresh(str(problem)) from problem
        if locked.state == ARCHIVED:
            raise CannotRefresh(f"{locked.key} is archived; its looks stay, and there are no new ones")
        if locked.state == IN_REVIEW:
            raise CannotRefresh(f"{locked.key} is in review; it is read once somebody has started it")
        if locked.started_at is None:
            start_date, today = locked.current_plan.load().start_date, locked.today(now)
            raise CannotRefresh(f"{locked.key} starts on {start_date}, and today is {today}; there is nothing to read")
        locked.close_if_due(now)
    experiment.refresh_from_db()


def _check_as_of(plan: PlanBody, as_of: date, today: date) -> None:
    if as_of < plan.start_date:
        raise CannotRefresh(f"as_of {as_of} is before start_date {plan.start_date}; nothing has happened yet")
    if as_of > today:
        raise CannotRefresh(f"as_of {as_of} is after today, {today}; as_of is the first day that is not read")


def _day_after_data(plan: PlanBody, last: date, today: date) -> date:
    as_of = min(last + timedelta(days=1), today)
    if as_of < plan.start_date:
        raise CannotRefresh(
            f"the data end on {last}, so as_of would be {as_of}, which is before start_date {plan.start_date}"
        )
    return as_of


@transaction.atomic
def _planned(
    experiment: Experiment, plan: PlanBody, as_of: date, found: Inspection, by: str, now: datetime
) -> tuple[Look, Outcome]:
    """Find or make the look's row and its cells. The experiment's row is locked: one such question at a time."""
    locked = Experiment.objects.select_for_update(of=("self",)).get(pk=experiment.pk)
    if locked.plan_id != experiment.plan_id:
        raise CannotRefresh(f"{experiment.key} was amended just now; refresh again")
    look, created = Look.objects.select_for_update().get_or_create(
        plan=experiment.current_plan, as_of=as_of, fingerprint=found.fingerprint,
        defaults={
            "number": windows.look_number(plan, as_of),
            "planned_looks": windows.planned_looks(plan),
            "planned_at": timezone.now(),
        },
    )  # fmt: skip
    if look.state == DONE:
        return look, "done"
    if not created and look.is_open:
        return look, "resumed"
    if look.state == FAILED:
        _replan(look)
    AuditEntry.objects.record(
        by=by, verb="look asked for", kind=EXPERIMENT, key=experiment.key, now=now, after={"as_of": as_of.isoformat()}
    )
    known = _rebuilt(look)
    partitions = max(1, found.partitions, getattr(settings, "HOLDFAST_MIN_PARTITIONS", 1))
    LookCell.objects.bulk_create(
        cells.reading_cells(look, partitions) if known is None else cells.rebuilding_cells(look, known)
    )
    return look, "planned"


def _replan(look: Look) -> None:
    """Give a failed look a new beginning. New cells have new numbers, so messages for the old ones find nothing."""
    look.cells.all().delete()
    look.state, look.error, look.finished_at, look.planned_at = PLANNED, "", None, timezone.now()
    look.save()


def _rebuilt(look: Look) -> Triangle | None:
    """The look's triangle, if the stored one was read from the same data as of the same or a later week.

    Rows of units are not stored, so a plan that adjusts for covariates reads the data at every look.
    """
    if look.plan.load().covariates:
        return None
    stored = CurrentTriangle.objects.filter(plan=look.plan_id, fingerprint=look.fingerprint).first()
    if stored is None:
        return None
    try:
        return stored.load().at(look.as_of)
    except CannotRebuild:
        return None
