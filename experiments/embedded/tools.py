"""PostgreSQL's client programs from the wheel: ``pg_dump`` and its kin, for this server or any that is not newer."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from psycopg import pq

from experiments.embedded.place import wheel_programs
from experiments.embedded.problems import ServerProblem


def run_tool(program: str, arguments: Sequence[str], connection: Mapping[str, str]) -> None:
    """Run a client program against a database. Raises ServerProblem with what it said if it fails.

    ``connection`` holds libpq's words (host, port, user, password, dbname, ...). They go by the environment, since
    every user of the machine can read the arguments of a process.
    """
    folder, _ = wheel_programs()
    variables = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    by_word = {option.keyword.decode(): option.envvar for option in pq.Conninfo.get_defaults() if option.envvar}
    variables |= {by_word[word].decode(): value for word, value in connection.items() if value and word in by_word}
    done = subprocess.run(
        [str(Path(folder) / program), *arguments],
        env={**variables, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "10"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        said = next((line for line in lines if "error:" in line.lower()), lines[-1])
        raise ServerProblem(f"{program} failed: {said}")
