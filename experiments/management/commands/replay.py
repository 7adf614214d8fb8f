import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from experiments import replay_table
from experiments.management.base import HoldfastCommand
from experiments.management.output import plain_problems
from experiments.services.replays import replay, replay_to_json
from experiments.services.results import NoLookYet, NoSuchExperiment


class Command(HoldfastCommand):
    help = (
        "Print what each past weekly look would have recommended, from the data read by the newest look, and what a "
        "two-week test (launch if p < .05) would have done and brought."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key", metavar="KEY", help="the key of the experiment or holdout")
        parser.add_argument(
            "--format", choices=("table", "json"), default="table", help="what is printed (default: %(default)s)"
        )

    def handle(self, *args: Any, key: str, **options: Any) -> None:
        with plain_problems():
            try:
                found, as_of = replay(key)
            except (NoSuchExperiment, NoLookYet) as problem:
                raise CommandError(str(problem)) from problem
        if options["format"] == "json":
            self.stdout.write(json.dumps(replay_to_json(key, found, as_of), indent=1, allow_nan=False))
        else:
            self.stdout.write(replay_table.render(key, found), ending="")
