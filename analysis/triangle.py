"""The cohort triangle: moments by variant and exposure cohort, with what is needed to look back in time.

One triangle, read as of a day, gives the scorecard of that day and of every earlier look on the weekly grid: cohorts
add, later weeks are sliced away, and units that were found in a second variant later are kept apart by the week in
which that happened, so that an earlier look counts them as it would have then.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis import windows
from analysis.event_counts import EventCounts, Whole
from analysis.moments import Array, Layout, Moments, merge
from analysis.plan import Event, Metric, Plan

#: Reasons for which units, fact rows or values are left out, in the order in which they are shown. The order in which
#: they are tried is another one: see experiments/sources/exposures.py.
EXCLUSIONS = (
    "exposed_before_start",
    "exposed_after_enrollment",
    "two_variants",
    "unknown_variant",
    "facts_of_unknown_units",
    "facts_before_pre_period",
    "nulls",
)

#: Units that were given a variant to try it. Counted only where there are any; other reasons always are.
TESTERS = "forced_testers"
ALL_EXCLUSIONS = (*EXCLUSIONS, TESTERS)


class Cell(NamedTuple):
    """A cell of the triangle. ``crossed_week`` is the week from start_date in which its units met a second variant.

    ``segment`` is ``column=value`` where the cell holds the units of one value of a segment only; the same units are in
    the cell without a segment too.
    """

    variant: str
    cohort: int
    crossed_week: int | None = None
    segment: str | None = None


@dataclass(frozen=True)
class Tally:
    """Counts of one calendar week from start_date (negative before it).

    Attributes:
        rows: fact rows of all units.
        last: day of the last of them.
        nulls: nulls among the metric columns of these rows.
        excluded: units left out by what was seen of them in this week, by reason.
    """

    rows: int = 0
    last: date | None = None
    nulls: int = 0
    excluded: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: "Tally") -> "Tally":
        days = [day for day in (self.last, other.last) if day is not None]
        reasons = self.excluded.keys() | other.excluded.keys()
        excluded = {key: self.excluded.get(key, 0) + other.excluded.get(key, 0) for key in sorted(reasons)}
        return Tally(self.rows + other.rows, max(days, default=None), self.nulls + other.nulls, excluded)


class FactWeek(NamedTuple):
    """A calendar week of facts, and the calendar week in which the facts' units were first exposed (-1: earlier)."""

    week: int
    exposure_week: int


class FactCount(NamedTuple):
    """Fact rows of exposed units, and how many of them lie before their unit's pre-period."""

    rows: int
    before_pre_period: int

    def plus(self, other: "FactCount") -> "FactCount":
        return FactCount(self.rows + other.rows, self.before_pre_period + other.before_pre_period)


class Departure(NamedTuple):
    """Units of a cell that left for good (closed account, withdrawn consent) in a calendar week from start_date."""

    cell: Cell
    week: int


@dataclass(frozen=True, eq=False)
class UnitRows:
    """Counted units one by one, for estimates that need covariates and so cannot be made from counts.

    Attributes:
        variant: shape (n,), position among the plan's variants.
        cohort: shape (n,), exposure cohort.
        events: by event, shape (n,): week of the event, the horizon for none (see ``analysis.event_counts``).
        covariates: shape (n, c), the columns of ``Plan.covariates``; NaN where one is not known.
    """

    variant: NDArray[np.int64]
    cohort: NDArray[np.int64]
    events: Mapping[Event, Whole]
    covariates: Array


@dataclass(frozen=True)
class DataSpan:
    """The facts that were read: first and last day, number of rows (all units)."""

    first: date | None
    last: date | None
    rows: int


class CannotRebuild(ValueError):
    """The triangle does not hold what the asked-for day needs."""


@dataclass(frozen=True, eq=False)
class Triangle:
    """Moments of ``Layout`` columns by cell, read as of ``as_of``.

    Attributes:
        plan: the plan it was read for.
        as_of: the day it was read as of; weeks a cohort has not lived by then hold partial data and are never used.
        cells: moments by cell. Cells with a ``crossed_week`` do not count as of ``as_of``, but do before it.
        tallies: counts by calendar week from start_date.
        facts: fact rows of exposed units by week of the fact and of the unit's exposure.
        first_fact: day of the first fact row, None without facts.
        left: units that have left; None where the source does not know.
        events: units by week of their event, by event and cell.
        rows: the counted units one by one where the plan adjusts for covariates, as of ``as_of`` alone; None otherwise.
    """

    plan: Plan
    as_of: date
    cells: Mapping[Cell, Moments]
    tallies: Mapping[int, Tally]
    facts: Mapping[FactWeek, FactCount]
    first_fact: date | None
    left: Mapping[Departure, int] | None = None
    events: Mapping[Event, Mapping[Cell, EventCounts]] = field(default_factory=dict)
    rows: UnitRows | None = None

    @cached_property
    def layout(self) -> Layout:
        return Layout.of(self.plan)

    def at(self, as_of: date) -> "Triangle":
        """Return this triangle as it would have been read as of an earlier day on the same weekly grid.

        Raises CannotRebuild for a later day, or for one that is not whole weeks from start_date.
        """
        if as_of == self.as_of:
            return self
        end = windows.read_until(self.plan, as_of)
        if as_of > self.as_of or end < self.plan.start_date or (end - self.plan.start_date).days % 7:
            raise CannotRebuild(f"{as_of} is not a weekly look before {self.as_of}")
        week = (end - self.plan.start_date).days // 7
        cells = {cell: part for cell, part in self.cells.items() if cell.cohort < week}
        tallies = {number: tally for number, tally in self.tallies.items() if number < week}
        facts = {key: count for key, count in self.facts.items() if max(key) < week}
        first = self.first_fact if self.first_fact and self.first_fact < end else None
        left = None if self.left is None else {key: n for key, n in self.left.items() if key.week < week}
        events = {
            event: {cell: counts for cell, counts in by_cell.items() if cell.cohort < week}
            for event, by_cell in self.events.items()
        }
        return Triangle(self.plan, as_of, cells, tallies, facts, first, left, events)

    @cached_property
    def _counted(self) -> dict[tuple[str, int], Moments]:
        """Moments by (variant, cohort) of the units that count as of ``as_of``."""
        parts: dict[tuple[str, int], list[Moments]] = {}
        counting = self._counting(self.cells)
        for cell in sorted(counting, key=lambda cell: (cell.variant, cell.cohort, str(cell.crossed_week))):
            parts.setdefault((cell.variant, cell.cohort), []).append(self.cells[cell])
        return {key: merge(found, self.layout.columns) for key, found in parts.items()}

    def _counting(self, cells: Iterable[Cell]) -> list[Cell]:
        """The cells over all segments whose units count as of ``as_of``: those not yet seen in a second variant."""
        end = windows.read_until(self.plan, self.as_of)
        return [
            cell
            for cell in cells
            if cell.segment is None
            and (cell.crossed_week is None or self.plan.start_date + timedelta(days=7 * cell.crossed_week) >= end)
        ]

    @cached_property
    def _merged(self) -> dict[tuple[str, tuple[int, ...]], Moments]:
        return {}

    def moments(self, variant: str, cohorts: tuple[int, ...]) -> Moments:
        """Return the moments of a variant over exposure cohorts (added up once for each set of cohorts)."""
        if not cohorts:
            return merge((), self.layout.columns)
        key = (variant, cohorts)
        if key not in self._merged:
            # Sets of cohorts mostly grow by one: each is its predecessor and one cell more.
            before, cell = self.moments(variant, cohorts[:-1]), self._counted.get((variant, cohorts[-1]))
            self._merged[key] = before if cell is None else before + cell
        return self._merged[key]

    def units(self, variant: str) -> int:
        """Return the number of exposed units of a variant, mature or not."""
        return sum(self.cohort_units(variant, cohort) for cohort in range(self.plan.enrollment_weeks))

    def cohort_units(self, variant: str, cohort: int) -> int:
        """Return the number of exposed units of a variant in one exposure cohort, mature or not."""
        part = self._counted.get((variant, cohort))
        return part.n if part is not None else 0

    def left_units(self, variant: str) -> int:
        """Return how many of a variant's counted units have left; the source must know (``left`` is not None)."""
        assert self.left is not None
        counting = set(self._counting(key.cell for key in self.left))
        return sum(n for key, n in self.left.items() if key.cell in counting and key.cell.variant == variant)

    @cached_property
    def _counted_events(self) -> dict[tuple[Event, str, int], EventCounts]:
        """Counts by (event, variant, cohort) of the units that count as of ``as_of``."""
        found: dict[tuple[Event, str, int], EventCounts] = {}
        for event, by_cell in self.events.items():
            for cell in self._counting(by_cell):
                key = (event, cell.variant, cell.cohort)
                found[key] = found[key] + by_cell[cell] if key in found else by_cell[cell]
        return found

    def event_counts(self, event: Event, variant: str, cohort: int) -> EventCounts:
        """Return the counts of a variant's counted units in one exposure cohort."""
        nobody = EventCounts.none(self.plan.horizon_weeks, self.plan.pre_weeks)
        return self._counted_events.get((event, variant, cohort), nobody)

    @cached_property
    def segments(self) -> tuple[str, ...]:
        """The segments that cells are kept for, as ``column=value``, in order."""
        return tuple(sorted({cell.segment for cell in self.cells if cell.segment is not None}))

    def of_segment(self, segment: str) -> "Triangle":
        """Return the triangle of the units of one segment alone; counts of rows and exclusions are those of all."""
        cells = {cell._replace(segment=None): part for cell, part in self.cells.items() if cell.segment == segment}
        events = {
            event: {cell._replace(segment=None): counts for cell, counts in by_cell.items() if cell.segment == segment}
            for event, by_cell in self.events.items()
        }
        return replace(self, cells=cells, events=events, left=None, rows=None)

    def of_metric(self, metric: Metric) -> "Triangle":
        """Return the triangle of one metric's series alone: all that its own estimates need, in small matrices."""
        columns = self.layout.positions(metric.series)
        cells = {cell: part.pick(columns) for cell, part in self.cells.items()}
        return replace(self, plan=replace(self.plan, metrics=(metric,)), cells=cells)

    @cached_property
    def _total(self) -> Tally:
        return sum(self.tallies.values(), Tally())

    @property
    def data(self) -> DataSpan:
        return DataSpan(self.first_fact, self._total.last, self._total.rows)

    @cached_property
    def excluded(self) -> dict[str, int]:
        """Counts of what was left out as of ``as_of``, by reason: every one named, testers only if there were any."""
        known = sum((count.rows for count in self.facts.values()), 0)
        counts = dict(self._total.excluded)
        counts["facts_of_unknown_units"] = self._total.rows - known
        counts["facts_before_pre_period"] = sum(count.before_pre_period for count in self.facts.values())
        counts["nulls"] = self._total.nulls
        return {key: counts.get(key, 0) for key in ALL_EXCLUSIONS if key != TESTERS or counts.get(key)}


def combine(parts: Sequence[Triangle]) -> Triangle:
    """Add triangles over disjoint sets of units (hash partitions) of the same plan and day."""
    first = parts[0]
    cells: dict[Cell, list[Moments]] = {}
    tallies: dict[int, Tally] = {}
    facts: dict[FactWeek, FactCount] = {}
    for part in parts:
        for cell, moments in part.cells.items():
            cells.setdefault(cell, []).append(moments)
        for week, tally in part.tallies.items():
            tallies[week] = tallies.get(week, Tally()) + tally
        for key, count in part.facts.items():
            facts[key] = facts.get(key, FactCount(0, 0)).plus(count)
    days = [part.first_fact for part in parts if part.first_fact is not None]
    merged = {cell: merge(found, first.layout.columns) for cell, found in cells.items()}
    return Triangle(
        first.plan, first.as_of, merged, tallies, facts, min(days, default=None),
        left=_left(parts), events=_events(parts), rows=_rows(parts),
    )  # fmt: skip


def _left(parts: Sequence[Triangle]) -> dict[Departure, int] | None:
    known = [part.left for part in parts if part.left is not None]
    if not known:
        return None
    total: dict[Departure, int] = {}
    for left in known:
        for key, n in left.items():
            total[key] = total.get(key, 0) + n
    return total


def _events(parts: Sequence[Triangle]) -> dict[Event, dict[Cell, EventCounts]]:
    total: dict[Event, dict[Cell, EventCounts]] = {}
    for part in parts:
        for event, by_cell in part.events.items():
            known = total.setdefault(event, {})
            for cell, counts in by_cell.items():
                known[cell] = known[cell] + counts if cell in known else counts
    return total


def _rows(parts: Sequence[Triangle]) -> UnitRows | None:
    known = [part.rows for part in parts if part.rows is not None]
    if not known:
        return None
    return UnitRows(
        np.concatenate([rows.variant for rows in known]),
        np.concatenate([rows.cohort for rows in known]),
        {event: np.concatenate([rows.events[event] for rows in known]) for event in known[0].events},
        np.concatenate([rows.covariates for rows in known]),
    )
