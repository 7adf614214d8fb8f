"""Looks without a worker: messages are kept in a list, and the test delivers them when and as often as it likes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import yaml
from django.db import connection
from django.db.models.functions import Now

from analysis import scorecard as scorecards
from analysis.results import Scorecard
from experiments import definitions, queue, tasks
from experiments.definitions import Definition, load
from experiments.models import Look, LookCell
from experiments.services.apply import apply
from experiments.services.refresh import PlannedLook, plan_look
from experiments.sources import registry
from tests.experiments import small_data
from tests.experiments.small_data import SmallData

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)

#: The default day of the small experiment's looks: the one after its last fact.
AS_OF = small_data.START + timedelta(days=small_data.LAST_DAY + 1)

#: Sums of floats in another order differ in the last digits.
SAME_NUMBERS = 1e-12


@dataclass
class Mailbox:
    """The messages that were sent and not delivered yet, and all cells that ever got one."""

    waiting: list[int] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)

    def put(self, task: str, ids: dict[str, int]) -> None:
        assert task == "run_cell"
        self.waiting.append(ids["cell_id"])
        self.sent.append(ids["cell_id"])

    def deliver(self) -> int:
        """Deliver the oldest message and return its cell."""
        cell_id = self.waiting.pop(0)
        tasks.run_cell(cell_id=cell_id)
        return cell_id

    def deliver_all(self) -> None:
        while self.waiting:
            self.deliver()


@contextmanager
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    box = Mailbox()
    monkeypatch.setattr(queue, "_send", box.put)
    yield box


def definition(folder: Path, **changes: Any) -> Definition:
    """A valid definition without its data; ``changes`` replace whole keys, None takes one away."""
    merged = {**small_data.definition(), **changes}
    text = yaml.safe_dump({key: value for key, value in merged.items() if value is not None}, sort_keys=False)
    return definitions.parse(text.encode(), str(folder / f"{merged.get('experiment')}.yaml"), folder)


def applied(data: SmallData) -> str:
    """Write an experiment, apply it, and return its key."""
    apply([definitions.load(data.write())], NOW)
    return str(data.definition["experiment"])


def taken(box: Mailbox, key: str, as_of: date | None = None) -> Look:
    """Take a look from beginning to end."""
    planned = plan_look(key, as_of, NOW)
    box.deliver_all()
    return look_of(planned)


def look_of(planned: PlannedLook) -> Look:
    return Look.objects.get(pk=planned.look_id)


def assert_same(found: Scorecard, expected: Scorecard, relative: float = SAME_NUMBERS) -> None:
    """The same rows in the same order, with floats equal up to ``relative``."""
    for item in fields(Scorecard):
        left, right = getattr(found, item.name), getattr(expected, item.name)
        _assert_close(left, right, relative, item.name)


def _assert_close(left: Any, right: Any, relative: float, where: str) -> None:
    if isinstance(left, float) and isinstance(right, float):
        assert left == pytest.approx(right, rel=relative, abs=relative), where
    elif isinstance(left, tuple) and isinstance(right, tuple):
        assert len(left) == len(right), where
        for one, other in zip(left, right, strict=True):
            _assert_close(one, other, relative, f"{where}: {one}")
    elif is_dataclass(left) and type(left) is type(right):
        for part in fields(left):
            _assert_close(getattr(left, part.name), getattr(right, part.name), relative, f"{part.name} of {where}")
    else:
        assert left == right, where


def fresh(data: SmallData, as_of: date) -> Scorecard:
    """What one pass over the files says, with nothing stored and nothing cut into cells."""
    definition = load(data.path)
    with registry.open_source(definition.source, NOW.date()) as source:
        return scorecards.build(source.read(definition.plan, as_of))


def run_out() -> None:
    LookCell.objects.filter(state="leased").update(lease_until=Now() - timedelta(seconds=1))


def at_once(work: Callable[[], object], times: int = 4) -> list[object]:
    """Do the same in several threads at the same moment."""
    together = Barrier(times)

    def wait_and_work() -> object:
        try:
            together.wait()
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(times) as pool:
        return [future.result() for future in [pool.submit(wait_and_work) for _ in range(times)]]
