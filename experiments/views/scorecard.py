"""The page of one experiment: the scorecard of a look, its progress while it runs, and its download."""

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET
from django_htmx.http import HttpResponseClientRefresh

from analysis.results import Scorecard
from experiments.charts import theme
from experiments.services import chart_numbers, holdbacks, holdouts, lifecycle, past, results, schedule, scorecards
from experiments.services.export import CannotExport, export
from experiments.services.portfolio import overdue
from experiments.services.results import LookStatus
from experiments.views.guard import needs, person_of
from experiments.views.holdback_section import section_of
from experiments.views.looks_section import looks_of
from experiments.views.scorecard_page import chart_alone, page

IN_WORK = ("planned", "running")
THEMES = {"light": theme.config("light"), "dark": theme.config("dark")}


@require_GET
@needs("read")
def scorecard(request: HttpRequest, key: str) -> HttpResponse:
    """The newest look, or the one of ``?as_of=``, taken then or rebuilt; without any look, what to do."""
    looks, as_of = _looks(key), _as_of(request)
    life = lifecycle.standing(key, person_of(request), timezone.now())
    context: dict[str, Any] = {"key": key, "newest": looks[-1] if looks else None, "life": life}
    try:
        card, rebuilt_from = past.scorecard_as_of(key, as_of, for_page=True)
    except results.NoLookYet as none:
        context |= {"why": none.why, "first_look": schedule.first_look(key), **_neighbors(looks, as_of or date.max)}
        return render(request, "no_look.html", context)
    context |= {"page": page(card), "rebuilt": rebuilt_from, "looks": looks_of(card, past.history(key))}
    if as_of is None and life.decided:
        context["launched"] = [section_of(one) for one in holdbacks.holdbacks(key)]
    context["due"] = overdue(card.plan, card.as_of, card.look, card.planned_looks, _today(card))
    return render(request, "scorecard.html", context | {"themes": THEMES})


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
    return _download(JsonResponse(holdouts.whole_json(card, holdouts.beside(card))), card, "json")


@require_GET
@needs("read")
def as_csv(request: HttpRequest, key: str) -> HttpResponse:
    card = _stored(request, key)
    return _download(HttpResponse(scorecards.to_csv(card), content_type="text/csv; charset=utf-8"), card, "csv")


@require_GET
@needs("read")
def chart(request: HttpRequest, key: str, variant: str, metric: str) -> HttpResponse:
    """The chart of one metric and treatment, for a fold of the scorecard's page or as a page of its own."""
    card = _stored(request, key)
    try:
        found = chart_alone(card, variant, metric)
    except LookupError as missing:
        raise Http404(str(missing.args[0])) from None
    context = {"key": key, "card": card, "chart": found, "control": card.plan.control, "themes": THEMES}
    return render(request, "partials/chart_body.html" if request.headers.get("HX-Request") else "chart.html", context)


@require_GET
@needs("read")
def chart_csv(request: HttpRequest, key: str) -> HttpResponse:
    """The numbers of ``?part=`` of one ``metric`` and ``variant``, not rounded."""
    card = _stored(request, key)
    part, metric, variant = (request.GET.get(name, "") for name in ("part", "metric", "variant"))
    try:
        text = chart_numbers.to_csv(card, part, metric, variant)
    except chart_numbers.NoSuchNumbers as missing:
        raise Http404(str(missing)) from None
    about = "-".join(filter(None, (metric, variant, part)))
    return _download(HttpResponse(text, content_type="text/csv; charset=utf-8"), card, "csv", about)


@require_GET
@needs("read")
def definition(request: HttpRequest, key: str) -> HttpResponse:
    """The definition file of the plan in force, as ``apply`` takes it back."""
    try:
        found = export(key)
    except results.NoSuchExperiment as missing:
        raise Http404(str(missing)) from None
    except CannotExport as problem:
        return HttpResponse(f"{problem}\n", status=409, content_type="text/plain; charset=utf-8")
    response = HttpResponse(found.text, content_type="application/yaml; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{key}.yaml"'
    return response


def _download(response: HttpResponse, card: Scorecard, kind: str, about: str = "") -> HttpResponse:
    stem = "-".join(filter(None, (card.plan.key, about, card.as_of.isoformat())))
    response["Content-Disposition"] = f'attachment; filename="{stem}.{kind}"'
    return response


def _stored(request: HttpRequest, key: str) -> Scorecard:
    try:
        return past.scorecard_as_of(key, _as_of(request))[0]
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


def _today(card: Scorecard) -> date:
    """The day it is where the experiment's days begin."""
    return timezone.now().astimezone(ZoneInfo(card.plan.timezone)).date()


def _neighbors(looks: tuple[LookStatus, ...], as_of: date) -> dict[str, LookStatus | None]:
    """The finished looks just before and just after this one."""
    done = sorted((look for look in looks if look.state == "done"), key=lambda look: look.as_of)
    return {
        "before": next((look for look in reversed(done) if look.as_of < as_of), None),
        "after": next((look for look in done if look.as_of > as_of), None),
    }
