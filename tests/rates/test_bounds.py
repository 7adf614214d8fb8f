"""What passes for "at most" and "at least", and what does not."""

import pytest
from statsmodels.stats.proportion import proportion_confint

from tests.rates.bounds import check_at_least, check_at_most, check_coverage, lower_limit, upper_limit


@pytest.mark.parametrize(("hits", "count"), [(0, 300), (7, 300), (200, 4_000), (3_990, 4_000), (4_000, 4_000)])
def test_limits_are_those_of_clopper_and_pearson(hits: int, count: int) -> None:
    low, high = proportion_confint(hits, count, alpha=0.02, method="beta")
    assert (lower_limit(hits, count), upper_limit(hits, count)) == pytest.approx((low, high), abs=1e-12)


def test_a_full_run_at_its_bound_or_a_little_above_does_not_pass() -> None:
    check_at_most(165, 4_000, 0.05)
    for hits in (200, 256):  # 5 % and 6.4 %, which four standard errors above the bound would let pass
        with pytest.raises(AssertionError, match=f"{hits} of 4000"):
            check_at_most(hits, 4_000, 0.05)
    check_at_least(3_980, 4_000, 0.99)
    with pytest.raises(AssertionError, match="is claimed"):
        check_at_least(3_965, 4_000, 0.99)


def test_a_thin_slice_fails_only_beyond_chance() -> None:
    check_at_most(22, 300, 0.05)
    with pytest.raises(AssertionError):
        check_at_most(35, 300, 0.05)
    check_coverage(275, 300)
    with pytest.raises(AssertionError):
        check_coverage(260, 300)
    # Parts of a full run show as the whole does.
    with pytest.raises(AssertionError):
        check_at_most(20, 400, 0.05, full=True)


def test_coverage_must_be_inside_what_is_promised() -> None:
    check_coverage(3_790, 4_000)
    for hits in (3_750, 3_850):
        with pytest.raises(AssertionError, match="outside"):
            check_coverage(hits, 4_000)
