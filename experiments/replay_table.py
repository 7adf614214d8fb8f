"""A replay in the terminal: runs of looks with the same advice, and what a two-week test would have done."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from analysis.replay import NaiveLaunch, Replay, ReplayStep
from experiments import formatting, tables

_RULE = "-" * 40


def render(key: str, replay: Replay) -> str:
    """Return the replay as plain text, one line for each run of looks that said the same."""
    lines: list[str] = []
    for naive in replay.naive:
        steps = [step for step in replay.steps if step.variant == naive.variant]
        lines += [f"{key}: {naive.variant}", _RULE, *_runs(steps), "", *_naive(naive, steps), ""]
    return tables.plain("\n".join(lines))


def _runs(steps: Sequence[ReplayStep]) -> Iterator[str]:
    if not steps:
        yield "No look was due yet."
    for action, group in groupby(steps, key=lambda step: step.action):
        run = list(group)
        first, last = run[0], run[-1]
        looks = f"look {first.look}" if len(run) == 1 else f"looks {first.look}-{last.look}"
        days = formatting.day(first.as_of) + ("" if len(run) == 1 else f" to {formatting.day(last.as_of)}")
        yield f"{looks} ({days}): {tables.ACTIONS[action]}"
        yield from (f"    {tables.printable(reason)}" for reason in first.reasons[:2])


def _naive(naive: NaiveLaunch, steps: Sequence[ReplayStep]) -> Iterator[str]:
    day = formatting.day(naive.as_of)
    if naive.launched is None:
        yield f"A two-week test can be read from {day}: {naive.reason}."
        return
    if naive.metric is None:
        yield f"A two-week test, read on {day}, says nothing: {naive.reason}."
        return
    found = f"{naive.metric} {formatting.percent(naive.lift)}, {formatting.p_value(naive.p_value)}"
    if not naive.launched:
        yield f"A two-week test, read on {day}, would not have launched: {found}."
        return
    yield f"A two-week test, read on {day}, would have LAUNCHED: {found}."
    for outcome in naive.outcomes:
        weeks = f"weeks {outcome.start_week}-{outcome.end_week - 1}"
        effect = f"{formatting.number(outcome.effect)} a unit and week ({formatting.percent(outcome.lift)})"
        yield f"    {outcome.metric} in {weeks}: {effect}, {'a loss' if outcome.loss else 'no loss'}"
    stopped = next((step for step in steps if step.action == "roll_back"), None)
    if stopped is not None:
        yield f"    This rule asks for a rollback at look {stopped.look}, {formatting.day(stopped.as_of)}."
