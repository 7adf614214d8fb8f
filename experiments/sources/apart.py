"""Examine a table in a process of its own, which may run out of memory or time, or crash, without harm to anybody."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.sources import spills
from experiments.sources.base import SourceProblem
from experiments.sources.examine import Examined, from_json

SECONDS = 180

#: The process needs none of what we keep secret.
_KEPT = ("PATH", "LANG", "LC_ALL", "OMP_NUM_THREADS", "TMPDIR")

_CHECKOUT = Path(__file__).resolve().parents[2]


def examine_apart(files: Sequence[Path], label: str, *, sent: bool, seconds: float = SECONDS) -> Examined:
    """See ``examine.examine``. Raises SourceProblem, also where the process ends without an answer."""
    with spills.opened() as spill:
        asked = {"files": [str(file) for file in files], "label": label, "spill": spill, "sent": sent}
        try:
            done = subprocess.run(
                [sys.executable, "-m", "experiments.sources.examine"],
                input=json.dumps(asked), capture_output=True, text=True, check=False, timeout=seconds, cwd=_CHECKOUT,
                env={name: os.environ[name] for name in _KEPT if name in os.environ},
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise SourceProblem(f"{label}: could not be read within {seconds:g} seconds; send Parquet") from error
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        raise SourceProblem(
            f"{label}: cannot be read: the process that looked at it ended without an answer (exit {done.returncode}); "
            "the file is damaged, or needs more memory than there is"
        ) from error
    if "problem" in answer:
        raise SourceProblem(str(answer["problem"]))
    return from_json(answer["table"])
