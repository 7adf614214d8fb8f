"""A stored experiment as a definition file: what ``apply`` takes back, and then says that nothing changes."""

from dataclasses import dataclass

from experiments.definitions import DefinitionProblem, definition_text, parse
from experiments.models import Source
from experiments.services.results import find_experiment
from experiments.sources.base import SourceSpec


class CannotExport(Exception):
    """A stored plan that a definition file cannot say. The message names the experiment and the reason."""


@dataclass(frozen=True)
class Exported:
    """A definition file's text. ``folder`` is where it belongs if its paths are relative to that, else empty."""

    key: str
    text: str
    folder: str


def export(key: str) -> Exported:
    """Return the definition of an experiment or holdout as it stands. Raises NoSuchExperiment, CannotExport.

    The text is read back before it is given away, so that it never says something else than what is stored.
    """
    experiment = find_experiment(key)
    stored, spec = experiment.current_plan, spec_of(experiment.source)
    text = definition_text(stored.load(), spec)
    try:
        again = parse(text.encode(), f"{key}.yaml", spec.folder)
    except DefinitionProblem as problem:
        raise CannotExport(f"the plan of {key} does not fit today's definition files: {problem}") from problem
    if not stored.describes(again.plan) or again.source != spec:
        raise CannotExport(f"the plan of {key} has values that a definition file cannot hold")
    return Exported(key, text, "" if spec.name else str(spec.folder))


def spec_of(source: Source) -> SourceSpec:
    """Where a definition says that the data are: by name if they are registered, by their paths otherwise."""
    spec = source.spec
    return spec if source.key is None else SourceSpec("files", "", "", spec.folder, name=source.key)
