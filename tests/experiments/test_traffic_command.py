"""`manage.py traffic` as somebody types it."""

from io import StringIO
from pathlib import Path

import pytest

from tests.experiments.commands import run
from tests.experiments.traffic_world import experiment, holdout, put

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_command_shows_the_traffic_and_changes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(holdout(members=["a"]), experiment("a", layer="search", share=0.4), experiment("b"))
    assert run("traffic").out.splitlines() == [
        "experiment a: running",
        "  layer search: buckets 0-3,999 (40 %)",
        "  held out by winter 5 %",
        "  effective traffic: 38 % of all units",
        "experiment b: running",
        "  takes whoever comes",
        "holdout winter: running",
        "  holds out 5 % of all units from 2024-06-03 on, before any layer (planned until 2024-12-30)",
        "  effective traffic of a: 38 % of all units",
    ]
    assert run("traffic", "a", "--tester", "me", "treatment").out == "a: me gets treatment, and is not counted\n"
    assert run("traffic", "a", "--no-tester", "me").out == "a: me is treated like everybody else\n"
    (tmp_path / "units").write_text("u\nv\n")
    assert run("traffic", "a", "--freeze", tmp_path / "units").out.startswith("a: frozen; 2 units are in")
    monkeypatch.setattr("sys.stdin", StringIO("u\n"))
    assert run("traffic", "b", "--freeze", "-").out.startswith("b: frozen; 1 units are in")
    assert "holds nobody out from" in run("traffic", "winter", "--release", "over").out
    assert run("traffic", "--release", "over").code == 2
    for wrong in (("nothing",), ("b", "--freeze", tmp_path / "none"), ("winter", "--release", "again")):
        assert run("traffic", *wrong).code == 1
