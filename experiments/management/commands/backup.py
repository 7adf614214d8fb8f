import shutil
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from experiments.management.base import HoldfastCommand
from experiments.services import backup
from experiments.sources import spills

STREAM = Path("-")


class Command(HoldfastCommand):
    help = (
        "Write everything that the database holds to one file, as it is at one moment; Holdfast may go on working. "
        "Password hashes are in it: keep it as safe as the database. Data files that definitions name are not in it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file", type=Path, help="the file to write, such as holdfast-2026-03-01.backup; - for stdout"
        )

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            if file == STREAM:
                to_stdout()
                return
            made = backup.make(file.absolute(), timezone.now())
        except backup.BackupProblem as problem:
            raise CommandError(str(problem)) from None
        self.stdout.write(f"{sum(made.rows.values())} rows of {len(made.rows)} tables are in {file}.")


def to_stdout() -> None:
    """A backup goes out once all of it was made: one that fails writes nothing."""
    if sys.stdout.isatty():
        raise CommandError("a backup is no text for a terminal; send it to a file, with `> holdfast.backup`")
    with spills.opened() as folder:
        made = Path(folder, "made")
        backup.make(made, timezone.now())
        with made.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
