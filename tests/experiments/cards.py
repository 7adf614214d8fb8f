"""Scorecards made by hand for tests of pages, charts and tables. The figures are invented but agree with each other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta

from analysis.plan import Metric, Plan, Role, Variant, Window
from analysis.results import (
    CheckRow,
    ConflictRow,
    EffectRow,
    Flip,
    OecRow,
    RecommendationRow,
    ReversalRow,
    RollbackRow,
    Scorecard,
    TrajectoryKind,
    TrajectoryRow,
    Verdict,
)

START = date(2017, 5, 29)
AS_OF = date(2017, 12, 31)
CONTROL, TREATMENT = 19911, 20089
Z = 1.96

#: The critical value over all looks: that of two tests (Bonferroni), so an adjusted p value is twice the plain one.
Z_LOOKS = 2.2414
#: The critical value of a band over all weeks.
Z_BAND = 2.9

EXCLUDED = {
    "exposed_before_start": 0,
    "exposed_after_enrollment": 0,
    "two_variants": 0,
    "unknown_variant": 0,
    "facts_of_unknown_units": 0,
    "facts_before_pre_period": 0,
    "nulls": 0,
}

LINES = Metric("lines", "mean", "higher", "primary", "short", column="lines", weight=0.4)
ACTIVE = Metric("active", "active", "higher", "primary", "long", column="lines", weight=0.6)
SALES = Metric("sales", "mean", "higher", "secondary", "long", column="sales")
HEAD_SHARE = Metric(
    "head_share", "ratio", "lower", "guardrail", numerator="head_lines", denominator="lines", margin=0.05
)
BASKET = Metric("basket_size", "ratio", "higher", "diagnostic", numerator="lines", denominator="baskets")

PLAN = Plan(
    key="honeymoon",
    name="Engagement-first ranker",
    hypothesis="Showing more head items lifts weekly lines without costing retention.",
    owner="owner@example.com",
    unit="household",
    variants=(Variant("control", 0.5, control=True), Variant("treatment", 0.5)),
    metrics=(LINES, ACTIVE, SALES, HEAD_SHARE, BASKET),
    windows=(Window("early", 0, 4), Window("late", 13, 26)),
    start_date=START,
    enrollment_weeks=4,
    horizon_weeks=26,
    pre_weeks=8,
)

#: Early lift, lift at the horizon, control mean, standard error of a week's lift.
COURSES: Mapping[str, tuple[float, float, float, float]] = {
    "lines": (0.033, -0.098, 15.7, 0.006),
    "active": (0.001, -0.081, 0.431, 0.005),
    "sales": (0.029, -0.088, 44.1, 0.009),
    "head_share": (0.027, 0.026, 0.148, 0.004),
    "basket_size": (0.001, -0.001, 6.2, 0.004),
}
FLAT = {key: (0.0015, -0.001, mean, se) for key, (_, _, mean, se) in COURSES.items()}


def honeymoon(as_of: date = AS_OF) -> Scorecard:
    """Early win, later loss; before the late window is mature its cells are not yet readable."""
    card = scorecard(PLAN, COURSES, as_of)
    late_known = next(row for row in card.effects if row.window == "late").state == "ok"
    card = replace(card, reversals=tuple(_reversal(metric, card, late_known) for metric in PLAN.metrics))
    conflicts = tuple(_conflict(LINES, metric, card, late_known) for metric in (ACTIVE, HEAD_SHARE))
    return replace(
        card,
        conflicts=conflicts,
        oec=(_oec(card, late_known),),
        rollback=tuple(_rollback(metric, card, late_known) for metric in (LINES, ACTIVE)),
        recommendations=(_recommendation(late_known),),
    )


def placebo() -> Scorecard:
    """Nothing happens, and nothing is seen."""
    plan = replace(PLAN, key="placebo", name="Placebo", hypothesis="Both variants are the same.")
    return scorecard(plan, FLAT, AS_OF)


def not_yet() -> Scorecard:
    """A look before the first cohort has lived a week."""
    card = scorecard(PLAN, COURSES, START + timedelta(days=7))
    reversals = (_reversal(LINES, card, late_known=False),)
    return replace(card, reversals=reversals, units={"control": 5010, "treatment": 4990})


def srm_alarm() -> Scorecard:
    """The split is not the designed one, and units were left out."""
    check = CheckRow(check="srm", state="alarm", p_value=2e-9, detail="20911 and 19089 units at designed 50:50")
    card = honeymoon()
    return replace(
        card,
        checks=(check, *card.checks[1:]),
        units={"control": 20911, "treatment": 19089},
        excluded=EXCLUDED | {"two_variants": 1204, "nulls": 3},
    )


def scorecard(plan: Plan, courses: Mapping[str, tuple[float, float, float, float]], as_of: date) -> Scorecard:
    effects = [_effect(plan, metric, window, courses, as_of) for metric in plan.metrics for window in plan.windows]
    trajectory = [row for metric in plan.metrics for row in _trajectory(plan, metric, courses, as_of)]
    return Scorecard(
        plan=plan,
        as_of=as_of,
        look=(as_of - plan.start_date).days // 7,
        planned_looks=30,
        first_fact=date(2017, 4, 3),
        last_fact=as_of - timedelta(days=1),
        fact_rows=1534964,
        units={"control": CONTROL, "treatment": TREATMENT},
        excluded=EXCLUDED,
        checks=(
            CheckRow(check="srm", state="ok", p_value=0.37, detail="19911 and 20089 units at designed 50:50"),
            CheckRow(check="attrition", state="unknown", detail="the source has no left_at column"),
        ),
        effects=tuple(effects),
        trajectory=tuple(trajectory),
        reversals=(),
    )


def readable_from(plan: Plan, weeks: int) -> date:
    """The day on which every cohort has lived so many weeks."""
    return plan.start_date + timedelta(days=7 * (plan.enrollment_weeks + weeks))


def weekly_lift(course: tuple[float, float, float, float], week: int, horizon_weeks: int = 26) -> float:
    early, last = course[0], course[1]
    fallen = max(0, week - 3) / (horizon_weeks - 4)
    return early + (last - early) * fallen + 0.0015 * math.sin(2.3 * week)


def effect(metric: Metric, window: Window, lift: float, se: float = 0.006, role: Role | None = None) -> EffectRow:
    """A readable effect on one window."""
    return _known_effect(PLAN, metric, window, lift, se, mean=15.7, role=role)


def weekly(lifts: Sequence[float | None], se: float = 0.006, metric: str = "lines") -> tuple[TrajectoryRow, ...]:
    """A weekly trajectory; None is a week that is not mature."""
    return tuple(_point(PLAN, metric, "weekly", week, lift, 15.7, se) for week, lift in enumerate(lifts))


def _effect(
    plan: Plan,
    metric: Metric,
    window: Window,
    courses: Mapping[str, tuple[float, float, float, float]],
    as_of: date,
) -> EffectRow:
    course = courses[metric.key]
    ready = readable_from(plan, window.end_week)
    if as_of < ready:
        return EffectRow(
            metric=metric.key, role=metric.role, term=metric.term, variant="treatment", window=window.name,
            start_week=window.start_week, end_week=window.end_week, readable_from=ready, margin=metric.margin,
            state="not_yet", reason=f"No cohort has lived {window.label} yet.",
        )  # fmt: skip
    weeks = range(window.start_week, window.end_week)
    lift = sum(weekly_lift(course, week) for week in weeks) / window.weeks
    return _known_effect(plan, metric, window, lift, course[3] * 0.85, course[2])


def _known_effect(
    plan: Plan, metric: Metric, window: Window, lift: float, se: float, mean: float, role: Role | None = None
) -> EffectRow:
    return EffectRow(
        metric=metric.key,
        role=role or metric.role,
        term=metric.term,
        variant="treatment",
        window=window.name,
        start_week=window.start_week,
        end_week=window.end_week,
        readable_from=readable_from(plan, window.end_week),
        n_control=CONTROL,
        n_treatment=TREATMENT,
        control_mean=mean,
        treatment_mean=mean * (1 + lift),
        adjusted=True,
        effect=mean * lift,
        effect_se=mean * se,
        effect_low=mean * (lift - Z * se),
        effect_high=mean * (lift + Z * se),
        p_value=math.erfc(abs(lift / se) / math.sqrt(2)),
        lift=lift,
        lift_low=lift - Z * se,
        lift_high=lift + Z * se,
        unadjusted_effect=mean * lift * 1.1,
        unadjusted_se=mean * se * 1.6,
        p_value_adjusted=min(1.0, 2 * math.erfc(abs(lift / se) / math.sqrt(2))),
        sequential_look=plan.enrollment_weeks,
        sequential_looks=plan.enrollment_weeks,
        sequential_critical=Z_LOOKS,
        sequential_effect_low=mean * (lift - Z_LOOKS * se),
        sequential_effect_high=mean * (lift + Z_LOOKS * se),
        sequential_lift_low=lift - Z_LOOKS * se,
        sequential_lift_high=lift + Z_LOOKS * se,
        sequential_significant=abs(lift) > Z_LOOKS * se,
        margin=metric.margin,
        verdict=_verdict(metric, window, lift, Z_LOOKS * se),
    )


def _verdict(metric: Metric, window: Window, lift: float, half: float) -> Verdict | None:
    """That of a guardrail in the window that decides."""
    if metric.margin is None or window.name != metric.deciding_window:
        return None
    signed = metric.sign * lift
    if signed - half > -metric.margin:
        return "superior" if signed - half > 0 else "non_inferior"
    return "inferior" if signed + half < -metric.margin else "undecided"


def _trajectory(
    plan: Plan, metric: Metric, courses: Mapping[str, tuple[float, float, float, float]], as_of: date
) -> list[TrajectoryRow]:
    course = courses[metric.key]
    rows = []
    total = 0.0
    for week in range(plan.horizon_weeks):
        mature = as_of >= readable_from(plan, week + 1)
        lift = weekly_lift(course, week, plan.horizon_weeks)
        total += lift
        se = course[3] * (1 + week / 40)
        rows.append(_point(plan, metric.key, "weekly", week, lift if mature else None, course[2], se))
        average = total / (week + 1) if mature else None
        rows.append(_point(plan, metric.key, "cumulative", week, average, course[2], se * 0.7))
    return rows


def _point(
    plan: Plan, metric: str, kind: TrajectoryKind, week: int, lift: float | None, mean: float, se: float
) -> TrajectoryRow:
    ready = readable_from(plan, week + 1)
    if lift is None:
        return TrajectoryRow(
            metric=metric, variant="treatment", kind=kind, week=week, readable_from=ready,
            state="not_yet", reason=f"No cohort has lived week {week} yet.",
        )  # fmt: skip
    return TrajectoryRow(
        metric=metric,
        variant="treatment",
        kind=kind,
        week=week,
        readable_from=ready,
        n_control=CONTROL,
        n_treatment=TREATMENT,
        control_mean=mean,
        treatment_mean=mean * (1 + lift),
        adjusted=True,
        effect=mean * lift,
        effect_se=mean * se,
        effect_low=mean * (lift - Z * se),
        effect_high=mean * (lift + Z * se),
        p_value=math.erfc(abs(lift / se) / math.sqrt(2)),
        lift=lift,
        lift_low=lift - Z * se,
        lift_high=lift + Z * se,
        band_low=lift - Z_BAND * se,
        band_high=lift + Z_BAND * se,
    )


def _reversal(metric: Metric, card: Scorecard, late_known: bool) -> ReversalRow:
    ready = readable_from(card.plan, 26)
    if not late_known:
        return ReversalRow(
            metric=metric.key, variant="treatment", state="immature", readable_from=ready,
            reason="The late window is not mature.",
        )  # fmt: skip
    early, late = (_row(card, metric, window) for window in ("early", "late"))
    assert early.lift is not None
    assert late.lift is not None
    assert early.effect is not None
    assert late.effect is not None
    assert early.effect_se is not None
    assert early.control_mean is not None
    contrast = (1 + late.lift) / (1 + early.lift) - 1
    se = 1.3 * early.effect_se / early.control_mean
    flipped = metric.better == "higher" and early.lift > 0.02 and late.lift < -0.02
    row = ReversalRow(
        metric=metric.key,
        variant="treatment",
        state="confirmed" if flipped else "none",
        readable_from=ready,
        n_control=CONTROL,
        n_treatment=TREATMENT,
        p_value=1e-6 if flipped else 0.6,
        p_value_adjusted=5e-6 if flipped else 1.0,
        late_loss_probability=1.0 if flipped else 0.5,
        early_effect=early.effect,
        late_effect=late.effect,
        contrast=late.effect - early.effect,
        contrast_se=1.3 * early.effect_se,
        contrast_p_value=1e-6 if flipped else 0.4,
        early_lift=early.lift,
        late_lift=late.lift,
        lift_contrast=contrast,
        lift_contrast_low=contrast - Z * se,
        lift_contrast_high=contrast + Z * se,
        lift_contrast_p_value=1e-6 if flipped else 0.4,
        late_start_week=13,
        late_end_week=26,
        first_seen=readable_from(card.plan, 20) if flipped else ready,
        reason="Better in weeks 0-3 and worse in weeks 16-19." if flipped else "Not both better early and worse late.",
    )
    return _turned(row, card) if flipped else row


def _turned(row: ReversalRow, card: Scorecard) -> ReversalRow:
    """The reversal as it was seen before the late window."""
    return replace(
        row, turned_start_week=11, turned_end_week=15, turned_lift=-0.02, turned_p_value=1e-4,
        turned_first_seen=readable_from(card.plan, 15),
    )  # fmt: skip


def _row(card: Scorecard, metric: Metric, window: str) -> EffectRow:
    return next(row for row in card.effects if (row.metric, row.window) == (metric.key, window))


def _conflict(short: Metric, long: Metric, card: Scorecard, late_known: bool) -> ConflictRow:
    ready = readable_from(card.plan, 26)
    row = ConflictRow(
        variant="treatment", short_metric=short.key, long_metric=long.key, state="immature", readable_from=ready,
        reason="The late window is not mature.",
    )  # fmt: skip
    if not late_known:
        return row
    late = _row(card, long, "late")
    assert late.lift is not None
    lost = long.sign * late.lift < -0.02
    return replace(
        row,
        state="confirmed" if lost else "none",
        p_value=1e-6 if lost else 0.6,
        p_value_adjusted=5e-6 if lost else 1.0,
        first_seen=readable_from(card.plan, 20) if lost else ready,
        reason=f"{short.key} is better early, and {long.key} is worse late." if lost else "Not both.",
    )


def _oec(card: Scorecard, late_known: bool) -> OecRow:
    """0.4 x the early lift of lines and 0.6 x the late lift of active."""
    if not late_known:
        return OecRow(variant="treatment", reason="active decides in weeks 13-25, which are not mature.")
    lines, active = _row(card, LINES, "early").lift, _row(card, ACTIVE, "late").lift
    assert lines is not None
    assert active is not None
    value = 0.4 * lines + 0.6 * active
    flips = (Flip("lines", active / (active - lines)), Flip("active", lines / (lines - active)))
    return OecRow(
        variant="treatment", value=value, se=0.004, low=value - Z * 0.004, high=value + Z * 0.004, flips=flips
    )


def _rollback(metric: Metric, card: Scorecard, late_known: bool) -> RollbackRow:
    row = RollbackRow(
        metric=metric.key, variant="treatment", window="latest", below=-0.05, met=False,
        reason="No week has been lived by all cohorts yet.",
    )  # fmt: skip
    if not late_known:
        return row
    lift, high = weekly_lift(COURSES[metric.key], 25), weekly_lift(COURSES[metric.key], 25) + 3.3 * 0.009
    return replace(
        row, start_week=25, end_week=26, lift=lift, lift_high=high, distance=lift + 0.05, met=high < -0.05, reason=None
    )


def _recommendation(late_known: bool) -> RecommendationRow:
    if late_known:
        return RecommendationRow(
            variant="treatment",
            action="roll_back",
            reasons=("Early win, later loss on lines.", "active is surely worse in weeks 13-25."),
        )
    ready = readable_from(PLAN, 26)
    reason = f"active in weeks 13-25 is readable from {ready}"
    return RecommendationRow(variant="treatment", action="keep_running", reasons=(reason,), changes_on=ready)
