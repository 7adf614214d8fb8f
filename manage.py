#!/usr/bin/env python
"""Holdfast's commands. Without DATABASE_URL, those that need a database get Holdfast's own server."""

import os
import sys

# Everything else gets a database server before it runs; these must work where there is none.
WITHOUT_DATABASE = {
    "analyze",
    "build_static",
    "check",
    "collectstatic",
    "compilemessages",
    "diffsettings",
    "findstatic",
    "help",
    "makemessages",
    "plan",  # asks for one itself where a definition needs it
    "version",
}
HELP = {"--help", "-h", "--version"}


def needs_database(arguments: list[str]) -> bool:
    return bool(arguments) and arguments[0] not in WITHOUT_DATABASE and not HELP & set(arguments)


def main(argv: list[str]) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "experiments.settings")
    try:
        from django.conf import settings
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
        from django.db import OperationalError

        from experiments import embedded
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed. Run `make install`, then .venv/bin/python manage.py.", file=sys.stderr)
        return 1
    try:
        if settings.HOLDFAST_EMBEDDED and needs_database(argv[1:]):
            embedded.acquire(settings.HOLDFAST_HOME)
        execute_from_command_line(argv)
    except (embedded.ServerProblem, ImproperlyConfigured) as problem:
        print(f"Error: {problem}", file=sys.stderr)
        return 1
    except OperationalError as problem:  # of Django's own commands, such as migrate
        if "--traceback" in argv:
            raise
        print(f"Error: the database cannot be used: {str(problem).strip()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
