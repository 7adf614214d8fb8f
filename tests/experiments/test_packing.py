from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from analysis.event_counts import EventCounts
from analysis.moments import Moments
from analysis.plan import Event, Metric, Plan
from analysis.triangle import EXCLUSIONS, Cell, Departure, FactCount, FactWeek, Tally, Triangle, UnitRows
from experiments.models.packing import (
    pack_array,
    pack_symmetric,
    pack_triangle,
    unpack_array,
    unpack_symmetric,
    unpack_triangle,
)
from tests.experiments.looks import definition

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(0, 2**53)
WEEKS = st.integers(-100, 600)
DAYS = st.none() | st.dates(date(1990, 1, 1), date(2060, 1, 1))
AS_OF = date(2024, 3, 1)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return definition(tmp_path_factory.mktemp("plan")).plan


def vector(columns: int) -> st.SearchStrategy[np.ndarray]:
    return arrays.arrays(np.float64, columns, elements=FLOATS)


@st.composite
def moments(draw: st.DrawFn, columns: int) -> Moments:
    upper = draw(vector(columns * (columns + 1) // 2))
    products = np.zeros((columns, columns))
    products[np.triu_indices(columns)] = upper
    products = np.triu(products) + np.triu(products, 1).T
    return Moments(draw(COUNTS), draw(vector(columns)), products, draw(vector(columns)))


CELLS = st.builds(
    Cell, st.text(min_size=1, max_size=5), st.integers(0, 60), st.none() | WEEKS, st.none() | st.text(max_size=5)
)
EVENTS = (Event("inactivity", "lines", 4), Event("occurrence", "bought"))


@st.composite
def event_counts(draw: st.DrawFn, plan: Plan) -> EventCounts:
    counts = EventCounts.none(plan.horizon_weeks, plan.pre_weeks)
    week = st.integers(0, plan.horizon_weeks)
    for k, r, n in draw(st.lists(st.tuples(week, week, COUNTS), max_size=5)):
        counts.weeks[k, r] = n
    counts.pauses[:] = draw(st.lists(COUNTS, min_size=plan.pre_weeks + 1, max_size=plan.pre_weeks + 1))
    return counts


def same_counts(left: EventCounts, right: EventCounts) -> bool:
    return bool((left.weeks == right.weeks).all() and (left.pauses == right.pauses).all())


@given(data=st.data())
@settings(deadline=None)
def test_events_and_who_has_left_come_back(data: st.DataObject, plan: Plan) -> None:
    left = data.draw(st.none() | st.dictionaries(st.builds(Departure, CELLS, WEEKS), COUNTS, max_size=4))
    events = {
        event: data.draw(st.dictionaries(CELLS, event_counts(plan), max_size=3)) for event in EVENTS
    }  # fmt: skip
    triangle = Triangle(plan, AS_OF, {}, {}, {}, None, left=left, events=events)
    found = unpack_triangle(pack_triangle(triangle), plan, AS_OF)
    assert found.left == left
    assert found.events.keys() == events.keys()
    for event, by_cell in events.items():
        assert list(found.events[event]) == list(by_cell)
        assert all(same_counts(found.events[event][cell], counts) for cell, counts in by_cell.items())


@pytest.mark.parametrize("units", [0, 1, 5])
def test_units_one_by_one_come_back(plan: Plan, units: int) -> None:
    churn = Metric("churn", "event", "lower", "secondary", event=EVENTS[0], adjust=("age", "prior"))
    adjusting = replace(plan, metrics=(*plan.metrics, churn))
    random = np.random.default_rng(1)
    rows = UnitRows(
        random.integers(0, 2, units), random.integers(0, 4, units), {EVENTS[0]: random.integers(0, 7, units)},
        np.where(random.random((units, 2)) < 0.5, np.nan, 2.5),
    )  # fmt: skip
    cell = Moments.of(np.arange(6.0).reshape(2, 3))
    triangle = Triangle(adjusting, AS_OF, {Cell("control", 0): cell}, {}, {}, None, rows=rows)
    found = unpack_triangle(pack_triangle(triangle), adjusting, AS_OF)
    assert found.rows is not None
    for name in ("variant", "cohort"):
        assert (getattr(found.rows, name) == getattr(rows, name)).all()
    assert (found.rows.events[EVENTS[0]] == rows.events[EVENTS[0]]).all()
    assert np.array_equal(found.rows.covariates, rows.covariates, equal_nan=True)
    assert found.cells[Cell("control", 0)].sums.tolist() == cell.sums.tolist()


@st.composite
def parts(draw: st.DrawFn) -> dict:
    columns = draw(st.integers(0, 6))
    keys = CELLS
    tally = st.builds(Tally, COUNTS, DAYS, COUNTS, st.dictionaries(st.sampled_from(EXCLUSIONS), COUNTS))
    return {
        "cells": draw(st.dictionaries(keys, moments(columns), max_size=4)),
        "tallies": draw(st.dictionaries(WEEKS, tally, max_size=4)),
        "facts": draw(
            st.dictionaries(st.builds(FactWeek, WEEKS, WEEKS), st.builds(FactCount, COUNTS, COUNTS), max_size=4)
        ),
        "first_fact": draw(DAYS),
    }


@given(parts=parts())
@settings(deadline=None)
def test_a_triangle_comes_back_bit_by_bit(parts: dict, plan: Plan) -> None:
    found = unpack_triangle(pack_triangle(Triangle(plan, AS_OF, **parts)), plan, AS_OF)
    assert (found.tallies, found.facts, found.first_fact) == (parts["tallies"], parts["facts"], parts["first_fact"])
    assert list(found.cells) == list(parts["cells"])
    for cell, expected in parts["cells"].items():
        part = found.cells[cell]
        assert part.n == expected.n
        for name in ("sums", "products", "shift"):
            left, right = getattr(part, name), getattr(expected, name)
            assert left.shape == right.shape
            assert left.tobytes() == right.tobytes(), name


@given(values=vector(7))
def test_minus_zero_and_the_smallest_floats_survive(values: np.ndarray) -> None:
    values = np.concatenate([values, [-0.0, 5e-324, 1.7976931348623157e308]])
    assert unpack_array(pack_array(values)).tobytes() == values.tobytes()


def test_where_rounding_broke_the_symmetry_the_upper_half_counts() -> None:
    matrix = np.array([[1.0, 2.0], [np.nextafter(2.0, 3.0), 4.0]])
    assert unpack_symmetric(pack_symmetric(matrix), 2).tolist() == [[1.0, 2.0], [2.0, 4.0]]


def test_an_unpacked_array_can_be_written_to() -> None:
    unpack_array(pack_array(np.ones(3)))[0] = 2.0


def test_counts_of_numpy_are_packed_as_plain_integers(plan: Plan) -> None:
    cell = Cell("control", int(np.int64(1)), None)
    part = Moments(np.int64(7), np.ones(2), np.ones((2, 2)), np.zeros(2))  # type: ignore[arg-type]
    triangle = Triangle(plan, AS_OF, {cell: part}, {0: Tally(np.int64(3))}, {}, None)  # type: ignore[arg-type]
    found = unpack_triangle(pack_triangle(triangle), plan, AS_OF)
    assert found.cells[cell].n == 7
    assert found.tallies[0].rows == 3


def test_bytes_that_are_something_else_are_refused(plan: Plan) -> None:
    packed = pack_triangle(Triangle(plan, AS_OF, {Cell("a", 0): Moments.of(np.ones((2, 3)))}, {}, {}, AS_OF))
    with pytest.raises(ValueError, match="not a packed triangle"):
        unpack_triangle(b"XXXX" + packed[4:], plan, AS_OF)
    with pytest.raises(ValueError, match="cut short"):
        unpack_triangle(packed[:-8], plan, AS_OF)
    with pytest.raises(ValueError, match="cut short"):
        unpack_triangle(packed[:-3], plan, AS_OF + timedelta(days=1))
