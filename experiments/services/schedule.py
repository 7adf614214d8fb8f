"""What is due and not done: a look a week for every experiment that is read, taken as soon as its data are complete.

Nothing is remembered but the looks themselves, and what is due is a question to the database. So it may be asked as
often and by as many as one likes, and after a week without beat, worker or broker the next question finds what was
missed. Only the newest due look is taken: a look has all the earlier weeks in it.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from analysis import windows
from analysis.plan import Plan as PlanBody
from experiments import logs
from experiments.models import CannotStart, Experiment, Look, LookCell, states
from experiments.models.look import DONE, FAILED, LEASED, PLANNED, RUNNING
from experiments.queue import QueueProblem
from experiments.services import cells
from experiments.services.refresh import CannotRefresh, plan_look
from experiments.services.results import find_experiment

log = logging.getLogger(__name__)

#: Whose name stands in the audit log.
SCHEDULE = "schedule"

#: A look that failed is tried again after this time: data that come late or a full disk need hours, not minutes.
RETRY_AFTER = timedelta(hours=1)

#: Stands for the data of a look that failed before they could be read.
UNREAD = "unread"


@dataclass(frozen=True)
class DueLook:
    """The look that an experiment needs now."""

    key: str
    as_of: date


def take_due(now: datetime) -> tuple[DueLook, ...]:
    """Start what has to start, push on what stands still, and take what is due. Returns the looks that were asked for.

    One experiment's trouble is its own: it is told on its page, and the others go on.
    """
    advance(now)
    wake_stranded()
    found = tuple(due(now))
    for look in found:
        _take(look, now)
    return found


def due(now: datetime) -> Iterator[DueLook]:
    """Yield the newest due look of each experiment that does not have it yet."""
    experiments = Experiment.objects.filter(state__in=states.READ).select_related("plan__experiment").order_by("key")
    for experiment in experiments:
        as_of = due_day(experiment.current_plan.load(), experiment.today(now))
        if as_of is not None and not _taken(experiment, as_of, now):
            yield DueLook(experiment.key, as_of)


def due_day(plan: PlanBody, today: date) -> date | None:
    """Return the newest day until ``today`` on which a look is planned; None before the first one."""
    days = windows.weekly_looks(plan, min(today, windows.last_look(plan)))
    return days[-1] if days else None


def first_look(key: str) -> date:
    """Return the day of an experiment's first weekly look. Raises NoSuchExperiment."""
    plan = find_experiment(key).current_plan.load()
    return windows.look_that_reads(plan, plan.start_date)


def advance(now: datetime) -> None:
    """Start the drafts whose day has come, and close enrollments that are over."""
    waiting = Experiment.objects.filter(state__in=(states.DRAFT, states.RUNNING), plan__isnull=False)
    for found in waiting.select_related("plan__experiment").order_by("key"):
        if not found.changes_itself(now):
            continue
        with transaction.atomic():
            experiment = Experiment.objects.select_for_update(of=("self",)).get(pk=found.pk)
            try:
                experiment.start_if_due(now)
                experiment.close_if_due(now)
            except CannotStart as problem:
                log.warning("%s", problem)


def wake_stranded() -> None:
    """Send open looks nobody works on to the queue again: their messages may be lost, or their worker dead."""
    working = LookCell.objects.filter(look=OuterRef("pk"), state=LEASED, lease_until__gte=Now())
    for look in Look.objects.filter(~Exists(working), state__in=(PLANNED, RUNNING)).order_by("planned_at"):
        cells.wake(look.pk)


def _taken(experiment: Experiment, as_of: date, now: datetime) -> bool:
    """Whether a look of the day or a later one is done or in work, or failed so lately that it has to wait."""
    later = Look.objects.filter(plan=experiment.plan_id, as_of__gte=as_of)
    waits = Q(state=FAILED, as_of=as_of, finished_at__gt=now - RETRY_AFTER)
    return later.filter(Q(state__in=(PLANNED, RUNNING, DONE)) | waits).exists()


def _take(look: DueLook, now: datetime) -> None:
    with logs.about(experiment=look.key, as_of=look.as_of.isoformat()):
        _try(look, now)


def _try(look: DueLook, now: datetime) -> None:
    try:
        plan_look(look.key, look.as_of, now, by=SCHEDULE)
    except CannotRefresh as problem:
        _remember(look, str(problem), now)
    except QueueProblem as problem:  # the look is planned, and is woken with the next question
        log.warning("%s", problem)
    except Exception as error:
        log.exception("the look of %s as of %s", look.key, look.as_of)
        _remember(look, f"something unexpected happened ({cells.words(error)}); the worker's log has the details", now)


def _remember(look: DueLook, problem: str, now: datetime) -> None:
    """Keep a look that could not even begin as a failed one, so that its experiment's page says why."""
    log.warning("the look of %s as of %s: %s", look.key, look.as_of, problem)
    plan = Experiment.objects.select_related("plan__experiment").get(key=look.key).current_plan
    body = plan.load()
    Look.objects.update_or_create(
        plan=plan, as_of=look.as_of, fingerprint=UNREAD,
        defaults={
            "number": windows.look_number(body, look.as_of), "planned_looks": windows.planned_looks(body),
            "state": FAILED, "error": problem.replace("\x00", ""), "planned_at": now, "finished_at": now,
        },
    )  # fmt: skip
