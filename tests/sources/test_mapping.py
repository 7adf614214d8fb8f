"""Guesses of which column is what, and what is wrong with an answer."""

from dataclasses import replace

import pytest

from experiments.sources import mapping
from experiments.sources.base import Columns
from experiments.sources.examine import Column, Examined


def table(label: str, **columns: str) -> Examined:
    return Examined(label, 1, tuple(Column(name, kind, 0) for name, kind in columns.items()), ())


EXPOSURES = table("exposures.csv", user="VARCHAR", arm="VARCHAR", day="DATE", closed_at="DATE", age="BIGINT")
FACTS = table("facts.csv", user="VARCHAR", date="TIMESTAMP", lines="DOUBLE", paid="DECIMAL(9,2)", note="VARCHAR")
RIGHT = Columns("user", "arm", "day", "date", "closed_at")


def test_names_and_types_tell_what_columns_are() -> None:
    assert mapping.guess(EXPOSURES, FACTS) == RIGHT


def test_the_defaults_of_definitions_are_guessed_as_they_are() -> None:
    exposures = table("e", unit_id="BIGINT", variant="VARCHAR", exposed_at="TIMESTAMP WITH TIME ZONE")
    assert mapping.guess(exposures, table("f", unit_id="BIGINT", at="DATE", lines="BIGINT")) == Columns()


def test_odd_names_are_guessed_where_only_one_column_will_do() -> None:
    exposures = table("e", nummer="BIGINT", gruppe="VARCHAR", seit="DATE")
    assert mapping.guess(exposures, table("f", nummer="BIGINT", wann="DATE")) == Columns("nummer", "", "seit", "wann")


def test_nothing_is_guessed_where_two_will_do() -> None:
    exposures = table("e", a="BIGINT", b="BIGINT", first="DATE", second="DATE")
    assert mapping.guess(exposures, table("f", a="BIGINT", b="BIGINT")) == Columns("", "", "", "")


def test_numbers_of_facts_are_values_for_metrics() -> None:
    assert mapping.values(FACTS, RIGHT) == ("lines", "paid")


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"unit": ""}, "unit", "choose a column"),
        ({"unit": "arm"}, "unit", "facts.csv has no column `arm`; it has user, date, lines, paid, note"),
        ({"variant": "nothing"}, "variant", "exposures.csv has no column `nothing`"),
        ({"variant": "user"}, "variant", "named for two parts"),
        ({"exposed_at": "age"}, "exposed_at", "is of type BIGINT; it must hold dates or times"),
        ({"at": "lines"}, "at", "is of type DOUBLE"),
        ({"left_at": "day"}, "exposed_at", "named for two parts"),
    ],
)
def test_a_wrong_column_is_named_with_what_there_is(change: dict[str, str], field: str, message: str) -> None:
    found = {one.field: one.message for one in mapping.check(replace(RIGHT, **change), EXPOSURES, FACTS)}
    assert message in found[field]


def test_a_right_mapping_has_nothing_wrong() -> None:
    assert list(mapping.check(RIGHT, EXPOSURES, FACTS)) == []
    assert list(mapping.check(replace(RIGHT, at="note", left_at=None), EXPOSURES, FACTS)) == []


@pytest.mark.parametrize(
    ("values", "right"),
    [
        (("23.01.2025", "24.01.2025"), False), (("01/06/2025",), False), (("45678",), False),
        (("2025-01-23", "24.01.2025"), True), (("2025-01-23T10:00:00+02:00",), True), ((None, None), True), ((), True),
    ],
)  # fmt: skip
def test_texts_of_which_no_first_one_is_a_date_are_refused(values: tuple[str | None, ...], right: bool) -> None:
    texts = Examined("e.csv", 9, tuple(Column(name, "VARCHAR", 0) for name in ("user", "arm", "day")),
                     tuple(("u", "a", value) for value in values))  # fmt: skip
    found = [one.message for one in mapping.check(replace(RIGHT, left_at=None), texts, FACTS)]
    assert (found == []) == right
    assert all(f"holds texts such as {values[0]}; write dates as 2024-03-31" in message for message in found)


def test_ids_of_two_types_are_refused() -> None:
    facts = table("facts.csv", user="BIGINT", date="DATE")
    (wrong,) = mapping.check(RIGHT, EXPOSURES, facts)
    assert wrong.message == "column `user` has text in exposures.csv and integers in facts.csv; both need the same type"
    (wrong,) = mapping.check(RIGHT, EXPOSURES, table("facts.csv", user="DOUBLE", date="DATE"))
    assert "is of type DOUBLE; ids are integers, text or uuids" in wrong.message
