"""The console: what programs are told about a unit now, and each step that led to it. It writes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from experiments.assignment import BUCKETS
from experiments.explanation import Draw, Step, explain
from experiments.services.assignment import Evaluation, Flag, Snapshot


@dataclass(frozen=True)
class Explained:
    """An evaluation, the steps up to the one that settled it, and what would be logged: keys with variants.

    Attributes:
        note: why no step was asked, or what else is to be known.
        asked: which day it was asked for, in the time zone of the flag.
    """

    evaluation: Evaluation
    steps: tuple[Step, ...]
    logged: tuple[tuple[str, str], ...]
    asked: date
    note: str = ""

    @property
    def is_holdout(self) -> bool:
        return "experiment" not in self.evaluation.metadata

    @property
    def draws(self) -> tuple[Draw, ...]:
        """The buckets that were drawn, each once."""
        return tuple(dict.fromkeys(step.draw for step in self.steps if step.draw is not None))


def ask(
    snapshot: Snapshot, key: str, unit: str, attributes: Mapping[str, Any], now: datetime, day: date | None = None
) -> Explained:
    """Evaluate as programs are answered, at noon of ``day`` if one is given, and explain it.

    Rules and decisions are those of now, whatever the day. Raises UnknownFlag, BrokenFlag.
    """
    flag = snapshot.flags.get(key)
    moment = datetime.combine(day, time(12), flag.zone) if flag is not None and day is not None else now
    evaluation = snapshot.evaluate(key, unit, attributes, moment)
    flag = snapshot.flags[key]
    asked = moment.astimezone(flag.zone).date()
    if flag.rule is None:
        return _of_holdout(flag, unit, evaluation, asked)
    if not flag.started:
        return Explained(evaluation, (), (), asked, "It has not started, so everybody gets the value of the control.")
    rule = flag.rule_on(asked)
    steps = explain(rule, unit, attributes, asked, entered=flag.has_entered(unit))
    return Explained(evaluation, steps, _logged(evaluation), asked)


def _of_holdout(flag: Flag, unit: str, evaluation: Evaluation, asked: date) -> Explained:
    """A holdout is a flag of its own: only its slice is asked."""
    if not evaluation.metadata["counted"]:
        return Explained(evaluation, (), (), asked, f"It holds nobody out on {asked}, so everybody gets launches.")
    rule = flag.slices[0].rule
    draw, limit = Draw(rule.salt, unit), round(BUCKETS * rule.fraction)
    said = f"{rule.key} holds out buckets below {limit:,}, and the unit has {draw.bucket:,}"
    held = evaluation.metadata["cause"] == "held_out"
    step = Step("holdout", f"{said}: {'held out' if held else 'launched to'}", draw,
                reason="held_out" if held else "assigned", variant=evaluation.variant)  # fmt: skip
    return Explained(evaluation, (step,), _logged(evaluation), asked)


def _logged(evaluation: Evaluation) -> tuple[tuple[str, str], ...]:
    """The exposures that the answer tells the program to log."""
    told = str(evaluation.metadata.get("exposures", ""))
    pairs = (pair.partition(":") for pair in told.split(",") if pair)
    return tuple((key, variant) for key, _, variant in pairs)
