"""Times to event on a scorecard's page: retention, curves, what they differ by, and when the hazards differ."""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.plan import Metric, Variant
from analysis.results import (
    HazardPeriod,
    Scorecard,
    SurvivalComparisonRow,
    SurvivalDifference,
    SurvivalRow,
    TrajectoryRow,
)
from experiments import formatting
from experiments.charts import survival
from experiments.charts.drawings import ForestBar, RatioBar, forest_bar, forest_limit, ratio_bar, ratio_limit
from experiments.charts.event_finding import event_finding, without
from experiments.charts.tones import Tone, label, tone
from experiments.views.charts_section import rows_of, specs
from experiments.views.figures import Figure, figure

VERDICTS = {
    "superior": "better",
    "non_inferior": "within its margin",
    "inferior": "beyond its margin",
    "undecided": "not decided",
}


@dataclass(frozen=True)
class WeekRow:
    """One week of both curves and of their difference, for the table of numbers."""

    week: int
    control: SurvivalRow | None
    treatment: SurvivalRow | None
    difference: SurvivalDifference | None


@dataclass(frozen=True)
class HazardRow:
    """A hazard ratio with its interval and bar; None where a variant had no events."""

    name: str
    ratio: float | None
    low: float | None
    high: float | None
    p_value: float | None
    bar: RatioBar | None
    note: str = ""


@dataclass(frozen=True)
class SurvivalCard:
    """A time to event of one treatment against control.

    Attributes:
        margin_weeks: the margin as weeks of the control's, on the side of harm.
        at_risk: for each variant its key and the units at risk at ``weeks``, None where that is not known.
        overall: the first of the hazards; the others are of periods, and beside covariates.
    """

    metric: Metric
    variant: Variant
    row: SurvivalComparisonRow
    title: str
    open: bool
    without: str
    tone: Tone
    bar: ForestBar | None
    limit: float
    margin_weeks: float | None
    retention: Figure | None
    retention_rows: tuple[TrajectoryRow, ...]
    curves: Figure | None
    difference: Figure | None
    weeks: tuple[int, ...]
    at_risk: tuple[tuple[str, tuple[int | None, ...]], ...]
    numbers: tuple[WeekRow, ...]
    hazards: tuple[HazardRow, ...]
    hazard_limit: float

    @property
    def hazard_floor(self) -> float:
        """The lower end of the scale, as far below one as the upper end is above it."""
        return 1 / self.hazard_limit

    @property
    def anchor(self) -> str:
        return f"survival-{self.variant.key}-{self.metric.key}"

    @property
    def verdict(self) -> str:
        return VERDICTS[self.row.verdict] if self.row.verdict and self.row.decides else ""

    @property
    def short_gap(self) -> bool:
        """Whether more than 5 % of the pauses before exposure were as long as the gap."""
        gap, advised = self.row.gap_weeks, self.row.gap_advised
        return gap is not None and advised is not None and gap < advised


def cards_of(card: Scorecard, variant: Variant) -> tuple[SurvivalCard, ...]:
    """The events of a treatment in the plan's order; what decides is unfolded."""
    rows = {row.metric: row for row in card.survival_comparisons if row.variant == variant.key}
    return tuple(_card(card, metric, variant, rows[metric.key]) for metric in card.plan.event_metrics
                 if metric.key in rows)  # fmt: skip


def _card(card: Scorecard, metric: Metric, variant: Variant, row: SurvivalComparisonRow) -> SurvivalCard:
    assert metric.event is not None
    title = event_finding(metric, row)
    control, treatment = (_curve(card, metric, key) for key in (card.plan.control.key, variant.key))
    weekly = tuple(one for one in rows_of(card, metric, variant) if one.kind == "weekly")
    ends = row.drawn or (row.rmst_lift_low, row.rmst_lift_high)
    limit = max([forest_limit([(metric, row)]), *(abs(end) for end in ends if end is not None)])
    hazards, hazard_limit = _hazards(row)
    margin = row.margin if row.margin is not None and row.rmst_control is not None else None
    return SurvivalCard(
        metric=metric,
        variant=variant,
        row=row,
        title=title,
        open=metric.role != "diagnostic",
        without=without(metric.event),
        tone=tone(metric, *row.drawn) if row.drawn else "open",
        bar=forest_bar(metric, row, limit),
        limit=limit,
        margin_weeks=-metric.sign * margin * (row.rmst_control or 0.0) if margin is not None else None,
        retention=_retention(card, metric, variant, weekly),
        retention_rows=weekly,
        curves=_curves(card, metric, variant, row, control, treatment),
        difference=_difference(card, metric, variant, row),
        weeks=tuple(survival.weeks_shown(row.tau)),
        at_risk=_at_risk(card, variant, row, control, treatment),
        numbers=_numbers(control, treatment, row),
        hazards=hazards,
        hazard_limit=hazard_limit,
    )


def _curve(card: Scorecard, metric: Metric, variant: str) -> list[SurvivalRow]:
    rows = (row for row in card.survival if (row.metric, row.variant) == (metric.key, variant))
    return sorted(rows, key=lambda row: row.week)


def _retention(card: Scorecard, metric: Metric, variant: Variant, weekly: tuple[TrajectoryRow, ...]) -> Figure | None:
    """The share of all units that are active in a week; of an occurrence there is none."""
    title = retention_finding(card, metric, variant, weekly)
    windows = (card.plan.window("early"), card.plan.window("late"))
    drawn = specs(card, metric, variant, rows_of(card, metric, variant), windows, title)
    return figure(card, "trajectory", metric.key, variant.key, title, drawn, "retention") if drawn else None


def retention_finding(
    card: Scorecard, metric: Metric, variant: Variant, weekly: Sequence[TrajectoryRow]
) -> str:  # fmt: skip
    """Both shares in the last week that all can be read of: no claim, for single weeks are not tested."""
    known = [row for row in weekly if row.control_mean is not None and row.treatment_mean is not None]
    if not known:
        return "Active units"
    last = known[-1]
    shares = [formatting.percent(mean, signed=False) for mean in (last.treatment_mean, last.control_mean)]
    return f"Active in week {last.week}: {shares[0]} of {variant.key}, {shares[1]} of {card.plan.control.key}"


def _curves(
    card: Scorecard,
    metric: Metric,
    variant: Variant,
    row: SurvivalComparisonRow,
    control: list[SurvivalRow],
    treatment: list[SurvivalRow],
) -> Figure | None:
    if not control or not treatment:
        return None
    assert metric.event is not None
    title = f"{label(metric.key)}: share of units {without(metric.event)}"
    spec = survival.curves_spec(control, treatment, row.tau, title)
    return figure(card, "survival", metric.key, variant.key, title, {"curves": spec})


def _difference(card: Scorecard, metric: Metric, variant: Variant, row: SurvivalComparisonRow) -> Figure | None:
    if not row.survival_difference:
        return None
    last = row.survival_difference[-1]
    if last.week != len(row.survival_difference):  # a look of an earlier version has a few weeks only
        return None
    told = f"{formatting.points(last.difference)} points after {last.week} weeks"
    title = f"{label(metric.key)}: {variant.key} less {card.plan.control.key}, {told}"
    spec = survival.difference_spec(metric, row.survival_difference, row.tau, title)
    return figure(card, "difference", metric.key, variant.key, title, {"difference": spec})


def _at_risk(
    card: Scorecard,
    variant: Variant,
    row: SurvivalComparisonRow,
    control: list[SurvivalRow],
    treatment: list[SurvivalRow],
) -> tuple[tuple[str, tuple[int | None, ...]], ...]:
    """Units at risk at the weeks that the axis names; at week 0 these are all units followed."""
    weeks = [max(1, week) for week in survival.weeks_shown(row.tau)]
    found = []
    for key, curve in ((card.plan.control.key, control), (variant.key, treatment)):
        by_week = {one.week: one.at_risk for one in curve}
        found.append((key, tuple(by_week.get(week) for week in weeks)))
    return tuple(found)


def _numbers(
    control: list[SurvivalRow], treatment: list[SurvivalRow], row: SurvivalComparisonRow
) -> tuple[WeekRow, ...]:  # fmt: skip
    sides = [{one.week: one for one in curve} for curve in (control, treatment)]
    differences = {one.week: one for one in row.survival_difference}
    weeks = sorted({*sides[0], *sides[1]})
    return tuple(WeekRow(week, sides[0].get(week), sides[1].get(week), differences.get(week)) for week in weeks)


def _hazards(row: SurvivalComparisonRow) -> tuple[tuple[HazardRow, ...], float]:
    """All weeks together, each period, and beside covariates, with bars on one scale."""
    whole = HazardPeriod(0, row.horizon_week or row.tau, row.hazard_ratio, row.hazard_ratio_low, row.hazard_ratio_high,
                         row.hazard_p_value)  # fmt: skip
    told = [("All weeks", whole, "")]
    if len(row.periods) > 1:
        told += [(_weeks(one), one, "") for one in row.periods]
    if row.adjusted_hazard is not None:
        fit = row.adjusted_hazard
        beside = HazardPeriod(0, whole.end_week, fit.hazard_ratio, fit.low, fit.high, fit.p_value)
        note = f"{formatting.count(fit.units)} units"
        note += f", {formatting.count(fit.left_out)} left out" if fit.left_out else ""
        told.append(("Beside covariates", beside, note))
    limit = ratio_limit((one.low, one.high) for _, one, _ in told)
    return tuple(
        HazardRow(name, one.hazard_ratio, one.low, one.high, one.p_value,
                  ratio_bar(one.hazard_ratio, one.low, one.high, limit), note)
        for name, one, note in told
    ), limit  # fmt: skip


def _weeks(period: HazardPeriod) -> str:
    last = period.end_week - 1
    return f"Week {last}" if period.start_week == last else f"Weeks {period.start_week}-{last}"
