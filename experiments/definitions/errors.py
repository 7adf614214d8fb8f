"""The one way a definition file is refused."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """One broken rule: the field as a path (``variants[0].weight``, empty for the whole file) and a sentence."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class DefinitionProblem(Exception):
    """A definition file that is refused whole, with everything that is wrong in it."""

    def __init__(self, file: str, violations: Sequence[Violation]) -> None:
        self.file = file
        self.violations = tuple(violations)
        super().__init__("\n".join(f"{file}: {violation}" for violation in self.violations))
