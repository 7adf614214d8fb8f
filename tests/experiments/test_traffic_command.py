"""`manage.py traffic` as somebody types it."""

from io import StringIO
from pathlib import Path

import pytest

from experiments.models import AuditEntry
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


def test_the_command_makes_lists_and_revokes_keys() -> None:
    assert run("key").out.startswith("There is no key yet.")
    text = run("key", "shop", "--kind", "server").out.splitlines()[0]
    page = run(
        "key", "page", "--kind", "client", "--origin", "https://a.example.com", "--origin", "http://localhost:3000"
    )
    assert (text[:4], page.out[:4]) == ("hfs_", "hfc_")
    assert run("key", "shop", "--revoke").out == "shop: revoked\n"
    listed = run("key").out.splitlines()
    assert listed[0].split()[:2] == ["shop", "server"]
    assert "revoked on" in listed[0]
    assert listed[1].endswith("http://localhost:3000 https://a.example.com")
    assert text not in run("key").out
    assert [run("key", *wrong).code for wrong in (("--revoke",), ("x",))] == [2, 2]
    refused = run("key", "x", "--kind", "client")
    assert (refused.code, refused.err) == (
        1, "Error: a client key needs the origins of its pages, such as https://shop.example.com\n",
    )  # fmt: skip
    assert run("key", "shop", "--revoke").err == "Error: there is no key `shop` in use\n"
    assert list(AuditEntry.objects.values_list("verb", "object_key").order_by("pk")) == [
        ("made", "shop"), ("made", "page"), ("revoked", "shop"),
    ]  # fmt: skip
