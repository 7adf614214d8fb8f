"""From the text of a definition file to a plan and its source."""

import difflib
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from analysis.plan import DecisionRule, Event, Metric, Plan, RollbackCriterion, Variant, Window
from experiments import payloads
from experiments.definitions import rules
from experiments.definitions.errors import DefinitionProblem, Violation
from experiments.definitions.schema import (
    RESERVED,
    ExperimentFile,
    HoldoutFile,
    MetricFile,
    SourceFile,
)
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


def load(path: Path) -> Definition:
    """Read and validate a definition file. Raises DefinitionProblem, also where the file cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error))
        raise DefinitionProblem(str(path), [Violation("", reason)]) from error
    return parse(content, str(path), path.resolve().parent)


def parse(content: bytes, file: str, folder: Path) -> Definition:
    """Validate the text of a definition file; paths in it are relative to ``folder``. Raises DefinitionProblem."""
    return parse_mapping(read_mapping(content, file), file, folder, content.decode())


def parse_mapping(raw: Mapping[str, Any], file: str, folder: Path, text: str = "") -> Definition:
    """Validate what a definition file holds; ``file`` stands before every violation. Raises DefinitionProblem."""
    model: type[ExperimentFile | HoldoutFile]
    model = ExperimentFile if "experiment" in raw or "holdout" not in raw else HoldoutFile
    if "experiment" not in raw and "holdout" not in raw:
        raise DefinitionProblem(file, [Violation("", "neither `experiment:` nor `holdout:` gives the key")])
    try:
        checked = model.model_validate(raw)
    except ValidationError as error:
        raise DefinitionProblem(file, [_explained(detail, model) for detail in error.errors()]) from error
    horizon = _horizon(checked)
    broken = list(rules.violations(checked, horizon))
    if broken:
        raise DefinitionProblem(file, broken)
    source = _source(checked.source, folder)
    return Definition(file, _plan(checked, horizon), source, text)


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
        schema = file.schema_name or "public"
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


def _field(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _explained(detail: Mapping[str, Any], model: type[BaseModel]) -> Violation:
    """Turn one error of pydantic into a violation that says what was found and what is allowed."""
    location = tuple(part for part in detail["loc"] if not str(part).startswith(("constrained-", "function-")))
    kind, found = detail["type"], detail["input"]
    name = str(location[-1]) if location else ""
    if kind == "extra_forbidden":
        return Violation(_field(location), f"unknown key `{name}`" + _suggestion(name, _known(model, location)))
    if kind == "missing":
        return Violation(_field(location), "is missing")
    if name == "kind" and "percentile" in str(found):
        return Violation(_field(location), "percentiles are not supported yet; use mean, active, ratio or event")
    message = re.sub(r"^(Value error, |Input )", "", detail["msg"])
    if name == "dsn":
        return Violation(_field(location), message)  # what was found may be a password
    return Violation(_field(location), f"{message} (found {_shown(found)})")


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 60 else text[:57] + "..."


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; known keys are {', '.join(known)}"


def _known(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys allowed where ``location`` points, by following the model's annotations."""
    for part in location[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models(model.model_fields[part].annotation), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def _models(annotation: Any) -> typing.Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for inner in typing.get_args(annotation):
        yield from _models(inner)
