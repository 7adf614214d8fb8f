"""Sources and drafts as rows, for tests of pages that need no data behind them; and small files to be sent."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from django.core.files.uploadedfile import SimpleUploadedFile

from experiments.models import Source, SourceDraft
from experiments.sources.base import Columns, SourceSpec
from experiments.sources.examine import Column, Examined
from tests.experiments import small_data
from tests.experiments.small_data import Table
from tests.experiments.stored import NOW

EXPOSURES = Examined(
    "exposures.csv", 2,
    (
        Column("user", "VARCHAR", 0), Column("arm", "VARCHAR", 0), Column("day", "DATE", 0),
        Column("closed_at", "DATE", 1),
    ),
    (("ann", "control", "2024-01-01", None), ("bob", "treatment", "2024-01-02", "2024-03-01")),
)  # fmt: skip
FACTS = Examined(
    "facts.csv", 2,
    (
        Column("user", "VARCHAR", 0), Column("date", "DATE", 0), Column("lines", "BIGINT", 1),
        Column("note", "VARCHAR", 0),
    ),
    (("ann", "2024-01-03", "2", "<b>x</b>"), ("bob", "2024-01-03", None, "y")),
)  # fmt: skip


def registered(key: str, folder: Path = Path("/nowhere"), columns: Columns | None = None) -> Source:
    """A registered source of files that were examined."""
    source = Source(key=key, confined=True)
    source.spec = SourceSpec("files", "exposures.parquet", "facts.parquet", folder, columns or Columns(), confined=True)
    source.tables = {"exposures": EXPOSURES, "facts": FACTS}
    source.save()
    return source


def drafted(token: str = "a" * 32, source: Source | None = None) -> SourceDraft:
    draft = SourceDraft(
        token=token, folder="/nowhere", exposures="exposures.csv", facts="facts.csv", created_by="editor@example.com",
        created_at=NOW, source=source,
    )  # fmt: skip
    draft.tables = {"exposures": EXPOSURES, "facts": FACTS}
    draft.save()
    return draft


def csv_of(table: Table) -> bytes:
    written = io.BytesIO()
    pa_csv.write_csv(pa.table(table), written)
    return written.getvalue()


def parquet_of(table: Table) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table(table), written)
    return written.getvalue()


def sent(name: str, content: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, "application/octet-stream")


def small_files(units: int = 40, **changes: Any) -> dict[str, SimpleUploadedFile]:
    """The small experiment's tables as the fields of the upload form."""
    tables = {"exposures": small_data.exposures(units), "facts": small_data.facts(units), **changes}
    return {
        "exposures": sent("exposures.csv", csv_of(tables["exposures"])),
        "facts": sent("facts.parquet", parquet_of(tables["facts"])),
    }
