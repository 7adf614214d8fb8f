"""Metrics of the catalog in a definition: `use: lines` becomes what the catalog says before anything is judged."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from pydantic import ValidationError

from analysis.plan import Metric
from experiments.definitions.errors import Violation
from experiments.definitions.explain import explained
from experiments.definitions.schema import UseFile

#: Keys that say what a metric measures: with `use` they come from the catalog.
MEASURED = ("key", "kind", "better", "column", "numerator", "denominator", "event", "cap")


class NotInCatalog(LookupError):
    """The catalog has no such metric, or not this version of it. The message says what there is."""


class Catalog(Protocol):
    """Where shared metrics are kept."""

    def metric(self, key: str, version: int | None, user: str) -> Metric:
        """Return what a metric measures, for the experiment or holdout with the key ``user``. Raises NotInCatalog."""
        ...


def put_in(raw: Mapping[str, Any], catalog: Catalog | None) -> tuple[Mapping[str, Any], list[Violation]]:
    """Return a definition as it was read with the metrics of the catalog written out, and what is wrong with them."""
    metrics = raw.get("metrics")
    if not isinstance(metrics, list):
        return raw, []
    user = raw.get("experiment") or raw.get("holdout")
    found, wrong = list(metrics), []
    for number, item in enumerate(metrics):
        if not isinstance(item, dict) or "use" not in item:
            continue
        field = f"metrics[{number}]"
        problems = list(_wrong(field, item))
        wrong += problems
        if problems:
            continue
        try:
            found[number] = _metric(item, catalog, user if isinstance(user, str) else "")
        except NotInCatalog as missing:
            wrong.append(Violation(f"{field}.use", str(missing)))
    return {**raw, "metrics": found}, wrong


def _wrong(field: str, item: dict[str, Any]) -> Iterator[Violation]:
    beside = [key for key in MEASURED if key in item]
    for key in beside:
        yield Violation(f"{field}.{key}", "comes from the catalog with `use`; leave it out")
    try:
        UseFile.model_validate({key: value for key, value in item.items() if key not in beside})
    except ValidationError as error:
        for detail in error.errors():
            one = explained(detail, UseFile)
            yield Violation(f"{field}.{one.field}", one.message)


def _metric(item: dict[str, Any], catalog: Catalog | None, user: str) -> dict[str, Any]:
    """The metric as a definition would write it. Raises NotInCatalog."""
    key, version = item["use"], item.get("version")
    if catalog is None:
        raise NotInCatalog(
            f"`{key}` is in the catalog, which is kept in the database and not read here; write out what it measures. "
            f"Of a definition that was applied `manage.py export {user or 'KEY'}` does so"
        )
    metric = catalog.metric(key, version, user)
    part = {name: value for name, value in item.items() if name not in ("use", "version")}
    return {**written(metric), **part}


def written(metric: Metric) -> dict[str, Any]:
    """What a metric measures, in the keys of a definition; those without a value are left out."""
    values: dict[str, Any] = {
        "key": metric.key, "kind": metric.kind, "better": metric.better, "column": metric.column,
        "numerator": metric.numerator, "denominator": metric.denominator, "cap": metric.cap,
    }  # fmt: skip
    if metric.event is not None:
        event = {"type": metric.event.type, "column": metric.event.column}
        gap = {"gap_weeks": metric.event.gap_weeks} if metric.event.gap_weeks else {}
        values["event"] = {**event, **gap}
    return {name: value for name, value in values.items() if value not in ("", None)}
