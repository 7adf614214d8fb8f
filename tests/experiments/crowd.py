"""The same work in many processes at one moment: ``python -m tests.experiments.crowd 20 module:function``.

Starting Python twenty times takes longer than the work, so one process imports everything and is forked. Each child
calls the function, which reads what there is and returns what is to be done about it. Once all of them have read, all
do it, and each prints one line: what that returned.
"""

import importlib
import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from django.db import connection

from experiments.processes import CHECKOUT

Work = Callable[[], Callable[[], str]]


def crowd(times: int, work: Work) -> list[str]:
    """Do ``work``, a function of a test module, in so many processes at once on the test's database."""
    module = ".".join(Path(inspect.getfile(work)).relative_to(CHECKOUT).with_suffix("").parts)
    done = subprocess.run(
        [sys.executable, "-m", "tests.experiments.crowd", str(times), f"{module}:{work.__name__}"],
        cwd=CHECKOUT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "experiments.settings", "DATABASE_URL": database_address()},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def database_address() -> str:
    """The test's database, for another process."""
    database = connection.settings_dict
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "NAME"}
    return " ".join(f"{key}='{database[name]}'" for key, name in names.items() if database[name])


def main(times: int, where: str) -> int:
    import django

    django.setup()
    module, _, name = where.partition(":")
    work: Work = getattr(importlib.import_module(module), name)
    here, gate = os.pipe(), os.pipe()
    children = [_child(work, here[1], gate) for _ in range(times)]
    arrived = b""
    while len(arrived) < times:
        arrived += os.read(here[0], times)
    os.close(gate[1])  # the gate opens for all of them: reading it ends
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)


def _child(work: Work, here: int, gate: tuple[int, int]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.close(gate[1])
        act = work()
        os.write(here, b".")
        os.read(gate[0], 1)
        os.write(1, f"{act()}\n".encode())  # one write a line, so that lines do not mix
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
