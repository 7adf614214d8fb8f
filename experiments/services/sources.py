"""Data sources: from two tables, sent or on this server, over what their columns are, to a source with a key."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from experiments.definitions.schema import KEY_PATTERN
from experiments.models import AuditEntry, Draft, Source, SourceDraft
from experiments.models.audit import SOURCE
from experiments.services import uploads
from experiments.services.apply import hold_lock
from experiments.services.suggest import did_you_mean
from experiments.services.uploads import CannotReceive, Incoming
from experiments.sources import mapping
from experiments.sources.apart import examine_apart
from experiments.sources.base import Columns, SourceProblem, SourceSpec
from experiments.sources.duckdb_files import spec_files
from experiments.sources.examine import Examined
from experiments.sources.mapping import Wrong

TABLES = ("exposures", "facts")


class NoSuchSource(LookupError):
    """No source is registered under a key, or a draft is gone. The message says so."""


class CannotRegister(Exception):
    """Data that cannot be a source as asked; ``problems`` says what is wrong, by field of the form."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        super().__init__("; ".join(self.problems.values()))


class CannotDelete(Exception):
    """A source that is read cannot be deleted. The message names who reads it."""


@dataclass(frozen=True)
class Shown:
    """A table for a page: what it is, and what each column is good for."""

    name: str
    table: Examined
    parts: tuple[tuple[str, str, int, str], ...]


def find(key: str) -> Source:
    """Return a registered source. Raises NoSuchSource."""
    found = Source.objects.filter(key=key).first()
    if found is None:
        keys = Source.objects.filter(key__isnull=False).values_list("key", flat=True)
        raise NoSuchSource(f"no source is registered as `{key}`{did_you_mean(key, [one for one in keys if one])}")
    return found


def find_draft(token: str) -> SourceDraft:
    """Return a draft. Raises NoSuchSource where it was kept, given up or swept."""
    found = SourceDraft.objects.select_related("source").filter(token=token).first()
    if found is None:
        raise NoSuchSource("these data were kept already, given up, or removed because nobody kept them in time")
    return found


def draft_of_uploads(
    files: Mapping[str, Incoming], *, by: str, now: datetime, source: Source | None = None
) -> SourceDraft:
    """Examine received files, by table, and keep them for a while. Raises CannotRegister, and keeps nothing."""
    missing = {name: "choose a file" for name in TABLES if name not in files}
    if missing:
        raise CannotRegister(missing)
    tables, problems = {}, {}
    for name in TABLES:
        file = files[name]
        assert file.path is not None
        try:
            tables[name] = examine_apart([file.path], file.label, sent=True)
        except SourceProblem as problem:
            problems[name] = str(problem)
    if problems:
        raise CannotRegister(problems)
    token = secrets.token_hex(16)
    try:
        names = uploads.keep(files, token)
    except CannotReceive as problem:
        raise CannotRegister({"": str(problem)}) from problem
    return _draft(token, uploads.folder_of(token), names, tables, by=by, now=now, source=source, uploaded=True)


def draft_of_files(
    folder: str, patterns: Mapping[str, str], *, by: str, now: datetime, source: Source | None = None
) -> SourceDraft:
    """Examine files on this server, within one of the folders that the settings allow. Raises CannotRegister."""
    allowed = {str(one): one for one in settings.HOLDFAST_DATA_FOLDERS}
    if folder not in allowed:
        raise CannotRegister({"folder": f"choose one of the allowed folders: {', '.join(allowed) or 'there are none'}"})
    spec = SourceSpec("files", patterns["exposures"], patterns["facts"], allowed[folder], confined=True)
    tables, problems = {}, {}
    for name in TABLES:
        try:
            if not patterns[name]:
                raise SourceProblem("name a file, or files with a pattern such as facts/*.parquet")
            tables[name] = examine_apart(spec_files(spec, name), patterns[name], sent=False)
        except (SourceProblem, OSError, ValueError) as problem:
            problems[name] = str(problem)
    if problems:
        raise CannotRegister(problems)
    token = secrets.token_hex(16)
    return _draft(token, allowed[folder], patterns, tables, by=by, now=now, source=source, uploaded=False)


def _draft(
    token: str, folder: Path, names: Mapping[str, str], tables: dict[str, Examined], **about: Any
) -> SourceDraft:
    draft = SourceDraft(
        token=token, folder=str(folder), exposures=names["exposures"], facts=names["facts"], created_by=about["by"],
        created_at=about["now"], source=about["source"], uploaded=about["uploaded"],
    )  # fmt: skip
    draft.tables = tables
    draft.save()
    return draft


def guessed(draft: SourceDraft) -> Columns:
    """The columns to begin with: those of the source whose data they replace, or guesses."""
    if draft.source is not None:
        return draft.source.spec.columns
    tables = draft.tables
    return mapping.guess(tables["exposures"], tables["facts"])


def save(draft: SourceDraft, key: str, columns: Columns, *, by: str, now: datetime) -> Source:
    """Make the source, or give the one there is these data in place of its own. Raises CannotRegister.

    The files that are replaced are swept later, so that who reads them now comes to an end.
    """
    tables = draft.tables
    wrong = [] if draft.source is not None else list(_wrong_key(key))
    wrong += mapping.check(columns, tables["exposures"], tables["facts"])
    if wrong:
        raise CannotRegister({one.field: one.message for one in reversed(wrong)})
    try:
        with transaction.atomic():
            return _saved(draft, key, columns, by, now)
    except IntegrityError as error:
        raise CannotRegister({"key": f"a source is registered as `{key}` already; take another key"}) from error


def _saved(draft: SourceDraft, key: str, columns: Columns, by: str, now: datetime) -> Source:
    if not SourceDraft.objects.select_for_update().filter(pk=draft.pk).exists():
        raise CannotRegister({"": "these data were kept already, or given up"})
    source = draft.source or Source(key=key)
    before = _said(source) if source.pk else {}
    source.spec = SourceSpec(
        "files", draft.exposures, draft.facts, Path(draft.folder), columns, confined=True
    )  # fmt: skip
    source.uploaded, source.examined = draft.uploaded, draft.examined
    source.save()
    draft.delete()
    AuditEntry.objects.record(
        by=by, verb="source data replaced" if before else "source registered", kind=SOURCE, key=source.key or "",
        now=now, before=before, after=_said(source),
    )  # fmt: skip
    return source


def _said(source: Source) -> dict[str, Any]:
    """What the audit log says of a source; not where uploads lie, which is nobody's business."""
    columns = source.spec.columns
    rows = {f"{name} rows": table.rows for name, table in source.tables.items()}
    labels = {name: table.label for name, table in source.tables.items()}
    return {
        **labels, **rows, "unit": columns.unit, "variant": columns.variant, "exposed at": columns.exposed_at,
        "at": columns.at, "left at": columns.left_at,
    }  # fmt: skip


def _wrong_key(key: str) -> Sequence[Wrong]:
    if not KEY_PATTERN.match(key):
        allowed = "1 to 63 of a-z, 0-9, dot, underscore and dash, beginning with a letter or a digit"
        return [Wrong("key", f"{key!r} is not a key; write {allowed}" if key else f"give it a key: {allowed}")]
    return []


def give_up(draft: SourceDraft) -> None:
    """Forget a draft and its files."""
    draft.delete()
    if draft.uploaded:
        uploads.remove(Path(draft.folder))


def users(source: Source) -> tuple[str, ...]:
    """Name what reads a source: experiments, archived ones too, and definitions in the making."""
    drafts = Draft.objects.filter(source=source).select_related("author").order_by("pk")
    return (
        *source.experiments.order_by("key").values_list("key", flat=True),
        *(f"the draft {draft.key or draft.pk} of {draft.author.email}" for draft in drafts),
    )


@transaction.atomic
def delete(key: str, *, by: str, now: datetime) -> None:
    """Forget a source that nothing reads, with its checks. Raises NoSuchSource, CannotDelete.

    Files that were sent for it go once that is settled; files that were only named stay where they are.
    """
    hold_lock()  # no definition comes to read it meanwhile
    source = Source.objects.select_for_update().get(pk=find(key).pk)
    reading = users(source)
    if reading:
        raise CannotDelete(f"{key} is read by {', '.join(reading)}")
    folders = [Path(one.folder) for one in (source, *source.drafts.all()) if one.uploaded]
    AuditEntry.objects.record(by=by, verb="source deleted", kind=SOURCE, key=key, now=now, before=_said(source))
    source.delete()
    for folder in folders:
        transaction.on_commit(partial(uploads.remove, folder))


def sweep(now: datetime) -> int:
    """Remove drafts that nobody kept, and uploaded files that no source reads; return how many."""
    for draft in SourceDraft.objects.filter(created_at__lt=now - uploads.ABANDONED_AFTER):
        give_up(draft)
    kept = {row.folder for model in (Source, SourceDraft) for row in model.objects.filter(uploaded=True)}
    return uploads.sweep(kept, now)


def without_files() -> tuple[Source, ...]:
    """The sources whose uploaded files are not on this machine, as after a restore on another one."""
    uploaded = Source.objects.filter(uploaded=True).order_by("key")
    return tuple(
        one for one in uploaded if not all((Path(one.folder) / name).is_file() for name in (one.exposures, one.facts))
    )


def shown(tables: Mapping[str, Examined], columns: Columns) -> tuple[Shown, ...]:
    """The tables with what each column is good for, in words."""
    if not tables:
        return ()
    usable = set(mapping.values(tables["facts"], columns))
    return tuple(
        Shown(
            name, tables[name],
            tuple((one.name, one.kind, one.nulls, _use(name, one.name, columns, usable))
                  for one in tables[name].columns),
        )
        for name in TABLES
    )  # fmt: skip


def _use(table: str, column: str, columns: Columns, usable: set[str]) -> str:
    parts = {columns.unit: "unit"}
    if table == "exposures":
        parts |= {columns.variant: "variant", columns.exposed_at: "exposed at"}
        parts |= {columns.left_at: "left at"} if columns.left_at else {}
        return parts.get(column, "segment or covariate")
    parts |= {columns.at: "at"}
    return parts.get(column, "value for metrics" if column in usable else "not a number")


def columns_of(fields: Mapping[str, str]) -> Columns:
    """The columns that a form names."""
    return Columns(
        fields["unit"], fields["variant"], fields["exposed_at"], fields["at"], fields.get("left_at") or None
    )  # fmt: skip


def fields_of(columns: Columns) -> dict[str, str]:
    """What a form shows of columns."""
    return {
        "unit": columns.unit, "variant": columns.variant, "exposed_at": columns.exposed_at, "at": columns.at,
        "left_at": columns.left_at or "",
    }  # fmt: skip


def largest_upload() -> int:
    """Bytes that one file may have."""
    return int(settings.HOLDFAST_UPLOAD_BYTES)
