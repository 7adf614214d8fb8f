"""A scorecard in the terminal: first the flag in words, then the windows side by side. Django-free.

Color never stands alone: better, worse and unclear are words. Without a terminal everything we write is plain ASCII.
"""

import io
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from rich.box import Box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.plan import Metric, Plan, Variant, Window
from analysis.results import CheckRow, EffectRow, ReversalRow, Scorecard
from experiments import formatting, survival_table

DEFAULT_WIDTH = 80
INDENT = "  "

#: Columns narrower than this go into a second table below.
_NARROWEST = 19
_KEY_WIDTH = 16
_GAP = 2  # a space of padding and the space that divides the columns

_ROLES = {
    "primary": "Primary", "secondary": "Secondary", "guardrail": "Guardrails", "diagnostic": "Diagnostic",
}  # fmt: skip
_STYLES = {
    "better": "green", "improved": "green", "within margin": "green",
    "worse": "red", "worsened": "red", "beyond margin": "red", "unclear": "dim",
}  # fmt: skip
_STATES = ("confirmed", "turned", "warning", "fading", "immature", "none")
_GRAVE = ("confirmed", "turned", "warning")
_CHECKS = {
    "srm": "sample ratio", "srm_sequential": "sample ratio read weekly", "srm_cohort": "sample ratio by cohort",
    "pre_period_balance": "balance before exposure", "telemetry_gap": "gaps in the data", "jump": "one-week leaps",
}  # fmt: skip
_EXCLUDED = {
    "exposed_before_start": "units exposed before start",
    "exposed_after_enrollment": "units exposed after enrollment",
    "two_variants": "units in two variants",
    "unknown_variant": "units in an unknown variant",
    "facts_of_unknown_units": "fact rows of unknown units",
    "facts_before_pre_period": "fact rows before the pre-period",
    "nulls": "nulls, read as zero",
    "forced_testers": "testers",
}
_ASCII = str.maketrans({formatting.NOTHING: "-", formatting.MINUS: "-", formatting.THIN_SPACE: ","})
_RULES = Box("    \n    \n -  \n    \n    \n    \n    \n    \n", ascii=True)
_ALL_LOOKS = (
    "Intervals hold over all planned looks, so they may be read every week. Primary metrics share one alpha. Better "
    "and worse are claims, unclear is none."
)
ACTIONS = {
    "launch": "LAUNCH", "launch_with_holdback": "LAUNCH WITH HOLDBACK", "keep_running": "KEEP RUNNING",
    "stop": "STOP", "roll_back": "ROLL BACK",
}  # fmt: skip
VERDICTS = {"non_inferior": "within margin", "inferior": "beyond margin"}


class Flag(NamedTuple):
    """What a reader must know first, as a sentence; ``grave`` flags speak against a launch."""

    text: str
    grave: bool


def render(scorecard: Scorecard, *, width: int = DEFAULT_WIDTH, terminal: bool = False) -> str:
    """Return the scorecard as text of at most ``width`` columns; color and symbols are for terminals only."""
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, highlight=False, legacy_windows=False)
    for block in _blocks(scorecard, width):
        console.print(block)
    lines = (line.rstrip() for line in out.getvalue().splitlines())
    text = "\n".join(lines) + "\n"
    return text if terminal else plain(text)


def plain(text: str) -> str:
    """Return text in ASCII, for output that is not a terminal."""
    return text.translate(_ASCII)


def printable(text: str) -> str:
    """Return text without characters that steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def flags(scorecard: Scorecard) -> list[Flag]:
    """Return what the reversals say, one sentence each, the gravest first; never empty."""
    if not scorecard.reversals:
        return [Flag("Early win, later loss: not tested, because no metric has an effect in windows.", False)]
    rows = sorted(scorecard.reversals, key=lambda row: _STATES.index(row.state))
    grave = [Flag(_said(scorecard.plan, row), True) for row in rows if row.state in _GRAVE]
    fading = [Flag(_said(scorecard.plan, row), False) for row in rows if row.state == "fading"]
    waiting = [row for row in rows if row.state == "immature"]
    if grave:
        return grave + fading
    if len(waiting) == len(rows):
        day = formatting.day(min(row.readable_from for row in waiting))
        return [Flag(f"Early win, later loss: not yet readable; it is from {day} on.", False)]
    rest = f" ({len(waiting)} of {len(rows)} not yet readable)" if waiting else ""
    return [Flag(f"No early win with a later loss{rest}.", False), *fading]


def _said(plan: Plan, row: ReversalRow) -> str:
    early, late = plan.window("early").label, (row.late or plan.window("late")).label
    whom = f" ({row.variant})" if len(plan.treatments) > 1 else ""
    lifts = f"{early} {formatting.percent(row.early_lift)}, {late} {formatting.percent(row.late_lift)}"
    if row.early_lift is None or row.late_lift is None:
        lifts = f"{early} effect {formatting.number(row.early_effect)}, {late} {formatting.number(row.late_effect)}"
    p = formatting.p_value(row.p_value if row.p_value_adjusted is None else row.p_value_adjusted)
    metric = f"{row.metric}{whom}"
    if row.state == "confirmed":
        return f"EARLY WIN, LATER LOSS on {metric}: {lifts}, confirmed, {p}, first seen on {row.first_seen}."
    if row.state == "turned":
        return f"TURNED: {metric} won early and loses by now: {lifts}, first seen on {row.first_seen}."
    if row.state == "warning":
        chance = formatting.number(row.late_loss_probability)
        return f"WARNING, a later loss is likely on {metric}: {lifts}, probability of a late loss {chance}."
    return f"Fading: the effect on {metric} shrank: {lifts}; late it is not surely a loss."


def _blocks(scorecard: Scorecard, width: int) -> Iterator[RenderableType]:
    plan = scorecard.plan
    yield Text(f"{printable(plan.name)} ({plan.key})", style="bold")
    yield from (Text(line) for line in _facts(scorecard))
    yield Text("")
    yield from _advice(scorecard)
    for flag in flags(scorecard):
        yield Text(flag.text, style="bold red" if flag.grave else "")
    yield _checks(scorecard.checks)
    left_out = [f"{formatting.count(n)} {_EXCLUDED.get(key, key)}" for key, n in scorecard.excluded.items() if n]
    if left_out:
        yield Text(f"Left out: {', '.join(left_out)}.")
    for treatment in plan.treatments:
        yield Text("")
        yield Group(*_treatment(scorecard, treatment, width))
    yield Text("")
    yield Text(_ALL_LOOKS)


def _advice(scorecard: Scorecard) -> Iterator[Text]:
    """The recommendation of each treatment with its reasons, and what the objectives say together."""
    for row in scorecard.recommendations:
        whom = f" for {row.variant}" if len(scorecard.recommendations) > 1 else ""
        style = {"roll_back": "bold red", "stop": "bold red", "keep_running": "bold"}.get(row.action, "bold green")
        yield Text(f"Recommendation{whom}: {ACTIONS[row.action]}", style=style)
        yield from (Text(f"  - {printable(reason)}") for reason in row.reasons)
        if row.changes_on is not None:
            yield Text(f"  New data can change this from {formatting.day(row.changes_on)} on.")
    for conflict in scorecard.conflicts:
        if conflict.state == "confirmed":
            yield Text(f"Conflict: {printable(conflict.reason or '')}.")
    for oec in scorecard.oec:
        if oec.value is not None:
            interval = formatting.percent_interval(oec.low, oec.high)
            yield Text(f"Objectives together ({oec.variant}): {formatting.percent(oec.value)} ({interval}).")
    yield Text("")


def _facts(scorecard: Scorecard) -> Iterator[str]:
    units = ", ".join(f"{key} {formatting.count(n)}" for key, n in scorecard.units.items())
    look = formatting.look(scorecard.look, scorecard.planned_looks)
    yield f"As of {formatting.day(scorecard.as_of)}, {look}. Units: {units}."
    if scorecard.first_fact is None:
        yield "No facts have been read."
    else:
        span = f"{formatting.day(scorecard.first_fact)} to {formatting.day(scorecard.last_fact)}"
        yield f"Facts: {span}, {formatting.count(scorecard.fact_rows)} rows."


def _checks(rows: Iterable[CheckRow]) -> Text:
    text = Text("Checks: ")
    for number, row in enumerate(rows):
        name = _CHECKS.get(row.check, row.check.replace("_", " "))
        p = f" ({formatting.p_value(row.p_value)})" if row.p_value is not None else ""
        alarm = row.state == "alarm"
        detail = f": {printable(row.detail)}" if row.state != "ok" and row.detail else ""
        text.append("; " if number else "")
        text.append(f"{name} {row.state.upper() if alarm else row.state}{p}{detail}", style="bold red" if alarm else "")
    return text


class _Side(NamedTuple):
    """A treatment's rows, by metric and window."""

    scorecard: Scorecard
    treatment: Variant
    effects: Mapping[tuple[str, str], EffectRow]
    reversals: Mapping[str, ReversalRow]

    @property
    def plan(self) -> Plan:
        return self.scorecard.plan


def _treatment(scorecard: Scorecard, treatment: Variant, width: int) -> Iterator[RenderableType]:
    of_treatment = [row for row in scorecard.effects if row.variant == treatment.key and row.segment is None]
    effects = {(row.metric, row.window): row for row in of_treatment}
    reversals = {row.metric: row for row in scorecard.reversals if row.variant == treatment.key}
    side = _Side(scorecard, treatment, effects, reversals)
    yield Text(f"{treatment.key} against {scorecard.plan.control.key}", style="bold")
    lift = "the lift (pre-period adjusted)" if any(row.adjusted for row in of_treatment) else "the lift"
    yield Text(f"In a cell: {lift}, its interval over all looks, the raw means (control -> treatment).", style="dim")
    for columns in _chunks(scorecard.plan, width):
        yield _table(side, columns, width)
    for row in of_treatment:
        if row.reason and row.state != "not_yet":
            yield Text(f"{row.metric}, {printable(row.window)}: {printable(row.reason)}", style="dim")
    metrics = {metric.key: metric for metric in scorecard.plan.event_metrics}
    for comparison in scorecard.survival_comparisons:
        if comparison.variant == treatment.key:
            yield from survival_table.lines(metrics[comparison.metric], comparison)


def _chunks(plan: Plan, width: int) -> list[list[Window | None]]:
    """Columns of each table: early, late and their contrast (None) first, as many side by side as fit the width."""
    order: list[Window | None] = [plan.window("early"), plan.window("late"), None]
    order += [window for window in plan.windows if window.name not in ("early", "late")]
    fit = max(1, (width - _KEY_WIDTH) // (_NARROWEST + _GAP))
    return [order[first : first + fit] for first in range(0, len(order), fit)]


def _table(side: _Side, columns: list[Window | None], width: int) -> Table:
    cell_width = max(1, min(40, (width - _KEY_WIDTH) // len(columns) - _GAP))
    table = Table(box=_RULES, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0), header_style="bold")
    table.add_column("", width=_KEY_WIDTH, overflow="fold")
    heads = [_head(side, column) for column in columns]
    lines = max(head.plain.count("\n") for head in heads)
    for head in heads:
        head.append("\n" * (lines - head.plain.count("\n")))
        table.add_column(head, width=cell_width, overflow="fold")
    for role, title in _ROLES.items():
        metrics = [metric for metric in side.plan.estimated_metrics if metric.role == role]
        if metrics:
            table.add_row(Text(title, style="bold underline"))
        for metric in metrics:
            table.add_row(_label(metric), *(_cell(side, metric, column, cell_width) for column in columns))
            table.add_row("")
    return table


def _head(side: _Side, window: Window | None) -> Text:
    """The column's name and the units in it: a part of them until the last cohort is mature."""
    if window is None:
        name = "late - early"
        rows: list[ReversalRow | EffectRow] = list(side.reversals.values())
    else:
        name = f"{printable(window.name)}, {window.label}"
        rows = [row for (_, found), row in side.effects.items() if found == window.name]
    used = max((row.n_control + row.n_treatment for row in rows), default=0)
    keys = (side.plan.control.key, side.treatment.key)
    all_units = sum(side.scorecard.units.get(key, 0) for key in keys)
    head = Text(name)
    if not used:
        return head
    if used == all_units:
        return head.append(f"\n{formatting.count(used)} units", style="not bold dim")
    day = max(row.readable_from for row in rows)
    text = f"\n{formatting.count(used)} of {formatting.count(all_units)}"
    text += f"\nall from {formatting.day(day)}" if side.scorecard.as_of < day else ""
    return head.append(text, style="not bold dim")


def _cell(side: _Side, metric: Metric, window: Window | None, width: int) -> Text:
    if window is None:
        return _contrast(metric, side.reversals.get(metric.key))
    row = side.effects.get((metric.key, window.name))
    return _effect(side, metric, row, width)


def _label(metric: Metric) -> Text:
    lines = [metric.key, f"{metric.better} is better"]
    if metric.margin is not None:
        lines.append(f"margin {formatting.percent(metric.margin, signed=False)}")
    elif metric.term is not None:
        lines.append(f"{metric.term} term")
    return Text(lines[0] + "\n").append("\n".join(lines[1:]), style="dim")


def _effect(side: _Side, metric: Metric, row: EffectRow | None, width: int) -> Text:
    if row is None:
        return Text(formatting.NOTHING)
    if row.state == "not_yet":
        return _not_yet(formatting.day(row.readable_from))
    if row.state == "too_few":
        return Text(f"too few units: {formatting.count(row.n_control)} and {formatting.count(row.n_treatment)}")
    if row.state == "failed":
        return Text("failed: see below")
    low, high = row.sequential_effect_low, row.sequential_effect_high
    word = VERDICTS.get(row.verdict or "") or claim_word(low, high, metric.sign)
    if row.lift is not None:
        point = formatting.percent(row.lift)
        interval = formatting.percent_interval(row.sequential_lift_low, row.sequential_lift_high)
    else:
        point, interval = (
            f"effect {formatting.number(row.effect)}",
            f"{formatting.number(low)} to {formatting.number(high)}",
        )
    text = _judged(point, interval, word)
    return text.append(f"\n{_means(side, row, width)}", style="dim")


def _contrast(metric: Metric, row: ReversalRow | None) -> Text:
    if row is None:
        return Text(formatting.NOTHING)
    if row.ratio_of_lifts is not None:
        ratio, low, high = row.ratio_of_lifts
        word = _word(low, high, metric.sign, "improved", "worsened")
        return _judged(formatting.percent(ratio), formatting.percent_interval(low, high), word)
    if row.state == "immature":
        return _not_yet(formatting.day(row.readable_from))
    return Text(formatting.NOTHING)


def _judged(point: str, interval: str, word: str) -> Text:
    return Text(point + " ").append(word, style=_STYLES.get(word, "")).append(f"\n{interval}")


def _not_yet(day: str) -> Text:
    return Text(f"not yet: readable\nfrom {day}", style="dim")


def claim_word(low: float | None, high: float | None, sign: int) -> str:
    """What an interval over all looks claims, in a word."""
    return _word(low, high, sign, "better", "worse")


def _word(low: float | None, high: float | None, sign: int, up: str, down: str) -> str:
    """Say on which side of zero an interval surely lies, with the direction that is better applied."""
    if low is None or high is None:
        return "unclear"
    if low > 0 or high < 0:
        return up if (low > 0) == (sign > 0) else down
    return "unclear"


def _means(side: _Side, row: EffectRow, width: int) -> str:
    control, treated = formatting.number(row.control_mean), formatting.number(row.treatment_mean)
    long = f"{side.plan.control.key} {control}, {side.treatment.key} {treated}"
    return long if len(long) <= width else f"{control} -> {treated}"


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """A paragraph in lines of at most ``width``; the first begins with ``indent``, the others below its text."""
    return textwrap.wrap(
        text, max(20, width), initial_indent=indent, subsequent_indent=" " * len(indent),
        break_on_hyphens=False,
    )  # fmt: skip


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns side by side: words to the left, what begins with a digit or a sign to the right, as its head."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    left = [all(cell[:1].isalpha() or not cell for cell in column) for column in zip(*rows, strict=True)]
    return [
        INDENT
        + "  ".join(
            cell.ljust(width) if to_left else cell.rjust(width)
            for cell, width, to_left in zip(row, widths, left, strict=True)
        ).rstrip()
        for row in rows
    ]
