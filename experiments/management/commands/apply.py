from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from experiments import definitions
from experiments.definitions import Definition, DefinitionProblem
from experiments.management.base import HoldfastCommand, command_line
from experiments.services.apply import Applied, CannotApply, Change, apply
from experiments.services.metrics import StoredCatalog


class Command(HoldfastCommand):
    help = (
        "Create or update experiments and holdouts from definition files, and print the difference. Either all files "
        "are applied or none. From its start date on an experiment's plan is frozen: its name, hypothesis, owner and "
        "the place of its data may change, anything else is an amendment that says why."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "paths", nargs="+", type=Path, metavar="PATH", help="a definition file, or a folder with *.yaml files"
        )
        parser.add_argument("--dry-run", action="store_true", help="print the difference and change nothing")
        parser.add_argument(
            "--amend", metavar="WHY", help="the reason for changing a started experiment's plan; kept for good"
        )

    def handle(self, *args: Any, paths: list[Path], dry_run: bool, amend: str | None, **options: Any) -> None:
        loaded = _load([file for path in paths for file in _files(path)])
        try:
            applied = apply(loaded, timezone.now(), amend=amend, dry_run=dry_run, by=command_line())
        except CannotApply as problem:
            raise CommandError(str(problem)) from problem
        for one in applied:
            self.stdout.write("\n".join(_lines(one, dry_run)))


def _files(path: Path) -> list[Path]:
    try:
        if not path.is_dir():
            return [path]
        # A glob would take a folder that may not be read for an empty one.
        found = sorted(file for file in path.iterdir() if file.suffix == ".yaml")
    except OSError as error:
        raise CommandError(f"{path}: cannot be read: {error.strerror}") from None
    if not found:
        raise CommandError(f"{path}: the folder has no *.yaml files")
    return found


def _load(files: list[Path]) -> list[Definition]:
    """Read all files, and say what is wrong in any of them at once."""
    loaded, problems, catalog = [], [], StoredCatalog()
    for file in files:
        try:
            loaded.append(definitions.load(file, catalog))
        except DefinitionProblem as problem:
            problems.append(str(problem))
    if problems:
        raise CommandError("\n".join(problems))
    return loaded


def _lines(applied: Applied, dry_run: bool) -> Iterator[str]:
    would = "would be " if dry_run else ""
    version = f" (plan {applied.plan_version})" if applied.action == "amended" else ""
    if applied.action == "unchanged":
        yield f"{applied.kind} {applied.key}: unchanged"
    else:
        yield f"{applied.kind} {applied.key}: {would}{applied.action}{version}"
    if applied.action != "created":
        yield from (_change(change) for change in applied.changes)
    yield from (f"  {line}" for line in applied.traffic)
    if applied.starts:
        yield "  its start date has come: " + ("the plan would be frozen" if dry_run else "the plan is frozen")


def _change(change: Change) -> str:
    if change.before is None:
        return f"  + {change.field}: {change.after}"
    if change.after is None:
        return f"  - {change.field}: {change.before}"
    return f"  ~ {change.field}: {change.before} -> {change.after}"
