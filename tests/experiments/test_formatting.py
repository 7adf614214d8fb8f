from datetime import date

import pytest

from experiments import formatting


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.03, "+3.0 %"),
        (-0.0643, "−6.4 %"),
        (0.1234, "+12.3 %"),
        (0.9996, "+100 %"),
        (1.2345, "+123 %"),
        (123.4567, "+12\u202f346 %"),
        (0.0042, "+0.42 %"),
        (-0.00042, "−0.04 %"),
        (0.0000042, "+0.0004 %"),
        (0.00996, "+1.0 %"),
        (0.0, "0.0 %"),
        (-0.0, "0.0 %"),
        (None, "—"),
        (float("nan"), "—"),
        (float("inf"), "—"),
    ],
)
def test_percentages_have_a_sign_and_at_most_three_significant_digits(fraction: float | None, text: str) -> None:
    assert formatting.percent(fraction) == text


def test_a_look_after_the_last_planned_one_is_not_one_of_them() -> None:
    assert formatting.look(14, 30) == "look 14 of 30"
    assert formatting.look(30, 30) == "look 30 of 30"
    assert formatting.look(35, 30) == "look 35 (30 planned)"


def test_points_are_percentages_without_the_sign_of_one() -> None:
    assert [formatting.points(value) for value in (0.03, -0.105, None)] == ["+3.0", "−10.5", "—"]


def test_a_percentage_can_go_without_its_plus() -> None:
    assert formatting.percent(0.5, signed=False) == "50.0 %"
    assert formatting.percent(-0.5, signed=False) == "−50.0 %"


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.02, 0.04, "+2.0 to +4.0 %"),
        (-0.0791, -0.0493, "−7.9 to −4.9 %"),
        (-0.006, 0.0081, "−0.60 to +0.81 %"),
        (-0.25, 1.5, "−25 to +150 %"),
        (0.0, 0.02, "0.0 to +2.0 %"),
        (None, 0.02, "—"),
        (0.01, float("inf"), "—"),
    ],
)
def test_both_ends_of_an_interval_have_the_same_decimals(low: float | None, high: float | None, text: str) -> None:
    assert formatting.percent_interval(low, high) == text


def test_an_end_close_to_zero_keeps_its_side_of_zero() -> None:
    assert formatting.percent_interval(0.0001, 0.053) == "+0.01 to +5.3 %"
    assert formatting.percent_interval(-0.0001, 0.053) == "−0.01 to +5.3 %"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (15.734, "15.7"),
        (0.43119, "0.431"),
        (-2.0, "−2.00"),
        (999.6, "1\u202f000"),
        (1234.5, "1\u202f234"),
        (0.0, "0"),
        (0.0001234, "0.000123"),
        (1.2345e15, "1.23e15"),
        (-1.2345e-9, "−1.23e-9"),
        (None, "—"),
        (float("nan"), "—"),
    ],
)
def test_numbers_have_three_significant_digits(value: float | None, text: str) -> None:
    assert formatting.number(value) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.3712, "p = 0.37"),
        (1.0, "p = 1.00"),
        (0.0121, "p = 0.012"),
        (0.001, "p = 0.001"),
        (0.00099, "p < 0.001"),
        (0.0, "p < 0.001"),
        (0.05, "p = 0.050"),
        (None, "—"),
        (float("nan"), "—"),
    ],
)
def test_p_values_end_at_one_in_a_thousand(p: float | None, text: str) -> None:
    assert formatting.p_value(p) == text


def test_a_p_value_just_below_five_percent_does_not_read_as_five_percent() -> None:
    assert formatting.p_value(0.04998) == "p = 0.04998"


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0.8, "80 %"), (0.9333, "93.3 %"), (0.99949, "99.9 %"), (0.9995, "> 99.9 %"), (1.0, "100 %"),
        (0.0124, "1.24 %"), (0.0042, "0.4 %"), (0.0006, "0.1 %"), (0.0004, "< 0.1 %"), (0.0, "0.0 %"),
        (None, "—"), (float("nan"), "—"),
    ],
)  # fmt: skip
def test_a_chance_that_is_not_sure_does_not_read_as_sure(probability: float | None, text: str) -> None:
    assert formatting.chance(probability) == text


def test_counts_are_grouped_in_threes() -> None:
    assert formatting.count(1534964) == "1\u202f534\u202f964"
    assert formatting.count(0) == "0"
    assert formatting.count(None) == "—"


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("choose a file", "Choose a file."), ("however, it is not", "However, it is not."),
        ("exposures.csv: the file is empty", "exposures.csv: the file is empty."),
        ("checkout-v2 is in review", "checkout-v2 is in review."), ("lines: too few", "lines: too few."),
        ("`small` is taken", "`small` is taken."), ("was it a page?", "Was it a page?"), ("", "."),
    ],
)  # fmt: skip
def test_a_message_becomes_a_sentence_and_names_in_it_stay_as_they_are(message: str, told: str) -> None:
    assert formatting.sentence(message) == told


def test_days_are_iso() -> None:
    assert formatting.day(date(2017, 12, 31)) == "2017-12-31"
    assert formatting.day(None) == "—"
