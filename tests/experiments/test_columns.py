"""The form knows the columns of data that somebody has looked at: it suggests them, and says which are not there."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from experiments.models import Source
from experiments.services.columns import lacking, usable
from experiments.sources.base import Columns, SourceSpec
from tests.experiments.configuring import STEPS, begun, filled, registered, typed
from tests.experiments.pages import words
from tests.experiments.registered import registered as examined
from tests.people import signed_in

pytestmark = pytest.mark.django_db

COLUMNS = Columns("user", "arm", "day", "date", "closed_at")


@pytest.fixture
def owner() -> Client:
    return signed_in("owner")


@pytest.fixture
def shop() -> Source:
    return examined("shop", columns=COLUMNS)


def body(**metric: Any) -> dict[str, Any]:
    return {"metrics": [{"key": "m", **metric}]}


@pytest.mark.parametrize(
    ("named", "place"),
    [
        (body(column="linse"), "metrics[0].column"), (body(column="note"), "metrics[0].column"),
        (body(numerator="lines", denominator="sales"), "metrics[0].denominator"),
        (body(event={"type": "occurrence", "column": "gone"}), "metrics[0].event.column"),
        (body(column="lines", adjust=["age"]), "metrics[0].adjust"), ({"segments": ["arm"]}, "segments"),
        (body(column="lines"), None), (body(numerator="lines", denominator="rows"), None),
        (body(column=""), None), (body(column=5, event=[], adjust="x"), None),
        ({"metrics": [3], "segments": "x"}, None),
    ],
)  # fmt: skip
def test_columns_that_are_not_there_are_told_at_their_place(
    shop: Source, named: dict[str, Any], place: str | None
) -> None:
    assert [one.field for one in lacking(named, shop)] == ([] if place is None else [place])


def test_data_that_nobody_looked_at_say_nothing(tmp_path: Path) -> None:
    assert usable(None) == usable(registered(tmp_path)) == {}
    assert lacking(body(column="linse"), registered(tmp_path / "b", "other")) == ()


def test_the_form_suggests_columns_and_warns_while_one_types(owner: Client, shop: Source) -> None:
    draft = begun(owner)
    typed(owner, draft, "data", chosen_source=str(shop.pk))
    page = owner.get(f"/drafts/{draft.pk}/metrics/").content.decode()
    assert '<datalist id="columns-facts"><option value="lines"></option></datalist>' in page
    assert 'name="metrics[0].column" value="" type="text" autocomplete="off" list="columns-facts"' in page
    posted = {**STEPS["metrics"], "metrics[0].column": "linse"}
    live = words(owner.post(f"/drafts/{draft.pk}/metrics/check/", posted))
    assert live.count("facts have no column `linse` of numbers; did you mean `lines`?") == 2  # panel and field
    assert typed(owner, draft, "metrics", **{"metrics[0].column": "linse"}).status_code == 302  # as `apply` takes it
    assert "Looks would fail." in words(owner.get(f"/drafts/{draft.pk}/review/"))


def test_pages_do_not_tell_where_on_the_server_data_lie(owner: Client, tmp_path: Path) -> None:
    source = registered(tmp_path / "lake")
    source.confined = True
    source.save()
    draft = filled(owner, source)
    told = words(owner.get(f"/drafts/{draft.pk}/review/"))
    assert "No power: facts.parquet: the history is too short" in told
    assert str(tmp_path) not in told


def test_files_of_a_confined_source_go_by_their_names(tmp_path: Path) -> None:
    confined = SourceSpec("files", "e", "f", tmp_path, confined=True)
    assert confined.told(f"{tmp_path}/f.csv: not like {tmp_path}/e.csv") == "f.csv: not like e.csv"
    assert SourceSpec("files", "e", "f", tmp_path).told(f"{tmp_path}/f.csv") == f"{tmp_path}/f.csv"
