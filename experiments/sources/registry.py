"""Which adapter opens which kind of source."""

from datetime import date

from experiments.sources.base import Source, SourceProblem, SourceSpec
from experiments.sources.duckdb import open_files

_ADAPTERS = {"files": open_files}


def open_source(spec: SourceSpec, today: date) -> Source:
    """Open a source, for use in ``with``. ``today`` is the last day that data may carry. Raises SourceProblem."""
    if spec.name is not None:
        raise SourceProblem(f"source.name: no source is registered as `{spec.name}`; give kind: files and paths")
    if spec.kind not in _ADAPTERS:
        raise SourceProblem(f"source.kind: `{spec.kind}` is not supported yet; allowed is {', '.join(_ADAPTERS)}")
    return _ADAPTERS[spec.kind](spec, today)
