"""What a holdout says: plain dataclasses without arrays, for rows, JSON, tables and charts. Weeks are calendar weeks.

As in ``analysis.results``, every field without a value is None and ``reason`` says why; lifts are fractions, and raw.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from analysis.plan import Plan
from analysis.results import Comparison, Verdict, both

HoldoutKind = Literal["weekly", "cumulative", "now"]


@dataclass(frozen=True, kw_only=True)
class HoldoutRow(Comparison):
    """Everyone launched to, against those held out, in the calendar weeks [start_week, end_week) from start_date.

    ``weekly`` is one week, ``cumulative`` the average unit-week from the first whole week on, ``now`` that of the
    newest four weeks; control is held_out. ``band_*`` holds for all weekly rows at once. Claims are read from the
    ``sequential`` fields, as in ``analysis.results.EffectRow``: this is look ``sequential_look`` of
    ``sequential_looks``, one a week until planned_end_date.
    """

    metric: str
    role: str
    kind: HoldoutKind
    start_week: int
    end_week: int
    readable_from: date
    band_low: float | None = None
    band_high: float | None = None
    p_value_adjusted: float | None = None
    sequential_look: int | None = None
    sequential_looks: int | None = None
    sequential_critical: float | None = None
    sequential_effect_low: float | None = None
    sequential_effect_high: float | None = None
    sequential_lift_low: float | None = None
    sequential_lift_high: float | None = None
    sequential_significant: bool | None = None
    margin: float | None = None
    verdict: Verdict | None = None

    @property
    def drawn(self) -> tuple[float, float] | None:
        """The interval of the lift from which claims are read, None where nothing may be claimed (yet)."""
        return both(self.sequential_lift_low, self.sequential_lift_high)

    @property
    def claimed(self) -> tuple[float, float] | None:
        """The interval of the effect from which claims are read, None where nothing may be claimed (yet)."""
        return both(self.sequential_effect_low, self.sequential_effect_high)


def planned_weeks(plan: Plan) -> int:
    """Return how many calendar weeks from start_date a holdout reads: until planned_end_date, while units are followed.

    Raises ValueError for a plan that is not a holdout's.
    """
    if plan.planned_end_date is None:
        raise ValueError(f"{plan.key} is not a holdout: it has no planned_end_date")
    return min((plan.planned_end_date - plan.start_date).days // 7, plan.enrollment_weeks + plan.horizon_weeks - 1)


def week_begins(plan: Plan, week: int) -> date:
    """Return the first day of a calendar week from start_date."""
    return plan.start_date + timedelta(days=7 * week)


def week_of(plan: Plan, day: date) -> int:
    """Return the calendar week from start_date in which a day lies; negative before it."""
    return (day - plan.start_date).days // 7
