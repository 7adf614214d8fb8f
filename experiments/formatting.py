"""How numbers read: the one place where anything is rounded, for pages and terminal tables alike.

Rounding never changes what a reader concludes: a number that is not zero keeps its sign, and a p-value just below
5 % is not shown as 0.050. None, and anything that is not finite, is an em dash.
"""

import math
from datetime import date

NOTHING = "—"
MINUS = "−"
NO_BREAK_SPACE = "\u00a0"
THIN_SPACE = "\u202f"  # narrow and never broken over two lines
FINEST_DECIMALS = 12
LARGEST_PLAIN = 1e9
SMALLEST_PLAIN = 1e-6


def percent(fraction: float | None, signed: bool = True) -> str:
    """Return a fraction as a percentage, at most three significant digits: ``+3.0 %``, ``−0.42 %``, ``+128 %``."""
    if fraction is None or not math.isfinite(fraction):
        return NOTHING
    return f"{_hundredths(fraction, _percent_decimals(fraction), signed)} %"


def percent_interval(low: float | None, high: float | None, signed: bool = True) -> str:
    """Return an interval of fractions with the same decimals at both ends: ``+2.0 to +4.0 %``."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return NOTHING
    decimals = min(_percent_decimals(low), _percent_decimals(high))
    return f"{_hundredths(low, decimals, signed)} to {_hundredths(high, decimals, signed)} %"


def look(number: int, planned: int) -> str:
    """Return which look it is: ``look 14 of 30``, and ``look 35 (30 planned)`` of one that came after the last."""
    return f"look {number} of {planned}" if number <= planned else f"look {number} ({planned} planned)"


def unbroken(percentage: str) -> str:
    """Return a percentage whose percent sign never starts a line."""
    return percentage.replace(" %", f"{NO_BREAK_SPACE}%")


def points(fraction: float | None) -> str:
    """Return a difference of shares in percentage points, without a unit: ``−3.8``."""
    if fraction is None or not math.isfinite(fraction):
        return NOTHING
    return _hundredths(fraction, _percent_decimals(fraction), True)


def points_interval(low: float | None, high: float | None) -> str:
    """Return an interval of differences of shares in percentage points: ``−4.7 to −2.9``."""
    return percent_interval(low, high).removesuffix(" %")


def share_interval(low: float | None, high: float | None) -> str:
    """Return an interval of shares, without signs: ``96.1 to 97.4 %``."""
    return percent_interval(low, high, signed=False)


def weeks(value: float | None, signed: bool = False) -> str:
    """Return a number of weeks, three significant digits and at most two decimals: ``18.2``, ``−0.66``."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return _plain(value, _week_decimals(value), signed)


def weeks_interval(low: float | None, high: float | None) -> str:
    """Return an interval of differences in weeks with the same decimals at both ends: ``−0.83 to −0.49``."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return NOTHING
    decimals = min(_week_decimals(low), _week_decimals(high))
    return f"{_plain(low, decimals, True)} to {_plain(high, decimals, True)}"


def times(factor: float) -> str:
    """Return how many times larger something is: ``2.3 ×``."""
    return f"{factor:.1f}{THIN_SPACE}×"


def number(value: float | None) -> str:
    """Return a value with three significant digits; digits before the decimal point are all kept."""
    if value is None or not math.isfinite(value):
        return NOTHING
    size = abs(value)
    if size >= LARGEST_PLAIN or 0 < size < SMALLEST_PLAIN:
        mantissa, exponent = f"{size:.2e}".split("e")
        return f"{MINUS if value < 0 else ''}{mantissa}e{int(exponent)}"
    decimals = 2 if size == 0 else max(0, 2 - _exponent(size, 3))
    return _signed(value, f"{size:,.{decimals}f}" if size else "0", signed=False)


def weight(value: float | None) -> str:
    """Return a weight with three significant digits and no idle zeros: ``0.4``, ``0.758``, ``1``."""
    return NOTHING if value is None or not math.isfinite(value) else f"{value:.3g}"


def number_interval(low: float | None, high: float | None) -> str:
    """Return an interval of plain numbers: ``1.19 to 1.26``."""
    ends = (number(low), number(high))
    return NOTHING if NOTHING in ends else " to ".join(ends)


def p_value(p: float | None) -> str:
    """Return ``p = 0.37``, ``p = 0.012`` or ``p < 0.001``."""
    if p is None or not math.isfinite(p):
        return NOTHING
    if p < 0.001:
        return "p < 0.001"
    decimals = 2 if p >= 0.1 else 3
    while p < 0.05 and round(p, decimals) >= 0.05 and decimals < FINEST_DECIMALS:
        decimals += 1
    return f"p = {p:.{decimals}f}"


def chance(probability: float | None) -> str:
    """Return a probability as ``80 %`` or ``93.3 %``; one that is not sure is not shown as 0 or 100: ``> 99.9 %``."""
    if probability is None or not math.isfinite(probability):
        return NOTHING
    if 0.9995 <= probability < 1:
        return "> 99.9 %"
    if 0 < probability < 0.0005:
        return "< 0.1 %"
    return f"{100 * probability:.3g} %" if probability >= 0.01 else f"{100 * probability:.1f} %"


def count(n: int | None) -> str:
    """Return a whole number in groups of three: ``40 000``."""
    return NOTHING if n is None else _signed(n, f"{abs(n):,}", signed=False)


def short_count(n: int) -> str:
    """Return a whole number in a few characters: ``432``, ``40k``, ``1.53M``."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if round(n / size, 2) >= 1:
            return f"{float(f'{n / size:.3g}'):g}{letter}"
    return str(n)


def day(date_: date | None) -> str:
    """Return a date as ISO 8601: ``2017-12-31``."""
    return NOTHING if date_ is None else date_.strftime("%Y-%m-%d")


def _percent_decimals(fraction: float) -> int:
    """Decimals of a percentage: none from 100 %, one from 1 %, two below."""
    size = abs(fraction) * 100
    if size == 0:
        return 1
    exponent = _exponent(size, 2)
    return 0 if exponent >= 2 else 1 if exponent >= 0 else 2


def _hundredths(fraction: float, decimals: int, signed: bool) -> str:
    """Return 100 times the fraction, with more decimals where the given ones would make it zero."""
    return _plain(fraction * 100, decimals, signed)


def _plain(value: float, decimals: int, signed: bool) -> str:
    """Return the value with the given decimals, or more where they would make it zero."""
    while value and decimals < FINEST_DECIMALS and round(abs(value), decimals) == 0:
        decimals += 1
    return _signed(value, f"{abs(value):,.{decimals}f}", signed)


def _week_decimals(value: float) -> int:
    return max(0, min(2, 2 - _exponent(abs(value), 3))) if value else 1


def _signed(value: float, digits: str, signed: bool) -> str:
    sign = MINUS if value < 0 else "+" if signed and value > 0 else ""
    return sign + digits.replace(",", THIN_SPACE)


def _exponent(size: float, significant: int) -> int:
    """Return the decimal exponent of a positive number once it is rounded to so many significant digits."""
    return int(f"{size:.{significant - 1}e}".split("e")[1])


def sentence(message: object) -> str:
    """A message as a sentence. What begins with a name, such as a file's or a key, keeps its first letter."""
    text = str(message)
    first = text.split(maxsplit=1)[:1]
    told = text[:1].upper() + text[1:] if first and first[0].rstrip(",").isalpha() else text
    return told if told.endswith((".", "?", "!")) else f"{told}."
