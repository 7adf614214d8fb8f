import secrets
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from experiments import definitions
from experiments.management.base import HoldfastCommand
from experiments.management.output import plain_problems, written
from experiments.models import Experiment, Person
from experiments.processes import (
    Children,
    ProcessProblem,
    check_port_is_free,
    wait_until_listening,
    web_command,
    worker_command,
)
from experiments.queue import QueueProblem
from experiments.services.apply import CannotApply, apply
from experiments.services.cells import wake
from experiments.services.holdouts import beside
from experiments.services.people import CannotChangePerson, demo_cast
from experiments.services.refresh import CannotRefresh, PlannedLook, plan_look
from experiments.services.results import LookStatus, status_of, stored_scorecard
from experiments.tables import DEFAULT_WIDTH

HOST = "127.0.0.1"
POLL_SECONDS = 0.2

#: Without progress for so long, work is sent to the queue again: a message or a worker may have been lost.
PUSH_SECONDS = 5.0

#: Examples are Holdfast's own: a new version of one amends the plan that an earlier demo froze.
AMENDED = "the example changed with a new version of Holdfast"


class Command(HoldfastCommand):
    help = (
        "Show Holdfast on its examples: build their data, apply them, run their looks in a real Celery worker, print "
        "the scorecards, and serve the pages until Ctrl-C. Prints the passwords of four accounts (an owner, an editor, "
        "a viewer and an outsider) that are good for this run alone. Safe to run again and to interrupt."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--no-serve", action="store_true", help="end after the scorecards are printed")
        parser.add_argument("--port", type=int, default=8000, help="port of the pages (default: %(default)s)")

    def handle(self, *args: Any, no_serve: bool, port: int, **options: Any) -> None:
        try:
            with plain_problems(), Children() as children:
                if not no_serve:
                    check_port_is_free(HOST, port)
                children.start("worker", worker_command(), log=self._log("worker"))
                keys = self._apply(self._build())
                members = self._look_and_decide(children, keys)
                for key in keys:
                    if key not in members:
                        self.stdout.write("=" * DEFAULT_WIDTH)
                        card = stored_scorecard(key)
                        self.stdout.write(written(card, "table", self.stdout, beside(card)))
                self.stdout.flush()
                if not no_serve:
                    self._serve(children, port)
        except (ProcessProblem, QueueProblem, CannotApply, CannotRefresh, CannotChangePerson) as problem:
            raise CommandError(str(problem)) from problem

    def _say(self, text: str) -> None:
        self.stderr.write(text, lambda plain: plain)

    def _log(self, name: str) -> Path:
        return Path(settings.HOLDFAST_HOME) / "logs" / f"demo-{name}.log"

    def _build(self) -> list[Path]:
        self._say("Building the data of the examples")
        try:
            from experiments.examples.build import build
            from experiments.examples.winter import build as build_winter
        except ModuleNotFoundError as error:
            raise CommandError(f"{error.name} is not installed; the examples need it: run `make install`") from error
        folder = Path(settings.HOLDFAST_HOME) / "examples"

        def say(text: str) -> None:
            self._say(f"  {text}")

        return [*build(folder, say), *build_winter(folder, say)]

    def _apply(self, files: Sequence[Path]) -> list[str]:
        """Apply the definitions and return their keys."""
        for one in apply([definitions.load(file) for file in files], timezone.now(), amend=AMENDED):
            self._say(f"Applied {one.key}: {one.action}")
        return [definitions.load(file).plan.key for file in files]

    def _look_and_decide(self, children: Children, keys: Sequence[str]) -> set[str]:
        """Take the looks of all: of members as of the days on which they were decided, of their holdout last."""
        from experiments.examples import winter

        members = winter.members_of(keys)
        days = {member.key: winter.decision_day(member) for member in members}
        holdouts = list(Experiment.objects.filter(key__in=keys, kind="holdout").values_list("key", flat=True))
        first = [key for key in keys if key not in holdouts]
        self._refresh(children, [plan_look(key, days.get(key), timezone.now()) for key in first])
        if members:
            demo_cast(secrets.token_urlsafe(16), timezone.now())
            for text in winter.decide(members, Person.objects.get(email=winter.OWNER)):
                self._say(f"Decided on {text}")
        going_on = [member.key for member in members if member.kept]
        self._refresh(children, [plan_look(key, None, timezone.now()) for key in (*going_on, *holdouts)])
        return set(days)

    def _refresh(self, children: Children, looks: Sequence[PlannedLook]) -> None:
        """Wait until the worker has finished all looks, with a bar for each in a terminal."""
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[step]}"))
        console = Console(file=sys.stderr)
        waiting = {look.look_id: look for look in looks}
        seen: dict[int, LookStatus] = {}
        changed = time.monotonic()
        with Progress(*columns, TimeElapsedColumn(), console=console, disable=not sys.stderr.isatty()) as progress:
            bars = {look.look_id: progress.add_task(look.key, step="", total=None) for look in looks}
            while waiting:
                children.check()
                for look_id, look in list(waiting.items()):
                    status = status_of(look_id)
                    bar = bars[look_id]
                    progress.update(bar, total=status.total_cells, completed=status.done_cells, step=status.step)
                    if status != seen.get(look_id):
                        seen[look_id], changed = status, time.monotonic()
                    if status.state == "failed":
                        raise CommandError(f"the look of {look.key} as of {look.as_of} failed: {status.error}")
                    if status.state == "done":
                        del waiting[look_id]
                        self._say(f"The look of {look.key} as of {look.as_of} is done")
                if waiting and time.monotonic() - changed > PUSH_SECONDS:
                    for look_id in waiting:
                        wake(look_id)
                    changed = time.monotonic()
                time.sleep(POLL_SECONDS)

    def _serve(self, children: Children, port: int) -> None:
        """Serve the pages to the demo's own accounts: whoever serves this database otherwise does not know the run."""
        run = secrets.token_urlsafe(16)
        accounts = demo_cast(run, timezone.now())
        children.start(
            "web server", web_command(HOST, port), log=self._log("web"), variables={"HOLDFAST_DEMO_RUN": run}
        )
        wait_until_listening(children, HOST, port)
        self._say(f"The pages are at http://{HOST}:{port}/ (Ctrl-C ends). Sign in as:")
        for account in accounts:
            self._say(f"  {account.email:<22} {account.password}   {account.role or 'no role: sees nothing'}")
        self._say("These passwords are good until the demo ends, and nowhere else.")
        children.wait()
        self._say("Stopped.")
