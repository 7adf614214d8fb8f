"""Rules that join several keys of a definition. Each yields the violations it finds, never raises."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from experiments import payloads, targeting
from experiments.definitions.errors import Violation
from experiments.definitions.schema import (
    LONGEST_WEEKS,
    ColumnsFile,
    DecisionFile,
    ExperimentFile,
    HoldoutFile,
    MetricFile,
    PlanFile,
    SourceFile,
    VariantFile,
)
from experiments.sources.base import OWN

#: What each metric kind needs; keys it does not use are refused, so that nothing is silently ignored.
_NEEDS = {"mean": ("column",), "active": ("column",), "ratio": ("numerator", "denominator"), "event": ("event",)}
_OPTIONAL = {"mean": {"cap"}, "active": set(), "ratio": {"cap"}, "event": {"adjust"}}
_KIND_KEYS = ("column", "numerator", "denominator", "event", "cap", "adjust")

#: Names that mean something of their own where a window is named.
RESERVED_WINDOWS = frozenset({"latest"})

#: Words that an answer to a program has in place of a variant.
RESERVED_VARIANTS = frozenset({"held_out", "none"})


def violations(file: ExperimentFile | HoldoutFile, horizon: int) -> Iterator[Violation]:
    """Yield every broken rule of a definition whose keys are well-formed. ``horizon`` is in weeks."""
    if file.variants is not None:
        yield from _variants(file.variants)
        yield from _payloads(file.variants)
    if isinstance(file, ExperimentFile):
        yield from _variant_names(file.variants)
    if isinstance(file, HoldoutFile):
        yield from _holdout(file, horizon)
    if file.planned_end_date is not None and file.planned_end_date <= file.start_date:
        yield Violation("planned_end_date", f"{file.planned_end_date} is not after start_date {file.start_date}")
    yield from _source(file.source)
    yield from _windows(file, horizon)
    yield from _repeated("metrics", [metric.key for metric in file.metrics])
    yield from _repeated("segments", file.segments)
    for number, metric in enumerate(file.metrics):
        yield from metric_violations(f"metrics[{number}]", metric, set(file.windows), horizon)
    yield from _looks(file.decision)
    yield from _rollback(file)
    yield from _entry(file, file.enrollment_weeks or horizon)


def _repeated(field: str, keys: Sequence[str]) -> Iterator[Violation]:
    for key, times in Counter(keys).items():
        if times > 1:
            yield Violation(field, f"`{key}` stands {times} times; each may stand once")


def _variants(variants: Sequence[VariantFile]) -> Iterator[Violation]:
    yield from _repeated("variants", [variant.key for variant in variants])
    controls = [variant.key for variant in variants if variant.control]
    if not controls:
        names = ", ".join(variant.key for variant in variants)
        yield Violation("variants", f"none has `control: true` (found {names}); exactly one must")
    if len(controls) > 1:
        yield Violation("variants", f"{len(controls)} have `control: true` ({', '.join(controls)}); exactly one must")
    yield from _weights(variants)


def _weights(variants: Sequence[VariantFile]) -> Iterator[Violation]:
    """Without any weight the designed split is unknown; with some of them it would be half known."""
    if all(variant.weight is None for variant in variants):
        return
    for number, variant in enumerate(variants):
        if variant.weight is None:
            yield Violation(
                f"variants[{number}].weight",
                f"is missing for variant `{variant.key}`; give every variant a weight, or none "
                "if the designed split is not known",
            )


def _variant_names(variants: Sequence[VariantFile]) -> Iterator[Violation]:
    for number, variant in enumerate(variants):
        if variant.key in RESERVED_VARIANTS:
            yield Violation(f"variants[{number}].key", f"`{variant.key}` is what units are told that get no variant")


def _payloads(variants: Sequence[VariantFile]) -> Iterator[Violation]:
    """What variants deliver is of one type: a program asks for a flag as a number or a text, not as either."""
    given = [variant for variant in variants if variant.payload is not None]
    if not given:
        return
    types: dict[str, str] = {}
    for number, variant in enumerate(variants):
        field = f"variants[{number}].payload"
        try:
            types.setdefault(payloads.type_of(variant.payload), variant.key)
        except ValueError as wrong:
            yield Violation(field, str(wrong))
    if {"a whole number", "a number"} == set(types):
        return
    if len(types) > 1:
        found = " and ".join(f"{name} ({key})" for name, key in sorted(types.items()))
        yield Violation("variants", f"payloads must be of one type (found {found})")


def _holdout(file: HoldoutFile, horizon: int) -> Iterator[Violation]:
    if horizon > LONGEST_WEEKS:  # those between start and planned end, where horizon_weeks is not given
        yield Violation(
            "planned_end_date",
            f"{file.planned_end_date} is {horizon} weeks after start_date; give at most {LONGEST_WEEKS}, or say "
            "horizon_weeks",
        )
    if file.decision.looks == "any_time":
        yield Violation(
            "decision.looks",
            "`any_time` holds for units that arrive; a holdout measures the same units again: use weekly",
        )
    roles = {variant.key: variant.control for variant in file.variants or ()}
    if roles and roles != {"held_out": True, "launched": False}:
        yield Violation("variants", "a holdout has the variants held_out (the control) and launched")


def _source(source: SourceFile) -> Iterator[Violation]:
    if source.name is not None:
        for key in sorted({"kind", "columns"} & source.model_fields_set):
            yield Violation(f"source.{key}", f"comes with the registered source `{source.name}`; leave it out")
        for key in _given(source, "dsn", "schema"):
            yield Violation(f"source.{key}", f"is not used; the source registered as `{source.name}` says it")
        return
    if source.kind == "postgres":
        yield from _connection(source)
        if source.dsn == OWN:
            return
    else:
        for key in _given(source, "dsn", "schema"):
            yield Violation(f"source.{key}", f"belongs to kind postgres; the source is of kind {source.kind}")
    for key in ("exposures", "facts"):
        if getattr(source, key) is None:
            needed = "the name of a table or view" if source.kind == "postgres" else "a path relative to this file"
            yield Violation(f"source.{key}", f"is missing; give {needed}")


def _given(source: SourceFile, *keys: str) -> list[str]:
    """Those of the keys that the definition has."""
    return [key for key in keys if getattr(source, {"schema": "schema_name"}.get(key, key)) is not None]


def _connection(source: SourceFile) -> Iterator[Violation]:
    """A database is named; Holdfast's own has tables of its own, and nothing else in it is read."""
    if source.dsn is None:
        yield Violation(
            "source.dsn",
            "is missing; give the name of a connection, such as shop for the environment variable HOLDFAST_DSN_SHOP, "
            f"or {OWN} for events that were sent to Holdfast",
        )
    if source.dsn == OWN:
        given = _given(source, "exposures", "facts", "schema")
        if source.columns != ColumnsFile():
            given.append("columns")
        for key in given:
            yield Violation(f"source.{key}", f"is not used with `dsn: {OWN}`, which reads the events sent to Holdfast")


def _windows(file: PlanFile, horizon: int) -> Iterator[Violation]:
    for name in ("early", "late"):
        if name not in file.windows:
            yield Violation(f"windows.{name}", "is missing; a definition needs the windows early and late")
    for name, (start, end) in file.windows.items():
        field = f"windows.{name}"
        if name in RESERVED_WINDOWS:
            yield Violation(field, f"the name `{name}` is reserved for the newest matured week")
        if start >= end:
            yield Violation(field, f"[{start}, {end}) is empty; the end week is left out and must be after the start")
        elif end > horizon:
            yield Violation(field, f"[{start}, {end}) ends outside the horizon of {horizon} weeks (horizon_weeks)")
    early, late = file.windows.get("early"), file.windows.get("late")
    if early and late and late[0] < early[1]:
        yield Violation(
            "windows.late",
            f"[{late[0]}, {late[1]}) begins before the early window [{early[0]}, {early[1]}) ends; "
            f"it must begin in week {early[1]} or later",
        )


def metric_violations(field: str, metric: MetricFile, windows: set[str], horizon: int) -> Iterator[Violation]:
    """Yield the broken rules of one metric; ``field`` is its place in the file, ``horizon`` in weeks."""
    needed, optional = _NEEDS[metric.kind], _OPTIONAL[metric.kind]
    for key in _KIND_KEYS:
        given = bool(getattr(metric, key))
        if key in needed and not given:
            yield Violation(f"{field}.{key}", f"is missing; metric `{metric.key}` of kind {metric.kind} needs it")
        elif given and key not in needed and key not in optional:
            yield Violation(f"{field}.{key}", f"is not used by metrics of kind {metric.kind} (metric `{metric.key}`)")
    if metric.role == "guardrail" and metric.margin is None:
        yield Violation(
            f"{field}.margin", f"is missing; guardrail `{metric.key}` needs a relative margin such as 0.02 for 2 %"
        )
    if metric.role != "guardrail" and metric.margin is not None:
        yield Violation(f"{field}.margin", f"belongs to guardrails; metric `{metric.key}` is {metric.role}")
    if metric.window is not None and metric.window not in windows:
        yield Violation(f"{field}.window", f"`{metric.window}` is not one of the windows {', '.join(sorted(windows))}")
    if metric.kind == "event" and metric.weight:
        yield Violation(
            f"{field}.weight", f"is not used: `{metric.key}` is a time to event, which has no lift to weigh"
        )
    yield from _event(field, metric, horizon)


def _event(field: str, metric: MetricFile, horizon: int) -> Iterator[Violation]:
    event = metric.event
    if event is None:
        return
    if event.type == "inactivity" and event.gap_weeks is None:
        yield Violation(f"{field}.event.gap_weeks", f"is missing; the inactivity event of `{metric.key}` needs it")
    if event.type == "occurrence" and event.gap_weeks is not None:
        yield Violation(f"{field}.event.gap_weeks", f"belongs to inactivity events; `{metric.key}` is an occurrence")
    if event.gap_weeks is not None and event.gap_weeks > horizon:
        yield Violation(f"{field}.event.gap_weeks", f"{event.gap_weeks} is longer than the horizon of {horizon} weeks")


def _entry(file: PlanFile, enrollment: int) -> Iterator[Violation]:
    """Who enters when: targeting is a rule, and a ramp never lets units drop out."""
    if file.targeting is not None:
        try:
            targeting.parse(file.targeting)
        except targeting.BadRule as bad:
            yield Violation(bad.field, str(bad))
    for number, (earlier, later) in enumerate(pairwise(file.phases or ()), start=1):
        field = f"phases[{number}]"
        if later.week <= earlier.week:
            yield Violation(f"{field}.week", f"{later.week} is not after week {earlier.week} of the phase before")
        if later.share < earlier.share:
            yield Violation(f"{field}.share", f"{later.share:g} is below {earlier.share:g}: units would drop out")
    for number, phase in enumerate(file.phases or ()):
        if phase.week >= enrollment:
            yield Violation(
                f"phases[{number}].week", f"{phase.week} is not one of the {enrollment} enrollment weeks from 0"
            )


def _looks(rule: DecisionFile) -> Iterator[Violation]:
    if rule.looks == "any_time":
        if rule.planned_units is None:
            yield Violation(
                "decision.planned_units",
                "is missing; with `looks: any_time` intervals are tightest at this number of mature units",
            )
        if rule.spending is not None:
            yield Violation("decision.spending", "is not used with `looks: any_time`; it shares alpha of weekly looks")
    elif rule.planned_units is not None:
        yield Violation("decision.planned_units", "is not used with `looks: weekly`; it belongs to any_time")


def _rollback(file: PlanFile) -> Iterator[Violation]:
    metrics = {metric.key for metric in file.metrics if metric.kind != "event"}
    windows = set(file.windows) | RESERVED_WINDOWS
    seen: set[tuple[str, str, float]] = set()
    for number, criterion in enumerate(file.decision.rollback or ()):
        field = f"decision.rollback[{number}]"
        if criterion.metric not in metrics:
            yield Violation(f"{field}.metric", f"`{criterion.metric}` is not one of {', '.join(sorted(metrics))}")
        if criterion.window not in windows:
            yield Violation(f"{field}.window", f"`{criterion.window}` is not one of {', '.join(sorted(windows))}")
        same = (criterion.metric, criterion.window, float(criterion.below))
        if same in seen:
            yield Violation(field, f"stands twice ({criterion.metric}, {criterion.window}, below {criterion.below})")
        seen.add(same)
