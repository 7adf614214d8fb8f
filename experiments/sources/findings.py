"""What a check of a source finds: how many rows or units are wrong in which way, with one of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

TableName = Literal["exposures", "facts"]

#: ``refused``: a look would not read these data. ``left_out``: it reads them without these rows or units.
#: ``noted``: it reads them in a way one should know. ``fine``: as it should be.
Severity = Literal["refused", "left_out", "noted", "fine"]

#: Called before each step with the steps done, the steps in all, and what comes next in words.
OnStep = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Finding:
    """One thing that was found. ``about`` is a word for programs; ``example`` is empty where there is none."""

    table: TableName
    about: str
    severity: Severity
    count: int
    example: str
    message: str
