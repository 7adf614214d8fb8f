"""What a run of seeded worlds says about a rate.

A full run has to *show* a bound: "at most 5 %" passes only if the exact (Clopper-Pearson) 99 % upper confidence limit
of the rate is at most 5 %. An allowance of some standard errors above the bound would do the opposite: with four of
them 4,000 worlds would let a rate of 6.4 % pass for "at most 5 %". A rule whose true rate is the bound itself cannot be
shown to keep it by any number of worlds; where that is so the test says which number stands in its place. A thin slice
shows nothing. It fails only if its worlds are beyond what chance brings in one of 16,000 runs of a rule that keeps the
bound: it is there to catch what is broken altogether.

Rates that should equal a number (coverage) are compared with the interval that is promised, .94 to .96: 4,000 worlds
have a standard error of .0034 there, so that a true .93 or .97 passes in fewer than one of a hundred runs.
"""

from scipy import stats

#: Worlds of a full run; fewer are a thin slice.
FULL = 1_000

#: Confidence of what a full run shows, and of what a thin slice refutes (four standard errors of a normal estimate).
SHOWN, REFUTED = 0.99, 1 - 1 / 16_000

#: Coverage of 95 % that the documentation promises.
PROMISED = (0.94, 0.96)


def is_full(count: int, full: bool | None = None) -> bool:
    """Whether a run has to show what it claims; of parts of the worlds the whole run's size decides."""
    return count >= FULL if full is None else full


def upper_limit(hits: int, count: int, confidence: float = SHOWN) -> float:
    """The largest rate at which so few hits are not rarer than 1 - confidence (Clopper & Pearson 1934)."""
    return 1.0 if hits == count else float(stats.beta.ppf(confidence, hits + 1, count - hits))


def lower_limit(hits: int, count: int, confidence: float = SHOWN) -> float:
    """The smallest rate at which so many hits are not rarer than 1 - confidence."""
    return 0.0 if hits == 0 else float(stats.beta.ppf(1 - confidence, hits, count - hits + 1))


def check_at_most(hits: int, count: int, bound: float, full: bool | None = None) -> None:
    """A full run must show that the rate is at most ``bound``; a thin slice must not refute it."""
    limit = upper_limit(hits, count) if is_full(count, full) else lower_limit(hits, count, REFUTED)
    assert limit <= bound, f"{hits} of {count}: the limit is {limit:.4f}, and at most {bound} is claimed"


def check_at_least(hits: int, count: int, bound: float, full: bool | None = None) -> None:
    """A full run must show that the rate is at least ``bound``; a thin slice must not refute it."""
    limit = lower_limit(hits, count) if is_full(count, full) else upper_limit(hits, count, REFUTED)
    assert limit >= bound, f"{hits} of {count}: the limit is {limit:.4f}, and at least {bound} is claimed"


def check_coverage(hits: int, count: int, coverage: float = 0.95) -> None:
    """A full run must be inside the promised interval; a thin slice must not refute the coverage."""
    if count >= FULL:
        assert PROMISED[0] <= hits / count <= PROMISED[1], f"{hits / count:.4f} of {count} is outside {PROMISED}"
    else:
        check_at_most(hits, count, coverage)
        check_at_least(hits, count, coverage)
