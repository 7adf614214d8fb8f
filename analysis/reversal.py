"""Early win, later loss: the formal flag.

Intersection-union test (Berger 1982, Technometrics 24:295): the null is "no early win, or no later loss"; it is
rejected when both one-sided tests reject at alpha / 2. Its level is alpha / 2 whatever the covariance of the two
windows, without splitting alpha. Both windows stand on the same matured units. The test is made once, when every
cohort has lived the late window; before that the numbers seen so far are shown and the state is ``immature``.
"""

from analysis import windows
from analysis.effects import Means, contrast, effect_of, means_of
from analysis.numbers import p_greater
from analysis.plan import Metric
from analysis.results import Comparison, ReversalRow, ReversalState
from analysis.trajectory import unread
from analysis.triangle import Triangle


def reversal(triangle: Triangle, metric: Metric, variant: str) -> ReversalRow:
    """Return the state of the reversal of ``metric`` for a treatment, with both windows and their contrast."""
    plan = triangle.plan
    early, late = plan.window("early"), plan.window("late")
    cohorts = windows.window_cohorts(plan, late, triangle.as_of)
    readable = windows.fully_readable(plan, late.end_week)
    means = means_of(triangle, metric, variant, [early, late], cohorts) if cohorts else None
    if means is None and triangle.as_of >= readable:
        missing = unread(triangle, variant, late.end_week, cohorts)
        return ReversalRow(
            metric=metric.key, variant=variant, state="none", readable_from=readable,
            n_control=missing.n_control, n_treatment=missing.n_treatment, reason=missing.reason,
        )  # fmt: skip
    if means is None:
        reason = f"the late window ({late.label}) is readable from {readable}"
        return ReversalRow(metric=metric.key, variant=variant, state="immature", readable_from=readable, reason=reason)
    legs = effect_of(means, 0), effect_of(means, 1)
    p_value = _intersection_union(metric.sign, *legs)
    state, reason = _state(triangle, metric, means, legs, p_value)
    late_minus_early = contrast(means, 0, 1)
    return ReversalRow(
        metric=metric.key, variant=variant, state=state, readable_from=readable,
        n_control=means.n_control, n_treatment=means.n_treatment, p_value=p_value,
        early_effect=legs[0].effect, late_effect=legs[1].effect,
        contrast=late_minus_early.effect, contrast_se=late_minus_early.effect_se,
        contrast_p_value=late_minus_early.p_value,
        early_lift=legs[0].lift, late_lift=legs[1].lift,
        lift_contrast=late_minus_early.lift, lift_contrast_low=late_minus_early.lift_low,
        lift_contrast_high=late_minus_early.lift_high, lift_contrast_p_value=late_minus_early.lift_p_value,
        reason=reason,
    )  # fmt: skip


def _intersection_union(sign: int, early: Comparison, late: Comparison) -> float | None:
    """The larger of the one-sided p values of "better early" and "worse late"; None where a leg has no test."""
    if early.p_value is None or late.p_value is None:
        return None
    assert early.effect is not None
    assert early.effect_se is not None
    assert late.effect is not None
    assert late.effect_se is not None
    return max(p_greater(sign * early.effect / early.effect_se), p_greater(-sign * late.effect / late.effect_se))


def _state(
    triangle: Triangle, metric: Metric, means: Means, legs: tuple[Comparison, Comparison], p_value: float | None
) -> tuple[ReversalState, str]:
    plan = triangle.plan
    early, late = plan.window("early"), plan.window("late")
    level = plan.decision.alpha / 2
    readable = windows.fully_readable(plan, late.end_week)
    if triangle.as_of < readable:
        return "immature", f"the late window ({late.label}) is readable from {readable}; so far a part of the units"
    if p_value is None:
        return "none", legs[0].reason or legs[1].reason or "a window has no test"
    words = f"one-sided {level:g} each, on the same units"
    if p_value < level:
        return "confirmed", f"better in {early.label} and worse in {late.label} ({words})"
    shrank = contrast(means, 0, 1)
    ends = [end for end in (shrank.lift_low, shrank.lift_high) if end is not None]
    late_loss = legs[1].effect is not None and legs[1].effect_se is not None and (
        p_greater(-metric.sign * legs[1].effect / legs[1].effect_se) < level
    )  # fmt: skip
    # Of negative means (a loss in money) the larger ratio is the worse one.
    sign = metric.sign if means.control[0] > 0 else -metric.sign
    if ends and max(sign * end for end in ends) < 0 and not late_loss:
        return "fading", f"the lift shrank from {early.label} to {late.label}, but is not surely a loss ({words})"
    return "none", f"not both better in {early.label} and worse in {late.label} ({words})"
