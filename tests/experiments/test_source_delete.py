"""A source is deleted from its page unless something reads it, and its files go after the transaction, not before."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from experiments.models import AuditEntry, Draft, Experiment, Source, SourceDraft
from experiments.services import source_checks, sources
from experiments.services.sources import CannotDelete, NoSuchSource
from tests.experiments import cards
from tests.experiments.pages import words
from tests.experiments.registered import drafted, registered
from tests.experiments.stored import NOW, renamed, stored
from tests.people import person, signed_in

pytestmark = pytest.mark.django_db

PAGE = "/sources/shop/delete/"


@pytest.fixture
def folders(tmp_path: Path, settings: Any) -> list[Path]:
    """A source of sent files, and newer data on their way to it."""
    settings.HOLDFAST_UPLOADS = tmp_path
    made = [tmp_path / name for name in ("a" * 32, "b" * 32)]
    for folder in made:
        folder.mkdir()
        (folder / "facts.parquet").write_bytes(b"rows")
    source = registered("shop", made[0])
    draft = drafted("b" * 32, source)
    Source.objects.update(uploaded=True)
    SourceDraft.objects.filter(pk=draft.pk).update(uploaded=True, folder=str(made[1]))
    return made


def test_the_page_asks_and_then_deletes_rows_and_sent_files(
    folders: list[Path], django_capture_on_commit_callbacks: Any
) -> None:
    browser = signed_in("editor")
    source_checks.ask(Source.objects.get(), by="x", now=NOW, send=False)
    assert f'href="{PAGE}"' in browser.get("/sources/shop/").content.decode()
    assert "Its files were sent here, and are removed with it." in words(browser.get(PAGE))
    with django_capture_on_commit_callbacks() as after:
        assert browser.post(PAGE).headers["Location"] == "/sources/"
    assert not Source.objects.exists()
    assert not SourceDraft.objects.exists()
    assert all(folder.exists() for folder in folders)  # until the transaction is over
    for step in after:
        step()
    assert not any(folder.exists() for folder in folders)
    told = AuditEntry.objects.latest("pk")
    assert (told.actor, told.verb, told.object_key) == ("editor@example.com", "source deleted", "shop")
    assert (told.before["exposures"], told.after) == ("exposures.csv", {})
    assert browser.post(PAGE).status_code == 404


def test_a_transaction_that_is_taken_back_keeps_the_files(
    folders: list[Path], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        sources.delete("shop", by="x", now=NOW)
        transaction.set_rollback(True)
    assert Source.objects.exists()
    assert all(folder.exists() for folder in folders)


def test_files_that_were_only_named_stay(tmp_path: Path, django_capture_on_commit_callbacks: Any) -> None:
    registered("shop", tmp_path)
    assert "Its files stay where they are." in words(signed_in("editor").get(PAGE))
    with django_capture_on_commit_callbacks(execute=True):
        sources.delete("shop", by="x", now=NOW)
    assert tmp_path.exists()
    with pytest.raises(NoSuchSource):
        sources.delete("shop", by="x", now=NOW)


def test_a_source_that_is_read_is_kept_and_who_reads_it_is_named(folders: list[Path]) -> None:
    source = Source.objects.get()
    for key in ("b-test", "a-test"):
        stored(renamed(cards.honeymoon(), key, key))
    Experiment.objects.update(source=source)
    browser = signed_in("editor")
    Draft.objects.create(
        source=source, text=json.dumps({"experiment": "next"}), author=person("editor"), created_at=NOW, updated_at=NOW
    )
    reading = "shop is read by a-test, b-test, the draft next of editor@example.com"
    assert reading in words(browser.get(PAGE))
    response = browser.post(PAGE)
    assert (response.status_code, reading in words(response)) == (409, True)
    with pytest.raises(CannotDelete, match="is read by a-test"):
        sources.delete("shop", by="x", now=NOW)
    assert Source.objects.filter(key="shop").exists()
    assert all(folder.exists() for folder in folders)
