from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from experiments.management.base import HoldfastCommand
from experiments.services.export import CannotExport, export
from experiments.services.results import NoSuchExperiment


class Command(HoldfastCommand):
    help = (
        "Print the definition file of a stored experiment or holdout, in its canonical form. `apply` takes it back "
        "and says that nothing changes. Paths in it are relative to the folder of the file that was applied."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key", metavar="KEY", help="the key of the experiment or holdout")

    def handle(self, *args: Any, key: str, **options: Any) -> None:
        try:
            found = export(key)
        except (NoSuchExperiment, CannotExport) as problem:
            raise CommandError(str(problem)) from problem
        self.stdout.write(found.text, ending="")
        if found.folder:
            self.stderr.write(f"The paths in it are relative to {found.folder}.", lambda text: text)
