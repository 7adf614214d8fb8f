from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.experiments import small_data
from tests.experiments.looks import Mailbox, applied, mailbox
from tests.experiments.small_data import SmallData


@pytest.fixture(autouse=True)
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with mailbox(monkeypatch) as opened:
        yield opened


@pytest.fixture
def data(tmp_path: Path) -> SmallData:
    """The small experiment with two units that change sides in the second week, and some without any facts."""
    made = SmallData(tmp_path)
    made.facts = small_data.rows_of(made.facts, [int(unit[-4:]) % 7 > 0 for unit in made.facts["unit_id"]])
    for unit, other in ((0, "treatment"), (1, "control")):
        made.exposures["unit_id"].append(f"user-{unit:04d}")
        made.exposures["variant"].append(other)
        made.exposures["exposed_at"].append(small_data.START + timedelta(days=10))
    return made


@pytest.fixture
def key(data: SmallData) -> str:
    return applied(data)
