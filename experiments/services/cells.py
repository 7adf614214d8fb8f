"""The work of a look, cell by cell. Every step may be done twice, by two workers, or be cut off at any point.

A cell is claimed with a conditional UPDATE, worked on outside any transaction, and its result is written only where the
claim's token still stands. What comes next is a query, so nothing is lost with a message or a worker.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from analysis import scorecard as scorecards
from analysis.plan import Plan as PlanBody
from analysis.replay import Replay, replay
from analysis.results import ContaminationRow
from analysis.triangle import Triangle, combine
from experiments import logs, queue
from experiments.models import Claim, CurrentTriangle, Look, LookCell, Plan, write_replay, write_scorecard
from experiments.models.look import CHECK, DONE, FINISH, MOMENTS, PLANNED, RUNNING, STAGES, WAITING
from experiments.models.packing import pack_triangle, unpack_triangle
from experiments.services import contamination, leases
from experiments.sources import registry
from experiments.sources.base import Source, SourceProblem

log = logging.getLogger(__name__)

#: An unexpected error is tried again until this many have happened in one cell.
MOST_FAILURES = 3

#: A worker that dies leaves no error; a cell that was claimed this often without a result is given up.
MOST_CLAIMS = 10

#: Characters of an unexpected error's message that are kept.
LONGEST_WORDS = 300

DATA_CHANGED = "the data changed while they were being read; refresh again once they are complete"


def run(cell_id: int, now: datetime) -> None:
    """Do the work of a cell if it is there to be done. A second delivery of the message changes nothing."""
    claim = _claim(cell_id)
    if claim is None:
        return
    with logs.about(look_id=claim.cell.look_id, cell=f"{claim.cell.kind} {claim.cell.partition}"):
        _run(claim, now)


def _run(claim: Claim, now: datetime) -> None:
    if claim.cell.attempts > MOST_CLAIMS:
        _give_up(claim)
        return
    try:
        with leases.kept(claim, settings.HOLDFAST_LEASE_SECONDS):
            deliver = _work(claim.cell, now)
        delivered = deliver(claim)
    except SourceProblem as problem:
        if LookCell.objects.held(claim).exists():
            claim.cell.look.fail(claim.cell.look.plan.experiment.source.spec.told(problem))
    except Exception as error:
        log.exception("a cell was not done")
        _put_back(claim, error)
    else:
        if delivered:
            _advance(claim.cell)


def wake(look_id: int) -> int:
    """Send messages for all cells that can be worked on now, and say for how many: nothing hangs on a lost message."""
    ready = LookCell.objects.ready(look_id)
    for cell_id in ready:
        queue.enqueue("run_cell", cell_id=cell_id)
    return len(ready)


def _claim(cell_id: int) -> Claim | None:
    cell = LookCell.objects.filter(pk=cell_id).select_related("look").defer("result").first()
    if cell is None or not cell.look.is_open or LookCell.objects.stage(cell.look_id) != cell.kind:
        return None
    claim = LookCell.objects.claim(cell_id, settings.HOLDFAST_LEASE_SECONDS)
    if claim is not None:
        Look.objects.filter(pk=claim.cell.look_id, state=PLANNED).update(state=RUNNING)
    return claim


def _work(cell: LookCell, now: datetime) -> Callable[[Claim], bool]:
    """Do the slow part, and return what is left: to write the result where the claim still stands."""
    if cell.kind == FINISH:
        return _finished(cell.look, now)
    packed = _read(cell, now)
    return lambda claim: _delivered(claim, packed)


def _read(cell: LookCell, now: datetime) -> bytes:
    """Read one part of the data."""
    look, plan = cell.look, cell.look.plan.load()
    with _opened(look, now) as source:
        if cell.kind == CHECK:
            part = source.read_tallies(plan, look.as_of)
        else:
            partitions = look.cells.filter(kind=MOMENTS).count()
            part = source.read_partition(plan, look.as_of, cell.partition, partitions)
    return pack_triangle(part)


@contextmanager
def _opened(look: Look, now: datetime) -> Iterator[Source]:
    """Open a look's data, and make sure in the end that they were those the look was planned for."""
    experiment = look.plan.experiment
    with registry.open_source(experiment.read_from, experiment.today(now)) as source:
        yield source
        # Asked after reading: data may have been added or replaced since the look was planned, or while they were read.
        if source.fingerprint(look.plan.load()) != look.fingerprint:
            raise SourceProblem(DATA_CHANGED)


def _delivered(claim: Claim, packed: bytes) -> bool:
    return LookCell.objects.held(claim).update(state=DONE, result=packed, token=None, lease_until=None, error="") == 1


def _finished(look: Look, now: datetime) -> Callable[[Claim], bool]:
    """Add up the parts in a fixed order and estimate; return what writes all rows in one transaction."""
    triangle = _combined(look)
    scorecard = replace(scorecards.build(triangle), contamination=_contamination(look, triangle.plan, now))
    # A holdout's advice is to go on measuring: there is nothing to replay.
    replayed = replay(triangle) if triangle.plan.kind == "experiment" else Replay((), ())

    @transaction.atomic
    def deliver(claim: Claim) -> bool:
        # Looks of one plan replace one triangle: the plan's row is locked, so that they do so one after the other.
        Plan.objects.select_for_update(no_key=True).get(pk=look.plan_id)
        Look.objects.select_for_update(no_key=True).get(pk=look.pk)
        if LookCell.objects.held(claim).update(state=DONE, token=None, lease_until=None, error="") != 1:
            return False
        write_scorecard(look, scorecard)
        write_replay(look, replayed)
        CurrentTriangle.replace(look, triangle)
        look.cells.update(result=None)
        look.state, look.error = DONE, ""
        look.finished_at = Now()
        look.save()
        return True

    return deliver


def _contamination(look: Look, plan: PlanBody, now: datetime) -> tuple[ContaminationRow, ...]:
    """Who was held out and met a launch: of a holdout, from its exposures and those of its members."""
    if plan.kind != "holdout":
        return ()
    with _opened(look, now) as source:
        units = contamination.units_of(source, plan, look.as_of)
    return contamination.measured(plan, look.as_of, units, now)


def _combined(look: Look) -> Triangle:
    plan = look.plan.load()
    cells = look.cells.exclude(kind=FINISH)
    in_order = sorted(cells, key=lambda cell: (STAGES.index(cell.kind), cell.partition))
    return combine([unpack_triangle(cell.result, plan, look.as_of) for cell in in_order if cell.result is not None])


def _advance(cell: LookCell) -> None:
    """Send the next stage on its way if this cell was the last one of its own."""
    if LookCell.objects.stage(cell.look_id) != cell.kind:
        wake(cell.look_id)


def _put_back(claim: Claim, error: Exception) -> None:
    """Let another attempt have the cell, or end the look with a sentence; the traceback is in the log."""
    cell = claim.cell
    said = words(error)
    freed = LookCell.objects.held(claim).update(
        state=WAITING, token=None, lease_until=None, failures=F("failures") + 1, error=said
    )
    if not freed:
        return
    if cell.failures + 1 < MOST_FAILURES:
        queue.enqueue("run_cell", cell_id=cell.pk)
        return
    cell.look.fail(
        f"something unexpected happened {MOST_FAILURES} times while {doing(cell.kind)} ({said}); "
        "the worker's log has the details"
    )


def words(error: Exception) -> str:
    """An error's name and the first line of what it says."""
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"[:LONGEST_WORDS].rstrip(": ").replace("\x00", "")


def _give_up(claim: Claim) -> None:
    claim.cell.look.fail(
        f"{MOST_CLAIMS} workers ended while {doing(claim.cell.kind)}; the machine may be short of memory"
    )


def doing(kind: str) -> str:
    """What a cell of this kind does, in words."""
    return {CHECK: "checking the rows", MOMENTS: "reading the data", FINISH: "estimating the effects"}[kind]


def reading_cells(look: Look, partitions: int) -> list[LookCell]:
    """The cells of a look that reads its data."""
    moments = [LookCell(look=look, kind=MOMENTS, partition=number) for number in range(partitions)]
    return [LookCell(look=look, kind=CHECK), *moments, LookCell(look=look, kind=FINISH)]


def rebuilding_cells(look: Look, triangle: Triangle) -> list[LookCell]:
    """The cells of a look whose triangle is known already: one part that is done, and the finish."""
    known = LookCell(look=look, kind=MOMENTS, state=DONE, result=pack_triangle(triangle))
    return [known, LookCell(look=look, kind=FINISH)]
