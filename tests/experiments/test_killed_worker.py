"""A real worker is killed with kill -9 at ten points of a look; another one completes it, and the rows are the same."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.db import models

from experiments import queue
from experiments.definitions import load
from experiments.management import waiting
from experiments.models import (
    CheckRow,
    CurrentTriangle,
    EffectRow,
    FactCountRow,
    Look,
    LookCell,
    LookExclusion,
    LookUnits,
    MomentsCell,
    ReversalRow,
    TallyExclusion,
    TallyRow,
    TrajectoryRow,
)
from experiments.services.apply import apply
from experiments.services.refresh import plan_look
from tests.experiments.commands import run
from tests.experiments.looks import NOW
from tests.experiments.nursery import Nursery, own_home
from tests.experiments.small_data import SmallData

pytestmark = pytest.mark.django_db(transaction=True)

PARTITIONS = 3
LEASE_SECONDS = 1
PATIENCE = 60.0

RESULTS: tuple[type[models.Model], ...] = (EffectRow, TrajectoryRow, ReversalRow, CheckRow, LookUnits, LookExclusion)
MOMENTS: tuple[type[models.Model], ...] = (MomentsCell, TallyRow, TallyExclusion, FactCountRow)


@dataclass(frozen=True)
class Seen:
    """What the database says of a look at one moment."""

    look: str
    check: str
    moments: tuple[str, ...]
    finish: str

    @property
    def parts_done(self) -> int:
        return self.moments.count("done")


#: The points at which the worker is killed: as soon as this is seen, and then so many seconds more. Each costs seconds
#: for another worker, so that FEW of them are tried in every run: one in each kind of cell, and one before and after.
POINTS: dict[str, tuple[Callable[[Seen], bool], float]] = {
    "before anything is claimed": (lambda seen: True, 0),
    "while the rows are checked": (lambda seen: seen.check == "leased", 0),
    "later in the check": (lambda seen: seen.check == "leased", 0.03),
    "when the check is done": (lambda seen: seen.check == "done", 0),
    "while a part is read": (lambda seen: "leased" in seen.moments, 0),
    "when one part is done": (lambda seen: seen.parts_done >= 1, 0),
    "when all parts but one are done": (lambda seen: seen.parts_done >= PARTITIONS - 1, 0),
    "when all parts are done": (lambda seen: seen.parts_done == PARTITIONS, 0),
    "while the effects are estimated": (lambda seen: seen.finish == "leased", 0),
    "when the rows are about to be there": (lambda seen: seen.finish == "leased", 0.12),
    "when the look is done and the message is not": (lambda seen: seen.look == "done", 0),
}


FEW = (
    "before anything is claimed",
    "while the rows are checked",
    "while a part is read",
    "when the rows are about to be there",
    "when the look is done and the message is not",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_home(tmp_path / "home", monkeypatch)


@pytest.fixture
def nursery(home: Path) -> Iterator[Nursery]:
    opened = Nursery(home, lease_seconds=LEASE_SECONDS)
    yield opened
    opened.close()


def seen(look_id: int) -> Seen:
    look = Look.objects.get(pk=look_id)
    states = LookCell.objects.filter(look=look_id).order_by("partition").values_list("kind", "state")
    by_kind: dict[str, list[str]] = {"check": [], "moments": [], "finish": []}
    for kind, state in states:
        by_kind[kind].append(state)
    return Seen(look.state, by_kind["check"][0], tuple(by_kind["moments"]), by_kind["finish"][0])


def wait_until(look_id: int, point: Callable[[Seen], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not point(seen(look_id)):
        assert time.monotonic() < deadline, seen(look_id)


def rows(look_id: int) -> dict[str, list[dict[str, Any]]]:
    """All results of a look and its stored moments, less the numbers of rows."""
    triangle = CurrentTriangle.objects.get(look=look_id)
    found = {model.__name__: list(model._default_manager.filter(look=look_id).values()) for model in RESULTS}
    found |= {model.__name__: list(model._default_manager.filter(triangle=triangle).values()) for model in MOMENTS}
    for table in found.values():
        assert table or table is found["TallyExclusion"]
        for row in table:
            for name in ("id", "look_id", "triangle_id"):
                row.pop(name, None)
    return {
        name: [{key: _plain(value) for key, value in row.items()} for row in table] for name, table in found.items()
    }


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def whole_numbers(folder: Path) -> SmallData:
    """Data without fractions: they add up to the same sum in any order, so rows can be compared to the last bit."""
    data = SmallData(folder)
    data.facts["sales"] = [round(value) for value in data.facts["sales"]]
    data.write()
    return data


def experiment(data: SmallData, key: str) -> str:
    """One more experiment on the same data."""
    data.definition["experiment"] = key
    data.path.write_text(yaml.safe_dump(data.definition))
    apply([load(data.path)], NOW)
    return key


@pytest.mark.parametrize(
    "points", [pytest.param(FEW, id="few"), pytest.param(tuple(POINTS), id="all", marks=pytest.mark.slow)]
)
def test_a_worker_killed_at_any_point_leaves_a_look_that_is_completed_with_the_same_rows(
    points: tuple[str, ...], tmp_path: Path, home: Path, nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "HOLDFAST_MIN_PARTITIONS", PARTITIONS, raising=False)
    monkeypatch.setattr(waiting, "PUSH_SECONDS", 0.2)
    monkeypatch.setattr(waiting, "LONGEST_PUSH_SECONDS", 0.2)
    data = whole_numbers(tmp_path / "data")
    worker = nursery.worker()
    undisturbed = plan_look(experiment(data, "undisturbed"), None, NOW).look_id
    assert waiting.wait_for(undisturbed).state == "done", nursery.log.read_text()
    expected = rows(undisturbed)
    reached: dict[str, str] = {}
    killed = []
    for number, name in enumerate(points):
        point, seconds = POINTS[name]
        key = experiment(data, f"killed-{number}")
        look_id = plan_look(key, None, NOW).look_id
        wait_until(look_id, point)
        time.sleep(seconds)
        nursery.kill(worker)
        reached[name] = Look.objects.get(pk=look_id).state
        killed.append(look_id)
        worker = nursery.worker()
        done = run("refresh", key, "--wait")
        assert done.code == 0, (name, done.err)
        assert rows(look_id) == expected, name
    # On a busy machine a look may have ended before the blow; most have not.
    assert list(reached.values()).count("done") <= len(points) / 2, reached
    before = list(LookCell.objects.order_by("pk").values())
    _deliver_everything_again(home)
    nursery.finish(worker)
    assert list(LookCell.objects.order_by("pk").values()) == before
    for look_id in [undisturbed, *killed]:
        assert rows(look_id) == expected


def _deliver_everything_again(home: Path) -> None:
    """Send each cell's message once more, and wait until a worker has taken all of them."""
    for cell_id in LookCell.objects.values_list("pk", flat=True):
        queue.enqueue("run_cell", cell_id=cell_id)
    deadline = time.monotonic() + PATIENCE
    while any((home / "queue" / "messages").glob("*.msg")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
