"""Configuring in the browser: drafts of definitions, from the first word to the experiment or holdout they become.

A draft says nothing that a definition file could not say, and is checked and applied as one. Where the data are is
chosen from the sources there are; nobody types paths into a browser.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import transaction

from analysis.plan import Plan
from experiments.definitions import (
    Definition,
    DefinitionProblem,
    definition_mapping,
    definition_text,
    parse,
    parse_mapping,
    source_mapping,
)
from experiments.definitions.errors import Violation
from experiments.definitions.partial import FORM, DefinitionKind, completed, kind_of, violations
from experiments.definitions.shared import NotInCatalog, put_in, written
from experiments.definitions.yaml_text import read_mapping
from experiments.models import Draft, Experiment, Metric, Person, Source
from experiments.models.states import ARCHIVED
from experiments.services import access
from experiments.services.apply import Applied, Change, apply, changes_of, hold_lock
from experiments.services.export import spec_of
from experiments.services.metrics import StoredCatalog
from experiments.services.results import find_experiment

#: What a new definition begins with: a month of enrollment, followed for half a year.
_WEEKS = {"enrollment_weeks": 4, "horizon_weeks": 26, "pre_weeks": 8, "windows": {"early": [0, 4], "late": [13, 26]}}

#: What a new holdout begins with: as long, until its late window can be read for all units.
_HELD_WEEKS = 30

#: Keys that a copy does not take over: they belong to the one experiment.
_OWN_KEYS = ("start_date", "planned_end_date", "salt", "annotations")

#: The keys that decide how large the slice of a holdout is, of which units, and from whom it is kept.
SLICE = ("fraction", "members", "unit", "start_date", "planned_end_date", "washout_weeks", "salt")

#: The keys that decide from when what can be read.
TIMING = ("start_date", "planned_end_date", "enrollment_weeks", "horizon_weeks", "windows", "clock")

NO_SOURCE = Violation("source", "is missing; choose one of the sources there are")


class NoSuchDraft(LookupError):
    """There is no such draft: it was applied or discarded."""


class CannotDraft(Exception):
    """A draft that cannot be made, stored or applied as it stands. The message says why."""


def begin(person: Person, now: datetime, kind: DefinitionKind = "experiment") -> Draft:
    """Begin a new definition with what most of its kind have in common."""
    monday = now.date() + timedelta(days=7 - now.date().weekday())
    shared: dict[str, Any] = {
        "version": 1, kind: None, "owner": person.email, "unit": "user", "start_date": monday.isoformat(),
        "timezone": "UTC", **_WEEKS, "metrics": [{}], "decision": {"alpha": 0.05, "power": 0.8, "looks": "weekly"},
    }  # fmt: skip
    if kind == "holdout":
        end = monday + timedelta(weeks=_HELD_WEEKS)
        return _made(person, now, {**shared, "fraction": 0.05, "planned_end_date": end.isoformat()})
    variants = [{"key": "control", "weight": 50, "control": True}, {"key": "treatment", "weight": 50}]
    shared["decision"]["min_weeks"] = 0
    return _made(person, now, {**shared, "clock": "unit", "variants": variants})


def begin_from(key: str, person: Person, now: datetime, *, copied: bool) -> Draft:
    """Begin with the definition of an experiment or holdout: to change it, or (``copied``) for another one like it.

    Raises NoSuchExperiment, NotAllowed, CannotDraft.
    """
    experiment = find_experiment(key)
    body = _body_of(experiment)
    if copied:
        name, owner = f"Copy of {experiment.name}"[:200], person.email
        kept = {name: value for name, value in body.items() if name not in _OWN_KEYS}
        body = {**kept, kind_of(body): None, "name": name, "owner": owner}
        return _made(person, now, body, source=experiment.source)
    if experiment.state == ARCHIVED:
        raise CannotDraft(f"{key} is archived; duplicate it instead")
    access.require(person, access.to_change(experiment), experiment)
    return _made(
        person, now, body, source=experiment.source, experiment=experiment, seen_revision=experiment.revision
    )  # fmt: skip


def begin_pasted(text: str, person: Person, now: datetime) -> Draft:
    """Begin with the text of a definition file, right or wrong. Of its source a registered name is taken over alone.

    Metrics of the catalog (`use:`) are written out: the form shows what they measure. Raises DefinitionProblem for what
    is no YAML and for a metric that is not in the catalog, CannotDraft for what is no definition.
    """
    read, unknown = put_in(read_mapping(text.encode(), "the text"), StoredCatalog())
    if unknown:
        raise DefinitionProblem("the text", unknown)
    raw = {kind_of(read): None, **read}
    given = raw.pop("source", None)
    given = given if isinstance(given, Mapping) else {}
    try:
        body: dict[str, Any] = json.loads(json.dumps(raw, default=str))
    except (TypeError, ValueError) as error:
        raise CannotDraft("the text has keys that are no words; a definition's keys are") from error
    body["source"] = {"lag_days": given.get("lag_days", 0)}
    source = Source.objects.filter(key=str(given["name"])).first() if given.get("name") else None
    return _made(person, now, body, source=source)


def may_change(experiment: Experiment, person: Person) -> bool:
    """Whether a person may change or amend the definition of an experiment in the browser."""
    return experiment.state != ARCHIVED and access.refusal(person, access.to_change(experiment), experiment) is None


def _made(person: Person, now: datetime, body: dict[str, Any], **given: Any) -> Draft:
    return Draft.objects.create(author=person, created_at=now, updated_at=now, text=json.dumps(body), **given)


def _body_of(experiment: Experiment) -> dict[str, Any]:
    plan = experiment.current_plan.load()
    mapping = definition_mapping(plan, spec_of(experiment.source))
    body: dict[str, Any] = json.loads(json.dumps({**mapping, "source": {"lag_days": plan.lag_days}}, default=str))
    return body


def open_drafts() -> list[Draft]:
    """All drafts, the newest first, with their experiments and authors."""
    return list(Draft.objects.select_related("experiment", "author"))


def find(number: int) -> Draft:
    """Return a draft with its experiment and source. Raises NoSuchDraft."""
    found = Draft.objects.select_related("experiment__plan", "experiment__source", "source", "author")
    draft = found.filter(pk=number).first()
    if draft is None:
        raise NoSuchDraft(f"there is no draft {number}: it was applied or discarded")
    return draft


def sources() -> list[tuple[Source, str]]:
    """The sources that can be chosen, in words: registered ones first, then those of single experiments."""
    rows = Source.objects.prefetch_related("experiments")
    found = [(row, _in_words(row)) for row in rows if row.key or row.experiments.all()]
    return sorted(found, key=lambda one: (one[0].key is None, one[1]))


def shared_metrics() -> list[str]:
    """The keys of the metrics in the catalog."""
    return list(Metric.objects.published().order_by("key").values_list("key", flat=True).distinct())


def shared_metric(key: str) -> dict[str, Any]:
    """Return what a metric of the catalog measures, as a definition says it. Raises CannotDraft."""
    try:
        return written(StoredCatalog().metric(key, None, ""))
    except NotInCatalog as missing:
        raise CannotDraft(str(missing)) from missing


def _in_words(source: Source) -> str:
    if source.key:
        return source.key
    return "data of " + ", ".join(sorted(experiment.key for experiment in source.experiments.all()))


def complete(draft: Draft) -> dict[str, Any]:
    """The draft as a definition file says it, its source included."""
    if draft.source is None:
        return dict(draft.body)
    given = source_mapping(spec_of(draft.source))
    return {**draft.body, "source": {**given, **(draft.body.get("source") or {})}}


def problems(draft: Draft, keys: Collection[str] | None = None) -> tuple[Violation, ...]:
    """Everything that is wrong with a draft, or with some keys of it, in the words of definition files."""
    body = complete(draft)
    if draft.source is None:  # asked for below, in words of the form
        body["source"] = {"name": "chosen", **(draft.body.get("source") or {})}
    found = violations(body, keys)
    asks_source = draft.source is None and (keys is None or "source" in keys)
    found = (*found, *_key_problem(draft, keys), *([NO_SOURCE] if asks_source else []))
    if keys is None and not found:
        try:
            _exact(draft)
        except DefinitionProblem as problem:  # what only the whole file can be: too large
            return problem.violations
    return found


def _key_problem(draft: Draft, keys: Collection[str] | None) -> tuple[Violation, ...]:
    key, kind = draft.key, draft.kind
    if keys is not None and kind not in keys:
        return ()
    if draft.experiment is not None and key != draft.experiment.key:
        return (Violation(kind, f"`{key}` is another key; that of {draft.experiment.key} stays as it is"),)
    taken = Experiment.objects.filter(key=key).first() if draft.experiment is None and key else None
    if taken is not None:
        whose = "another experiment" if taken.kind == "experiment" else "a holdout"
        return (Violation(kind, f"`{key}` is taken by {whose}; choose another key"),)
    return ()


def timed(draft: Draft) -> Plan | None:
    """A plan with the timing of a draft, whatever else it lacks; None where its timing is wrong."""
    body = completed(complete(draft), TIMING)
    return None if body is None else parse_mapping(body, FORM, Path()).plan


def sliced(draft: Draft) -> Plan | None:
    """A plan with the slice and the members of a holdout's draft, whatever else it lacks; None for an experiment's,
    or where these are wrong.
    """
    body = completed(complete(draft), SLICE) if draft.kind == "holdout" else None
    plan = None if body is None else parse_mapping(body, FORM, Path()).plan
    return None if plan is None else replace(plan, key=draft.key or "that is planned here")


def definition_of(draft: Draft) -> Definition:
    """The definition that a draft without problems is, its text in the canonical form. Raises DefinitionProblem."""
    found = problems(draft)
    if found:
        raise DefinitionProblem(FORM, found)
    return _exact(draft)


def _exact(draft: Draft) -> Definition:
    assert draft.source is not None
    spec = spec_of(draft.source)
    made = parse_mapping(complete(draft), FORM, spec.folder)
    # The columns of the data are the source's, whatever a form could have said.
    exact = replace(made, source=spec)
    return parse(definition_text(exact.plan, spec).encode(), f"{exact.plan.key}.yaml", spec.folder)


def keep(draft: Draft, body: Mapping[str, Any], source: Source | None, *, revision: int, now: datetime) -> None:
    """Store what was filled in. Raises CannotDraft if the draft was changed since it was read at ``revision``."""
    draft.revision, draft.source, draft.updated_at = revision, source, max(now, draft.created_at)
    if not draft.keep(dict(body)):
        raise CannotDraft("this draft was changed meanwhile, in another window or by somebody else")


def discard(draft: Draft) -> None:
    draft.delete()


def rehearsed(draft: Draft, now: datetime) -> Applied:
    """What applying a draft without problems would do, all of it taken back. Raises CannotApply where it is refused."""
    started = draft.experiment is not None and draft.experiment.started_at is not None
    definition = definition_of(draft)
    (found,) = apply([definition], now, amend="rehearsed" if started else None, dry_run=True, review=not started)
    return found


def difference(draft: Draft) -> tuple[Change, ...]:
    """What applying a draft without problems changes in its experiment; all of it for a new one."""
    return changes_of(draft.experiment, definition_of(draft))


@transaction.atomic
def apply_draft(
    draft: Draft, *, by: Person, now: datetime, revision: int, reason: str = "", review: bool = True
) -> Applied:
    """Make of a draft what it describes, and forget it: an experiment, its new plan, or an amendment with a reason.

    Args:
        revision: of the draft that was read before it was confirmed.
        review: a draft experiment is given to review, and waits for an owner to start it. Otherwise it starts by
            itself on its day, which has to be to come: who may edit may not start.

    Raises NotAllowed, DefinitionProblem, CannotApply, CannotDraft.
    """
    hold_lock()
    if not Draft.objects.select_for_update().filter(pk=draft.pk, revision=revision).exists():
        raise CannotDraft("this draft was changed since this page was opened; read it again")
    definition = definition_of(draft)
    stored = _unchanged(draft)
    access.require_change(by, stored, definition.plan.owner)
    started = stored is not None and stored.started_at is not None
    if started and not reason.strip() and any(_is_of_plan(change) for change in difference(draft)):
        raise CannotDraft(f"{draft.key} has started: say why its plan is changed")
    (applied,) = apply([definition], now, amend=reason.strip() or None, by=by.email, review=review and not started)
    if applied.starts:
        raise CannotDraft(f"{draft.key} would start at once: its start date has come. Give it to review instead")
    draft.delete()
    return applied


def _unchanged(draft: Draft) -> Experiment | None:
    """The experiment that a draft changes, as it is now. Raises CannotDraft if it is no longer what was taken over."""
    if draft.experiment is None:
        return None
    stored = Experiment.objects.get(pk=draft.experiment.pk)
    if stored.revision != draft.seen_revision:
        raise CannotDraft(
            f"{stored.key} was changed since this draft was begun: it is {stored.standing} now. Begin again from there"
        )
    return stored


def _is_of_plan(change: Change) -> bool:
    return change.field not in ("name", "hypothesis", "owner") and not change.field.startswith("source.")
