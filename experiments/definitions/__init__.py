"""Definition files: YAML text to a validated plan and its source. Django-free; every violation is explained."""

from experiments.definitions.errors import DefinitionProblem
from experiments.definitions.parse import Definition, load, parse, plan_from_json, plan_to_json

__all__ = ["Definition", "DefinitionProblem", "load", "parse", "plan_from_json", "plan_to_json"]
