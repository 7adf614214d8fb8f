"""The pages of holdouts: all of them, and one with its effect by calendar week and the sum of lifts against it."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from experiments.charts import theme
from experiments.forms import ReleaseForm
from experiments.models import CannotChange, Experiment
from experiments.services import access, entry, lifecycle
from experiments.services import holdouts as services
from experiments.services.results import NoLookYet, NoSuchExperiment, find_experiment
from experiments.views.guard import needs, person_of
from experiments.views.holdout_page import estimate, page

THEMES = {"light": theme.config("light"), "dark": theme.config("dark")}


@require_GET
@needs("read")
def holdouts(request: HttpRequest) -> HttpResponse:
    entries = [
        {
            "entry": entry,
            "estimates": [estimate(entry.card, entry.metric, kind) for kind in ("cumulative", "now")]
            if entry.card and entry.metric
            else [],
        }
        for entry in services.overview()
    ]
    return render(request, "holdouts.html", {"entries": entries})


@require_GET
@needs("read")
def holdout(request: HttpRequest, key: str) -> HttpResponse:
    experiment = _found(key)
    held = entry.slice_of(experiment)
    context: dict[str, Any] = {
        "key": key,
        "released_on": held.released_on if held is not None else None,
        "can_release": held is not None
        and held.released_on is None
        and access.refusal(person_of(request), "decide", experiment) is None,
    }
    try:
        card, beside = services.holdout_card(key)
    except NoLookYet as none:
        can_refresh = lifecycle.can_refresh(experiment, person_of(request), timezone.now())
        return render(request, "holdout.html", {**context, "why": none.why, "can_refresh": can_refresh})
    return render(request, "holdout.html", {**context, "page": page(card, beside), "themes": THEMES})


@require_http_methods(["GET", "POST"])
@needs("decide")
def release(request: HttpRequest, key: str) -> HttpResponse:
    """Ask whether to release a holdout and why, and release it once that is confirmed."""
    experiment = _found(key)
    held = entry.slice_of(experiment)
    form, problem, status = ReleaseForm(request.POST or None, initial={"revision": experiment.revision}), "", 200
    if request.method == "POST":
        if form.is_valid():
            told = form.cleaned_data
            try:
                entry.release(key, by=person_of(request).email, now=timezone.now(), **told)
            except CannotChange as refusal:
                problem, status = str(refusal), 409
            else:
                return HttpResponseRedirect(reverse("holdout", args=[key]))
        else:
            status = 422
    elif held is None:
        problem = f"{key} has not started; there is nobody to release"
    elif held.released_on is not None:
        problem = f"{key} was released; it holds nobody out from {held.released_on}"
    context = {"key": key, "experiment": experiment, "plan": experiment.current_plan.load(), "form": form,
               "problem": problem}  # fmt: skip
    return render(request, "holdout_release.html", context, status=status)


def _found(key: str) -> Experiment:
    try:
        experiment = find_experiment(key)
    except NoSuchExperiment as missing:
        raise Http404(str(missing)) from None
    if experiment.kind != "holdout":
        raise Http404(f"{key} is an experiment; holdouts have pages here")
    return experiment
