"""From a plan and its source back to the text of a definition file, in one canonical form.

Everything that the plan holds is written, what a definition may leave out is left out where it has its default, and
keys stand in the order of the contract. Parsed again it gives the same plan and the same source.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import yaml

from analysis.plan import DecisionRule, Metric, Plan
from experiments.definitions.schema import DEFAULT_SCHEMA, RESERVED, ColumnsFile
from experiments.sources.base import OWN, SourceSpec

#: Longer lines are wrapped.
_WIDTH = 120

#: Whole floats below this are written without ``.0``: no digit is lost.
_EXACT_FLOATS = 2**53

#: Characters that end a line for YAML, though not for the eye: a text with one of them is escaped.
_ODD_BREAKS = "\x85\u2028\u2029\ufeff"


class _Dumper(yaml.SafeDumper):
    """Writes plain values only, and never an alias: a definition may have none."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if any(odd in value for odd in _ODD_BREAKS) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def definition_text(plan: Plan, source: SourceSpec) -> str:
    """Return the definition file of a plan; its paths are relative to ``source.folder``.

    Lists and mappings of plain values stand in one line, everything else in blocks. There are no comments.
    """
    text: str = yaml.dump(
        definition_mapping(plan, source),
        Dumper=_Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=_WIDTH,
    )  # fmt: skip
    return text


def definition_mapping(plan: Plan, source: SourceSpec) -> dict[str, Any]:
    """Return what ``definition_text`` writes, as plain values."""
    holdout = plan.kind == "holdout"
    found = {
        "version": 1,
        plan.kind: plan.key,
        "name": plan.name,
        "hypothesis": plan.hypothesis or None,
        "owner": plan.owner,
        "unit": plan.unit,
        "fraction": plan.fraction,
        "members": list(plan.members) or None,
        "variants": _variants(plan),
        "start_date": plan.start_date,
        "planned_end_date": plan.planned_end_date,
        "enrollment_weeks": plan.enrollment_weeks,
        "horizon_weeks": plan.horizon_weeks,
        "pre_weeks": plan.pre_weeks,
        "clock": plan.clock,
        "timezone": plan.timezone,
        "source": source_mapping(source, plan.lag_days),
        "windows": {window.name: [window.start_week, window.end_week] for window in plan.windows},
        "metrics": [_metric(metric) for metric in plan.metrics],
        "segments": list(plan.segments) or None,
        "decision": _decision(plan.decision),
        **({} if holdout else {"holdout": plan.holdout}),
        **{key: plan.extra.get(key) for key in RESERVED},
    }
    return _given(found)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is not there, and write whole numbers as such."""
    return {key: _number(value) for key, value in values.items() if value is not None}


def _number(value: Any) -> Any:
    whole = isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_FLOATS
    return int(value) if whole else value


def _variants(plan: Plan) -> list[dict[str, Any]] | None:
    """The variants; None for those that a holdout has by its fraction alone."""
    payloads: Mapping[str, Any] = plan.extra.get("payload") or {}
    by_fraction = plan.kind == "holdout" and plan.fraction is not None and {
        variant.key: variant.weight for variant in plan.variants
    } == {"held_out": plan.fraction, "launched": 1 - plan.fraction}  # fmt: skip
    if by_fraction and not payloads:
        return None
    found = []
    for variant in plan.variants:
        weight = None if by_fraction else variant.weight
        one = _given({"key": variant.key, "weight": weight, "control": variant.control or None})
        found.append({**one, **({"payload": payloads[variant.key]} if variant.key in payloads else {})})
    return found


def source_mapping(source: SourceSpec, lag_days: int = 0) -> dict[str, Any]:
    """Return what a definition says of where data are; of events that were sent to Holdfast nothing else is said."""
    defaults = ColumnsFile().model_dump()
    columns = {key: value for key, value in asdict(source.columns).items() if value != defaults[key]}
    own = source.dsn == OWN
    return _given({
        "name": source.name, "kind": source.kind if source.name is None else None, "dsn": source.dsn or None,
        "schema": source.schema if source.schema not in ("", DEFAULT_SCHEMA) else None,
        "exposures": None if own else source.exposures or None, "facts": None if own else source.facts or None,
        "columns": columns or None, "lag_days": lag_days or None,
    })  # fmt: skip


def _metric(metric: Metric) -> dict[str, Any]:
    event = metric.event
    gap = event.gap_weeks or None if event else None
    return _given({
        "key": metric.key, "kind": metric.kind, "column": metric.column or None,
        "numerator": metric.numerator or None, "denominator": metric.denominator or None,
        "event": _given({"type": event.type, "column": event.column, "gap_weeks": gap}) if event else None,
        "better": metric.better, "role": metric.role, "term": metric.term, "margin": metric.margin,
        "weight": metric.weight, "cap": metric.cap, "window": metric.window, "adjust": list(metric.adjust) or None,
    })  # fmt: skip


def _decision(rule: DecisionRule) -> dict[str, Any]:
    """The rule; what asks for a rollback is always written, since its default depends on the metrics."""
    spending = rule.spending if rule.spending != "obrien_fleming" else None
    found = _given({
        "alpha": rule.alpha, "power": rule.power, "looks": rule.looks, "spending": spending,
        "planned_units": rule.planned_units, "min_weeks": rule.min_weeks,
    })  # fmt: skip
    return {**found, "rollback": [_given(asdict(criterion)) for criterion in rule.rollback]}
