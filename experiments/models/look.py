"""Looks, and the cells of work that a look is made of. A cell is worked on under a lease that a dead worker loses."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from experiments.models.constraints import one_of, ordered
from experiments.models.plan import Plan

PLANNED, RUNNING, DONE, FAILED = "planned", "running", "done", "failed"
WAITING, LEASED = "waiting", "leased"
CHECK, MOMENTS, FINISH = "check", "moments", "finish"

#: The kinds of cells in the order in which they are done; those of one kind are done side by side.
STAGES = (CHECK, MOMENTS, FINISH)


class Look(models.Model):
    """What the data said as of a day. A function of plan, day and data alone, so there is one for each of these.

    Attributes:
        fingerprint: of the data that were read.
        error: why a failed look failed, for the people who asked for it.
        planned_looks, first_fact, last_fact, fact_rows: parts of the scorecard; set when the look is done.
    """

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="looks")
    as_of = models.DateField()
    number = models.PositiveIntegerField()
    planned_looks = models.PositiveIntegerField()
    fingerprint = models.TextField()
    state = models.TextField(default=PLANNED)
    error = models.TextField(blank=True)
    planned_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    first_fact = models.DateField(null=True)
    last_fact = models.DateField(null=True)
    fact_rows = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["plan", "as_of", "fingerprint"], name="look_is_unique"),
            models.CheckConstraint(
                condition=Q(state__in=(DONE, FAILED), finished_at__isnull=False)
                | Q(state__in=(PLANNED, RUNNING), finished_at__isnull=True),
                name="look_is_finished_when_it_ends",
            ),
            models.CheckConstraint(
                condition=(Q(state=FAILED) & ~Q(error="")) | (~Q(state=FAILED) & Q(error="")),
                name="look_fails_with_a_reason",
            ),
            models.CheckConstraint(condition=ordered("first_fact", "last_fact"), name="look_facts_are_in_order"),
        ]
        indexes = [models.Index(fields=["plan", "-as_of", "-finished_at"], name="look_newest_first")]

    def __str__(self) -> str:
        return f"{self.plan} as of {self.as_of}"

    @property
    def is_open(self) -> bool:
        return self.state in (PLANNED, RUNNING)

    @transaction.atomic
    def fail(self, error: str) -> bool:
        """End the look with a reason, and all of its cells with it. False if it had ended before.

        The look's row is locked before its cells, as by the one who finishes it.
        """
        ended = Look.objects.filter(pk=self.pk, state__in=(PLANNED, RUNNING)).update(
            state=FAILED,
            error=error.replace("\x00", ""),
            finished_at=Now(),  # PostgreSQL has no text with NUL in it
        )
        if not ended:
            return False
        self.cells.exclude(state=DONE).update(state=FAILED, token=None, lease_until=None)
        self.cells.update(result=None)
        return True


@dataclass(frozen=True)
class Claim:
    """The right to work on a cell until the lease ends. Whoever claims the cell later has another token."""

    cell: "LookCell"
    token: uuid.UUID


class LookCellQuerySet(models.QuerySet["LookCell"]):
    """Every step is one conditional UPDATE on the cell's own row, so that two workers never both take it.

    Conditions never look at other tables: after a wait for a row lock PostgreSQL checks them again on the new version
    of the locked row, but on the old ones of all other rows.
    """

    def claimable(self) -> "LookCellQuerySet":
        """Cells nobody works on: waiting, or leased to a worker that let the lease run out."""
        return self.filter(Q(state=WAITING) | Q(state=LEASED, lease_until__lt=Now()))

    def stage(self, look_id: int) -> str | None:
        """The kind of the cells to be done next, None when all are done."""
        open_kinds = set(self.filter(look=look_id).exclude(state=DONE).values_list("kind", flat=True))
        return next((kind for kind in STAGES if kind in open_kinds), None)

    def ready(self, look_id: int) -> list[int]:
        """The cells that can be worked on now."""
        cells = self.claimable().filter(look=look_id, kind=self.stage(look_id))
        return list(cells.order_by("partition").values_list("pk", flat=True))

    def claim(self, cell_id: int, seconds: int) -> Claim | None:
        """Take a cell for ``seconds``, by the database's clock. None if it is not to be had."""
        token = uuid.uuid4()
        taken = self.claimable().filter(pk=cell_id).update(
            state=LEASED, token=token, lease_until=Now() + timedelta(seconds=seconds), attempts=F("attempts") + 1
        )  # fmt: skip
        if not taken:
            return None
        cell = self.select_related("look__plan__experiment__source").defer("result").get(pk=cell_id)
        return Claim(cell, token)

    def held(self, claim: Claim) -> "LookCellQuerySet":
        """The claimed cell, as long as nobody else has taken it since."""
        return self.filter(pk=claim.cell.pk, token=claim.token, state=LEASED)


class LookCell(models.Model):
    """A piece of work of a look: check the rows, take the moments of one hash partition, or finish.

    Attributes:
        attempts: how often it was claimed; failures: how often that ended in an unexpected error.
        result: the packed part of the triangle, from the moment the cell is done until the look is.
    """

    look = models.ForeignKey(Look, on_delete=models.CASCADE, related_name="cells")
    kind = models.TextField()
    partition = models.PositiveIntegerField(default=0)
    state = models.TextField(default=WAITING)
    token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    result = models.BinaryField(null=True)

    objects = LookCellQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["look", "kind", "partition"], name="look_cell_is_unique"),
            models.CheckConstraint(condition=one_of("kind", STAGES), name="look_cell_kind_is_known"),
            models.CheckConstraint(
                condition=Q(state=LEASED, token__isnull=False, lease_until__isnull=False)
                | Q(state__in=(WAITING, DONE, FAILED), token__isnull=True, lease_until__isnull=True),
                name="look_cell_lease_fits_its_state",
            ),
            models.CheckConstraint(
                condition=Q(kind=MOMENTS) | Q(partition=0), name="look_cell_only_moments_have_partitions"
            ),
            models.CheckConstraint(
                condition=Q(result__isnull=True) | Q(state=DONE), name="look_cell_result_is_of_done_work"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.partition} of {self.look}"
