"""An experiment's history, and what people do with its state: review, start, archive, owners, one more look."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from experiments.forms import OwnerForm, VerbForm
from experiments.models import CannotChange, Experiment
from experiments.models.states import Verb
from experiments.queue import QueueProblem
from experiments.services import audit, decisions, drafts, lifecycle, people, results
from experiments.services.refresh import CannotRefresh, plan_look
from experiments.views.decisions import card_of, criterion_row
from experiments.views.guard import needs, person_of


@dataclass(frozen=True)
class Words:
    """How a verb is offered: on its button, as the question, and what it does."""

    button: str
    question: str
    does: str
    harm: bool = False


WORDS: Mapping[Verb, Words] = {
    "submit": Words(
        "Give to review", "Give it to review?",
        "It will not start by itself any more: an owner reads the plan and starts it.",
    ),
    "withdraw": Words(
        "Take back from review", "Take it back from review?",
        "It becomes a draft again, and starts by itself on its start date.",
    ),
    "start": Words(
        "Start", "Start the experiment?",
        "The plan is frozen: windows, metrics, margins and looks. A later change is an amendment that everybody sees.",
    ),
    "decide": Words("Decide", "", ""),
    "archive": Words(
        "Archive", "Archive the experiment?",
        "No more looks are taken, and nothing can be decided or applied any more. This cannot be undone.", harm=True,
    ),
}  # fmt: skip


@require_GET
@needs("read")
def history(request: HttpRequest, key: str) -> HttpResponse:
    """State, owners, decisions, rollback criteria at every look, and everything that anybody did."""
    return _history(request, _found(key))


def _history(request: HttpRequest, experiment: Experiment, problem: str = "", status: int = 200) -> HttpResponse:
    person, key = person_of(request), experiment.key
    offered = lifecycle.offers(experiment, person, timezone.now())
    context = {
        "key": key,
        "experiment": experiment,
        "plan": experiment.current_plan.load(),
        "verbs": [(verb, WORDS[verb]) for verb in offered if verb != "decide"],
        "can_decide": "decide" in offered,
        "can_refresh": lifecycle.can_refresh(experiment, person, timezone.now()),
        "can_edit": drafts.may_change(experiment, person),
        "cards": [card_of(entry) for entry in decisions.log(key)],
        "criteria": [criterion_row(reading.as_of, reading.row) for reading in decisions.criteria_by_look(key)],
        "entries": audit.history(key),
        "owners": experiment.owners.all(),
        "owner_form": OwnerForm(),
        "problem": problem,
    }
    return render(request, "history.html", context, status=status)


def verb_view(verb: Verb) -> Callable[..., HttpResponse]:
    """The view that asks whether to do a verb, and does it once that is confirmed."""

    @require_http_methods(["GET", "POST"])
    @needs(lifecycle.ACTIONS[verb])
    def confirm(request: HttpRequest, key: str) -> HttpResponse:
        experiment = _found(key)
        form = VerbForm(request.POST or None, initial={"revision": experiment.revision})
        problem, status = "", 200
        if request.method == "POST":
            try:
                return _done(request, key, verb, form)
            except CannotChange as refusal:
                problem, status = str(refusal), 409
        elif verb not in experiment.offers(timezone.now()):
            problem = f"{key} is {experiment.standing}; this cannot be done with it now"
        context = {
            "key": key, "experiment": experiment, "plan": experiment.current_plan.load(), "words": WORDS[verb],
            "form": form, "problem": problem,
        }  # fmt: skip
        return render(request, "confirm.html", context, status=status)

    return confirm


def _done(request: HttpRequest, key: str, verb: Verb, form: VerbForm) -> HttpResponse:
    if not form.is_valid():
        raise CannotChange("this page was not sent whole; open it again")
    lifecycle.change(
        key, verb, by=person_of(request), now=timezone.now(), revision=form.cleaned_data["revision"]
    )  # fmt: skip
    return HttpResponseRedirect(reverse("history", args=[key]))


@require_POST
@needs("refresh")
def refresh(request: HttpRequest, key: str) -> HttpResponse:
    """Ask for the newest look, and show how far it is."""
    _found(key)
    try:
        plan_look(key, None, timezone.now(), by=person_of(request).email)
    except (CannotRefresh, QueueProblem) as problem:
        return _history(request, _found(key), str(problem), status=409)
    return HttpResponseRedirect(reverse("scorecard", args=[key]))


@require_POST
@needs("administer")
def owners(request: HttpRequest, key: str) -> HttpResponse:
    """Assign somebody to the experiment, or take that back."""
    experiment = _found(key)
    form = OwnerForm(request.POST)
    if not form.is_valid():
        return _history(request, experiment, "choose somebody with the role owner or admin", status=422)
    chosen = form.cleaned_data["person"]
    act = people.assign if form.cleaned_data["assigned"] else people.unassign
    act(experiment, chosen, by=person_of(request).email, now=timezone.now())
    return HttpResponseRedirect(reverse("history", args=[key]))


def _found(key: str) -> Experiment:
    try:
        return results.find_experiment(key)
    except results.NoSuchExperiment as missing:
        raise Http404(str(missing)) from None
