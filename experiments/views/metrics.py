"""Metrics of the catalog: one with its versions and users, a new one, another version, and which version is taken."""

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from experiments.data_forms import EVENT_FIELDS, MetricForm, add_problems
from experiments.definitions import DefinitionProblem
from experiments.services import catalog
from experiments.services import metrics as services
from experiments.services.metrics import CannotPublish, NoSuchMetric
from experiments.views.guard import needs, person_of


@require_GET
@needs("read")
def metric(request: HttpRequest, metric: str) -> HttpResponse:
    """One metric: its versions, who uses each, and what was done to it."""
    return _page(request, metric)


def _page(request: HttpRequest, key: str, problem: str = "", status: int = 200) -> HttpResponse:
    found = catalog.metric(key)
    if found is None:
        raise Http404(_missing(key))
    context = {"metric": found, "entries": services.audit(key), "problem": problem}
    return render(request, "metric.html", context, status=status)


@require_http_methods(["GET", "POST"])
@needs("edit")
def add(request: HttpRequest) -> HttpResponse:
    """Put a new metric into the catalog."""
    form = MetricForm(request.POST) if request.method == "POST" else MetricForm()
    return _form(request, form, None)


@require_http_methods(["GET", "POST"])
@needs("edit")
def edit(request: HttpRequest, metric: str) -> HttpResponse:
    """Publish another version of a metric; plans keep theirs."""
    try:
        newest = services.current(metric) or services.find(metric)
    except NoSuchMetric as missing:
        raise Http404(str(missing)) from None
    measured = newest.measures
    event = measured.event
    initial = {
        "description": newest.description, "kind": measured.kind, "better": measured.better, "column": measured.column,
        "numerator": measured.numerator, "denominator": measured.denominator, "cap": measured.cap,
        "event_type": event.type if event else "", "event_column": event.column if event else "",
        "gap_weeks": (event.gap_weeks or None) if event else None,
    }  # fmt: skip
    form = MetricForm(request.POST, key=metric) if request.method == "POST" else MetricForm(initial=initial, key=metric)
    return _form(request, form, metric)


def _form(request: HttpRequest, form: MetricForm, key: str | None) -> HttpResponse:
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                made = services.publish(
                    form.as_definition(), form.cleaned_data["description"].strip(), by=person_of(request).email,
                    now=timezone.now(), new=key is None,
                )  # fmt: skip
            except DefinitionProblem as problem:
                fields = ((EVENT_FIELDS.get(one.field, one.field), one.message) for one in problem.violations)
                add_problems(form, dict(fields))
            except CannotPublish as refusal:
                add_problems(form, {"key": str(refusal)})
            else:
                return HttpResponseRedirect(reverse("metric", args=[made.key]))
    return render(request, "metric_form.html", {"form": form, "key": key}, status=status)


@require_POST
@needs("edit")
def publish(request: HttpRequest, metric: str, version: int) -> HttpResponse:
    """Make a version the one that `use:` takes."""
    try:
        services.publish_version(metric, version, by=person_of(request).email, now=timezone.now())
    except NoSuchMetric as missing:
        raise Http404(str(missing)) from None
    except CannotPublish as refusal:
        return _page(request, metric, str(refusal), status=409)
    return HttpResponseRedirect(reverse("metric", args=[metric]))


def _missing(key: str) -> str:
    try:
        services.find(key)
    except NoSuchMetric as missing:
        return str(missing)
    return f"there is no metric `{key}`"
