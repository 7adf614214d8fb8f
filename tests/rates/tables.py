"""Tables of measured rates, frozen beside the other known answers: the methods pages quote them."""

import os
from pathlib import Path

REFERENCE = Path(__file__).parents[1] / "reference"


def frozen(name: str, text: str) -> None:
    """Compare a full run's table with the frozen one; with HOLDFAST_WRITE_REFERENCE set, freeze it instead."""
    path = REFERENCE / name
    if os.environ.get("HOLDFAST_WRITE_REFERENCE"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text
