from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from experiments.management.base import HoldfastCommand, command_line
from experiments.services import keys
from experiments.services.keys import CannotChangeKey


class Command(HoldfastCommand):
    help = (
        "Make a key with which programs ask for flags, or revoke one: `key NAME --kind server` prints a secret for "
        "servers, `key NAME --kind client --origin https://shop.example.com` one that pages of this origin may show. "
        "Without NAME all keys are listed. Only hashes are kept: a key is shown once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "name", nargs="?", metavar="NAME", help="what the key is called; without it, all are listed"
        )
        change = parser.add_mutually_exclusive_group()
        change.add_argument("--kind", choices=sorted(keys.PREFIXES), help="who will use the new key")
        change.add_argument("--revoke", action="store_true", help="end the key, within a second or so")
        parser.add_argument(
            "--origin",
            action="append",
            default=[],
            metavar="URL",
            help="of a page with the client key; may be repeated",
        )

    def handle(self, *args: Any, name: str | None, kind: str | None, origin: list[str], **options: Any) -> None:
        if name is None:
            if kind or options["revoke"] or origin:
                raise CommandError("which key? Give its name", returncode=2)
            self.stdout.write("\n".join(_listed()))
            return
        if not kind and not options["revoke"]:
            raise CommandError("say --kind server, --kind client or --revoke", returncode=2)
        try:
            if options["revoke"]:
                keys.revoke(name, by=command_line(), now=timezone.now())
                self.stdout.write(f"{name}: revoked")
                return
            text = keys.create(name, str(kind), origin, by=command_line(), now=timezone.now())
        except CannotChangeKey as problem:
            raise CommandError(str(problem)) from problem
        self.stdout.write(f"{text}\nThis key of {name} is shown this once.")


def _listed() -> Iterator[str]:
    found = keys.everything()
    if not found:
        yield "There is no key yet. Make one with: manage.py key NAME --kind server"
    for key in found:
        state = f"revoked on {key.revoked_at:%Y-%m-%d}" if key.revoked_at else f"made on {key.created_at:%Y-%m-%d}"
        yield f"{key.name:<30} {key.kind:<7} {key.hint}... {state} {' '.join(key.origins)}".rstrip()
