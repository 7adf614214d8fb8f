from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from experiments.management.base import HoldfastCommand, command_line
from experiments.management.output import iso_date
from experiments.management.waiting import wait_for
from experiments.queue import QueueProblem
from experiments.services.refresh import CannotRefresh, PlannedLook, plan_look
from experiments.services.results import NoSuchExperiment


class Command(HoldfastCommand):
    help = (
        "Take the look of an experiment or holdout as of a day, in a Celery worker. A look that is there already is "
        "not taken again; one that was cut off is completed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key", metavar="KEY", help="the key of the experiment or holdout")
        parser.add_argument(
            "--as-of", type=iso_date, metavar="DATE",
            help="the first day that is not read (default: the day after the last one in the data, today at most)",
        )  # fmt: skip
        parser.add_argument(
            "--wait", action="store_true", help="show the progress until the look has ended; exit code 1 if it fails"
        )

    def handle(self, *args: Any, key: str, as_of: date | None, wait: bool, **options: Any) -> None:
        try:
            look = plan_look(key, as_of, timezone.now(), by=command_line())
            if wait and look.outcome != "done":
                self._wait(look)
        except (NoSuchExperiment, CannotRefresh) as problem:
            raise CommandError(str(problem)) from problem
        except QueueProblem as problem:
            raise CommandError(f"{problem}. What was planned is kept: run this command again") from problem
        self.stdout.write(_told(look, waited=wait))

    def _wait(self, look: PlannedLook) -> None:
        status = wait_for(look.look_id)
        if status.state == "failed":
            raise CommandError(f"the look of {look.key} as of {look.as_of} failed: {status.error}")


def _told(look: PlannedLook, *, waited: bool) -> str:
    name = f"the look of {look.key} as of {look.as_of}"
    see = f"python manage.py scorecard {look.key} --as-of {look.as_of}"
    if look.outcome == "done":
        return f"{name} is done already, on the same data and plan; nothing was computed. See it with: {see}"
    if waited:
        return f"{name} is done. See it with: {see}"
    again = "is in work already" if look.outcome == "resumed" else "is planned"
    return f"{name} {again}; a worker does it. Once it is done, see it with: {see}"
