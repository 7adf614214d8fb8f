import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from experiments.management.base import HoldfastCommand, command_line
from experiments.management.output import StepProgress
from experiments.models import SourceCheck
from experiments.models.source import DONE
from experiments.services import source_checks

WORDS = {"refused": "refused", "left_out": "left out", "noted": "to know", "fine": "fine"}


class Command(HoldfastCommand):
    help = (
        "Read a source from end to end and print everything that is wrong in it, by row count and one example each: "
        "for itself, and for each experiment that reads it. Exit code 1 if a look would refuse the data."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key", metavar="KEY", help="a registered source, or an experiment with data of its own")
        parser.add_argument(
            "--format", choices=("table", "json"), default="table", help="what is printed (default: %(default)s)"
        )

    def handle(self, *args: Any, key: str, **options: Any) -> None:
        now = timezone.now()
        try:
            source = source_checks.source_of(key)
        except source_checks.NothingToCheck as missing:
            raise CommandError(str(missing)) from missing
        asked = source_checks.ask(source, by=command_line(), now=now, send=False)
        with StepProgress() as progress:
            source_checks.run(asked.pk, now, progress)
        check = SourceCheck.objects.get(pk=asked.pk)
        if check.is_open:
            raise CommandError(f"a worker is checking `{key}` just now; ask again when it is done")
        if check.state != DONE:
            raise CommandError(check.error)
        self._print(check, options["format"])
        refused = check.findings.filter(severity="refused").count()
        if refused:
            raise CommandError(f"{key}: looks would refuse these data for {refused} reason{'s' * (refused > 1)}")

    def _print(self, check: SourceCheck, form: str) -> None:
        found = list(check.findings.all())
        if form == "json":
            rows = [
                {"table": one.table, "about": one.about, "severity": one.severity, "count": one.count,
                 "example": one.example, "message": one.message}
                for one in found
            ]  # fmt: skip
            self.stdout.write(json.dumps({"findings": rows}, indent=1))
        else:
            self.stdout.write("\n".join(_lines(check)))


def _lines(check: SourceCheck) -> Iterator[str]:
    for one in check.findings.all():
        example = f" (such as {one.example})" if one.example and one.severity != "fine" else ""
        yield f"{WORDS[one.severity]:9} {one.table}: {one.message}{example}"
