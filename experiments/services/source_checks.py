"""Check a source: a worker reads it from end to end, and what is wrong is kept as rows.

A check is claimed with a conditional UPDATE and kept by a heartbeat, like the cells of a look; what it found is written
once, whoever comes last.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from analysis.plan import Plan
from experiments import queue
from experiments.models import AuditEntry, Experiment, Source, SourceCheck, SourceFinding
from experiments.models.audit import SOURCE
from experiments.models.source import DONE, FAILED, PLANNED, RUNNING
from experiments.models.states import ARCHIVED
from experiments.services import leases
from experiments.services.cells import words
from experiments.services.suggest import did_you_mean
from experiments.sources import registry
from experiments.sources.base import SourceProblem
from experiments.sources.findings import Finding

log = logging.getLogger(__name__)

#: Checks of a source that are kept; older ones go with a new one.
KEPT = 5


class NothingToCheck(LookupError):
    """No source has this key, nor has an experiment. The message says what there is."""


def source_of(key: str) -> Source:
    """Return the registered source with this key, or the data of the experiment with it. Raises NothingToCheck."""
    found = Source.objects.filter(key=key).first()
    if found is None:
        experiment = Experiment.objects.filter(key=key).select_related("source").first()
        found = experiment.source if experiment is not None else None
    if found is None:
        sources = [one for one in Source.objects.values_list("key", flat=True) if one]
        known = [*sources, *Experiment.objects.values_list("key", flat=True)]
        raise NothingToCheck(f"there is no source `{key}`, nor an experiment{did_you_mean(key, known)}")
    return found


def ask(source: Source, *, by: str, now: datetime, send: bool = True) -> SourceCheck:
    """Ask for a check, or return the one that is open. ``send``: to a worker; else the caller runs it.

    Raises QueueProblem.
    """
    try:
        with transaction.atomic():
            check = SourceCheck.objects.create(source=source, asked_by=by, asked_at=now)
            if source.key is not None:
                AuditEntry.objects.record(by=by, verb="check asked for", kind=SOURCE, key=source.key, now=now)
    except IntegrityError:
        check = SourceCheck.objects.get(source=source, state__in=(PLANNED, RUNNING))
    if send and SourceCheck.objects.waiting().filter(pk=check.pk).exists():
        queue.enqueue("check_source", check_id=check.pk)
    return check


def resume() -> int:
    """Send the checks that nobody works on to the queue again: nothing hangs on a lost message or a worker."""
    waiting = list(SourceCheck.objects.waiting().values_list("pk", flat=True))
    for check_id in waiting:
        queue.enqueue("check_source", check_id=check_id)
    return len(waiting)


def run(check_id: int, now: datetime, on_step: Callable[[int, int, str], None] | None = None) -> None:
    """Do a check if it is there to be done. A second delivery of the message changes nothing."""
    seconds = settings.HOLDFAST_LEASE_SECONDS
    if not SourceCheck.objects.claim(check_id, seconds):
        return
    check = SourceCheck.objects.select_related("source").get(pk=check_id)

    def step(done: int, steps: int, doing: str) -> None:
        SourceCheck.objects.filter(pk=check_id, state=RUNNING).update(done_steps=done, steps=steps, doing=doing)
        if on_step is not None:
            on_step(done, steps, doing)

    try:
        with leases.beating(lambda: _extend(check_id, seconds), seconds, f"check-{check_id}"):
            plans = _plans(check.source)
            timezone = plans[0].timezone if plans else "UTC"
            findings = registry.check_source(check.source.spec, _today(plans, now), timezone, plans, step)
    except SourceProblem as problem:
        _end(check, (), FAILED, check.source.spec.told(problem))
    except Exception as error:
        log.exception("check %s", check_id)
        _end(check, (), FAILED, f"something unexpected happened ({words(error)}); the worker's log has the details")
    else:
        _end(check, findings, DONE)


def newest(source: Source) -> SourceCheck | None:
    """Return the check that was asked for last, with what it found."""
    return source.checks.prefetch_related("findings").first()


def _extend(check_id: int, seconds: int) -> bool:
    until = Now() + timedelta(seconds=seconds)
    return SourceCheck.objects.filter(pk=check_id, state=RUNNING).update(lease_until=until) == 1


def _plans(source: Source) -> list[Plan]:
    """The plans in force of the experiments that read it, those that are over left out."""
    readers = source.experiments.exclude(state=ARCHIVED).select_related("plan").order_by("key")
    return [experiment.current_plan.load() for experiment in readers if experiment.plan_id is not None]


def _today(plans: Sequence[Plan], now: datetime) -> date:
    """The last day that data may carry: where the sun is up first of all experiments, in UTC without any."""
    zones = {plan.timezone for plan in plans} or {"UTC"}
    return max(now.astimezone(ZoneInfo(zone)).date() for zone in zones)


@transaction.atomic
def _end(check: SourceCheck, findings: Sequence[Finding], state: str, error: str = "") -> None:
    """Write what was found, unless somebody was quicker."""
    ended = SourceCheck.objects.filter(pk=check.pk, state=RUNNING).update(
        state=state, error=error.replace("\x00", ""), finished_at=Now(), lease_until=None, doing=""
    )
    if not ended:
        return
    order = SourceFinding.SEVERITIES.index
    SourceFinding.objects.bulk_create(
        SourceFinding(
            check_run=check, position=place, table=one.table, about=one.about, severity=one.severity, count=one.count,
            example=one.example.replace("\x00", ""), message=one.message.replace("\x00", ""),
        )
        for place, one in enumerate(sorted(findings, key=lambda one: order(one.severity)))
    )  # fmt: skip
    old = check.source.checks.values_list("pk", flat=True)[KEPT:]
    SourceCheck.objects.filter(pk__in=list(old)).delete()
