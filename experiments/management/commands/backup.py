from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from experiments.management.base import HoldfastCommand
from experiments.services import backup


class Command(HoldfastCommand):
    help = (
        "Write everything that the database holds to one file, as it is at one moment; Holdfast may go on working. "
        "Password hashes are in it: keep it as safe as the database. Data files that definitions name are not in it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the file to write, such as holdfast-2026-03-01.backup")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            made = backup.make(file.absolute(), timezone.now())
        except backup.BackupProblem as problem:
            raise CommandError(str(problem)) from None
        self.stdout.write(f"{sum(made.rows.values())} rows of {len(made.rows)} tables are in {file}.")
