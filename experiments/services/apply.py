"""Create or update experiments from definition files: all of them or none, with the difference to what was there."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

from django.db import DataError, connection, transaction

from analysis.plan import Plan as PlanBody
from experiments.definitions import Definition, plan_to_json
from experiments.models import (
    Amendment,
    AuditEntry,
    CannotStart,
    Experiment,
    Metric,
    MetricUse,
    Person,
    Plan,
    Source,
    Variant,
)
from experiments.models.audit import EXPERIMENT, HOLDFAST
from experiments.models.states import ARCHIVED, DRAFT
from experiments.services import access, traffic
from experiments.services.slices import CannotSettle
from experiments.services.suggest import did_you_mean
from experiments.sources.base import SourceSpec

#: Definitions are applied one at a time in the whole database: it takes milliseconds, and metrics' versions are shared.
APPLY_LOCK = 4_685_352_368

Action = Literal["created", "updated", "amended", "unchanged"]

#: What the audit log calls it.
VERBS: Mapping[Action, str] = {"created": "defined", "updated": "redefined", "amended": "plan amended"}


class CannotApply(Exception):
    """A definition that is valid in itself and does not fit what is stored. Nothing was applied."""


@dataclass(frozen=True)
class Change:
    """One field with its values, as the definition has them; None where there is none."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Applied:
    """What applying one definition does.

    Attributes:
        starts: the start date has come, and the plan is frozen with it.
        traffic: lines that say what it takes of all units; none for what takes whoever comes.
    """

    key: str
    kind: str
    action: Action
    plan_version: int
    starts: bool
    changes: tuple[Change, ...]
    traffic: tuple[str, ...] = ()


def apply(
    definitions: Sequence[Definition],
    now: datetime,
    *,
    amend: str | None = None,
    dry_run: bool = False,
    by: str = HOLDFAST,
    person: Person | None = None,
    review: bool = False,
) -> tuple[Applied, ...]:
    """Apply definitions in one transaction and say what changed. A dry run does the same and takes it all back.

    ``by`` says in the audit log who did it, ``person`` who has to have the right to: to drafts whoever may edit, to
    what has started, or starts by this, its owners. None is the command line. With ``review``, drafts are given to
    review and none starts by itself.

    Raises CannotApply, for one a started experiment's plan would change and ``amend`` does not say why; NotAllowed.
    """
    if amend is not None and not amend.strip():
        raise CannotApply("--amend needs a reason, in words that will stand beside the results")
    _check_repeated(definitions)
    with transaction.atomic():
        hold_lock()
        # A holdout comes before its members: what starts without it can never respect it.
        ordered = sorted(definitions, key=lambda definition: definition.plan.kind != "holdout")
        applied = {one.plan.key: _stored(one, now, amend, by, person, review) for one in ordered}
        transaction.set_rollback(dry_run)
    return tuple(applied[definition.plan.key] for definition in definitions)


def hold_lock() -> None:
    """Let nobody else apply anything until this transaction is over."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [APPLY_LOCK])


def changes_of(experiment: Experiment | None, definition: Definition) -> tuple[Change, ...]:
    """What applying a definition changes in an experiment, None for a new one. Raises CannotApply."""
    source = _registered(definition)
    after = _flat(definition.plan, source or _source_of(definition.source))
    before = {} if experiment is None else _flat(experiment.current_plan.load(), experiment.source)
    return _difference(before, after)


def _stored(
    definition: Definition, now: datetime, amend: str | None, by: str, person: Person | None, review: bool
) -> Applied:
    try:
        experiment, applied = _apply_one(definition, now, amend, person, review)
        told = traffic.settle(experiment, now)
        _record(applied, now, amend, by)
        if review and experiment.state == DRAFT:
            experiment.submit(by=by, now=now)
        starts = experiment.start_if_due(now) or applied.starts
        if starts and person is not None:  # who may edit may not start, with a day that has come as little as otherwise
            access.require(person, "decide", experiment)
    except (CannotStart, CannotSettle) as problem:
        raise CannotApply(f"{definition.file}: {problem}") from problem
    except DataError as error:  # such as NUL in a text, or an infinity in a reserved key
        first = (str(error).splitlines() or [""])[0]
        raise CannotApply(f"{definition.file}: the database cannot store a value of it: {first}") from error
    return replace(applied, starts=starts, traffic=told)


def _record(applied: Applied, now: datetime, amend: str | None, by: str) -> None:
    if applied.action == "unchanged":
        return
    AuditEntry.objects.record(
        by=by, verb=VERBS[applied.action], kind=EXPERIMENT, key=applied.key, now=now,
        before={change.field: change.before for change in applied.changes if change.before is not None},
        after={change.field: change.after for change in applied.changes if change.after is not None},
        reason=(amend or "").strip() if applied.action == "amended" else "",
    )  # fmt: skip


def _check_repeated(definitions: Sequence[Definition]) -> None:
    files: dict[str, str] = {}
    for definition in definitions:
        key = definition.plan.key
        if key in files:
            raise CannotApply(f"{definition.file}: `{key}` is defined in {files[key]} too; a key has one definition")
        files[key] = definition.file


def _apply_one(
    definition: Definition, now: datetime, amend: str | None, person: Person | None, review: bool
) -> tuple[Experiment, Applied]:
    source = _registered(definition)
    stored = Experiment.objects.select_for_update(of=("self",)).filter(key=definition.plan.key).first()
    if person is not None:
        access.require_change(person, stored, definition.plan.owner)
    if stored is None:
        return _create(definition, source, now)
    return _update(stored, definition, source, now, amend, review)


def _create(definition: Definition, source: Source | None, now: datetime) -> tuple[Experiment, Applied]:
    plan = definition.plan
    experiment = Experiment(key=plan.key, kind=plan.kind, created_at=now)
    _describe(experiment, definition)
    experiment.source = source or _own_source(definition.source)
    experiment.save()
    _put_in_force(experiment, _new_plan(experiment, plan, version=1), plan)
    changes = _difference({}, _flat(plan, experiment.source))
    return experiment, Applied(plan.key, plan.kind, "created", 1, False, changes)


def _update(
    experiment: Experiment,
    definition: Definition,
    source: Source | None,
    now: datetime,
    amend: str | None,
    review: bool,
) -> tuple[Experiment, Applied]:
    plan = definition.plan
    if plan.kind != experiment.kind:
        raise CannotApply(
            f"{definition.file}: the key `{plan.key}` belongs to the stored {experiment.kind}; "
            f"give the {plan.kind} another one"
        )
    if experiment.state == ARCHIVED:
        raise CannotApply(f"{definition.file}: {experiment.key} is archived; give a new experiment another key")
    before = _flat(experiment.current_plan.load(), experiment.source)
    starts = not review and experiment.start_if_due(now)
    _describe(experiment, definition)
    _move_source(experiment, definition.source, source)
    experiment.save()
    action: Action = "updated"
    if not experiment.current_plan.describes(plan):
        action = _change_plan(experiment, definition, now, amend)
    changes = _difference(before, _flat(plan, experiment.source))
    if changes:  # whoever is about to start it or to decide on it has to read it again
        experiment.revision += 1
        experiment.save(update_fields=["revision"])
    version = experiment.current_plan.version
    return experiment, Applied(plan.key, plan.kind, action if changes else "unchanged", version, starts, changes)


def _describe(experiment: Experiment, definition: Definition) -> None:
    plan = definition.plan
    experiment.name, experiment.hypothesis, experiment.owner = plan.name, plan.hypothesis, plan.owner
    experiment.definition = definition.text


def _change_plan(experiment: Experiment, definition: Definition, now: datetime, amend: str | None) -> Action:
    """Replace the plan of a draft; for a started experiment, put a new version in force and keep the old one."""
    before, plan = experiment.current_plan, definition.plan
    if before.frozen_at is None:
        before.hold(plan)
        before.save()
        _put_in_force(experiment, before, plan)
        return "updated"
    if amend is None:
        fields = ", ".join(change.field for change in _difference(_flat(before.load()), _flat(plan)))
        raise CannotApply(
            f"{definition.file}: {experiment.key} started on {before.load().start_date} and its plan is frozen, "
            f'but the definition changes {fields}. Say why with --amend "..." (amend= in the API) to put a new version '
            "in force, or undo the change"
        )
    after = _amended(experiment, plan)
    after.freeze(now)
    Amendment.objects.create(experiment=experiment, before=before, after=after, reason=amend.strip(), amended_at=now)
    _put_in_force(experiment, after, plan)
    return "amended"


def _amended(experiment: Experiment, plan: PlanBody) -> Plan:
    """The version that holds this plan: an earlier one, with its looks, if the plan goes back to it."""
    for earlier in experiment.plans.all():
        if earlier.describes(plan):
            return earlier
    newest = experiment.plans.last()
    assert newest is not None
    return _new_plan(experiment, plan, newest.version + 1)


def _new_plan(experiment: Experiment, plan: PlanBody, version: int) -> Plan:
    stored = Plan(experiment=experiment, version=version)
    stored.hold(plan)
    stored.save()
    return stored


def _put_in_force(experiment: Experiment, stored: Plan, plan: PlanBody) -> None:
    experiment.plan = stored
    experiment.save(update_fields=["plan"])
    experiment.variants.all().delete()
    Variant.objects.bulk_create(Variant.of(experiment, variant, place) for place, variant in enumerate(plan.variants))
    experiment.metric_uses.all().delete()
    MetricUse.objects.bulk_create(
        MetricUse.of(experiment, Metric.objects.register(metric), metric, place)
        for place, metric in enumerate(plan.metrics)
    )


def _registered(definition: Definition) -> Source | None:
    """The registered source that a definition names, None if it brings paths of its own."""
    spec = definition.source
    if spec.name is None:
        return None
    if spec.exposures or spec.facts:
        raise CannotApply(
            f"{definition.file}: source.name: `{spec.name}` says where the data are; leave out exposures and facts"
        )
    found = Source.objects.filter(key=spec.name).first()
    if found is None:
        keys = Source.objects.filter(key__isnull=False).values_list("key", flat=True)
        hint = did_you_mean(spec.name, [key for key in keys if key])
        hint = hint if hint.endswith("?") else f"{hint}; register it on the page Sources"
        raise CannotApply(f"{definition.file}: source.name: no source is registered as `{spec.name}`{hint}")
    return found


def _own_source(spec: SourceSpec) -> Source:
    source = _source_of(spec)
    source.save()
    return source


def _source_of(spec: SourceSpec) -> Source:
    source = Source()
    source.spec = spec
    return source


def _move_source(experiment: Experiment, spec: SourceSpec, registered: Source | None) -> None:
    """Point the experiment at its data of today; where they are is no part of the plan."""
    before = experiment.source
    if registered is not None:
        experiment.source = registered
    elif before.key is None:
        before.spec = spec
        before.save()
    else:
        experiment.source = _own_source(spec)
    if registered is not None and before.key is None:
        experiment.save(update_fields=["source"])
        before.delete()


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    fields = [*after, *(field for field in before if field not in after)]
    return tuple(
        Change(field, before.get(field), after.get(field)) for field in fields if before.get(field) != after.get(field)
    )


def _flat(plan: PlanBody, source: Source | None = None) -> dict[str, Any]:
    """Everything a definition says, each value under a path; lists of things with a key are named by it."""
    values: dict[str, Any] = {}
    _flatten(plan_to_json(plan), "", values)
    if source is not None:
        if source.key is not None:
            values["source.name"] = source.key
        else:
            spec = asdict(source.spec)
            del spec["confined"]  # a definition does not say it
            _flatten({**spec, "folder": str(spec["folder"])}, "source", values)
    return {field: value for field, value in values.items() if value not in (None, "", [], {})}


def _flatten(value: Any, path: str, into: dict[str, Any]) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _flatten(inner, f"{path}.{key}" if path else str(key), into)
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        for place, item in enumerate(value):
            name = item.get("key") or item.get("name") or str(place)
            _flatten(item, f"{path}[{name}]", into)
    else:
        into[path] = value
