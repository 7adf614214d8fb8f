"""A look computed from user rows in plain pandas: slow, simple, and independent of the code under test.

It is written from the published rules on data and shares nothing with the sources but the plan's dataclasses. Every
number in it is a column of one row a unit.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from analysis.plan import Metric, Plan, Series, Window
from tests.sources.worlds import World

#: The column of a series that holds its weekly average over the pre-period.
PRE = "pre"


@dataclass(frozen=True, eq=False)
class Look:
    """What user rows say as of a day.

    Attributes:
        rows: one row a counted unit: ``variant``, ``cohort``, and a column (series, week) for each value.
        excluded: what was left out, by reason.
        first, last, fact_rows: days and number of the fact rows that were read, of all units.
        lived: whole weeks each cohort has lived.
    """

    plan: Plan
    rows: pd.DataFrame
    excluded: Mapping[str, int]
    first: date | None
    last: date | None
    fact_rows: int
    lived: Mapping[int, int]

    def mature(self, variant: str, end_week: int) -> pd.DataFrame:
        """The units of a variant in cohorts that have lived every week before ``end_week``."""
        cohorts = [cohort for cohort, weeks in self.lived.items() if weeks >= end_week]
        return self.rows[(self.rows["variant"] == variant) & self.rows["cohort"].isin(cohorts)]


def moment(value: Any, zone: ZoneInfo) -> datetime:
    """A date, a time, or either as ISO text, as a time in the plan's zone (without a zone: it is in it already)."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif isinstance(value, pd.Timestamp):
        value = value.to_pydatetime()
    elif not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return value.astimezone(zone) if value.tzinfo else value.replace(tzinfo=zone)


def _order(value: Any, zone: ZoneInfo) -> float:
    """What exposures are ordered by: the instant, or the time on the clock where times have no zone."""
    found = moment(value, zone)
    aware = getattr(datetime.fromisoformat(value) if isinstance(value, str) else value, "tzinfo", None)
    return found.timestamp() if aware else found.replace(tzinfo=UTC).timestamp()


def _days(values: Iterable[Any], zone: ZoneInfo) -> list[date]:
    return [moment(value, zone).date() for value in values]


def look(world: World, as_of: date) -> Look:
    """Compute everything a look as of a day rests on, one row a unit."""
    plan = world.plan
    end = as_of - timedelta(days=plan.lag_days)
    seen = _first_exposures(world, end)
    facts = _facts(world, end)
    reason = _reasons(plan, seen)
    excluded = {name: int((reason == name).sum()) for name in _UNIT_REASONS}
    known = facts[facts["unit"].isin(seen.index)]
    excluded["facts_of_unknown_units"] = len(facts) - len(known)
    enrolled = known[known["unit"].isin(seen.index[reason.isin(["", "two_variants"])])]
    excluded["facts_before_pre_period"] = int((_weeks(plan, enrolled, seen) < -plan.pre_weeks).sum())
    excluded["nulls"] = int(facts[[_value(column) for column in plan.columns]].isna().to_numpy().sum())
    counted = seen[reason == ""]
    rows = pd.DataFrame({"variant": counted["variant"], "cohort": counted["cohort"]})
    own = known[known["unit"].isin(counted.index)]
    own = own.assign(week=_weeks(plan, own, counted))
    for series in plan.series:
        for week, values in _weekly(plan, series, own, rows.index).items():
            rows[series, week] = values
    days = facts["day"]
    first, last = (days.min(), days.max()) if len(days) else (None, None)
    return Look(plan, rows, excluded, first, last, len(facts), lived(plan, as_of))


_UNIT_REASONS = ("exposed_before_start", "exposed_after_enrollment", "unknown_variant", "two_variants")


def _first_exposures(world: World, end: date) -> pd.DataFrame:
    """One row a unit with an exposure before ``end``: first day and variant, None for an unknown one, and crossed.

    Of variants at the same first instant an unknown one counts as the first; two known ones are two variants.
    """
    zone = ZoneInfo(world.plan.timezone)
    columns = world.columns
    known = {variant.key for variant in world.plan.variants}
    frame = pd.DataFrame({
        "unit": world.exposures[columns.unit].to_numpy(),
        "variant": [found if found in known else None for found in world.exposures[columns.variant]],
        "order": [_order(value, zone) for value in world.exposures[columns.exposed_at]],
        "day": _days(world.exposures[columns.exposed_at], zone),
    })  # fmt: skip
    frame = frame[[day < end for day in frame["day"]]]
    frame = frame.sort_values(["order", "variant"], na_position="first")
    groups = frame.groupby("unit", sort=True)
    seen = groups[["day"]].first()
    seen["variant"] = groups["variant"].agg(lambda found: found.iloc[0])
    seen["crossed"] = groups["variant"].nunique(dropna=False) > 1
    seen["cohort"] = [(day - world.plan.start_date).days // 7 for day in seen["day"]]
    return seen


def _reasons(plan: Plan, seen: pd.DataFrame) -> pd.Series:
    """Why each unit is left out, the first reason that holds; empty for a unit that counts."""

    def reason(unit: Any) -> str:
        if unit.cohort < 0:
            return "exposed_before_start"
        if unit.cohort >= plan.enrollment_weeks:
            return "exposed_after_enrollment"
        if unit.variant is None:
            return "unknown_variant"
        return "two_variants" if unit.crossed else ""

    return pd.Series([reason(unit) for unit in seen.itertuples()], index=seen.index, dtype=object)


def _value(column: str) -> str:
    """A fact column's name here, so that one called ``week`` or ``unit`` is not taken for ours."""
    return f"fact {column}"


def _facts(world: World, end: date) -> pd.DataFrame:
    """The fact rows before ``end``: unit, day, and the metrics' columns as floats with NaN for a null."""
    days = _days(world.facts[world.columns.at], ZoneInfo(world.plan.timezone))
    values = {_value(name): world.facts[name].astype(float).to_numpy() for name in world.plan.columns}
    frame = pd.DataFrame({"unit": world.facts[world.columns.unit].to_numpy(), "day": days})
    frame[list(values)] = np.column_stack(list(values.values()))
    return frame[[day < end for day in days]]


def _weeks(plan: Plan, facts: pd.DataFrame, units: pd.DataFrame) -> np.ndarray:
    """The week since exposure of each fact row, negative before it, on the plan's clock."""
    if plan.clock == "unit":
        exposed = units["day"].reindex(facts["unit"])
        days = [(day - origin).days for day, origin in zip(facts["day"], exposed, strict=True)]
        return np.array(days, dtype=int) // 7
    days = [(day - plan.start_date).days for day in facts["day"]]
    return np.array(days, dtype=int) // 7 - units["cohort"].reindex(facts["unit"]).to_numpy(dtype=int)


def _weekly(plan: Plan, series: Series, facts: pd.DataFrame, units: pd.Index) -> dict[Any, np.ndarray]:
    """The value of every unit in every week, zero without rows, and the average over the pre-period's weeks."""
    if series.kind == "rows":
        value = pd.Series(1.0, index=facts.index)
    elif series.kind == "active":
        value = (facts[_value(series.column)] > 0).astype(float)
    else:
        value = facts[_value(series.column)].fillna(0.0)
    groups = value.groupby([facts["unit"], facts["week"]])
    table = (groups.max() if series.kind == "active" else groups.sum()).unstack("week")
    weeks = range(-plan.pre_weeks, plan.horizon_weeks)
    table = table.reindex(index=units, columns=weeks).fillna(0.0)
    if series.cap is not None:
        table = table.clip(upper=series.cap)
    columns = {week: table[week].to_numpy() for week in range(plan.horizon_weeks)}
    before = table[list(range(-plan.pre_weeks, 0))]
    return {PRE: before.mean(axis=1).to_numpy() if plan.pre_weeks else np.zeros(len(units)), **columns}


def lived(plan: Plan, as_of: date) -> dict[int, int]:
    """Whole weeks each cohort has lived, at most the horizon."""
    end = as_of - timedelta(days=plan.lag_days)
    return {cohort: _lived(plan, cohort, end) for cohort in range(plan.enrollment_weeks)}


def _lived(plan: Plan, cohort: int, end: date) -> int:
    """Weeks from 0 that a cohort has lived whole, at most the horizon."""
    weeks = 0
    last = 13 if plan.clock == "unit" else 7
    while weeks < plan.horizon_weeks and end >= plan.start_date + timedelta(days=7 * (cohort + weeks) + last):
        weeks += 1
    return weeks


@dataclass(frozen=True)
class Estimate:
    """A treatment against control on one window, plain and adjusted (the same where nothing can be adjusted)."""

    n_control: int
    n_treatment: int
    control_mean: float
    treatment_mean: float
    plain_effect: float
    plain_se: float
    adjusted: bool
    effect: float
    effect_se: float
    lift: float


@dataclass(frozen=True)
class Contrast:
    """Late minus early on the same units: as values, and as the log of the ratio of the two ratios of means."""

    n_control: int
    n_treatment: int
    effect: float
    effect_se: float
    log_ratio: float | None
    log_ratio_se: float | None


@dataclass(frozen=True, eq=False)
class _Side:
    """One variant's rows on one window: ``mean`` is the raw estimate, ``y`` varies about it, ``x`` is the covariate."""

    mean: float
    y: np.ndarray
    x: np.ndarray


def effect(found: Look, metric: Metric, variant: str, window: Window) -> Estimate | None:
    """Compare a treatment with control on a window; None below two units in either."""
    frames = [found.mature(key, window.end_week) for key in (found.plan.control.key, variant)]
    if min(len(frame) for frame in frames) < 2:
        return None
    control, treatment = _sides(metric, frames, window)
    plain = math.sqrt(_variance(control.y) / len(control.y) + _variance(treatment.y) / len(treatment.y))
    raw = treatment.mean - control.mean
    adjusted = bool(found.plan.pre_weeks > 0 and min(control.x.std(), treatment.x.std()) > 0)
    moved, se = (raw, plain) if not adjusted else _lin([-1.0, 1.0], [control, treatment])
    base = _moved(control, [control, treatment], adjusted)
    return Estimate(
        len(control.y), len(treatment.y), control.mean, treatment.mean, raw, plain, adjusted, moved, se, moved / base
    )  # fmt: skip


def contrast(found: Look, metric: Metric, variant: str) -> Contrast | None:
    """Compare the late with the early window on the units mature for the late one."""
    early, late = found.plan.window("early"), found.plan.window("late")
    frames = [found.mature(key, late.end_week) for key in (found.plan.control.key, variant)]
    if min(len(frame) for frame in frames) < 2:
        return None
    sides = [*_sides(metric, frames, early), *_sides(metric, frames, late)]
    adjusted = bool(found.plan.pre_weeks > 0 and min(side.x.std() for side in sides) > 0)
    four = [_moved(side, sides, adjusted) for side in sides]
    signs = [1.0, -1.0, -1.0, 1.0]
    value, se = _combined(signs, sides, adjusted)
    log_ratio = log_se = None
    if min(four) > 0 or max(four) < 0:
        log_ratio = math.fsum(sign * math.log(abs(mean)) for sign, mean in zip(signs, four, strict=True))
        gradient = [sign / mean for sign, mean in zip(signs, four, strict=True)]
        log_se = _combined(gradient, sides, adjusted)[1]
    return Contrast(len(frames[0]), len(frames[1]), value, se, log_ratio, log_se)


def _sides(metric: Metric, frames: list[pd.DataFrame], window: Window) -> list[_Side]:
    """Control's and the treatment's rows of a metric on a window, ratios linearized at their raw values."""
    weeks = range(window.start_week, window.end_week)

    def average(frame: pd.DataFrame, series: Series) -> np.ndarray:
        return np.mean([frame[(series, week)].to_numpy() for week in weeks], axis=0)

    if metric.kind != "ratio":
        series = metric.series[0]
        values = [average(frame, series) for frame in frames]
        pairs = zip(values, frames, strict=True)
        return [_Side(float(y.mean()), y, frame[(series, PRE)].to_numpy()) for y, frame in pairs]
    above, below = metric.series
    before = [(frame[(above, PRE)].to_numpy(), frame[(below, PRE)].to_numpy()) for frame in frames]
    total = sum(low.sum() for _, low in before)
    pooled = sum(high.sum() for high, _ in before) / total if total else 0.0
    sides = []
    for frame, (high, low) in zip(frames, before, strict=True):
        numerator, denominator = average(frame, above), average(frame, below)
        ratio = numerator.sum() / denominator.sum()
        sides.append(_Side(float(ratio), (numerator - ratio * denominator) / denominator.mean(), high - pooled * low))
    return sides


def _variance(values: np.ndarray) -> float:
    return float(np.var(values, ddof=1))


def _slope(y: np.ndarray, x: np.ndarray) -> float:
    return float(np.cov(y, x, ddof=1)[0, 1] / _variance(x))


def _moved(side: _Side, sides: list[_Side], adjusted: bool) -> float:
    """A variant's mean, moved along its slope to the covariate's mean over both variants."""
    if not adjusted:
        return side.mean
    center = np.concatenate([sides[0].x, sides[1].x]).mean()
    return side.mean - _slope(side.y, side.x) * float(side.x.mean() - center)


def _lin(signs: list[float], sides: list[_Side]) -> tuple[float, float]:
    """Lin's estimate of the signed sum of the variants' means, and its standard error, from rows."""
    everyone = np.concatenate([side.x for side in sides])
    value = math.fsum(sign * _moved(side, sides, True) for sign, side in zip(signs, sides, strict=True))
    slopes = [_slope(side.y, side.x) for side in sides]
    residual = math.fsum(
        sign**2 * _variance(side.y - slope * side.x) / len(side.y)
        for sign, side, slope in zip(signs, sides, slopes, strict=True)
    )
    slope = math.fsum(sign * slope for sign, slope in zip(signs, slopes, strict=True))
    return value, math.sqrt(residual + slope**2 * _variance(everyone) / len(everyone))


def _combined(weights: list[float], sides: list[_Side], adjusted: bool) -> tuple[float, float]:
    """A weighted sum of four means (control early, treatment early, control late, treatment late), from rows.

    The weights are signed for control early +, treatment early -, control late -, treatment late +.
    """
    control_early, treatment_early, control_late, treatment_late = sides
    control = _joined(weights[0], control_early, weights[2], control_late)
    treatment = _joined(weights[1], treatment_early, weights[3], treatment_late)
    if adjusted:
        return _lin([1.0, 1.0], [control, treatment])
    spread = _variance(control.y) / len(control.y) + _variance(treatment.y) / len(treatment.y)
    return control.mean + treatment.mean, math.sqrt(spread)


def _joined(first: float, early: _Side, second: float, late: _Side) -> _Side:
    return _Side(first * early.mean + second * late.mean, first * early.y + second * late.y, early.x)
