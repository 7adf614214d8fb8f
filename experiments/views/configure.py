"""Configuring experiments and holdouts in the browser: drafts, the steps of the form, what follows, the review."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from analysis.plan import Plan
from experiments import configure
from experiments.definitions import DefinitionProblem
from experiments.definitions.errors import Violation
from experiments.definitions.partial import top, value_at
from experiments.form_steps import DATA, FORMS, METRICS, REVIEW, SLICE, Field, Form, Section, Step
from experiments.models import Draft
from experiments.services import drafts, results
from experiments.services.apply import CannotApply
from experiments.services.columns import lacking, usable
from experiments.services.consequences import Consequences, consequences, dates
from experiments.services.drafts import CannotDraft
from experiments.services.planned_slice import Choice, choices, planned_slice
from experiments.services.planner import CannotPlan
from experiments.views.guard import needs, person_of
from experiments.views.planned_panel import Panel, panel

MISSING = "is missing"


@dataclass(frozen=True)
class ShownField:
    """A field with what stands in it, and its violations."""

    field: Field
    value: str
    errors: tuple[str, ...]


@dataclass(frozen=True)
class ShownSection:
    """A section with its fields; ``number`` is that of a row, and ``control`` whether it is the control's."""

    section: Section
    fields: tuple[ShownField, ...]
    errors: tuple[str, ...]
    number: int | None
    control: bool


@require_http_methods(["GET", "POST"])
@needs("edit")
def begin(request: HttpRequest) -> HttpResponse:
    """The drafts there are; a new one: empty, pasted, or from an experiment (``of``, ``as`` a change or a copy)."""
    problem = ""
    if request.method == "POST":
        key = request.POST.get("of", "")
        try:
            copied = request.POST.get("as") == "copy"
            made = _begun(request, key, copied=copied)
            return HttpResponseRedirect(reverse("draft", args=[made.pk, _form(made).steps[0].name]))
        except results.NoSuchExperiment as missing:
            raise Http404(str(missing)) from None
        except (CannotDraft, DefinitionProblem) as refusal:
            problem = str(refusal)
    context = {"drafts": drafts.open_drafts(), "problem": problem, "pasted": request.POST.get("text", "")}
    return render(request, "configure.html", context, status=409 if problem else 200)


def _begun(request: HttpRequest, key: str, *, copied: bool) -> Draft:
    person, now, text = person_of(request), timezone.now(), request.POST.get("text", "")
    if key:
        return drafts.begin_from(key, person, now, copied=copied)
    if text:
        return drafts.begin_pasted(text, person, now)
    return drafts.begin(person, now, "holdout" if request.POST.get("kind") == "holdout" else "experiment")


@require_http_methods(["GET", "POST"])
@needs("edit")
def step(request: HttpRequest, number: int, name: str) -> HttpResponse:
    """One step of the form; posting saves it, right or wrong, and goes on if nothing in it is wrong.

    Where the draft was changed meanwhile nothing is saved: what was typed is shown, to be saved ``over`` what is there.
    """
    draft = _found(number)
    if name == REVIEW and request.method != "POST":
        return _review(request, draft)
    step = _step(draft, name)
    if request.method != "POST":
        return _shown(request, draft, step, _told(draft, step))
    try:
        return _saved(request, draft, step)
    except CannotDraft as refusal:
        there = drafts.find(number).revision
        unsaved = {"unsaved": str(refusal), "over": there if there != _revision(request) else None}
        return _shown(request, draft, step, (), status=409, **unsaved)


@require_POST
@needs("edit")
def check(request: HttpRequest, number: int, name: str) -> HttpResponse:
    """What is wrong with what was typed so far, and what follows from it; nothing is saved."""
    draft = _found(number)
    step = _step(draft, name)
    _read(request, draft, step)
    found = _told(draft, step)
    context = {"sections": _sections(step, draft, found), "rest": _rest(step, draft, found), "step": step}
    return render(request, "partials/configure_check.html", context | _entailed(draft, timezone.now()))


@require_POST
@needs("edit")
def apply(request: HttpRequest, number: int) -> HttpResponse:
    """Make of the draft what it describes."""
    draft, review = _found(number), request.POST.get("do") != "wait"
    try:
        applied = drafts.apply_draft(
            draft, by=person_of(request), now=timezone.now(), revision=_revision(request),
            reason=request.POST.get("reason", ""), review=review,
        )  # fmt: skip
    except (CannotDraft, CannotApply) as refusal:
        return _review(request, draft, str(refusal), status=409)
    except DefinitionProblem:
        return _review(request, draft, status=422)
    return HttpResponseRedirect(reverse("history", args=[applied.key]))


@require_http_methods(["GET", "POST"])
@needs("edit")
def discard(request: HttpRequest, number: int) -> HttpResponse:
    """Ask whether to discard a draft, and discard it once that is confirmed."""
    draft = _found(number)
    if request.method != "POST":
        return render(request, "configure_discard.html", {"draft": draft})
    drafts.discard(draft)
    return HttpResponseRedirect(reverse("configure"))


def _found(number: int) -> Draft:
    try:
        return drafts.find(number)
    except drafts.NoSuchDraft as missing:
        raise Http404(str(missing)) from None


def _form(draft: Draft) -> Form:
    return FORMS[draft.kind]


def _step(draft: Draft, name: str) -> Step:
    found = _form(draft).step(name)
    if found is None:
        raise Http404(f"the form has no step {name}; it has {', '.join(_form(draft).names)}")
    return found


def _saved(request: HttpRequest, draft: Draft, step: Step) -> HttpResponse:
    """Save a step and go where was asked: on, to another step, or to one row more or less. Raises CannotDraft."""
    do = request.POST.get("do", "next")
    _read(request, draft, step)
    body, target = draft.body, do.removeprefix("go:")
    if do == "add":
        body = configure.with_row(step, body)
    elif do == "use" and step is METRICS:
        body = configure.with_row(step, body, row=drafts.shared_metric(request.POST.get("shared_metric", "")))
    elif do.startswith("remove:") and do[7:].isdecimal():
        body = configure.with_row(step, body, without=int(do[7:]))
    drafts.keep(draft, body, draft.source, revision=_revision(request), now=timezone.now())
    if do in ("add", "use") or do.startswith("remove:"):
        return _to(draft, step.name)
    if do.startswith("go:") and target in _form(draft).names:
        return _to(draft, target)
    found = drafts.problems(draft, step.keys)
    return _shown(request, draft, step, found, status=422) if found else _to(draft, _form(draft).after(step.name))


def _to(draft: Draft, name: str) -> HttpResponse:
    return HttpResponseRedirect(reverse("draft", args=[draft.pk, name]))


def _revision(request: HttpRequest) -> int:
    text = request.POST.get("over", request.POST.get("revision", ""))
    return int(text) if text.isdecimal() and len(text) < 10 else -1


def _read(request: HttpRequest, draft: Draft, step: Step) -> None:
    """Take over what was posted, without saving it."""
    posted = request.POST.dict()
    if step is SLICE:
        listed, others = request.POST.getlist(configure.MEMBERS), request.POST.get("members", "")
        posted["members"] = configure.members_read(draft.body, listed, others)
    draft.body = configure.read(step, draft.body, posted)
    if step.name == DATA.name:
        chosen = request.POST.get(configure.SOURCE, "")
        draft.source = next((source for source, _ in drafts.sources() if str(source.pk) == chosen), None)


def _told(draft: Draft, step: Step) -> tuple[Violation, ...]:
    """What is worth saying of a step before somebody goes on: not that fields are still empty."""
    found = drafts.problems(draft, step.keys)
    quiet = tuple(one for one in found if MISSING not in one.message and "found None" not in one.message)
    return (*quiet, *(one for one in lacking(draft.body, draft.source) if top(one.field) in step.keys))


# --- what is shown ----------------------------------------------------------------------------------------------------
def _shown(
    request: HttpRequest, draft: Draft, step: Step, found: tuple[Violation, ...], status: int = 200, **said: Any
) -> HttpResponse:
    criteria = value_at(draft.body, "decision.rollback")
    context = {
        "draft": draft, "step": step, "sections": _sections(step, draft, found), "rest": _rest(step, draft, found),
        "has_errors": bool(found) and status != 200, "windows": _other_windows(draft), "sources": drafts.sources(),
        "shared_metrics": drafts.shared_metrics() if step is METRICS else [],
        "columns": usable(draft.source), "own_rollback": criteria is not None, "nav": _nav(draft, step.name),
        **said, "is_last_row": len(configure.rows_of(step, draft.body)) >= configure.MOST_ROWS,
    }  # fmt: skip
    if step is SLICE:
        context["choices"] = _choices(draft)
    return render(request, "configure_step.html", context | _entailed(draft, timezone.now()), status=status)


def _review(request: HttpRequest, draft: Draft, problem: str = "", status: int = 200) -> HttpResponse:
    now = timezone.now()
    context: dict[str, Any] = {
        "draft": draft, "nav": _nav(draft, REVIEW), "problem": problem, "reason": request.POST.get("reason", "")
    } | _entailed(draft, now)  # fmt: skip
    context["wrong"] = [(one, _form(draft).step_of(one.field)) for one in drafts.problems(draft)]
    if not context["wrong"]:
        definition = drafts.definition_of(draft)
        try:
            rehearsed = drafts.rehearsed(draft, now)
            context |= {"traffic": rehearsed.traffic, "changes": rehearsed.changes}
        except CannotApply as refusal:
            context |= {"problem": problem or str(refusal), "rehearsed": not problem}
        context |= {
            "text": definition.text, "plan": definition.plan,
            "is_started": draft.experiment is not None and draft.experiment.started_at is not None,
            "may_wait": definition.plan.start_date > _today(now)(definition.plan),
        }  # fmt: skip
    return render(request, "configure_review.html", context, status=status)


def _nav(draft: Draft, here: str) -> list[dict[str, Any]]:
    """The steps, with what is known of each: where one is, and whether something in it is wrong or missing."""
    wrong = {_form(draft).step_of(violation.field) for violation in drafts.problems(draft)}
    titles = {step.name: step.title for step in _form(draft).steps} | {REVIEW: "Review"}
    return [
        {"name": name, "title": titles[name], "here": name == here, "open": name in wrong}
        for name in _form(draft).names
    ]  # fmt: skip


def _sections(step: Step, draft: Draft, found: Iterable[Violation]) -> list[ShownSection]:
    by_slot = _by_slot(step, draft, found)
    shown = []
    for section, number in configure.sections(step, draft.body):
        fields = tuple(ShownField(field, _value(field, draft), by_slot.get(field.path, ())) for field in section.fields)
        row = None if number is None else configure.rows_of(step, draft.body)[number]
        control = isinstance(row, Mapping) and bool(row.get("control"))
        shown.append(
            ShownSection(section, fields, by_slot.get(section.path, ()) if section.path else (), number, control)
        )
    return shown


def _choices(draft: Draft) -> list[tuple[Choice, bool]]:
    """What can be chosen as a member, and whether it is."""
    members = _members(draft)
    return [(choice, choice.key in members) for choice in choices(members)]


def _members(draft: Draft) -> tuple[str, ...]:
    found = draft.body.get("members")
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()


def _value(field: Field, draft: Draft) -> str:
    """What stands in a field; of members those that are in no list to choose from."""
    if field.path != "members" or not _members(draft):
        return configure.as_text(field, draft.body)
    listed = {choice.key for choice in choices(_members(draft))}
    return ", ".join(name for name in _members(draft) if name not in listed)


def _rest(step: Step, draft: Draft, found: Iterable[Violation]) -> tuple[str, ...]:
    """What is wrong with no field in particular, such as with the whole list of variants."""
    return _by_slot(step, draft, found).get("", ())


def _by_slot(step: Step, draft: Draft, found: Iterable[Violation]) -> dict[str, tuple[str, ...]]:
    """Sort violations to the field they name, or to the nearest place around it that the step has."""
    slots = {""}
    for section, _ in configure.sections(step, draft.body):
        slots |= {section.path, *(field.path for field in section.fields if not field.path.endswith("]"))}
    sorted_: dict[str, tuple[str, ...]] = {}
    for violation in found:
        place = violation.field
        while place not in slots:
            place = place[: max(place.rfind("."), place.rfind("["), 0)]
        sorted_[place] = (*sorted_.get(place, ()), violation.message)
    return sorted_


def _other_windows(draft: Draft) -> list[tuple[str, Any]]:
    windows = draft.body.get("windows")
    return [one for one in windows.items() if one[0] not in ("early", "late")] if isinstance(windows, dict) else []


def _entailed(draft: Draft, now: datetime) -> dict[str, Any]:
    """What follows from the draft as it stands, as far as it can be told."""
    plan = drafts.sliced(draft)
    held = planned_slice(plan, draft.experiment) if plan is not None else None
    return {"kind": draft.kind, "slice": held, "lacking": lacking(draft.body, draft.source)} | _timed(draft, now)


def _timed(draft: Draft, now: datetime) -> dict[str, Any]:
    if draft.source is None or drafts.problems(draft):
        plan = drafts.timed(draft)
        return {"entailed": None, "panel": None, "plan_of_dates": plan, "dates": dates(plan) if plan else None}
    try:
        found = consequences(drafts.definition_of(draft), draft.source, _today(now), but=draft.experiment)
    except CannotPlan as problem:
        return {"entailed": None, "panel": None, "cannot": str(problem)}
    return {"entailed": found, "panel": _panel(found), "dates": found.dates, "plan_of_dates": found.plan}


def _panel(found: Consequences) -> Panel | None:
    return panel(found.planned) if found.planned is not None else None


def _today(now: datetime) -> Any:
    def today(plan: Plan) -> date:
        return now.astimezone(ZoneInfo(plan.timezone)).date()

    return today
