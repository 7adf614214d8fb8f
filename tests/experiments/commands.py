"""Runs commands as a user does, in this process (quick) or in one of their own, and holds what they printed."""

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import manage

CHECKOUT = Path(manage.__file__).resolve().parent


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        loaded: dict[str, Any] = json.loads(self.out)
        return loaded

    def effect(self, metric: str, window: str) -> dict[str, Any]:
        """The row of a metric in a window."""
        return next(row for row in self.json["effects"] if (row["metric"], row["window"]) == (metric, window))


def run(*arguments: object) -> Run:
    """``manage.py`` with these arguments, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = manage.main(["manage.py", *(str(argument) for argument in arguments)])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
    return Run(code, out.getvalue(), err.getvalue())


def run_apart(*arguments: object, **environment: str) -> Run:
    """``manage.py`` with these arguments, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "manage.py", *(str(argument) for argument in arguments)],
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Run(done.returncode, done.stdout, done.stderr)


def analyze(path: Path, *options: object) -> Run:
    """``manage.py analyze`` with the result as JSON."""
    return run("analyze", path, "--format", "json", *options)


def refused(path: Path, *fragments: str, options: tuple[object, ...] = ()) -> str:
    """Analyze what cannot be: exit code 1, nothing on stdout, no traceback, and a message with all the fragments."""
    done = analyze(path, *options)
    assert done.code == 1, (done.code, done.out[:500], done.err)
    assert not done.out
    assert "Traceback" not in done.err
    assert done.err.startswith("Error: ")
    assert "should not happen" not in done.err, done.err
    for fragment in fragments:
        assert fragment in done.err, f"{fragment!r} is not in {done.err!r}"
    return done.err
