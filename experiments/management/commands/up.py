from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from experiments.management.base import HoldfastCommand
from experiments.processes import (
    Children,
    ProcessProblem,
    check_port_is_free,
    wait_until_listening,
    web_command,
    worker_command,
)


class Command(HoldfastCommand):
    help = "Run the web pages and a worker on this machine until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        try:
            check_port_is_free(host, port)
            with Children() as children:
                children.start("worker", worker_command())
                children.start("web server", web_command(host, port))
                wait_until_listening(children, host, port)
                self.stderr.write(f"Web and worker are up: http://{host}:{port}/ (Ctrl-C ends them)", lambda text: text)
                children.wait()
        except ProcessProblem as problem:
            raise CommandError(str(problem)) from None
        self.stderr.write("Stopped.", lambda text: text)
