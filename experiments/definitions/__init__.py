"""Definition files: YAML text to a validated plan and its source. Django-free; every violation is explained."""

from experiments.definitions.errors import DefinitionProblem
from experiments.definitions.export import definition_mapping, definition_text
from experiments.definitions.parse import Definition, load, parse, parse_mapping, plan_from_json, plan_to_json

__all__ = [
    "Definition", "DefinitionProblem", "definition_mapping", "definition_text", "load", "parse", "parse_mapping",
    "plan_from_json", "plan_to_json",
]  # fmt: skip
