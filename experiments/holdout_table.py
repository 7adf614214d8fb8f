"""A holdout in the terminal: its effect by calendar week, and the sum of launched lifts against what was measured."""

from collections.abc import Iterator

from analysis.holdout import metrics_read, newest
from analysis.plan import Metric
from analysis.reconciliation import MemberRow, PartName, Reconciliation
from analysis.results import ContaminationRow, HoldoutRow, Scorecard
from experiments import formatting, tables
from experiments.services.holdouts import MEMBERS_UNKNOWN, SPANS, Beside, Bound, Size, sizes

#: What each part of the gap is, in words.
PARTS: dict[PartName, str] = {
    "selection": "launched because they looked good",
    "aging": "lifts in the newest weeks read",
    "dilution": "units and weeks without the launch",
    "running": "experiments that ran meanwhile",
    "contamination": "held out, and met a launch",
    "rest": "not explained",
}


def render(card: Scorecard, found: Beside | None, *, width: int = tables.DEFAULT_WIDTH) -> str:
    """Return a holdout's part of its scorecard as plain text; nothing for an experiment."""
    plan = card.plan
    if plan.kind != "holdout":
        return ""
    lines = ["", *_head(card, width), *_effects(card, width)]
    if found is None:
        lines += tables.wrapped(f"No launches and no sum of lifts: {MEMBERS_UNKNOWN}.", width)
    else:
        lines += ["", *_launches(found)]
        lines += [line for said in contaminated(card, found) for line in tables.wrapped(said, width)]
        lines += [line for size in sizes(card) for line in tables.wrapped(smallest(size), width)]
        for metric in metrics_read(plan):
            told = [one for one in (found.of(metric.key, kind) for kind in SPANS) if one is not None]
            lines += [line for one in told[:1] for line in _reconciled(one, width)]
            lines += tables.wrapped(bounded(found.bound(metric.key, SPANS[0])), width, tables.INDENT)
            lines += [line for one in told[1:] for line in _in_short(one, width)]
    return tables.plain("\n".join(lines)) + "\n"


def _head(card: Scorecard, width: int) -> Iterator[str]:
    share = formatting.percent(card.plan.fraction, signed=False)
    yield from tables.wrapped(
        f"Everyone launched to against the {share} held out, by calendar weeks from {card.plan.start_date}, until "
        f"{card.plan.planned_end_date}. Units count from the week after their exposure. The interval of all weeks so "
        "far holds over all looks and decides; that of now does too, and claims nothing.",
        width,
    )


def _effects(card: Scorecard, width: int) -> Iterator[str]:
    rows = [("metric", "calendar weeks", "lift", "over all looks", "")]
    reasons = []
    for metric in metrics_read(card.plan):
        for kind, word in (("cumulative", "so far"), ("now", "now")):
            row = newest(card.holdout, metric.key, "cumulative" if kind == "cumulative" else "now")
            if row is None:
                continue
            name = metric.key if metric.event is None else f"{metric.key} (active)"
            rows.append((name, f"{weeks_of(row.start_week, row.end_week)}, {word}", *_cells(metric, row)))
            reasons += [f"{metric.key}, {word}: {row.reason}."] if row.reason else []
    if len(rows) > 1:
        yield from tables.aligned(rows)
    else:
        yield f"{tables.INDENT}Nothing can be read yet."
    yield from (line for reason in reasons for line in tables.wrapped(tables.printable(reason), width, tables.INDENT))


def _cells(metric: Metric, row: HoldoutRow) -> tuple[str, str, str]:
    low, high = row.sequential_effect_low, row.sequential_effect_high
    word = tables.VERDICTS.get(row.verdict or "") or tables.claim_word(low, high, metric.sign)
    interval = formatting.percent_interval(row.sequential_lift_low, row.sequential_lift_high)
    return formatting.percent(row.lift), interval, word if row.kind == "cumulative" else ""


def weeks_of(start: int, end: int) -> str:
    """Calendar weeks in words: ``weeks 1-25``."""
    return f"week {start}" if end - start == 1 else f"weeks {start}-{end - 1}"


def smallest(size: Size) -> str:
    """What a holdout of this size can find, in a sentence."""
    times = f"{size.factor:.1f} x that of an even split"
    if size.mde is None:
        return f"{size.metric}: the smallest lift found is {times}."
    lift = formatting.percent(size.mde, signed=False)
    return f"{size.metric}: with all weeks so far a lift of {lift} is found ({times})."


def _launches(found: Beside) -> Iterator[str]:
    if not found.decided:
        yield "Nothing has been decided on its members yet."
        return
    yield "Decided on its members"
    rows = [("day", "week", "member", "decision")]
    for one in found.decided:
        decision = tables.ACTIONS[one.action].lower()
        rows.append((formatting.day(one.day), f"{one.week:.1f}", f"{one.key} ({one.variant})", decision))
    yield from tables.aligned(rows)


def contaminated(card: Scorecard, found: Beside) -> Iterator[str]:
    """Who of the units held out met a launch all the same, and of which members that is not known; in sentences."""
    if found.met is None:
        return
    yield met_words(found.met)
    unknown = [row for row in card.contamination if row.member and row.met is None]
    for key, reason in dict.fromkeys((row.member, row.reason) for row in unknown):
        yield tables.printable(f"Who of the units held out met {key} is not known: {reason}.")


def met_words(met: ContaminationRow) -> str:
    """How many units held out met a launch, in a sentence."""
    if met.met is None:
        return f"How many units held out met a launch is not known: {met.reason}."
    share = "" if met.share is None else f" ({formatting.percent(met.share, signed=False)})"
    least, why = ("at least ", f": {met.reason}") if met.reason else ("", "")
    count, held_out = formatting.count(met.met), formatting.count(met.held_out)
    return f"Of {held_out} units held out {least}{count}{share} met a launch{why}."


def bounded(bound: Bound | None) -> str:
    """What units held out that met a launch may hide of an effect, in a sentence; nothing where they hide none."""
    if bound is None or bound.lift is None or not bound.hides:
        return ""
    lift = formatting.percent(bound.lift)
    return f"If units held out that met a launch had all of what is launched, the whole lift is {lift}."


def _reconciled(one: Reconciliation, width: int) -> Iterator[str]:
    span = weeks_of(one.span.start_week, one.span.end_week)
    yield ""
    yield f"{one.metric}: the sum of launched lifts against {span}, {one.span.name}"
    told = [row for row in one.members if row.lift is not None and (row.state == "launched" or row.running_share)]
    if told:
        yield from tables.aligned([("member", "headline", "corrected", "aged", "met by", "adds"), *map(_member, told)])
    rows = [("sum of lifts", formatting.percent(one.raw), "", "")]
    for part in one.parts:
        words = "not measured of all" if part.reason else PARTS[part.name]
        rows.append((part.name, formatting.percent(part.value), formatting.percent(part.total), words))
        if part.name == "contamination":
            rows.append(("expected", "", formatting.percent(part.total), ""))
    if one.measured is not None:
        interval = formatting.percent_interval(one.measured_low, one.measured_high)
        rows.append(("measured", formatting.percent(one.measured), "", f"one look: {interval}"))
    yield from tables.aligned(rows)
    yield from tables.wrapped(verdict(one), width, tables.INDENT)


def verdict(one: Reconciliation) -> str:
    """What the rest says, in a sentence."""
    said = f"{one.reason}. " if one.reason else ""
    if one.explained is None:
        return said.strip() or "There is nothing measured to explain yet."
    interval = formatting.percent_interval(one.rest_low, one.rest_high)
    if one.explained:
        return f"{said}The rest may be noise ({interval})."
    return (
        f"{said}The rest is more than noise ({interval}): lifts changed after their tests ended, launches "
        "clash, or something else happened."
    )


def _member(row: MemberRow) -> tuple[str, ...]:
    running = row.running_share > row.launched_share
    share, adds = (row.running_share, row.running) if running else (row.launched_share, row.diluted)
    state = "" if row.state == "launched" else f", {row.state}"
    return (
        f"{row.key}{state}", formatting.percent(row.lift),
        *(formatting.percent(value if row.state == "launched" else None) for value in (row.shrunk, row.aged)),
        formatting.percent(share, signed=False), formatting.percent(adds),
    )  # fmt: skip


def _in_short(one: Reconciliation, width: int) -> Iterator[str]:
    """The same over all weeks so far, in a sentence."""
    if one.measured is None:
        return
    span = weeks_of(one.span.start_week, one.span.end_week)
    yield from tables.wrapped(
        f"Over {span}: sum {formatting.percent(one.raw)}, expected {formatting.percent(one.expected)}, measured "
        f"{formatting.percent(one.measured)}. {verdict(one)}",
        width, tables.INDENT,
    )  # fmt: skip
