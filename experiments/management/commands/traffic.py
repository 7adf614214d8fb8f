import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from experiments.management.base import HoldfastCommand, command_line
from experiments.models import CannotChange, Experiment
from experiments.services import entry, traffic
from experiments.services.results import NoSuchExperiment, find_experiment


class Command(HoldfastCommand):
    help = (
        "Show which part of all units every experiment and holdout takes, or change who may enter one: give a tester a "
        "variant, freeze enrollment, release a holdout. Every change is in the history."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key", nargs="?", metavar="KEY", help="an experiment or a holdout; without it, all of them")
        change = parser.add_mutually_exclusive_group()
        change.add_argument(
            "--tester", nargs=2, metavar=("UNIT", "VARIANT"), help="UNIT gets VARIANT, and is never counted"
        )
        change.add_argument("--no-tester", metavar="UNIT", help="UNIT is treated like everybody else again")
        change.add_argument(
            "--freeze", metavar="FILE",
            help="let nobody enter but the units in FILE, one a line, which keep their variant (- reads stdin)",
        )  # fmt: skip
        change.add_argument(
            "--freeze-exposed", action="store_const", const=True,
            help="the same for the units that the experiment's own exposures name, of today too",
        )  # fmt: skip
        change.add_argument("--release", metavar="WHY", help="end a holdout: from tomorrow on its units get launches")

    def handle(self, *args: Any, key: str | None, **options: Any) -> None:
        changes = [
            name for name in ("tester", "no_tester", "freeze", "freeze_exposed", "release") if options[name] is not None
        ]
        if key is None and changes:
            raise CommandError("which experiment or holdout? Give its key", returncode=2)
        try:
            if key is not None and changes:
                self.stdout.write(_changed(key, changes[0], options[changes[0]]))
                return
            shown = [find_experiment(key)] if key else list(Experiment.objects.select_related("plan"))
        except (NoSuchExperiment, CannotChange) as problem:
            raise CommandError(str(problem)) from problem
        self.stdout.write("\n".join(line for one in shown for line in _lines(one)) or "There is no experiment yet.")


def _changed(key: str, change: str, given: Any) -> str:
    by, now = command_line(), timezone.now()
    if change == "tester":
        entry.force(key, *given, by=by, now=now)
        return f"{key}: {given[0]} gets {given[1]}, and is not counted"
    if change == "no_tester":
        entry.force(key, given, None, by=by, now=now)
        return f"{key}: {given} is treated like everybody else"
    if change in ("freeze", "freeze_exposed"):
        exposed = change == "freeze_exposed"
        number = (
            entry.freeze_exposed(key, by=by, now=now) if exposed else entry.freeze(key, _units(given), by=by, now=now)
        )
        return f"{key}: frozen; {number:,} units are in, and nobody enters any more"
    released = entry.release(key, by=by, now=now, reason=given)
    return f"{key}: holds nobody out from {released.released_on} on"


def _units(file: str) -> list[str]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from error
    return [line for line in text.splitlines() if line]


def _lines(experiment: Experiment) -> Iterator[str]:
    yield f"{experiment.kind} {experiment.key}: {experiment.standing}"
    yield from (f"  {line}" for line in traffic.told(experiment) or ("takes whoever comes",))
