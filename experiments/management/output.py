"""What the commands that print scorecards share: their options, their errors in plain words, their output."""

import json
import shutil
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from types import TracebackType
from typing import Any, Self, TextIO

from django.core.management.base import CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from analysis.results import Scorecard
from experiments import holdout_table, tables
from experiments.definitions import DefinitionProblem
from experiments.services.analyze import CannotAnalyze
from experiments.services.holdouts import Beside, whole_json
from experiments.services.scorecards import to_csv
from experiments.sources.base import SourceProblem

FORMATS = ("table", "json", "csv")

#: Work shorter than this shows no progress.
QUIET_SECONDS = 1.0


def iso_date(text: str) -> date:
    """Parse the value of a date option; anything but YYYY-MM-DD is wrong usage (exit code 2)."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise ArgumentTypeError(f"{text!r} is not a date; write it as YYYY-MM-DD, such as 2017-12-31")
    return day


def add_scorecard_options(parser: ArgumentParser, as_of_help: str) -> None:
    parser.add_argument("--as-of", type=iso_date, metavar="DATE", help=as_of_help)
    parser.add_argument("--format", choices=FORMATS, default="table", help="what is printed (default: %(default)s)")


@contextmanager
def plain_problems() -> Iterator[None]:
    """Turn what users can put right into a CommandError: its message names the file, the field and the value."""
    try:
        yield
    except (DefinitionProblem, SourceProblem, CannotAnalyze) as problem:
        raise CommandError(str(problem)) from problem
    except (BrokenPipeError, InterruptedError):
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise CommandError(f"{where}{error.strerror or error}") from error
    except MemoryError as error:
        raise CommandError("there is not enough memory for this data") from error


def written(scorecard: Scorecard, form: str, stream: Any, beside: Beside | None = None) -> str:
    """Return a scorecard as text for ``stream``: tables are as wide as the terminal, and plain where there is none.

    ``beside``: of a stored holdout, what its members did.
    """
    if form == "json":
        return json.dumps(whole_json(scorecard, beside), indent=1, allow_nan=False) + "\n"
    if form == "csv":
        text = to_csv(scorecard)
    else:
        text = as_table(scorecard, stream) + holdout_table.render(scorecard, beside, width=terminal_width())
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def as_table(scorecard: Scorecard, stream: Any) -> str:
    """Return the terminal tables of a scorecard, with color and symbols where ``stream`` is a terminal."""
    terminal = bool(stream.isatty()) if hasattr(stream, "isatty") else False
    return tables.render(scorecard, width=terminal_width(), terminal=terminal)


def terminal_width() -> int:
    """Return the columns of the terminal, or the default where there is none."""
    return shutil.get_terminal_size((tables.DEFAULT_WIDTH, 24)).columns


class StepProgress:
    """Progress on stderr, shown only in a terminal and only where the work takes more than a moment."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._bar: Progress | None = None
        self._stream = stream or sys.stderr
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, steps: int, words: str) -> None:
        if self._bar is None:
            if not self._stream.isatty() or time.monotonic() - self._began < QUIET_SECONDS:
                return
            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(file=self._stream), transient=True)
            self._bar.add_task(words, total=steps)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, total=steps, description=words)
