"""The pages of holdouts: all of them, and one with its effect by calendar week and the sum of lifts against it."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from experiments.charts import theme
from experiments.services import holdouts as services
from experiments.services.results import NoLookYet, NoSuchExperiment
from experiments.views.guard import needs
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
    try:
        card, beside = services.holdout_card(key)
    except (NoSuchExperiment, services.NoHoldout) as missing:
        raise Http404(str(missing)) from None
    except NoLookYet as none:
        return render(request, "holdout.html", {"key": key, "why": str(none)})
    return render(request, "holdout.html", {"key": key, "page": page(card, beside), "themes": THEMES})
