import json
import math
import shutil
from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from analysis.plan import Metric, Plan
from experiments import definitions, power_table, tables
from experiments.definitions import NotInCatalog
from experiments.management.base import HoldfastCommand, why_no_database
from experiments.management.commands.analyze import today
from experiments.management.output import StepProgress, iso_date, plain_problems
from experiments.power_table import Traffic
from experiments.services import planner
from experiments.services.apply import CannotApply, apply
from experiments.services.metrics import StoredCatalog


class Command(HoldfastCommand):
    help = (
        "Print what an experiment or holdout can find before it starts: from when each window can be read, the "
        "smallest lift each metric shows, the units and weeks a smaller one takes, and how surely an early win with a "
        "later loss is flagged. Rests on the past of the facts: no exposures, nothing stored. The database is asked "
        "only for metrics of the catalog (`use:`), and for what a layer, a share or a holdout leaves of all units."
    )
    needs_tables = False
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path, metavar="PATH", help="the definition file (YAML)")
        parser.add_argument(
            "--start-date", type=iso_date, metavar="DATE", help="plan this start (default: the definition's start_date)"
        )
        parser.add_argument(
            "--wanted", type=_wanted, action="append", default=[], metavar="METRIC=LIFT",
            help="a lift to be found, such as lines=0.02 for 2 %%; may be repeated (default: half the smallest one "
            "that is found as planned)",
        )  # fmt: skip
        parser.add_argument(
            "--units-per-week", type=_units, metavar="N",
            help="units of all variants exposed in a week (default: as many as in the history)",
        )  # fmt: skip
        parser.add_argument(
            "--history", choices=("facts", "control"), default="facts",
            help="past units by their first fact before the start, or the control of the experiment as it stands "
            "(default: %(default)s)",
        )  # fmt: skip
        parser.add_argument(
            "--format", choices=("table", "json"), default="table", help="what is printed (default: %(default)s)"
        )

    def handle(self, *args: Any, path: Path, start_date: date | None, **options: Any) -> None:
        wanted = dict(options["wanted"])
        if len(wanted) < len(options["wanted"]):
            raise CommandError("--wanted names a metric twice; give each metric one lift", returncode=2)
        with plain_problems(), StepProgress() as progress:
            try:
                planned = planner.plan(
                    path, today, start_date=start_date, wanted=wanted, units_per_week=options["units_per_week"],
                    kind=options["history"], on_step=progress, catalog=DatabaseCatalog(),
                )  # fmt: skip
                told = traffic(path, planned.plan)
            except planner.CannotPlan as problem:
                raise CommandError(str(problem)) from problem
        if options["format"] == "json":
            whole = {**planner.to_json(planned), "traffic": asdict(told)}
            self.stdout.write(json.dumps(whole, indent=1, allow_nan=False))
        else:
            width = shutil.get_terminal_size((tables.DEFAULT_WIDTH, 24)).columns
            self.stdout.write(power_table.render(planned, told, width=width), ending="")


class DatabaseCatalog:
    """The stored catalog of metrics; the database is reached when the first metric is looked up."""

    def metric(self, key: str, version: int | None, user: str) -> Metric:
        """See ``definitions.Catalog``."""
        why = why_no_database()
        if why is not None:
            raise NotInCatalog(
                f"`{key}` is in the catalog, and the database that keeps it cannot be used ({why}); "
                "write out what it measures to plan without one"
            )
        return StoredCatalog().metric(key, version, user)


def traffic(path: Path, plan: Plan) -> Traffic:
    """Return what applying this plan would take of all units, nothing where it asks for nothing."""
    if plan.kind == "experiment" and plan.holdout is None and not {"layer", "share"} & set(plan.extra):
        return Traffic()
    why = why_no_database()
    if why is not None:
        return Traffic(reason=f"the database that knows cannot be used ({why})")
    definition = replace(definitions.load(path, DatabaseCatalog()), plan=plan)
    try:
        (applied,) = apply([definition], timezone.now(), amend="planned", dry_run=True, review=True)
    except CannotApply as refusal:
        return Traffic(reason=f"it would be refused: {refusal}")
    return Traffic(applied.traffic)


def _wanted(text: str) -> tuple[str, float]:
    """Parse METRIC=LIFT; anything else is wrong usage (exit code 2)."""
    key, equals, value = text.partition("=")
    try:
        lift = float(value)
    except ValueError:
        lift = math.nan
    if not equals or not key or not math.isfinite(lift):
        raise ArgumentTypeError(f"{text!r} is not METRIC=LIFT, such as lines=0.02 for 2 %")
    return key, lift


def _units(text: str) -> int:
    """Parse a number of units; anything but a whole number above 0 is wrong usage (exit code 2)."""
    units = int(text) if text.isdecimal() else 0
    if not 0 < units <= planner.MOST_UNITS:
        raise ArgumentTypeError(f"{text!r} is not a number of units; write a whole number above 0, such as 10000")
    return units
