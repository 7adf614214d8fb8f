"""A plan's power in the terminal: when it can be read, what it can find, and what finding more would take."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from analysis.plan import Metric, Plan, Window
from analysis.planned import Planned, PlannedReversal, PlannedRow
from experiments import formatting, tables

_BULLET = "  - "


@dataclass(frozen=True)
class _Section:
    """A title, a table (first row: heads), and notes below it."""

    title: str
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Traffic:
    """What applying a plan takes of all units, or why that is not known; neither where it asks for nothing."""

    lines: tuple[str, ...] = ()
    reason: str | None = None


def render(planned: Planned, traffic: Traffic | None = None, *, width: int = tables.DEFAULT_WIDTH) -> str:
    """Return the plan as plain text. Tables are as wide as they are, sentences are wrapped to ``width``."""
    lines = list(_head(planned, width))
    for section in (_traffic(traffic or Traffic()), *_sections(planned)):
        if len(section.rows) > 1 or section.notes:
            lines += ["", section.title]
            lines += tables.aligned(section.rows) if len(section.rows) > 1 else []
            lines += [line for note in section.notes for line in tables.wrapped(note, width, tables.INDENT)]
    if planned.warnings:
        lines += ["", "Take care"]
        lines += [
            line
            for warning in planned.warnings
            for line in tables.wrapped(_sentence(tables.printable(warning)), width, _BULLET)
        ]
    return tables.plain("\n".join(lines)) + "\n"


def _head(planned: Planned, width: int) -> Iterator[str]:
    plan = planned.plan
    yield f"{tables.printable(plan.name)} ({plan.key}): what it can find"
    units = ", ".join(f"{key} {formatting.count(count)}" for key, count in planned.units.items())
    weekly = formatting.count(round(planned.units_per_week))
    weeks = "1 week" if plan.enrollment_weeks == 1 else f"{plan.enrollment_weeks} weeks"
    yield from tables.wrapped(f"From {plan.start_date} on, {weekly} units a week for {weeks}: {units}.", width)
    if len(plan.treatments) > 1:
        yield from tables.wrapped(f"Planned for {planned.variant}, the treatment with the fewest units.", width)
    history = planned.history
    if history is not None:
        whose = "past units by their first fact" if history.kind == "facts" else f"units of {plan.control.key}"
        first, count = formatting.day(history.start_date), formatting.count(history.units)
        yield from tables.wrapped(
            f"Rests on {count} {whose} from {first} on, followed for {history.weeks} weeks.", width
        )


def _sections(planned: Planned) -> Iterator[_Section]:
    yield _dates(planned)
    yield _lifts(planned)
    yield _guardrails(planned)
    yield _reversals(planned)
    yield _events(planned)
    yield _until_end(planned)
    yield _holdouts(planned)


def _traffic(traffic: Traffic) -> _Section:
    reason = () if traffic.reason is None else (_sentence(f"not known: {traffic.reason}"),)
    return _Section("Of all units", [], [*traffic.lines, *reason])


def _dates(planned: Planned) -> _Section:
    plan, when = planned.plan, planned.dates
    rows = [
        ("", "first units", "all units"),
        (_named(plan.window("early")), formatting.day(when.early_from), formatting.day(when.early_all)),
        (_named(plan.window("late")), formatting.day(when.late_from), formatting.day(when.late_all)),
    ]
    first, end = formatting.day(when.first_look), formatting.day(when.end)
    return _Section(
        "Readable from", rows, [f"The first look is on {first}; all {plan.horizon_weeks} weeks are over on {end}."]
    )


def _lifts(planned: Planned) -> _Section:
    plan = planned.plan
    rows = [("metric", "window", "finds", "to find", "takes units", "weeks", "all units from")]
    power = formatting.chance(plan.decision.power)
    finds = f"finds: the smallest lift that some weekly look claims with probability {power}"
    notes = [f"{finds}; to find: what was wanted, or half of that; weeks: of enrollment."]
    for row in planned.rows:
        if row.margin is None:
            sign = _sign(plan, row)
            found, wanted = _lift(sign, row.mde_lift), _lift(sign, row.wanted_lift)
            rows.append((
                row.metric, _span(row), found, wanted, *_needed(row), formatting.day(row.readable_from)
            ))  # fmt: skip
    reasons = _reasons(row for row in planned.rows if row.margin is None)
    return _Section("Smallest lifts", rows, [*notes, *reasons])


def _guardrails(planned: Planned) -> _Section:
    guardrails = [row for row in planned.rows if row.margin is not None]
    rows = [("metric", "window", "margin", "holds", "takes units", "weeks", "all units from")]
    rows += [
        (
            row.metric, _span(row), formatting.percent(row.margin, signed=False),
            formatting.chance(row.margin_power), *_needed(row), formatting.day(row.readable_from),
        )
        for row in guardrails
    ]  # fmt: skip
    notes = _reasons(guardrails)
    if guardrails:
        holds = "holds: the probability to show that the margin holds where nothing changes"
        power = formatting.chance(guardrails[0].power)
        notes.insert(0, f"{holds}; units and weeks are what {power} takes, so that all guardrails hold together.")
    return _Section("Guardrails", rows, notes)


def _reversals(planned: Planned) -> _Section:
    rows = [("metric", "early", "late", "flagged", "")]
    for row in planned.reversals:
        if row.power is not None:
            lifts = formatting.percent(row.early_lift), formatting.percent(row.late_lift)
            rows.append((row.metric, *lifts, formatting.chance(row.power), _churn(row)))
    notes = _by_reason((row.metric, row.reason) for row in planned.reversals)
    if len(rows) > 1:
        notes.append("flagged: the probability that a win in the early window and a loss in the late one are claimed.")
    return _Section("Early win, later loss", rows, notes)


def _churn(row: PlannedReversal) -> str:
    if row.hazard is None:
        return ""
    return f"{formatting.percent(row.hazard, signed=False)} of units leave each week after early"


def _events(planned: Planned) -> _Section:
    rows = [("metric", "hazard ratio", "weeks without it", "takes events", "takes units", "")]
    rows += [
        (
            row.metric, formatting.number(row.hazard_ratio), formatting.percent(row.lift),
            formatting.count(round(row.events)), formatting.count(None if row.units is None else round(row.units)),
            "its margin" if row.is_margin else "",
        )
        for row in planned.events
    ]  # fmt: skip
    notes = ["Events of both variants together, counted in a single look at the end; hazards are proportional."]
    return _Section("Time to event", rows, notes if planned.events else [])


def _holdouts(planned: Planned) -> _Section:
    plan = planned.plan
    rows = [("held out", "units", "metric", "window", "finds", "of an even split")]
    own = {(row.metric, row.window): row for row in planned.rows}
    notes = []
    for row in planned.holdouts:
        same = own[row.metric, row.window]
        share, finds = formatting.chance(row.fraction), _lift(_sign(plan, same), row.mde_lift)
        times = f"{row.factor:.1f} x"
        rows.append((share, formatting.count(row.units), row.metric, _span(same), finds, times))
        notes.append((f"{share} {row.metric}", row.reason))
    return _Section("Smallest lifts of other holdouts of the same units", rows, _by_reason(notes))


def _until_end(planned: Planned) -> _Section:
    """A holdout by calendar week: what decides."""
    rows = [("metric", "calendar weeks", "finds", "units")]
    for row in planned.until_end:
        finds = _lift(_metric_sign(planned.plan, row.metric, row.control_mean), row.mde_lift)
        rows.append((row.metric, f"{row.start_week}-{row.end_week - 1}", finds, formatting.count(row.units)))
    notes = _by_reason((row.metric, row.reason) for row in planned.until_end)
    if planned.until_end:
        power = formatting.chance(planned.plan.decision.power)
        notes.insert(0, f"finds: the smallest lift over all these weeks that one look claims with probability {power}.")
    short = [row for row in planned.until_end if row.end_week < row.planned_weeks]
    if short:
        notes.append(
            f"The history has {short[0].end_week} of the {short[0].planned_weeks} weeks until the planned end."
        )
    return _Section("Until the planned end", rows if planned.until_end else rows[:1], notes)


def _needed(row: PlannedRow) -> tuple[str, str]:
    units = None if row.units_needed is None else round(row.units_needed)
    return formatting.count(units), formatting.count(row.weeks_needed)


def _reasons(rows: Iterable[PlannedRow]) -> list[str]:
    return _by_reason((f"{row.metric} {tables.printable(row.window)}", row.reason) for row in rows)


def _by_reason(told: Iterable[tuple[str, str | None]]) -> list[str]:
    """Say every reason once, after all that it holds for."""
    names: dict[str, dict[str, None]] = {}
    for name, reason in told:
        if reason is not None:
            names.setdefault(reason, {})[name] = None
    return [f"{', '.join(of)}: {reason}." for reason, of in names.items()]


def _metric(plan: Plan, key: str) -> Metric:
    return next(metric for metric in plan.metrics if metric.key == key)


def _span(row: PlannedRow) -> str:
    return _named(Window(row.window, row.start_week, row.end_week))


def _named(window: Window) -> str:
    return f"{tables.printable(window.name)}, {window.label}"


def _sign(plan: Plan, row: PlannedRow) -> int:
    return _metric_sign(plan, row.metric, row.control_mean)


def _metric_sign(plan: Plan, key: str, mean: float | None) -> int:
    """The sign of a lift that is a win: of a negative mean (a loss in money) less is a rise."""
    return -_metric(plan, key).sign if (mean or 0) < 0 else _metric(plan, key).sign


def _lift(sign: int, size: float | None) -> str:
    return formatting.percent(None if size is None else sign * size)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
