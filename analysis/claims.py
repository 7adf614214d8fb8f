"""Which claims a plan makes, at which level, and the intervals over all planned looks from which they are read.

A primary metric is judged on the window that decides, and a short-term one on the late window too. Each judged pair of
metric and window gets alpha / (number of pairs x treatments). A guardrail is non-inferior at alpha / 2, for all of them
must hold at once (intersection-union, Berger 1982), and inferior at a share of one alpha / 2, for one is enough. Other
windows and metrics are drawn at alpha and claim nothing by themselves.

A window is planned to be read once for each cohort that matures: look j of enrollment_weeks, spending time
j / enrollment_weeks, so looks that were missed or repeated change nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis import sequential
from analysis.effects import Means, interval_of
from analysis.multiplicity import benjamini_hochberg
from analysis.plan import Metric, Plan, Window
from analysis.results import ClaimRow, EffectRow, Verdict
from analysis.triangle import Triangle


@dataclass(frozen=True)
class Level:
    """Two-sided alphas at which the ends of an interval are drawn, and how many claims share the p value's alpha."""

    low: float
    high: float
    family: int = 1


@dataclass(frozen=True)
class Looks:
    """The looks at one window so far.

    Attributes:
        information: harmonic number of mature units, n_C n_T / (n_C + n_T), at each look so far, the newest last.
        planned: number of looks until every cohort is mature.
        units: mature units of both variants at the newest look.
    """

    information: tuple[float, ...]
    planned: int
    units: int

    @property
    def times(self) -> tuple[float, ...]:
        return tuple((look + 1) / self.planned for look in range(len(self.information)))


def judged(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Return the pairs (metric, window) on which primary metrics are judged, time-to-event metrics included."""
    pairs = []
    for metric in plan.metrics:
        if metric.role == "primary":
            # A time to event is judged once, at its one horizon.
            twice = metric.term == "short" and metric.kind != "event"
            names = {metric.deciding_window: None, **({"late": None} if twice else {})}
            pairs += [(metric.key, name) for name in names]
    return tuple(pairs)


def level(plan: Plan, metric: Metric, window: Window, segment: str | None = None) -> Level:
    """Return the level at which a metric's interval over a window is drawn; in a segment nothing is decided."""
    if segment is not None:
        return Level(plan.decision.alpha, plan.decision.alpha)
    alpha, treatments = plan.decision.alpha, len(plan.treatments)
    pairs = judged(plan)
    if (metric.key, window.name) in pairs:
        family = len(pairs) * treatments
        return Level(alpha / family, alpha / family, family)
    if is_deciding_guardrail(metric, window):
        guardrails = sum(one.role == "guardrail" for one in plan.metrics)
        inferior = alpha / (guardrails * treatments)
        return Level(alpha, inferior) if metric.sign > 0 else Level(inferior, alpha)
    return Level(alpha, alpha)


def is_deciding_guardrail(metric: Metric, window: Window) -> bool:
    return metric.role == "guardrail" and metric.deciding_window == window.name


def looks(triangle: Triangle, variant: str, cohorts: tuple[int, ...]) -> Looks:
    """Return the looks at a window for which ``cohorts`` are mature (cohorts mature in order)."""
    control, information = triangle.plan.control.key, []
    seen = {control: 0, variant: 0}
    for cohort in cohorts:
        for key in seen:
            seen[key] += triangle.cohort_units(key, cohort)
        total = sum(seen.values())
        information.append(seen[control] * seen[variant] / total if total else 0.0)
    return Looks(tuple(information), triangle.plan.enrollment_weeks, sum(seen.values()))


def critical(plan: Plan, looks: Looks, alpha: float) -> float:
    """Return the two-sided critical value of the newest look; infinite where nothing may be claimed yet."""
    rule = plan.decision
    if rule.looks == "any_time":
        assert rule.planned_units is not None
        return sequential.anytime_critical(looks.units, alpha, rule.planned_units)
    return float(sequential.boundaries(looks.information, looks.times, alpha, rule.spending)[-1])


def repeated_p(plan: Plan, looks: Looks, z: float) -> float:
    """Return the two-sided repeated p value of the newest look: the smallest alpha at which it is significant."""
    rule = plan.decision
    if rule.looks == "any_time":
        assert rule.planned_units is not None
        return sequential.anytime_p(z, looks.units, rule.planned_units)
    return sequential.repeated_p(z, looks.information, looks.times, rule.spending)


def one_sided_p(plan: Plan, looks: Looks, z: float) -> float:
    """Return the one-sided repeated p value of "greater than zero" at the newest look."""
    p_value = repeated_p(plan, looks, z)
    return p_value / 2 if z > 0 else 1 - p_value / 2


def claimed(row: EffectRow, means: Means, looks: Looks, plan: Plan, metric: Metric, window: Window) -> EffectRow:
    """Return an effect's row with the fields that hold over all looks, and a guardrail's verdict."""
    assert row.effect is not None
    assert row.effect_se is not None
    at = level(plan, metric, window, row.segment)
    low, high = critical(plan, looks, at.low), critical(plan, looks, at.high)
    p_value = min(1.0, repeated_p(plan, looks, row.effect / row.effect_se) * at.family)
    shown = replace(
        row, sequential_look=len(looks.information), sequential_looks=looks.planned, p_value_adjusted=p_value,
        sequential_significant=p_value < plan.decision.alpha,
    )  # fmt: skip
    if max(low, high) == float("inf"):
        return replace(shown, reason=row.reason or "too early to claim anything: no alpha is spent at this look yet")
    effect_low, _, lift_below = interval_of(means, 0, low)
    _, effect_high, lift_above = interval_of(means, 0, high)
    shown = replace(
        shown, sequential_critical=low if metric.sign > 0 else high,
        sequential_effect_low=effect_low, sequential_effect_high=effect_high,
        sequential_lift_low=lift_below.low, sequential_lift_high=lift_above.high,
        reason=row.reason or lift_below.reason or lift_above.reason,
    )  # fmt: skip
    if row.segment is not None or not is_deciding_guardrail(metric, window):
        return shown
    return replace(shown, verdict=verdict(metric, shown.sequential_lift_low, shown.sequential_lift_high))


def verdict(metric: Metric, low: float | None, high: float | None) -> Verdict:
    """Judge a guardrail's interval of lifts against its margin: the whole interval must lie on one side."""
    assert metric.margin is not None
    if low is None or high is None:
        return "undecided"
    worst, best = (low, high) if metric.sign > 0 else (-high, -low)
    if worst > 0:
        return "superior"
    if worst > -metric.margin:
        return "non_inferior"
    return "inferior" if best < -metric.margin else "undecided"


def surely_better(metric: Metric, row: ClaimRow) -> bool:
    """Whether the interval over all looks lies wholly on the better side of no effect."""
    return _beyond(metric.sign, row)


def surely_worse(metric: Metric, row: ClaimRow) -> bool:
    """Whether the interval over all looks lies wholly on the worse side of no effect."""
    return _beyond(-metric.sign, row)


def _beyond(sign: int, row: ClaimRow) -> bool:
    if row.claimed is None:
        return False
    low, high = row.claimed
    return low > 0 if sign > 0 else high < 0


def adjust_secondary(rows: Sequence[EffectRow], alpha: float) -> tuple[EffectRow, ...]:
    """Adjust the p values of secondary metrics, and of segments, for their number (Benjamini & Hochberg 1995).

    Secondary metrics on all units are one family, segments another.
    """
    adjusted = list(rows)
    for in_family in (_is_secondary, _is_segment):
        places = [place for place, row in enumerate(rows) if in_family(row)]
        values = benjamini_hochberg([rows[place].p_value_adjusted for place in places])
        for place, value in zip(places, values, strict=True):
            if value is not None:
                significant = value < alpha
                adjusted[place] = replace(
                    rows[place], p_value_adjusted=value, sequential_significant=significant
                )  # fmt: skip
    return tuple(adjusted)


def _is_secondary(row: EffectRow) -> bool:
    return row.role == "secondary" and row.segment is None


def _is_segment(row: EffectRow) -> bool:
    return row.segment is not None
