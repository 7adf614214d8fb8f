from argparse import ArgumentParser
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from analysis.plan import Plan
from experiments.management.base import HoldfastCommand
from experiments.management.output import StepProgress, add_scorecard_options, plain_problems, written
from experiments.services.analyze import analyze


class Command(HoldfastCommand):
    help = (
        "Print the scorecard of a definition file from its data alone: one pass, no database, no broker, "
        "nothing stored. The same code as a look."
    )
    needs_tables = False
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path, metavar="PATH", help="the definition file (YAML)")
        add_scorecard_options(
            parser, "the first day that is not read (default: the day after the last one in the data)"
        )

    def handle(self, *args: Any, path: Path, as_of: date | None, **options: Any) -> None:
        with plain_problems():
            with StepProgress() as progress:
                scorecard = analyze(path, as_of, today, progress)
            self.stdout.write(written(scorecard, options["format"], self.stdout), ending="")


def today(plan: Plan) -> date:
    return datetime.now(ZoneInfo(plan.timezone)).date()
