"""Who of the units held out met a launch, day by day and by loops over units, and what that may hide."""

from datetime import timedelta
from fractions import Fraction

import numpy as np
import pytest

from analysis.contamination import NEVER, bound, meet, places, span_shares, weekly_shares
from analysis.plan import Variant
from tests.analysis.unit_rows import START, make_plan

PLAN = make_plan(
    kind="holdout", clock="calendar", fraction=0.2, planned_end_date=START + timedelta(days=70), enrollment_weeks=4,
    variants=(Variant("held_out", 0.2, control=True), Variant("launched", 0.8)), horizon_weeks=10, lag_days=2,
)  # fmt: skip


def test_the_first_day_of_each_unit_is_kept_whatever_the_order_of_rows() -> None:
    rng = np.random.default_rng(1)
    units = np.unique(rng.integers(0, 2**64, 50, dtype=np.uint64))
    others = rng.integers(0, 2**64, 50, dtype=np.uint64)
    found = rng.choice(np.concatenate([units[:30], others]), 400)
    days = rng.integers(-10, 60, 400)
    first = np.full(len(units), NEVER)
    for part in np.array_split(np.arange(400), 7):
        meet(units, first, found[part], days[part])
    for unit, day in zip(units, first, strict=True):
        assert day == min((int(d) for u, d in zip(found, days, strict=True) if u == unit), default=NEVER)
    assert list(places(units, found)[1]) == [unit in set(units.tolist()) for unit in found.tolist()]
    nobody = np.empty(0, np.uint64)
    meet(nobody, np.empty(0, np.int64), found, days)
    assert not places(nobody, found)[1].any()


def test_shares_by_week_are_those_of_days_counted_one_by_one() -> None:
    rng = np.random.default_rng(2)
    exposed = rng.integers(0, 28, 60)
    met = np.where(rng.random(60) < 0.5, rng.integers(-20, 70, 60), NEVER)
    # Two days are not read: six whole weeks are known on the last day of the seventh.
    shares = weekly_shares(PLAN, START + timedelta(days=50), exposed, met)
    assert len(shares) == 6
    for week, share in enumerate(shares):
        followed = [int(day) for day, since in zip(met, exposed, strict=True) if since < 7 * week]
        days = [day >= first for first in followed for day in range(7 * week, 7 * week + 7)]
        assert share == pytest.approx(float(Fraction(sum(days), len(days))) if days else 0.0)
    assert shares[0] == 0
    assert weekly_shares(PLAN, START, exposed, met) == ()


def test_a_span_is_cut_where_something_was_decided() -> None:
    weekly = (0.0, 0.1, 0.2, 0.4)
    assert span_shares(weekly, 1, 4, 2.25) == pytest.approx(((0.75 * 0.2 + 0.4) / 3, (0.1 + 0.25 * 0.2) / 3))
    assert span_shares(weekly, 1, 4, float("inf")) == pytest.approx((0.0, 0.7 / 3))
    assert span_shares(weekly, 1, 4, -3.0) == pytest.approx((0.7 / 3, 0.0))
    # What was not measured is left out, not taken for none.
    assert span_shares(weekly, 3, 9, 0.0) == pytest.approx((0.4, 0.0))
    assert span_shares(weekly, 4, 9, 0.0) == (0.0, 0.0)


def test_the_bound_takes_the_launched_part_out_of_control() -> None:
    for lift, share in ((0.05, 0.1), (-0.2, 0.4), (0.3, 0.0)):
        clean, launched = 10.0, 10.0 * (1 + lift)
        mixed = (1 - share) * clean + share * launched
        shown = launched / mixed - 1
        assert bound(shown, share) == pytest.approx(lift)
        assert (launched - mixed) / (1 - share) == pytest.approx(launched - clean)
    assert bound(0.1, 1.0) is None
