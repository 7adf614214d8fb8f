from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from experiments.management.base import HoldfastCommand
from experiments.processes import (
    Children,
    ProcessProblem,
    beat_command,
    check_port_is_free,
    wait_until_listening,
    web_command,
    worker_command,
)
from experiments.services.people import everybody


class Command(HoldfastCommand):
    help = (
        "Run the web pages, a worker and the weekly schedule on this machine until Ctrl-C. The pages want a login: "
        "`manage.py person EMAIL --role admin` makes an account."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        try:
            check_port_is_free(host, port)
            with Children() as children:
                children.start("worker", worker_command())
                children.start("schedule", beat_command())
                children.start("web server", web_command(host, port))
                wait_until_listening(children, host, port)
                self._say(f"Web, worker and schedule are up: http://{host}:{port}/ (Ctrl-C ends them)")
                if not everybody():
                    self._say("Nobody has an account yet. Make one with: manage.py person EMAIL --role admin")
                children.wait()
        except ProcessProblem as problem:
            raise CommandError(str(problem)) from None
        self._say("Stopped.")

    def _say(self, text: str) -> None:
        self.stderr.write(text, lambda plain: plain)
