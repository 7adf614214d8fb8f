import shutil
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError

from experiments.management.base import HoldfastCommand
from experiments.services import backup, sources
from experiments.sources import spills

STREAM = Path("-")


class Command(HoldfastCommand):
    help = (
        "Replace everything in the database by what is in a file of `backup`, in one transaction. The whole file is "
        "checked first, and a damaged one changes nothing. Stop web, workers and schedule before."
    )
    needs_tables = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a file that `backup` has written; - for stdin")
        parser.add_argument("--force", action="store_true", help="throw away what the database holds now")

    def handle(self, *args: Any, file: Path, force: bool, **options: Any) -> None:
        place = "stdin" if file == STREAM else file
        try:
            restored = from_stdin(force=force) if file == STREAM else backup.restore(file.absolute(), force=force)
        except backup.BackupProblem as problem:
            raise CommandError(str(problem)) from None
        call_command("migrate", verbosity=0, interactive=False)  # a backup of an older version has older tables
        for source in sources.without_files():
            self.stderr.write(
                f"The files of the source {source.key} were uploaded, and are no part of a backup: bring back "
                f"{source.folder}, or give the source its data again on its page.",
                lambda text: text,
            )
        self.stdout.write(f"{sum(restored.rows.values())} rows of {restored.made_at} are back from {place}.")


def from_stdin(*, force: bool) -> backup.Manifest:
    """The whole file is checked before anything is changed, so it is kept first."""
    with spills.opened() as folder:
        sent = Path(folder, "stdin")
        with sent.open("xb") as target:
            shutil.copyfileobj(sys.stdin.buffer, target)
        return backup.restore(sent, force=force)
