"""Definition files: YAML text to a validated plan and its source. Django-free; every violation is explained."""

from experiments.definitions.errors import DefinitionProblem
from experiments.definitions.export import definition_mapping, definition_text, source_mapping
from experiments.definitions.parse import (
    Definition,
    load,
    metric_of,
    parse,
    parse_mapping,
    plan_from_json,
    plan_to_json,
)
from experiments.definitions.shared import Catalog, NotInCatalog

__all__ = [
    "Catalog", "Definition", "DefinitionProblem", "NotInCatalog", "definition_mapping", "definition_text", "load",
    "metric_of", "parse", "parse_mapping", "plan_from_json", "plan_to_json", "source_mapping",
]  # fmt: skip
