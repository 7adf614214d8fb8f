"""Checks of the data's health. A check is ok, in alarm, or unknown with the reason; it never changes a number."""

from collections.abc import Iterator

from scipy import special

from analysis import windows
from analysis.results import CheckRow, CheckState
from analysis.triangle import Triangle

#: An SRM alarm must be rare on healthy data, for it blocks every decision (Fabijan et al., KDD 2019, use .0005-.001).
SRM_LEVEL = 0.001

#: An alarm of one of these says that the numbers are not to be used at all.
BLOCKING = ("srm", "srm_sequential", "srm_cohort")

#: Below this many expected units in a variant the chi-square distribution is not close enough.
SRM_MIN_EXPECTED = 5

#: Days without any fact at the end of the data after which they are taken as incomplete.
STALE_DAYS = 7


def checks(triangle: Triangle) -> Iterator[CheckRow]:
    """Yield every check of the data as of the triangle's day."""
    yield srm(triangle)
    yield freshness(triangle)


def srm(triangle: Triangle) -> CheckRow:
    """Sample ratio mismatch: chi-square of the units per variant against the designed weights."""
    plan = triangle.plan
    counts = [triangle.units(variant.key) for variant in plan.variants]
    seen = " : ".join(f"{count:,}" for count in counts)
    weights = [variant.weight for variant in plan.variants if variant.weight is not None]
    if len(weights) < len(counts):
        detail = f"designed split unknown: give every variant a weight ({seen} units)"
        return CheckRow(check="srm", state="unknown", detail=detail)
    total = sum(counts)
    expected = [total * weight / sum(weights) for weight in weights]
    designed = " : ".join(f"{weight:g}" for weight in weights)
    if min(expected) < SRM_MIN_EXPECTED:
        return CheckRow(check="srm", state="unknown", detail=f"too few units to tell: {seen}, designed {designed}")
    statistic = sum((count - wanted) ** 2 / wanted for count, wanted in zip(counts, expected, strict=True))
    p_value = float(special.chdtrc(len(counts) - 1, statistic))
    state: CheckState = "alarm" if p_value < SRM_LEVEL else "ok"
    return CheckRow(check="srm", state=state, p_value=p_value, detail=f"{seen} units, designed {designed}")


def freshness(triangle: Triangle) -> CheckRow:
    """Whether facts reach up to as_of: weeks without data would be read as weeks without activity."""
    end = windows.read_until(triangle.plan, triangle.as_of)
    last = triangle.data.last
    if last is None:
        return CheckRow(check="freshness", state="unknown", detail=f"no facts before {end}")
    silent = (end - last).days - 1
    if silent >= STALE_DAYS:
        detail = f"the last fact is of {last}; the {silent} days after it are read as days without activity"
        return CheckRow(check="freshness", state="alarm", detail=detail)
    return CheckRow(check="freshness", state="ok", detail=f"facts up to {last}")
