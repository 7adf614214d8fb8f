"""The current cohort triangle of a plan: one version, replaced as a whole by the newest look, never copied per look."""

from typing import Self

from django.db import models

from analysis.event_counts import EventCounts
from analysis.moments import Moments
from analysis.plan import Event
from analysis.triangle import ALL_EXCLUSIONS, Cell, Departure, FactCount, FactWeek, Tally, Triangle
from experiments.models.constraints import one_of
from experiments.models.look import Look
from experiments.models.packing import (
    pack_array,
    pack_counts,
    pack_symmetric,
    unpack_array,
    unpack_counts,
    unpack_symmetric,
)
from experiments.models.plan import Plan

EVENT_TYPES = ("occurrence", "inactivity")


class CurrentTriangle(models.Model):
    """The head of a plan's stored triangle. ``fingerprint`` names the data it was read from."""

    plan = models.OneToOneField(Plan, on_delete=models.CASCADE, related_name="triangle")
    look = models.ForeignKey(Look, on_delete=models.CASCADE, related_name="+")
    as_of = models.DateField()
    fingerprint = models.TextField()
    first_fact = models.DateField(null=True)
    knows_left = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.plan} as of {self.as_of}"

    def load(self) -> Triangle:
        """Return the triangle as it was stored."""
        excluded: dict[int, dict[str, int]] = {}
        for row in self.exclusions.all():
            excluded.setdefault(row.week, {})[row.reason] = row.units
        return Triangle(
            self.plan.load(), self.as_of,
            cells={cell.cell: cell.moments for cell in self.cells.all()},
            tallies={
                row.week: Tally(row.rows, row.last, row.nulls, excluded.get(row.week, {}))
                for row in self.tallies.all()
            },
            facts={
                FactWeek(row.week, row.exposure_week): FactCount(row.rows, row.before_pre_period)
                for row in self.facts.all()
            },
            first_fact=self.first_fact,
            left=self._left(), events=self._events(),
        )  # fmt: skip

    def _left(self) -> dict[Departure, int] | None:
        if not self.knows_left:
            return None
        return {Departure(row.cell, row.week): row.n for row in self.departures.all()}

    def _events(self) -> dict[Event, dict[Cell, EventCounts]]:
        plan = self.plan.load()
        found: dict[Event, dict[Cell, EventCounts]] = {event: {} for event in plan.events}
        for row in self.event_cells.all():
            found[row.event][row.cell] = unpack_counts(row.counts, plan)
        return found

    @classmethod
    def replace(cls, look: Look, triangle: Triangle) -> None:
        """Put a look's triangle in place of the stored one. The caller holds a transaction and the plan's row lock.

        A triangle of the same data as of a later day stays: every earlier weekly look can be rebuilt from it.
        """
        stored = cls.objects.filter(plan=look.plan_id)
        if stored.filter(fingerprint=look.fingerprint, as_of__gt=look.as_of).exists():
            return
        stored.delete()
        head = cls.objects.create(
            plan_id=look.plan_id, look=look, as_of=triangle.as_of, fingerprint=look.fingerprint,
            first_fact=triangle.first_fact, knows_left=triangle.left is not None,
        )  # fmt: skip
        MomentsCell.objects.bulk_create(MomentsCell.of(head, *item) for item in triangle.cells.items())
        TallyRow.objects.bulk_create(TallyRow.of(head, *item) for item in triangle.tallies.items())
        TallyExclusion.objects.bulk_create(
            TallyExclusion(triangle=head, week=week, reason=reason, units=units)
            for week, tally in triangle.tallies.items()
            for reason, units in tally.excluded.items()
        )
        FactCountRow.objects.bulk_create(FactCountRow.of(head, *item) for item in triangle.facts.items())
        DepartureRow.objects.bulk_create(
            DepartureRow(triangle=head, **cell._asdict(), week=week, n=n)
            for (cell, week), n in (triangle.left or {}).items()
        )
        EventCell.objects.bulk_create(
            EventCell.of(head, event, cell, counts)
            for event, by_cell in triangle.events.items()
            for cell, counts in by_cell.items()
        )


class OfACell(models.Model):
    """What names a cell of the triangle; null stands for units that are in one variant, and for all segments."""

    variant = models.CharField(max_length=63)
    cohort = models.PositiveIntegerField()
    crossed_week = models.IntegerField(null=True)
    segment = models.TextField(null=True)  # noqa: DJ001 - as in the cell

    class Meta:
        abstract = True
        ordering = ["pk"]

    @property
    def cell(self) -> Cell:
        return Cell(self.variant, self.cohort, self.crossed_week, self.segment)


CELL = ("variant", "cohort", "crossed_week", "segment")


class MomentsCell(OfACell):
    """Moments of the units of a (variant, exposure cohort). Arrays are packed float64; products an upper triangle."""

    triangle = models.ForeignKey(CurrentTriangle, on_delete=models.CASCADE, related_name="cells")
    n = models.BigIntegerField()
    columns = models.PositiveIntegerField()
    shift = models.BinaryField()
    sums = models.BinaryField()
    products = models.BinaryField()

    class Meta(OfACell.Meta):
        constraints = [
            models.UniqueConstraint(fields=["triangle", *CELL], nulls_distinct=False, name="moments_cell_is_unique"),
            models.CheckConstraint(condition=models.Q(n__gte=0), name="moments_cell_counts_units"),
        ]

    def __str__(self) -> str:
        return f"{self.variant}, cohort {self.cohort}: {self.n} units"

    @classmethod
    def of(cls, triangle: CurrentTriangle, cell: Cell, moments: Moments) -> Self:
        return cls(
            triangle=triangle, **cell._asdict(), n=moments.n, columns=len(moments.sums),
            shift=pack_array(moments.shift), sums=pack_array(moments.sums), products=pack_symmetric(moments.products),
        )  # fmt: skip

    @property
    def moments(self) -> Moments:
        products = unpack_symmetric(self.products, self.columns)
        return Moments(self.n, unpack_array(self.sums), products, unpack_array(self.shift))


class EventCell(OfACell):
    """The units of a (variant, exposure cohort) by week of an event; ``counts`` as ``pack_counts`` writes them."""

    triangle = models.ForeignKey(CurrentTriangle, on_delete=models.CASCADE, related_name="event_cells")
    type = models.TextField()
    column = models.TextField()
    gap_weeks = models.PositiveIntegerField()
    counts = models.JSONField()

    class Meta(OfACell.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["triangle", "type", "column", "gap_weeks", *CELL],
                nulls_distinct=False,
                name="event_cell_is_unique",
            ),
            models.CheckConstraint(condition=one_of("type", EVENT_TYPES), name="event_cell_type_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.type} of {self.column}, {self.variant}, cohort {self.cohort}"

    @classmethod
    def of(cls, triangle: CurrentTriangle, event: Event, cell: Cell, counts: EventCounts) -> Self:
        return cls(
            triangle=triangle, type=event.type, column=event.column, gap_weeks=event.gap_weeks, **cell._asdict(),
            counts=pack_counts(counts),
        )  # fmt: skip

    @property
    def event(self) -> Event:
        return Event(self.type, self.column, self.gap_weeks)  # type: ignore[arg-type]  # the database holds it to these


class DepartureRow(OfACell):
    """Units of a cell that left for good in a calendar week from start_date."""

    triangle = models.ForeignKey(CurrentTriangle, on_delete=models.CASCADE, related_name="departures")
    week = models.IntegerField()
    n = models.BigIntegerField()

    class Meta(OfACell.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["triangle", "week", *CELL], nulls_distinct=False, name="departure_is_unique"
            ),
            models.CheckConstraint(condition=models.Q(n__gte=0), name="departure_counts_units"),
        ]

    def __str__(self) -> str:
        return f"{self.n} of {self.variant} left in week {self.week}"


class TallyRow(models.Model):
    """Counts of one calendar week from start_date, negative before it."""

    triangle = models.ForeignKey(CurrentTriangle, on_delete=models.CASCADE, related_name="tallies")
    week = models.IntegerField()
    rows = models.BigIntegerField()
    last = models.DateField(null=True)
    nulls = models.BigIntegerField()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["triangle", "week"], name="tally_week_is_unique"),
            models.CheckConstraint(condition=models.Q(rows__gte=0, nulls__gte=0), name="tally_is_not_negative"),
        ]

    def __str__(self) -> str:
        return f"week {self.week}: {self.rows} rows"

    @classmethod
    def of(cls, triangle: CurrentTriangle, week: int, tally: Tally) -> Self:
        return cls(triangle=triangle, week=week, rows=tally.rows, last=tally.last, nulls=tally.nulls)


class TallyExclusion(models.Model):
    """Units left out by what was seen of them in a week, by reason."""

    triangle = models.ForeignKey(CurrentTriangle, on_delete=models.CASCADE, related_name="exclusions")
    week = models.IntegerField()
    reason = models.TextField()
    units = models.BigIntegerField()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["triangle", "week", "reason"], name="tally_exclusion_is_unique"),
            models.CheckConstraint(condition=one_of("reason", ALL_EXCLUSIONS), name="tally_exclusion_is_known"),
        ]

    def __str__(self) -> str:
        return f"week {self.week}: {self.units} {self.reason}"


class FactCountRow(models.Model):
    """Fact rows of exposed units by week of the fact and of the unit's exposure."""

    triangle = models.ForeignKey(CurrentTriangle, on_delete=models.CASCADE, related_name="facts")
    week = models.IntegerField()
    exposure_week = models.IntegerField()
    rows = models.BigIntegerField()
    before_pre_period = models.BigIntegerField()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["triangle", "week", "exposure_week"], name="fact_count_is_unique"),
            models.CheckConstraint(
                condition=models.Q(before_pre_period__gte=0, rows__gte=models.F("before_pre_period")),
                name="fact_count_is_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"week {self.week} of units exposed in week {self.exposure_week}: {self.rows} rows"

    @classmethod
    def of(cls, triangle: CurrentTriangle, key: FactWeek, count: FactCount) -> Self:
        return cls(
            triangle=triangle, week=key.week, exposure_week=key.exposure_week, rows=count.rows,
            before_pre_period=count.before_pre_period,
        )  # fmt: skip
