"""Files on their way in: to disk under names of our own, whole or not at all, and only from those who may send them."""

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from experiments.models import AuditEntry, Source, SourceDraft
from experiments.services import sources, uploads
from experiments.services.uploads import CannotReceive, Incoming, clean_label
from tests.experiments.pages import words
from tests.experiments.registered import FACTS, csv_of, drafted, registered, sent, small_files
from tests.experiments.small_data import exposures
from tests.people import person, signed_in

pytestmark = pytest.mark.django_db

MB = 2**20
ADD = "/add/source/"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, settings: Any) -> Path:
    settings.HOLDFAST_UPLOADS = tmp_path / "uploads"
    return tmp_path / "uploads"


def there(place: Path) -> list[str]:
    """Every file that lies among the uploads, with its path there."""
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


def test_sent_files_lie_whole_under_names_of_ours_until_somebody_keeps_them(place: Path) -> None:
    files = small_files()
    content = {name: file.read() for name, file in files.items()}
    for file in files.values():
        file.seek(0)
    response = signed_in("editor").post(ADD, {"how": "upload", **files})
    draft = SourceDraft.objects.get()
    assert response.headers["Location"] == f"/add/source/{draft.token}/"
    assert there(place) == [f"{draft.token}/exposures.csv", f"{draft.token}/facts.parquet"]
    folder = place / draft.token
    assert (folder / "exposures.csv").read_bytes() == content["exposures"]
    assert (folder / "facts.parquet").read_bytes() == content["facts"]
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())} == {0}
    assert draft.created_by == "editor@example.com"
    assert {name: table.rows for name, table in draft.tables.items()}["exposures"] == 40


@pytest.mark.parametrize("name", ["../../../evil.csv", "..\\evil\x00" + "e" * 300 + ".csv"])
def test_no_name_of_a_sender_is_part_of_a_path(place: Path, name: str) -> None:
    files = {**small_files(), "exposures": sent("x.csv", csv_of(exposures(40)))}
    files["exposures"]._name = name  # as a client of one's own may send it
    response = signed_in("editor").post(ADD, {"how": "upload", **files})
    assert response.status_code == 302, words(response)
    assert there(place) == [f"{SourceDraft.objects.get().token}/{file}" for file in ("exposures.csv", "facts.parquet")]
    assert not list(place.parent.glob("evil*"))


def test_a_label_is_short_and_printable() -> None:
    assert clean_label("a/b\\c\x07\u202e.csv") == "c__.csv"
    assert clean_label("x" * 300 + ".parquet") == "x" * 80 + ".parquet"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"facts": sent("facts.zip", b"PK\x03\x04")}, "facts.zip: is not a kind of file that can be sent"),
        ({"facts": sent("facts.csv", b"PK\x03\x04")}, "facts.csv: is a zip archive or an Excel workbook"),
        ({"exposures": sent("e.csv", b"<html>Sign in")}, "e.csv: is a web page or XML"),
        ({"facts": sent("facts.parquet", b"PAR1\x00\x00PAR1")}, "facts.parquet: is cut off"),
    ],
)
def test_a_refused_file_leaves_nothing_behind(
    place: Path, changes: dict[str, SimpleUploadedFile], sentence: str
) -> None:
    response = signed_in("editor").post(ADD, {"how": "upload", **small_files(), **changes})
    assert response.status_code == 422
    assert sentence in words(response)
    assert there(place) == []
    assert not SourceDraft.objects.exists()


def test_a_form_without_files_says_what_is_missing(place: Path) -> None:
    response = signed_in("editor").post(ADD, {"how": "upload"})
    assert response.status_code == 422
    assert words(response).count("Choose a file.") == 2
    only = signed_in("editor").post(ADD, {"how": "upload", "exposures": small_files()["exposures"]})
    assert words(only).count("Choose a file.") == 1
    assert there(place) == []


def test_a_file_above_the_limit_is_refused_while_it_comes(place: Path, settings: Any) -> None:
    settings.HOLDFAST_UPLOAD_BYTES = MB
    files = {**small_files(), "facts": sent("facts.csv", b"a,b\n" + b"1,2\n" * MB)}
    response = signed_in("editor").post(ADD, {"how": "upload", **files})
    assert response.status_code == 422
    assert "facts.csv: has more than 1 MB, the limit for a file" in words(response)
    assert there(place) == []


def test_a_full_disk_leaves_nothing_behind(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, chunk: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    opened = os.fdopen
    monkeypatch.setattr(uploads.os, "fdopen", lambda number, mode: Wrapped(opened(number, mode), Full()))
    response = signed_in("editor").post(ADD, {"how": "upload", **small_files()})
    assert response.status_code == 422
    assert "the server's disk is full; nothing of it was kept" in words(response)
    assert there(place) == []


class Wrapped:
    """A file that another object writes to."""

    def __init__(self, file: Any, writer: Any) -> None:
        self._file, self.write = file, writer.write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_a_file_of_a_size_that_the_disk_has_not_is_not_begun(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotReceive, match="disk is full"):
        Incoming("facts.csv", 2**62)
    monkeypatch.setattr(uploads, "SPARE_BYTES", 2**62)
    response = signed_in("editor").post(ADD, {"how": "upload", **small_files()})
    assert words(response).count("the server's disk is full") == 2
    assert there(place) == []


def test_files_that_cannot_be_moved_are_not_half_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"exposures": Incoming("e.csv"), "facts": Incoming("f.csv")}
    for file in files.values():
        file.write(b"a,b\n1,2\n")
        file.finish()
    taken = Incoming.take

    def second_fails(self: Incoming, target: Path) -> None:
        if self.label == "f.csv":
            raise OSError(errno.EIO, "Input/output error")
        taken(self, target)

    monkeypatch.setattr(Incoming, "take", second_fails)
    with pytest.raises(CannotReceive, match="nothing was"):
        uploads.keep(files, "0" * 32)
    for file in files.values():
        file.close()
    assert there(place) == []


@pytest.mark.parametrize("who", ["", "outsider", "viewer"])
@pytest.mark.parametrize("address", [ADD, "/people/", "/login/"])
def test_files_of_who_may_not_send_them_never_reach_the_disk(
    place: Path, who: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr("experiments.views.receiving.Incoming", lambda *name: begun.append(str(name)))
    browser = signed_in(who) if who else Client()
    assert browser.post(address, {"how": "upload", **small_files()}).status_code in (200, 302, 403, 405)
    assert begun == []
    assert there(place) == []


def test_files_sent_to_a_page_that_takes_none_never_reach_the_disk(place: Path) -> None:
    person("admin")
    assert signed_in("admin").post("/people/", small_files()).status_code == 405
    assert not place.exists()


def test_a_form_without_the_token_leaves_no_file(place: Path) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(person("editor"), backend="experiments.accounts.PersonBackend")
    assert browser.post(ADD, {"how": "upload", **small_files()}).status_code == 403
    assert there(place) == []


def test_a_third_file_is_refused_whole(place: Path) -> None:
    response = signed_in("editor").post(ADD, {"how": "upload", **small_files(), "more": sent("m.csv", b"a\n1\n")})
    assert response.status_code == 400
    assert there(place) == []


# --- what nobody kept -------------------------------------------------------------------------------------------------
def test_what_nobody_kept_within_a_day_is_swept_and_nothing_else(place: Path) -> None:
    now = datetime.now(UTC)
    old, new = now - timedelta(hours=25), now - timedelta(hours=23)
    for name, age in (("old", old), ("new", new), ("kept", old), ("stray", old)):
        folder = place / name
        folder.mkdir(parents=True)
        (folder / "facts.csv").write_text("a\n1\n")
        os.utime(folder, (age.timestamp(), age.timestamp()))
    for name, age in (("old.csv", old), ("new.csv", new)):
        file = place / "incoming" / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
        os.utime(file, (age.timestamp(), age.timestamp()))
    for name, age in (("old", old), ("new", new)):
        draft = drafted(name)
        draft.folder, draft.created_at, draft.uploaded = str(place / name), age, True
        draft.save()
    source = registered("kept", place / "kept")
    source.uploaded = True
    source.save()
    sources.sweep(now)
    assert there(place) == ["incoming/new.csv", "kept/facts.csv", "new/facts.csv"]
    assert [draft.token for draft in SourceDraft.objects.all()] == ["new"]


def test_a_sweep_touches_no_file_that_was_only_named(place: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "facts.csv").touch()
    draft = drafted()
    draft.folder, draft.created_at = str(data), datetime(2020, 1, 1, tzinfo=UTC)
    draft.save()
    sources.sweep(datetime.now(UTC))
    assert (data / "facts.csv").exists()
    assert not SourceDraft.objects.exists()


# --- from the data to a source ----------------------------------------------------------------------------------------
COLUMNS = {"unit": "user", "variant": "arm", "exposed_at": "day", "at": "date", "left_at": "closed_at"}


def test_a_draft_shows_first_rows_and_guesses_and_becomes_a_source() -> None:
    draft, browser = drafted(), signed_in("editor")
    page = browser.get(f"/add/source/{draft.token}/")
    html, text = page.content.decode(), words(page)
    assert "Facts facts.csv · 2 rows · 4 columns" in text
    assert '<option value="arm" selected>' in html
    assert "&lt;b&gt;x&lt;/b&gt;" in html
    assert "lines bigint value for metrics 1 empty" in text
    response = browser.post(f"/add/source/{draft.token}/", {"key": "shop", **COLUMNS})
    assert response.headers["Location"] == "/sources/shop/"
    source = Source.objects.get()
    assert (source.key, source.confined, source.spec.columns.left_at) == ("shop", True, "closed_at")
    assert source.tables["facts"] == FACTS
    assert not SourceDraft.objects.exists()
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.object_kind, entry.object_key) == ("source registered", "source", "shop")
    assert entry.actor == "editor@example.com"
    assert browser.get(f"/add/source/{draft.token}/").status_code == 404


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"key": ""}, "Give it a key"),
        ({"key": "Shop 1"}, "'Shop 1' is not a key; write 1 to 63 of a-z"),
        ({"key": "taken"}, "A source is registered as `taken` already"),
        ({"variant": ""}, "Choose a column."),
        ({"at": "lines"}, "is of type BIGINT; it must hold dates or times"),
        ({"unit": "nothing"}, "nothing is not one of the available choices"),
    ],
)
def test_a_wrong_answer_is_said_beside_its_field_and_keeps_the_draft(changes: dict[str, str], sentence: str) -> None:
    registered("taken")
    draft = drafted()
    response = signed_in("editor").post(f"/add/source/{draft.token}/", {"key": "shop", **COLUMNS, **changes})
    assert response.status_code == 422
    assert sentence in words(response)
    assert SourceDraft.objects.exists()
    assert [source.key for source in Source.objects.all()] == ["taken"]


def test_a_draft_can_be_thrown_away_with_its_files(place: Path) -> None:
    signed_in("editor").post(ADD, {"how": "upload", **small_files()})
    draft = SourceDraft.objects.get()
    editor = signed_in("editor")
    assert "have to be sent again" in words(editor.post(f"/add/source/{draft.token}/", {"give-up": "1"}))
    assert SourceDraft.objects.exists()
    assert len(there(place)) > 0
    assert editor.post(f"/add/source/{draft.token}/", {"surely": "1"}).status_code == 302
    assert there(place) == []
    assert not SourceDraft.objects.exists()


def test_newer_data_take_the_place_of_the_old_and_keep_the_columns() -> None:
    source = registered("shop")
    draft = drafted(source=source)
    response = signed_in("editor").post(f"/add/source/{draft.token}/", COLUMNS)
    assert response.headers["Location"] == "/sources/shop/"
    source.refresh_from_db()
    assert (source.exposures, source.unit_column) == ("exposures.csv", "user")
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.before["unit"], entry.after["unit"]) == ("source data replaced", "unit_id", "user")


def test_files_on_the_server_are_registered_from_allowed_folders_alone(tmp_path: Path, settings: Any) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name, file in small_files().items():
        (data / f"{name}.{'csv' if name == 'exposures' else 'parquet'}").write_bytes(file.read())
    form = {"how": "folder", "folder": str(data), "exposures": "exposures.csv", "facts": "*.parquet"}
    browser = signed_in("editor")
    assert "No folder is open to this page" in words(browser.post(ADD, form))
    settings.HOLDFAST_DATA_FOLDERS = [tmp_path / "other"]
    assert "is not one of the available choices" in words(browser.post(ADD, form))
    settings.HOLDFAST_DATA_FOLDERS = [data]
    refused = browser.post(ADD, {**form, "facts": "../uploads/*.parquet"})
    assert "is not a path within the folder" in words(refused)
    assert "there is no such file" in words(browser.post(ADD, {**form, "facts": "nothing.csv"}))
    assert browser.post(ADD, form).status_code == 302
    draft = SourceDraft.objects.get()
    assert (draft.folder, draft.facts, draft.uploaded) == (str(data), "*.parquet", False)


def test_a_source_page_says_where_it_is_but_not_where_uploads_lie() -> None:
    source = registered("shop", Path("/secret/place"))
    assert "In /secret/place Exposures exposures.parquet" in words(signed_in("viewer").get("/sources/shop/"))
    source.uploaded = True
    source.save()
    for address in ("/sources/shop/", "/sources/"):
        text = words(signed_in("viewer").get(address))
        assert "/secret/place" not in text
        assert "Exposures exposures.csv Facts facts.csv" in text
    assert signed_in("viewer").get("/sources/shp/").status_code == 404
