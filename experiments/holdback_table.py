"""What a holdback showed after the launch, in the terminal."""

from collections.abc import Iterable, Iterator, Sequence

from analysis.plan import Plan
from analysis.results import RollbackRow
from analysis.windows import last_look
from experiments import formatting, tables
from experiments.services.holdbacks import Due, Holdback, Reading


def render(found: Iterable[Holdback], *, width: int = tables.DEFAULT_WIDTH) -> str:
    """Return the readings after each launch with a holdback as plain text; nothing where there was none."""
    lines = [line for one in found for line in _lines(one, width)]
    return tables.plain("\n".join(lines)) + "\n" if lines else ""


def foreseen(plan: Plan, dues: Sequence[Due]) -> Iterator[str]:
    """Yield what a launch with a holdback would mean for its readings: their days, and those that the horizon lacks."""
    read = [f"{due.days} days after it, on {formatting.day(due.as_of)}" for due in dues if due.needs is None]
    if read:
        yield f"A holdback would be read {'; '.join(read)}, with the rollback criteria live."
    beyond = [due for due in dues if due.needs is not None]
    if beyond:
        days, weeks = (", ".join(map(str, one)) for one in zip(*((due.days, due.needs) for due in beyond), strict=True))
        yield (
            f"It could not be read after {days} days: units are followed for {plan.horizon_weeks} weeks since their "
            f"exposure, the last look is of {formatting.day(last_look(plan))}, and horizon_weeks of at least {weeks} "
            "would be needed (an amendment)."
        )


def criterion(row: RollbackRow) -> str:
    """A rollback criterion at one look, in words."""
    name = f"{row.metric} below {formatting.percent(row.below)} in {row.window}"
    if row.lift is None:
        return f"{name}: {row.reason}"
    return f"{name}: {'MET' if row.met else 'not met'} ({formatting.percent(row.lift)})"


def _lines(one: Holdback, width: int) -> Iterator[str]:
    yield ""
    yield from tables.wrapped(
        f"{one.variant} was launched with a holdback on {formatting.day(one.launched)}. Its looks go on until "
        f"{formatting.day(one.read_until)}.",
        width,
    )
    for reading in one.readings:
        for place, line in enumerate(_told(reading)):
            yield from tables.wrapped(line, width, "  - " if place else "")


def _told(reading: Reading) -> Iterator[str]:
    after = f"After {reading.due.days} days"
    if reading.why:
        yield f"{after}: {reading.why}"
        return
    advice = f", recommended: {tables.ACTIONS[reading.advice.action]}" if reading.advice else ""
    yield f"{after}, as of {formatting.day(reading.due.as_of)}{advice}"
    for row in reading.effects:
        lift = formatting.percent(row.lift) if row.lift is not None else row.reason or "no lift"
        yield f"{row.metric} in {row.window}: {lift}"
    for event in reading.events:
        lift = formatting.percent(event.rmst_lift) if event.rmst_lift is not None else event.reason or "no estimate"
        yield f"{event.metric}, weeks without it: {lift}"
    for one in reading.criteria:
        yield f"roll back if {criterion(one)}"
