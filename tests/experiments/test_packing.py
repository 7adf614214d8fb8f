from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from analysis.moments import Moments
from analysis.plan import Plan
from analysis.triangle import EXCLUSIONS, Cell, FactCount, FactWeek, Tally, Triangle
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


@st.composite
def parts(draw: st.DrawFn) -> dict:
    columns = draw(st.integers(0, 6))
    keys = st.builds(Cell, st.text(min_size=1, max_size=5), st.integers(0, 60), st.none() | WEEKS)
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
