"""A scorecard arranged as its page shows it: banners, health, tables and charts, all from one look."""

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.plan import Metric, Plan, Variant
from analysis.results import (
    ClaimRow,
    ConflictRow,
    EffectRow,
    OecRow,
    RecommendationRow,
    ReversalRow,
    RollbackRow,
    Scorecard,
    SurvivalComparisonRow,
)
from experiments.charts.drawings import ForestBar, forest_bar, forest_limit
from experiments.charts.tones import Tone
from experiments.services.suggest import did_you_mean
from experiments.views.advice import ACTIONS, HEADLINES
from experiments.views.charts_section import Chart, chart_of, charts_of
from experiments.views.estimates import Estimate, of_contrast, of_effect, of_event, of_point
from experiments.views.health import HealthItem, alarms, health_items
from experiments.views.objectives_section import Objectives, objectives_of
from experiments.views.segments_section import Segments, segments_of
from experiments.views.survival_section import SurvivalCard
from experiments.views.survival_section import cards_of as survival_cards

ROLES = {
    "primary": "Primary",
    "guardrail": "Guardrail",
    "secondary": "Secondary",
    "diagnostic": "Diagnostic",
}


@dataclass(frozen=True)
class Advice:
    """What the rule recommends for a treatment, with the objectives and rollback criteria behind it."""

    action: str
    tone: Tone
    row: RecommendationRow
    oec: OecRow | None
    rollback: tuple[RollbackRow, ...]
    conflicts: tuple[ConflictRow, ...]


@dataclass(frozen=True)
class Banner:
    """An early win that is, or is about to be, a later loss: the two windows side by side."""

    headline: str
    metric: str
    row: ReversalRow
    early: Estimate
    late: Estimate
    contrast: Estimate
    units: int


@dataclass(frozen=True)
class TableRow:
    """One metric: an estimate per window, the contrast, and a bar for the window that decides.

    ``means`` is the deciding window too, or another one as long as that is not readable. ``event`` is there for a time
    to event alone, whose estimate stands in the column of the deciding window.
    """

    metric: Metric
    means: EffectRow | None
    estimates: tuple[Estimate, ...]
    contrast: Estimate
    bar: ForestBar | None
    effects: tuple[EffectRow, ...]
    event: SurvivalComparisonRow | None = None

    @property
    def notes(self) -> str:
        metric = self.metric
        parts = [f"{metric.term} term"] if metric.term else []
        parts += ["lower is better"] if metric.better == "lower" else []
        return " · ".join(parts)


@dataclass(frozen=True)
class Group:
    title: str
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class Treatment:
    """Everything about one treatment against control. ``banner`` is the gravest reversal, ``also`` are the others."""

    variant: Variant
    advice: Advice | None
    banner: Banner | None
    also: tuple[Banner, ...]
    groups: tuple[Group, ...]
    limit: float
    charts: tuple[Chart, ...]
    events: tuple[SurvivalCard, ...]


@dataclass(frozen=True)
class Page:
    card: Scorecard
    alarms: tuple[HealthItem, ...]
    health: tuple[HealthItem, ...]
    treatments: tuple[Treatment, ...]
    segments: Segments
    objectives: Objectives

    @property
    def plan(self) -> Plan:
        return self.card.plan

    @property
    def control(self) -> Variant:
        return self.card.plan.control

    @property
    def window_columns(self) -> list[tuple[str, str]]:
        return [(window.name, window.label) for window in self.plan.windows]


def page(card: Scorecard) -> Page:
    """Arrange a scorecard. Segments other than the whole are left to their own section."""
    treatments = tuple(_treatment(card, variant) for variant in card.plan.treatments)
    return Page(
        card=card,
        alarms=alarms(card),
        health=health_items(card),
        treatments=treatments,
        segments=segments_of(card),
        objectives=objectives_of(card),
    )


def chart_alone(card: Scorecard, variant_key: str, metric_key: str) -> Chart:
    """Return one chart, unfolded. Raises LookupError where the plan has no such treatment or windowed metric."""
    variants = {variant.key: variant for variant in card.plan.treatments}
    metrics = {metric.key: metric for metric in card.plan.estimated_metrics}
    if variant_key not in variants:
        raise LookupError(f"there is no treatment `{variant_key}`{did_you_mean(variant_key, list(variants))}")
    if metric_key not in metrics:
        raise LookupError(f"there is no chart of `{metric_key}`{did_you_mean(metric_key, list(metrics))}")
    variant = variants[variant_key]
    found = chart_of(card, metrics[metric_key], variant, _effects(card, variant), unfolded=True)
    if found is None:
        raise LookupError(f"there is nothing to draw of {metric_key}")
    return found


def _effects(card: Scorecard, variant: Variant) -> dict[tuple[str, str], EffectRow]:
    """The effects of a treatment over all segments, by metric and window."""
    rows = (row for row in card.effects if row.variant == variant.key and row.segment is None)
    return {(row.metric, row.window): row for row in rows}


def _treatment(card: Scorecard, variant: Variant) -> Treatment:
    effects = _effects(card, variant)
    reversals = {row.metric: row for row in card.reversals if row.variant == variant.key}
    events = {row.metric: row for row in card.survival_comparisons if row.variant == variant.key}
    deciding: list[tuple[Metric, ClaimRow]] = [
        (metric, row)
        for metric in card.plan.metrics
        if (row := events.get(metric.key) or effects.get((metric.key, metric.deciding_window)))
    ]
    limit = forest_limit(deciding)
    rows = [
        _event_row(card.plan, metric, events[metric.key], reversals.get(metric.key), limit)
        if metric.key in events
        else _row(card.plan, metric, effects, reversals.get(metric.key), limit)
        for metric in card.plan.metrics
    ]
    flagged = _banners(card.plan, reversals, effects)
    return Treatment(
        variant=variant,
        advice=_advice(card, variant.key),
        banner=flagged[0] if flagged else None,
        also=tuple(flagged[1:]),
        groups=tuple(_groups(rows)),
        limit=limit,
        charts=charts_of(card, variant, effects),
        events=survival_cards(card, variant),
    )


def _advice(card: Scorecard, variant: str) -> Advice | None:
    """The recommendation of a look; looks of an earlier version have none."""
    row = next((row for row in card.recommendations if row.variant == variant), None)
    if row is None:
        return None
    action, tone = ACTIONS[row.action]
    return Advice(
        action=action,
        tone=tone,
        row=row,
        oec=next((one for one in card.oec if one.variant == variant), None),
        rollback=tuple(one for one in card.rollback if one.variant == variant),
        conflicts=tuple(one for one in card.conflicts if one.variant == variant and one.state == "confirmed"),
    )


def _groups(rows: list[TableRow]) -> list[Group]:
    groups = [Group(title, tuple(row for row in rows if row.metric.role == role)) for role, title in ROLES.items()]
    return [group for group in groups if group.rows]


def _row(
    plan: Plan,
    metric: Metric,
    effects: Mapping[tuple[str, str], EffectRow],
    reversal: ReversalRow | None,
    limit: float,
) -> TableRow:
    of_metric = tuple(
        effects[metric.key, window.name] for window in plan.windows if (metric.key, window.name) in effects
    )
    deciding = effects.get((metric.key, metric.deciding_window))
    return TableRow(
        metric=metric,
        means=next((row for row in (deciding, *of_metric) if row and row.state == "ok"), None),
        estimates=tuple(of_effect(metric, row) for row in of_metric),
        contrast=of_contrast(metric, reversal),
        bar=forest_bar(metric, deciding, limit) if deciding else None,
        effects=of_metric,
    )


def _event_row(
    plan: Plan, metric: Metric, row: SurvivalComparisonRow, reversal: ReversalRow | None, limit: float
) -> TableRow:
    """Weeks without the event in the deciding window's column; a time to event has no other windows."""
    elsewhere = "not by window"
    return TableRow(
        metric=metric,
        means=None,
        estimates=tuple(
            of_event(metric, window.name, row)
            if window.name == metric.deciding_window
            else Estimate(window.name, missing=elsewhere)
            for window in plan.windows
        ),
        contrast=of_contrast(metric, reversal),
        bar=forest_bar(metric, row, limit),
        effects=(),
        event=row,
    )


def _banners(
    plan: Plan, reversals: Mapping[str, ReversalRow], effects: Mapping[tuple[str, str], EffectRow]
) -> list[Banner]:
    """Primary metrics first, in the plan's order; within a role the more certain state first."""
    states, roles = list(HEADLINES), list(ROLES)
    flagged = [(metric, reversals[metric.key]) for metric in plan.metrics if metric.key in reversals]
    flagged = [(metric, row) for metric, row in flagged if row.state in HEADLINES]
    flagged.sort(key=lambda pair: (roles.index(pair[0].role), states.index(pair[1].state)))
    return [_banner(plan, metric, row, effects) for metric, row in flagged]


def _banner(plan: Plan, metric: Metric, row: ReversalRow, effects: Mapping[tuple[str, str], EffectRow]) -> Banner:
    early, late = plan.window("early"), row.late or plan.window("late")
    of_late = effects.get((metric.key, "late")) if late.weeks == plan.window("late").weeks else None
    return Banner(
        headline=HEADLINES[row.state],
        metric=metric.key,
        row=row,
        early=of_point(metric, early.label, row.early_lift, _same_units(row, effects.get((metric.key, "early")))),
        late=of_point(metric, late.label, row.late_lift, _same_units(row, of_late)),
        contrast=of_contrast(metric, row),
        units=row.n_control + row.n_treatment,
    )


def _same_units(row: ReversalRow, effect: EffectRow | None) -> EffectRow | None:
    """The window's own estimate, if it stands on the very units of the reversal: only then its interval fits."""
    if effect is None or (effect.n_control, effect.n_treatment) != (row.n_control, row.n_treatment):
        return None
    return effect
