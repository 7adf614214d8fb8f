"""The page of one experiment: the scorecard of a look, its progress while it runs, and its download."""

from datetime import date
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET
from django_htmx.http import HttpResponseClientRefresh

from analysis.results import Scorecard
from experiments.charts import theme
from experiments.services import lifecycle, results, scorecards
from experiments.services.results import LookStatus
from experiments.views.guard import needs, person_of
from experiments.views.scorecard_page import page

IN_WORK = ("planned", "running")
THEMES = {"light": theme.config("light"), "dark": theme.config("dark")}


@require_GET
@needs("read")
def scorecard(request: HttpRequest, key: str) -> HttpResponse:
    """The newest look, or the one of ``?as_of=``; without any look, what to do."""
    looks, as_of = _looks(key), _as_of(request)
    life = lifecycle.standing(key, person_of(request), timezone.now())
    context: dict[str, Any] = {"key": key, "newest": looks[-1] if looks else None, "life": life}
    try:
        card = results.stored_scorecard(key, as_of=as_of)
    except results.NoLookYet as none:
        context |= {"why": str(none), **_neighbors(looks, as_of or date.max)}
        return render(request, "no_look.html", context)
    context |= {"page": page(card), "themes": THEMES, **_neighbors(looks, card.as_of)}
    return render(request, "scorecard.html", context)


@require_GET
@needs("read")
def progress(request: HttpRequest, key: str) -> HttpResponse:
    """The progress of the newest look; once it has ended, the whole page is asked for anew."""
    looks = _looks(key)
    if not looks or looks[-1].state not in IN_WORK:
        return HttpResponseClientRefresh()
    return render(request, "partials/progress.html", {"key": key, "newest": looks[-1]})


@require_GET
@needs("read")
def as_json(request: HttpRequest, key: str) -> HttpResponse:
    card = _stored(request, key)
    return _download(JsonResponse(scorecards.to_json(card)), card, "json")


@require_GET
@needs("read")
def as_csv(request: HttpRequest, key: str) -> HttpResponse:
    card = _stored(request, key)
    return _download(HttpResponse(scorecards.to_csv(card), content_type="text/csv; charset=utf-8"), card, "csv")


def _download(response: HttpResponse, card: Scorecard, kind: str) -> HttpResponse:
    response["Content-Disposition"] = f'attachment; filename="{card.plan.key}-{card.as_of.isoformat()}.{kind}"'
    return response


def _stored(request: HttpRequest, key: str) -> Scorecard:
    try:
        return results.stored_scorecard(key, as_of=_as_of(request))
    except (results.NoSuchExperiment, results.NoLookYet) as missing:
        raise Http404(str(missing)) from None


def _looks(key: str) -> tuple[LookStatus, ...]:
    try:
        return results.looks(key)
    except results.NoSuchExperiment as missing:
        raise Http404(str(missing)) from None


def _as_of(request: HttpRequest) -> date | None:
    text = request.GET.get("as_of", "")
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Http404(f"as_of is {text}; it must be a date such as 2017-12-31") from None


def _neighbors(looks: tuple[LookStatus, ...], as_of: date) -> dict[str, LookStatus | None]:
    """The finished looks just before and just after this one."""
    done = sorted((look for look in looks if look.state == "done"), key=lambda look: look.as_of)
    return {
        "before": next((look for look in reversed(done) if look.as_of < as_of), None),
        "after": next((look for look in done if look.as_of > as_of), None),
    }
