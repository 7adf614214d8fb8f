"""What a file that somebody sends us really is, told from its first bytes: no name and no library is trusted here."""

import codecs
from pathlib import Path

from experiments.sources.base import SourceProblem

PARQUET, CSV = "parquet", "csv"

#: Endings that a sent file may have, and what is in such a file.
SUFFIXES = {".parquet": PARQUET, ".pq": PARQUET, ".csv": CSV, ".tsv": CSV}

_MAGIC = b"PAR1"

#: The description at the end of a Parquet file: a table of a thousand columns has less than a megabyte of it.
LARGEST_FOOTER = 64 * 2**20

#: The first line of a CSV file.
LONGEST_HEADER = 2**16

_CHUNK = 2**20

#: First bytes of what is often sent in place of a table, and what to do about it.
_OTHERS = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "unpack it, or save the sheet as CSV"),
    (b"\x1f\x8b", "compressed with gzip", "unpack it, or write Parquet"),
    (b"BZh", "compressed with bzip2", "unpack it, or write Parquet"),
    (b"\xfd7zXZ", "compressed with xz", "unpack it, or write Parquet"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "unpack it, or write Parquet"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV"),
    (b"%PDF", "a PDF document", "send the table as CSV or Parquet"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV or Parquet"),
    (b"ARROW1", "an Arrow file", "write Parquet"),
    (b"ORC", "an ORC file", "write Parquet"),
    (b"PARE", "an encrypted Parquet file", "write it without encryption"),
)
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<svg")
_ENCODINGS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def suffix_kind(label: str) -> str:
    """Return what a file's name says is in it. Raises SourceProblem naming the endings that are allowed."""
    kind = SUFFIXES.get(Path(label).suffix.lower())
    if kind is None:
        raise SourceProblem(f"{label}: is not a kind of file that can be sent; allowed are .parquet, .csv and .tsv")
    return kind


def check_content(file: Path, label: str) -> str:
    """Return whether a file is Parquet or CSV; ``label`` is how its owner knows it.

    Raises SourceProblem for anything else, and for a file whose name says otherwise. Reads a CSV file once.
    """
    wanted = suffix_kind(label)
    size = file.stat().st_size
    if size == 0:
        raise SourceProblem(f"{label}: the file is empty (0 bytes)")
    with file.open("rb") as opened:
        head = opened.read(1024)
    _refuse_others(head, label)
    is_parquet = head.startswith(_MAGIC)
    if is_parquet != (wanted == PARQUET):
        found = "is Parquet, though its name says CSV" if is_parquet else "is no Parquet: it does not begin with PAR1"
        raise SourceProblem(f"{label}: {found}; give it the ending of what it is, .parquet or .csv")
    if is_parquet:
        _check_footer(file, size, label)
    else:
        _check_text(file, label)
    return wanted


def _refuse_others(head: bytes, label: str) -> None:
    for magic, what, remedy in _OTHERS:
        if head.startswith(magic):
            raise SourceProblem(f"{label}: is {what}, not CSV or Parquet; {remedy}")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_MARKUP):
        raise SourceProblem(f"{label}: is a web page or XML, not CSV or Parquet; was it saved from a login page?")


def _check_footer(file: Path, size: int, label: str) -> None:
    if size < 12:
        raise SourceProblem(f"{label}: is cut off: it has {size} bytes; send it again")
    with file.open("rb") as opened:
        opened.seek(-8, 2)
        tail = opened.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] == b"PARE":
        raise SourceProblem(f"{label}: is an encrypted Parquet file; write it without encryption")
    if tail[4:] != _MAGIC or length > size - 12:
        raise SourceProblem(f"{label}: is cut off or damaged: it does not end as Parquet does; send it again")
    if length > LARGEST_FOOTER:
        raise SourceProblem(
            f"{label}: its description (footer) has {length:,} bytes; at most {LARGEST_FOOTER:,} are read"
        )


def _check_text(file: Path, label: str) -> None:
    """Refuse text that is not UTF-8 by the look of it, NUL bytes, and a first line that never ends."""
    with file.open("rb") as opened:
        head = opened.read(LONGEST_HEADER + 1)
        if head.startswith(_ENCODINGS):
            raise SourceProblem(f"{label}: is UTF-16 or UTF-32 text; save it as UTF-8")
        if len(head) > LONGEST_HEADER and not {b"\n", b"\r"} & {bytes([byte]) for byte in head}:
            raise SourceProblem(
                f"{label}: the first line has more than {LONGEST_HEADER:,} bytes; it must be a header with the names "
                "of the columns"
            )
        decoder, place, chunk = codecs.getincrementaldecoder("utf-8")(), 0, head
        while chunk:
            zero = chunk.find(0)
            if zero >= 0:
                raise SourceProblem(f"{label}: has a NUL byte at byte {place + zero:,}; CSV is text in UTF-8")
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise SourceProblem(
                    f"{label}: is not UTF-8 text (near byte {place + error.start:,}); save it as UTF-8"
                ) from error
            place += len(chunk)
            chunk = opened.read(_CHUNK)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise SourceProblem(f"{label}: is cut off in the middle of a character; send it again") from error
