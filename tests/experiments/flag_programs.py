"""Programs that ask for flags over HTTP: keys, and flags of every type with a holdout."""

from typing import Any

from experiments.services import keys
from experiments.services.assignment import FLAGS
from tests.experiments.traffic_world import NOW, experiment, holdout, put

SHOP = "https://shop.example.com"

#: What control and treatment of each flag deliver.
PAYLOADS: dict[str, tuple[Any, Any]] = {
    "boolean": (False, True), "text": ("old", "new"), "integer": (10, 20), "float": (1.0, 2.0),
    "mixed": (1, 2.5), "object": ({"size": 1, "share": 2.0}, {"size": 2, "share": 3.0}), "list": ([], [1, "a"]),
}  # fmt: skip


def variants(control: Any, treatment: Any) -> list[dict[str, Any]]:
    return [
        {"key": "control", "weight": 50, "control": True, "payload": control},
        {"key": "treatment", "weight": 50, "payload": treatment},
    ]


def put_flags() -> None:
    """A holdout of 20 % over all flags but `plain`, which delivers the keys of its variants."""
    put(
        holdout(fraction=0.2),
        experiment("plain"),
        *(experiment(key, variants=variants(*payloads), holdout="winter") for key, payloads in PAYLOADS.items()),
    )
    FLAGS.forget()


def server_key(name: str = "server") -> str:
    text = keys.create(name, "server", [], by="x", now=NOW)
    FLAGS.forget()
    return text


def client_key(name: str = "page", origin: str = SHOP) -> str:
    text = keys.create(name, "client", [origin], by="x", now=NOW)
    FLAGS.forget()
    return text
