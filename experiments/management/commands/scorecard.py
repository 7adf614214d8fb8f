from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import CommandError

from experiments import holdback_table
from experiments.management.base import HoldfastCommand
from experiments.management.output import add_scorecard_options, plain_problems, terminal_width, written
from experiments.services.holdbacks import holdbacks
from experiments.services.holdouts import beside
from experiments.services.results import NoLookYet, NoSuchExperiment, stored_scorecard


class Command(HoldfastCommand):
    help = "Print the stored scorecard of an experiment or holdout: the newest look, or the one of a day."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key", metavar="KEY", help="the key of the experiment or holdout")
        add_scorecard_options(parser, "the look of this day (default: the newest one)")

    def handle(self, *args: Any, key: str, as_of: date | None, **options: Any) -> None:
        with plain_problems():
            try:
                scorecard = stored_scorecard(key, as_of)
            except (NoSuchExperiment, NoLookYet) as problem:
                raise CommandError(str(problem)) from problem
            found = beside(scorecard)
            self.stdout.write(written(scorecard, options["format"], self.stdout, found), ending="")
            if options["format"] == "table" and as_of is None:
                self.stdout.write(holdback_table.render(holdbacks(key), width=terminal_width()), ending="")
