"""From the text of a definition file to a plan and its source."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from analysis.plan import DecisionRule, Event, Metric, Plan, RollbackCriterion, Variant, Window
from experiments import payloads
from experiments.definitions import rules, shared
from experiments.definitions.errors import DefinitionProblem, Violation
from experiments.definitions.explain import explained
from experiments.definitions.schema import (
    DEFAULT_SCHEMA,
    LONGEST_WEEKS,
    RESERVED,
    ExperimentFile,
    HoldoutFile,
    MetricFile,
    SourceFile,
)
from experiments.definitions.shared import Catalog
from experiments.definitions.yaml_text import read_mapping
from experiments.sources.base import OWN, OWN_TABLES, Columns, SourceSpec

_PLAN: TypeAdapter[Plan] = TypeAdapter(Plan)

#: A rollback is asked for by default when a primary metric is surely this much worse in the newest matured week.
DEFAULT_ROLLBACK = -0.05


@dataclass(frozen=True)
class Definition:
    """A valid definition file: the plan, where its data are, and the text it came from."""

    file: str
    plan: Plan
    source: SourceSpec
    text: str


def load(path: Path, catalog: Catalog | None = None) -> Definition:
    """Read and validate a definition file. Raises DefinitionProblem, also where the file cannot be read.

    Metrics that are named by `use:` are looked up in ``catalog``; without one they are refused.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error))
        raise DefinitionProblem(str(path), [Violation("", reason)]) from error
    return parse(content, str(path), path.resolve().parent, catalog)


def parse(content: bytes, file: str, folder: Path, catalog: Catalog | None = None) -> Definition:
    """Validate the text of a definition file; paths in it are relative to ``folder``. Raises DefinitionProblem."""
    return parse_mapping(read_mapping(content, file), file, folder, content.decode(), catalog)


def parse_mapping(
    raw: Mapping[str, Any], file: str, folder: Path, text: str = "", catalog: Catalog | None = None
) -> Definition:
    """Validate what a definition file holds; ``file`` stands before every violation. Raises DefinitionProblem."""
    raw, unknown = shared.put_in(raw, catalog)
    if unknown:
        raise DefinitionProblem(file, unknown)
    model: type[ExperimentFile | HoldoutFile]
    model = ExperimentFile if "experiment" in raw or "holdout" not in raw else HoldoutFile
    if "experiment" not in raw and "holdout" not in raw:
        raise DefinitionProblem(file, [Violation("", "neither `experiment:` nor `holdout:` gives the key")])
    try:
        checked = model.model_validate(raw)
    except ValidationError as error:
        raise DefinitionProblem(file, [explained(detail, model) for detail in error.errors()]) from error
    horizon = _horizon(checked)
    broken = list(rules.violations(checked, horizon))
    if broken:
        raise DefinitionProblem(file, broken)
    source = _source(checked.source, folder)
    return Definition(file, _plan(checked, horizon), source, text)


def metric_of(values: Mapping[str, Any]) -> Metric:
    """Return what a metric measures, from the keys that a definition would have, by the same rules.

    Its role is left at diagnostic. Raises DefinitionProblem, its fields without the place in a file.
    """
    try:
        checked = MetricFile.model_validate({**values, "role": "diagnostic"})
    except ValidationError as error:
        raise DefinitionProblem("metric", [explained(detail, MetricFile) for detail in error.errors()]) from error
    broken = list(rules.metric_violations("", checked, set(), LONGEST_WEEKS))
    if broken:
        raise DefinitionProblem("metric", [Violation(one.field.removeprefix("."), one.message) for one in broken])
    return _metric(checked)


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain JSON values, for the database."""
    dumped: dict[str, Any] = _PLAN.dump_python(plan, mode="json")
    return dumped


def plan_from_json(value: Mapping[str, Any]) -> Plan:
    """Return the plan that ``plan_to_json`` wrote. The one reader of stored plans."""
    plan = _PLAN.validate_python(value)
    if "payload" not in plan.extra:
        return plan
    return replace(plan, extra={**plan.extra, "payload": payloads.restored(plan.extra["payload"])})


def _horizon(file: ExperimentFile | HoldoutFile) -> int:
    if isinstance(file, ExperimentFile):
        return file.horizon_weeks
    return file.horizon_weeks or max(1, (file.planned_end_date - file.start_date).days // 7)


def _source(file: SourceFile, folder: Path) -> SourceSpec:
    columns = Columns(**file.columns.model_dump())
    exposures, facts, schema = file.exposures or "", file.facts or "", ""
    if file.kind == "postgres" and file.name is None:
        schema = file.schema_name or DEFAULT_SCHEMA
        if file.dsn == OWN:
            exposures, facts = OWN_TABLES
    return SourceSpec(file.kind, exposures, facts, folder, columns, file.name, file.dsn or "", schema)


def _variants(file: ExperimentFile | HoldoutFile) -> tuple[Variant, ...]:
    variants = file.variants or ()
    if isinstance(file, HoldoutFile) and all(variant.weight is None for variant in variants):
        return (Variant("held_out", file.fraction, control=True), Variant("launched", 1 - file.fraction))
    return tuple(Variant(variant.key, _float(variant.weight), variant.control) for variant in variants)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _metric(file: MetricFile) -> Metric:
    given = file.event
    event = Event(given.type, given.column, given.gap_weeks or 0) if given is not None else None
    return Metric(
        key=file.key, kind=file.kind, better=file.better, role=file.role, term=file.term,
        column=file.column or "", numerator=file.numerator or "", denominator=file.denominator or "", event=event,
        margin=file.margin, weight=file.weight, cap=file.cap, window=file.window, adjust=tuple(file.adjust),
    )  # fmt: skip


def _decision(file: ExperimentFile | HoldoutFile) -> DecisionRule:
    rule = file.decision
    if rule.rollback is None:
        primaries = (metric for metric in file.metrics if metric.role == "primary" and metric.kind != "event")
        rollback = tuple(RollbackCriterion(metric.key, "latest", DEFAULT_ROLLBACK) for metric in primaries)
    else:
        rollback = tuple(RollbackCriterion(item.metric, item.window, float(item.below)) for item in rule.rollback)
    return DecisionRule(
        alpha=rule.alpha, power=rule.power, looks=rule.looks, min_weeks=rule.min_weeks, rollback=rollback,
        spending=rule.spending or "obrien_fleming", planned_units=rule.planned_units,
    )  # fmt: skip


def _plan(file: ExperimentFile | HoldoutFile, horizon: int) -> Plan:
    holdout = file if isinstance(file, HoldoutFile) else None
    dumped = file.model_dump(mode="json", include=set(RESERVED))
    extra = {key: value for key, value in dumped.items() if value is not None}
    payloads = {variant.key: variant.payload for variant in file.variants or () if variant.payload is not None}
    return Plan(
        key=file.holdout if isinstance(file, HoldoutFile) else file.experiment,
        kind="holdout" if holdout else "experiment",
        name=file.name, hypothesis=file.hypothesis, owner=file.owner, unit=file.unit,
        variants=_variants(file),
        metrics=tuple(_metric(metric) for metric in file.metrics),
        windows=tuple(Window(name, start, end) for name, (start, end) in file.windows.items()),
        start_date=file.start_date, enrollment_weeks=file.enrollment_weeks or horizon, horizon_weeks=horizon,
        pre_weeks=file.pre_weeks, clock=file.clock, timezone=file.timezone, lag_days=file.source.lag_days,
        segments=tuple(file.segments), decision=_decision(file),
        holdout=None if holdout else file.holdout,
        fraction=holdout.fraction if holdout else None,
        planned_end_date=file.planned_end_date,
        members=tuple(holdout.members) if holdout else (),
        extra={**extra, **({"payload": payloads} if payloads else {})},
    )  # fmt: skip
