"""What an experiment can find before it starts: its plan, on the history of its own source. Django-free.

The history is read in the same steps as a look. By default it is the past of the facts, and exposures need not be
there; of a running experiment it can be the control's.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

from analysis import history, holdout_power, power, windows
from analysis.event_power import lives_of
from analysis.history import History
from analysis.plan import Plan
from analysis.planned import HistoryKind, Planned, PlannedHistory
from analysis.triangle import Triangle
from experiments.definitions import Catalog, Definition
from experiments.services.analyze import OnStep, day_after_data, load_with_files, read_triangle
from experiments.sources.base import HistoryTooShort
from experiments.sources.registry import open_history, open_source

VERSION = 1

#: More units a week than there are people is a slip of the pen.
MOST_UNITS = 10_000_000_000

#: What may help where the facts have too short a past.
_ADVICE = (
    "Load older facts, plan a later start (--start-date) or fewer pre_weeks, or, of a running experiment, plan on its "
    "own control (--history control)"
)


class CannotPlan(Exception):
    """Something that was asked for and cannot be planned. The message names the file, the value and what is allowed."""


def plan(
    path: Path, today: Callable[[Plan], date], *, start_date: date | None = None,
    wanted: Mapping[str, float] | None = None, units_per_week: float | None = None, kind: HistoryKind = "facts",
    on_step: OnStep = lambda done, steps, words: None, catalog: Catalog | None = None,
) -> Planned:  # fmt: skip
    """Plan the experiment or holdout of a definition file.

    Args:
        today: gives the current day in a plan's time zone: later days in the data are refused.
        start_date: takes the place of the definition's.
        wanted: lifts to be found, as fractions above 0 and up to 1, by metric key.
        units_per_week: units of all variants exposed in a week of enrollment; as many as in the history if not given.
        kind: the history, see ``PlannedHistory``.
        catalog: where metrics that are named by `use:` are looked up.

    Raises DefinitionProblem, SourceProblem, CannotAnalyze, CannotPlan.
    """
    definition = load_with_files(path, "plan", catalog)
    planned = started(definition, start_date)
    lifts = dict(wanted or {})
    _check_wanted(definition, lifts)
    if units_per_week is not None and not 0 < units_per_week <= MOST_UNITS:
        raise CannotPlan(f"units a week are a number above 0 and up to {MOST_UNITS:,}, not {units_per_week}")
    on_step(0, 4, "checking files and columns")
    return plan_on(
        read_history(definition, planned, today, kind, on_step), planned, wanted=lifts, units_per_week=units_per_week,
        kind=kind,
    )  # fmt: skip


def read_history(
    definition: Definition, planned: Plan, today: Callable[[Plan], date], kind: HistoryKind = "facts",
    on_step: OnStep = lambda done, steps, words: None,
) -> History:  # fmt: skip
    """Read the past that ``planned`` rests on, see ``plan``. Raises SourceProblem, CannotAnalyze, CannotPlan."""
    read = _read_past if kind == "facts" else _read_control
    found = history.history_of(read(definition, planned, today, on_step))
    if not found.weeks:
        read_of, as_of = found.triangle.plan, found.triangle.as_of
        first = windows.first_readable(read_of, 1)
        raise CannotPlan(f"{definition.file}: as of {as_of} no unit has lived a week; the first ones have on {first}")
    return found


def plan_on(
    found: History, planned: Plan, *, wanted: Mapping[str, float] | None = None, units_per_week: float | None = None,
    kind: HistoryKind = "facts",
) -> Planned:  # fmt: skip
    """Plan on a history that was read for a plan of the same weeks and weekly values, see ``plan``."""
    share = _share(planned) if kind == "facts" else 1.0
    rate = found.units_per_week * share if units_per_week is None else units_per_week
    lives = {event: lives_of(found.triangle, event) for event in planned.events}
    known = {event: one for event, one in lives.items() if one is not None}
    result = power.plan_power(planned, found.moments, rate, found.weeks, wanted or {}, known)
    until_end = holdout_power.until_end(found, planned, rate) if planned.kind == "holdout" else ()
    return replace(
        result, history=_told(found, kind), until_end=until_end,
        warnings=(*result.warnings, *_caveats(found, share, units_per_week)),
    )  # fmt: skip


def started(definition: Definition, start_date: date | None) -> Plan:
    """Return the plan with its start moved. Raises CannotPlan for a start that is not before the planned end."""
    found = replace(definition.plan, start_date=start_date or definition.plan.start_date)
    end = found.planned_end_date
    if end is not None and found.start_date >= end:
        raise CannotPlan(f"{definition.file}: start_date {found.start_date} is not before planned_end_date {end}")
    try:
        windows.fully_readable(found, found.horizon_weeks)
    except OverflowError as error:
        raise CannotPlan(
            f"{definition.file}: start_date {found.start_date} is too late: the calendar ends before the horizon does"
        ) from error
    return found


def _check_wanted(definition: Definition, wanted: Mapping[str, float]) -> None:
    metrics = {metric.key: metric for metric in definition.plan.metrics}
    for key, lift in wanted.items():
        where = f"{definition.file}: wanted {key}={lift:g}"
        if key not in metrics:
            raise CannotPlan(f"{where}: `{key}` is not one of the metrics {', '.join(metrics)}")
        margin = metrics[key].margin
        if margin is not None:
            raise CannotPlan(f"{where}: `{key}` is a guardrail, which is planned for its margin {margin:g}")
        if not 0 < lift <= 1:
            raise CannotPlan(f"{where}: a wanted lift is a fraction above 0 and up to 1, such as 0.02 for 2 %")


def _read_past(
    definition: Definition, planned: Plan, today: Callable[[Plan], date], on_step: OnStep
) -> Triangle:  # fmt: skip
    with open_history(definition.source, today(planned)) as source:
        try:
            past = source.enroll(planned)
        except HistoryTooShort as problem:
            raise CannotPlan(f"{problem}. {_ADVICE}") from problem
        found = source.inspect(past.plan)
        return read_triangle(source, past.plan, past.as_of, found.partitions, on_step)


def _read_control(
    definition: Definition, planned: Plan, today: Callable[[Plan], date], on_step: OnStep
) -> Triangle:  # fmt: skip
    """Read the experiment as it stands, under its own start date whatever date is planned."""
    running = definition.plan
    with open_source(definition.source, today(running)) as source:
        found = source.inspect(running)
        return read_triangle(source, running, day_after_data(definition, found.last), found.partitions, on_step)


def _share(plan: Plan) -> float:
    """The share of all units that the experiment takes (``share`` of its definition)."""
    return float(plan.extra.get("share") or 1.0)


def _told(found: History, kind: HistoryKind) -> PlannedHistory:
    plan = found.triangle.plan
    return PlannedHistory(
        kind, plan.start_date, found.triangle.as_of, found.moments.n, found.weeks, found.enrolled
    )  # fmt: skip


def _caveats(found: History, share: float, given: float | None) -> tuple[str, ...]:
    told = history.caveats(found)
    if share < 1 and given is None:
        told = (f"the definition's share {share:g} of the units in the history is planned for", *told)
    return told


def to_json(planned: Planned) -> dict[str, Any]:
    """Return a plan as plain JSON values, every key always there. Floats are not rounded."""
    plan = planned.plan
    told: dict[str, Any] = _plain({
        "version": VERSION,
        "key": plan.key,
        "kind": plan.kind,
        "plan": plan.digest,
        "start_date": plan.start_date,
        "planned_end_date": plan.planned_end_date,
        "enrollment_weeks": plan.enrollment_weeks,
        "horizon_weeks": plan.horizon_weeks,
        "units_per_week": planned.units_per_week,
        "units": planned.units,
        "variant": planned.variant,
        "history": None if planned.history is None else asdict(planned.history),
        "dates": asdict(planned.dates),
        "metrics": [asdict(row) for row in planned.rows],
        "reversals": [asdict(row) for row in planned.reversals],
        "events": [asdict(row) for row in planned.events],
        "holdouts": [asdict(row) for row in planned.holdouts],
        "until_end": [asdict(row) for row in planned.until_end],
        "warnings": planned.warnings,
    })  # fmt: skip
    return told


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value
