"""One experiment as a row of the portfolio: what it needs, what is recommended, its deciding lifts, its course."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from analysis.plan import Metric, Variant
from analysis.results import ClaimRow, SurvivalComparisonRow
from experiments import formatting
from experiments.charts.drawings import ForestBar, Sparkline, forest_bar, forest_limit, sparkline
from experiments.charts.tones import Tone, label
from experiments.services.portfolio import Course, PortfolioEntry
from experiments.views.advice import ACTIONS, HEADLINES
from experiments.views.estimates import Estimate, of_effect, of_event
from experiments.views.health import check_item

Group = Literal["decide", "attention", "running", "waiting", "over"]
FlagKind = Literal["alarm", "rollback", "reversal", "guardrail", "stale", "failed", "running"]

GROUPS: dict[Group, str] = {
    "decide": "Needs a decision",
    "attention": "Needs attention",
    "running": "Running",
    "waiting": "Not read yet",
    "over": "Decided",
}
FLAGS: dict[FlagKind, str] = {
    "alarm": "Data not to be trusted",
    "rollback": "Harm after the launch",
    "reversal": "Early win, later loss",
    "guardrail": "Guardrail beyond its margin",
    "stale": "Stale data",
    "failed": "Last look failed",
    "running": "Look in progress",
}
#: States in which units are followed and nothing is decided.
OPEN = ("running", "enrollment closed")
NOT_STARTED = ("draft", "in review")
#: What asks for a decision, the most urgent first.
URGENT = ("roll_back", "stop", "launch", "launch_with_holdback")
ORDER = (*URGENT, "keep_running")


@dataclass(frozen=True)
class Flag:
    """Something to look at, in words, and why."""

    kind: FlagKind
    words: str
    tone: Tone
    why: str = ""


@dataclass(frozen=True)
class Deciding:
    """The lift of one deciding metric with a small bar."""

    metric: Metric
    weeks: str
    estimate: Estimate
    bar: ForestBar | None


@dataclass(frozen=True)
class Placed:
    """An experiment with its flags and the group that it belongs to: all that sorting and filtering need."""

    entry: PortfolioEntry
    flags: tuple[Flag, ...]
    group: Group

    @property
    def rank(self) -> tuple[int, int, int, str]:
        grave = [ORDER.index(row.action) for row in self.entry.recommendations]
        flags = [list(FLAGS).index(flag.kind) for flag in self.flags]
        return list(GROUPS).index(self.group), min(flags, default=99), min(grave, default=99), self.entry.key


@dataclass(frozen=True)
class Row:
    """A row as it is shown. ``variant`` is the treatment whose lifts these are: the one with the gravest advice."""

    placed: Placed
    variant: Variant
    several: bool
    action: str
    tone: Tone
    reason: str
    short: Deciding | None
    long: Deciding | None
    spark: Sparkline | None

    @property
    def entry(self) -> PortfolioEntry:
        return self.placed.entry


def placed(entry: PortfolioEntry) -> Placed:
    """Say what an experiment needs."""
    flags = tuple(_flags(entry))
    return Placed(entry, flags, _group(entry, flags))


def _group(entry: PortfolioEntry, flags: tuple[Flag, ...]) -> Group:
    actions = {row.action for row in entry.recommendations}
    if entry.state in OPEN:
        if entry.shown is not None and actions & set(URGENT):
            return "decide"
        if any(flag.tone in ("bad", "within") for flag in flags):
            return "attention"
        return "running" if entry.shown is not None else "waiting"
    if entry.state in NOT_STARTED:
        return "attention" if any(flag.kind == "failed" for flag in flags) else "waiting"
    # What was launched goes on being read, and may turn out to do harm.
    return "decide" if entry.state.startswith("launched") and "roll_back" in actions else "over"


def _flags(entry: PortfolioEntry) -> Iterator[Flag]:
    """The gravest first, one of a kind: two metrics that reverse are one thing to look at."""
    for check in entry.alarms:
        item = check_item(check)
        yield Flag("alarm", item.label, "bad", item.detail)
    if entry.met and entry.state.startswith("launched"):
        met = f"rollback criterion met: {', '.join(label(key) for key in entry.met)}"
        yield Flag("rollback", FLAGS["rollback"], "bad", met)
    states = {row.state for row in entry.reversals}
    for state, words in HEADLINES.items():
        if state in states:
            metrics = ", ".join(dict.fromkeys(label(row.metric) for row in entry.reversals if row.state == state))
            yield Flag("reversal", words, "within" if state in ("warning", "fading") else "bad", metrics)
            break
    if entry.harmed:
        yield Flag("guardrail", FLAGS["guardrail"], "bad", ", ".join(label(key) for key in entry.harmed))
    if entry.look is not None and entry.look.state == "failed":
        yield Flag("failed", FLAGS["failed"], "bad", entry.look.error)
    if entry.due is not None and entry.state in OPEN:
        since = f"the last look is of {formatting.day(entry.as_of)}; one is due since {formatting.day(entry.due)}"
        yield Flag("stale", FLAGS["stale"], "within", since)
    if entry.look is not None and entry.look.state in ("planned", "running"):
        yield Flag("running", FLAGS["running"], "open", entry.look.step)


def row_of(one: Placed, course: Course) -> Row:
    """Arrange the row of an experiment."""
    entry = one.entry
    advice = min(entry.recommendations, key=lambda row: ORDER.index(row.action), default=None)
    treatments = {variant.key: variant for variant in entry.plan.treatments}
    variant = treatments.get(advice.variant if advice else "", entry.plan.treatments[0])
    action, tone = ACTIONS[advice.action] if advice else ("", "open")
    rows = _primaries(entry, course, variant.key)
    limit = forest_limit(rows)
    short, long = (
        next((_deciding(entry, metric, row, limit) for metric, row in rows if (metric.term == "short") == early), None)
        for early in (True, False)
    )
    charted = next((metric for metric in entry.plan.metrics if metric.key == entry.charted), None)
    weeks = (course.weekly or {}).get(variant.key, ())
    return Row(
        placed=one, variant=variant, several=len(treatments) > 1, action=action, tone=tone,
        reason=advice.reasons[0] if advice else "", short=short, long=long,
        spark=sparkline(charted, weeks, entry.plan.horizon_weeks) if charted else None,
    )  # fmt: skip


def _primaries(entry: PortfolioEntry, course: Course, variant: str) -> list[tuple[Metric, ClaimRow]]:
    """The primary metrics in the plan's order, each with the row that decides on it."""
    rows: dict[str, ClaimRow] = {row.metric: row for row in course.effects if row.variant == variant}
    rows |= {row.metric: row for row in course.events if row.variant == variant}
    return [(metric, rows[metric.key]) for metric in entry.plan.metrics if metric.key in rows]


def _deciding(entry: PortfolioEntry, metric: Metric, row: ClaimRow, limit: float) -> Deciding:
    if isinstance(row, SurvivalComparisonRow):
        weeks, estimate = f"out of {row.horizon_week or row.tau} weeks", of_event(metric, "", row)
    else:
        weeks, estimate = entry.plan.window(row.window).label, of_effect(metric, row)
    return Deciding(metric, weeks, estimate, forest_bar(metric, row, limit))
