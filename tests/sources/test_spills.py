"""What killed processes left in the folder of temporary files is removed; what is in use is not."""

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings

from experiments import tasks
from experiments.sources import spills

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def written(path: Path, hours: int) -> None:
    at = (NOW - timedelta(hours=hours)).timestamp()
    os.utime(path, (at, at))


def test_only_folders_of_ours_in_which_nothing_was_written_for_a_day_are_swept(temporary: Path) -> None:
    left, busy, fresh = (Path(spills.make()) for _ in range(3))
    others = temporary / "other-program"
    others.mkdir()
    for folder, hours in ((left, 25), (busy, 1), (others, 25)):
        (folder / "part").touch()
        written(folder / "part", hours)
        written(folder, 25)
    written(fresh, 23)
    assert spills.sweep(NOW) == 1
    assert set(temporary.iterdir()) == {busy, fresh, others}


def test_a_folder_goes_with_its_block_and_nobody_else_sees_into_it(temporary: Path) -> None:
    with spills.opened() as folder:
        assert [str(path) for path in temporary.iterdir()] == [folder]
        assert Path(folder).stat().st_mode & 0o777 == 0o700
        assert spills.sweep(datetime.now(UTC)) == 0
    assert list(temporary.iterdir()) == []


def test_the_schedule_asks_for_it(temporary: Path) -> None:
    folder = Path(spills.make())
    os.utime(folder, (0, 0))
    assert tasks.sweep_spills.name in {one["task"] for one in settings.CELERY_BEAT_SCHEDULE.values()}
    tasks.sweep_spills()
    assert not folder.exists()
