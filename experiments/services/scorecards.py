"""The one serializer of scorecards: JSON as outsiders read it, and a flat CSV of its effects. Django-free.

Floats are not rounded. A field without a value is null, never NaN, and the row's ``reason`` says why; ``term``,
``segment``, ``margin``, ``verdict`` and ``turned`` are null where they do not apply.
"""

import csv
import io
import math
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

from analysis.results import (
    CheckRow,
    ConflictRow,
    EffectRow,
    HeterogeneityRow,
    HoldoutRow,
    OecRow,
    RecommendationRow,
    ReversalRow,
    RollbackRow,
    Scorecard,
    SurvivalComparisonRow,
    SurvivalRow,
    TrajectoryRow,
)

VERSION = 1

#: Added to the reason of a row in which a number was undefined although its estimate claims to be there.
NOT_FINITE = "a value that is not a finite number is null"
#: The reason of a row that has a null and brings no reason of its own.
NOT_ESTIMABLE = "the fields that are null cannot be estimated from these data"

_COMPARED = ("n_control", "n_treatment", "control_mean", "treatment_mean")
_TRAJECTORY = (
    "metric", "variant", "kind", "week", *_COMPARED, "effect", "effect_se",
    "lift", "lift_low", "lift_high", "band_low", "band_high", "readable_from", "state",
)  # fmt: skip
_REVERSAL = (
    "metric", "variant", "state", "p_value", "p_value_adjusted", "late_loss_probability",
    "early_effect", "late_effect", "contrast", "contrast_se", "contrast_p_value",
    "early_lift", "late_lift", "lift_contrast", "lift_contrast_low", "lift_contrast_high", "lift_contrast_p_value",
)  # fmt: skip
_TURNED = ("start_week", "end_week", "lift", "p_value", "first_seen")
_LATE = ("late_start_week", "late_end_week", "first_seen")
_POINT = ("week", "at_risk", "events", "censored", "survival", "low", "high")
_SURVIVAL = (
    "metric", "variant", "tau", "horizon_week", "decides",
    "rmst_control", "rmst_treatment", "rmst_difference", "rmst_se", "rmst_p_value",
)  # fmt: skip
_HAZARDS = (
    "logrank_chi2", "logrank_p_value", "hazard_ratio", "hazard_ratio_low", "hazard_ratio_high", "hazard_p_value",
)  # fmt: skip
_DIFFERENCE = ("week", "difference", "low", "high")
_PERIOD = ("start_week", "end_week", "hazard_ratio", "low", "high", "p_value")
_ADJUSTED = ("hazard_ratio", "low", "high", "p_value", "units", "left_out")
_SURVIVAL_SEQUENTIAL = (
    "look", "looks", "critical", "rmst_low", "rmst_high", "lift_low", "lift_high", "significant",
)  # fmt: skip
_SURVIVAL_MORE = (
    "role", "term", "n_control", "n_treatment", "events_control", "events_treatment", "rmst_low", "rmst_high",
    "rmst_lift", "rmst_lift_low", "rmst_lift_high", "p_value_adjusted", "median_control", "median_treatment",
    "censored_control", "censored_treatment", "censoring_p_value", "gap_weeks", "gap_advised",
)  # fmt: skip
_CONFLICT = (
    "variant", "short_metric", "long_metric", "state", "p_value", "p_value_adjusted", "readable_from", "first_seen",
)  # fmt: skip
_HETEROGENEITY = ("metric", "variant", "window", "segment", "values", "p_value", "p_value_adjusted")
_ROLLBACK = (
    "metric", "variant", "window", "below", "met", "start_week", "end_week", "lift", "lift_high", "distance",
)  # fmt: skip
_EFFECT = (
    "metric", "role", "term", "variant", "segment", "window", "start_week", "end_week", *_COMPARED,
    "adjusted", "effect", "effect_se", "effect_low", "effect_high", "p_value", "p_value_adjusted",
    "lift", "lift_low", "lift_high",
)  # fmt: skip
_HOLDOUT = (
    "metric", "role", "kind", "start_week", "end_week", *_COMPARED, "adjusted", "effect", "effect_se", "effect_low",
    "effect_high", "p_value", "p_value_adjusted", "lift", "lift_low", "lift_high", "band_low", "band_high",
)  # fmt: skip
_SEQUENTIAL = (
    "look", "looks", "critical", "effect_low", "effect_high", "lift_low", "lift_high", "significant",
)  # fmt: skip
_AFTER_SEQUENTIAL = ("margin", "verdict", "readable_from", "state")
CSV_COLUMNS = (
    "key", "as_of", *_EFFECT, "unadjusted_effect", "unadjusted_effect_se",
    *(f"sequential_{name}" for name in _SEQUENTIAL), *_AFTER_SEQUENTIAL, "reason",
)  # fmt: skip

#: Characters with which a spreadsheet begins a formula (tab and carriage return are skipped by some).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def to_json(scorecard: Scorecard) -> dict[str, Any]:
    """Return a scorecard as plain JSON values, every key of the public format present."""
    plan = scorecard.plan
    return {
        "version": VERSION,
        "key": plan.key,
        "kind": plan.kind,
        "as_of": scorecard.as_of.isoformat(),
        "plan": plan.digest,
        "data": {
            "first": plain(scorecard.first_fact),
            "last": plain(scorecard.last_fact),
            "rows": scorecard.fact_rows,
        },
        "look": {"number": scorecard.look, "planned": scorecard.planned_looks},
        "units": dict(scorecard.units),
        "excluded": dict(scorecard.excluded),
        "checks": [_check(row) for row in scorecard.checks],
        "effects": [_effect(row) for row in scorecard.effects],
        "trajectory": [_trajectory(row) for row in scorecard.trajectory],
        "survival": _curves(scorecard.survival),
        "survival_comparison": [_comparison(row) for row in scorecard.survival_comparisons],
        "reversals": [_reversal(row) for row in scorecard.reversals],
        "conflicts": [_conflict(row) for row in scorecard.conflicts],
        "oec": [_oec(row) for row in scorecard.oec],
        "heterogeneity": [_heterogeneity(row) for row in scorecard.heterogeneity],
        "rollback": [_rollback(row) for row in scorecard.rollback],
        "recommendation": [_recommendation(row) for row in scorecard.recommendations],
    }


def to_csv(scorecard: Scorecard) -> str:
    """Return the effects as CSV: one row an effect, nested fields as columns (``sequential_look``).

    Text that a spreadsheet would run as a formula is quoted with an apostrophe.
    """
    head = {"key": scorecard.plan.key, "as_of": scorecard.as_of.isoformat()}
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in scorecard.effects:
        writer.writerow({name: cell(value) for name, value in _flat({**head, **_effect(row)}).items()})
    return out.getvalue()


def _check(row: CheckRow) -> dict[str, Any]:
    return {"check": row.check, "state": row.state, "p_value": plain(row.p_value), "detail": row.detail}


def _effect(row: EffectRow) -> dict[str, Any]:
    told = {
        **_fields(row, _EFFECT),
        "unadjusted": {"effect": plain(row.unadjusted_effect), "effect_se": plain(row.unadjusted_se)},
        "sequential": _nested(row, "sequential", _SEQUENTIAL, present=row.sequential_look is not None),
        **_fields(row, _AFTER_SEQUENTIAL),
    }
    return {**told, "reason": _reason(row, row.reason, told, {"term", "segment", "margin", "verdict"})}


def _trajectory(row: TrajectoryRow) -> dict[str, Any]:
    told = _fields(row, _TRAJECTORY)
    return {**told, "reason": _reason(row, row.reason, told)}


def holdout_row(row: HoldoutRow) -> dict[str, Any]:
    """Return an effect of a holdout by calendar week as plain JSON values."""
    told = {
        **_fields(row, _HOLDOUT),
        "unadjusted": {"effect": plain(row.unadjusted_effect), "effect_se": plain(row.unadjusted_se)},
        "sequential": _nested(row, "sequential", _SEQUENTIAL, present=row.sequential_look is not None),
        **_fields(row, _AFTER_SEQUENTIAL),
    }
    # Bands belong to single weeks, claims to the looks that read more than one.
    elsewhere = {"sequential", "p_value_adjusted"} if row.kind == "weekly" else {"band_low", "band_high"}
    not_of_it = {f"sequential_{name}" for name in _SEQUENTIAL} if row.kind == "weekly" else set()
    return {**told, "reason": _reason(row, row.reason, told, {"margin", "verdict", *elsewhere, *not_of_it})}


def _curves(rows: Sequence[SurvivalRow]) -> list[dict[str, Any]]:
    """One object a metric and variant, with the points of its curve in order."""
    curves: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        curves.setdefault((row.metric, row.variant), []).append(_fields(row, _POINT))
    return [
        {"metric": metric, "variant": variant, "curve": points} for (metric, variant), points in curves.items()
    ]  # fmt: skip


def _comparison(row: SurvivalComparisonRow) -> dict[str, Any]:
    adjusted = row.adjusted_hazard
    told = {
        **_fields(row, _SURVIVAL),
        "survival_difference": [_fields(one, _DIFFERENCE) for one in row.named_differences],
        **_fields(row, _HAZARDS),
        "periods": [_fields(one, _PERIOD) for one in row.periods],
        "proportional_p_value": plain(row.proportional_p_value),
        "adjusted_hazard": None if adjusted is None else _fields(adjusted, _ADJUSTED),
        **_fields(row, ("margin", "verdict", "returned_share", "readable_from", "state")),
    }
    reason = _reason(row, row.reason, told, {"adjusted_hazard", "margin", "verdict", "returned_share"})
    # The keys after the reason were added to the format later.
    return {
        **told, "reason": reason,
        "sequential": _nested(row, "sequential", _SURVIVAL_SEQUENTIAL, present=row.sequential_look is not None),
        **_fields(row, _SURVIVAL_MORE),
        "difference_curve": [_fields(one, _DIFFERENCE) for one in row.survival_difference],
    }  # fmt: skip


def _reversal(row: ReversalRow) -> dict[str, Any]:
    told = {
        **_fields(row, _REVERSAL),
        "turned": _nested(row, "turned", _TURNED, present=row.turned_start_week is not None),
        **_fields(row, ("n_control", "n_treatment", "readable_from")),
    }
    # The keys after the reason were added to the format later.
    return {**told, "reason": _reason(row, row.reason, told, {"turned"}), **_fields(row, _LATE)}


def _conflict(row: ConflictRow) -> dict[str, Any]:
    told = _fields(row, _CONFLICT)
    return {**told, "reason": _reason(row, row.reason, told, {"first_seen"})}


def _oec(row: OecRow) -> dict[str, Any]:
    told = _fields(row, ("variant", "value", "se", "low", "high"))
    flips = [{"metric": flip.metric, "weight": plain(flip.weight)} for flip in row.flips]
    return {**told, "flips": flips, "dominated_by": list(row.dominated_by), "reason": _reason(row, row.reason, told)}


def _heterogeneity(row: HeterogeneityRow) -> dict[str, Any]:
    told = _fields(row, _HETEROGENEITY)
    return {**told, "reason": _reason(row, row.reason, told)}


def _rollback(row: RollbackRow) -> dict[str, Any]:
    told = _fields(row, _ROLLBACK)
    return {**told, "reason": _reason(row, row.reason, told)}


def _recommendation(row: RecommendationRow) -> dict[str, Any]:
    return {
        "variant": row.variant,
        "action": row.action,
        "reasons": list(row.reasons),
        "changes_on": plain(row.changes_on),
    }


def _nested(row: object, name: str, names: tuple[str, ...], *, present: bool) -> dict[str, Any] | None:
    """The fields that begin with ``name`` as an object of their own, None where there is nothing to tell."""
    return {field: plain(getattr(row, f"{name}_{field}")) for field in names} if present else None


def _reason(row: object, own: str | None, told: Mapping[str, Any], may_not_apply: Collection[str] = ()) -> str | None:
    """Say why fields of ``told`` are null; those in ``may_not_apply`` need no reason."""
    broken = any(isinstance(value, float) and not math.isfinite(value) for value in vars(row).values())
    reason = "; ".join(part for part in (own, NOT_FINITE if broken else None) if part)
    missing = any(value is None and name not in may_not_apply for name, value in _flat(told).items())
    return reason or (NOT_ESTIMABLE if missing else None)


def _fields(row: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: plain(getattr(row, name)) for name in names}


def plain(value: Any) -> Any:
    """A value as JSON has it: null for a number that is not finite, days as text."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value.isoformat() if isinstance(value, date) else value


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Nested fields as fields of the row (``sequential_look``), the columns of CSV."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name == "sequential":
            flat.update({f"sequential_{field}": (value or {}).get(field) for field in _SEQUENTIAL})
        elif isinstance(value, Mapping):
            flat.update({f"{name}_{field}": inner for field, inner in value.items()})
        else:
            flat[name] = value
    return flat


def cell(value: Any) -> str:
    """A plain value as a cell of CSV."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # One row an effect: line breaks and other control characters become spaces.
        plain = "".join(letter if letter.isprintable() else " " for letter in value)
        return f"'{plain}" if value.startswith(_FORMULA) else plain
    return repr(value)
