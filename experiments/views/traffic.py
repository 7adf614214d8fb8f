"""The map of traffic, and the page of one experiment: what it takes of all units, and its testers."""

from dataclasses import dataclass

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST
from django.views.defaults import permission_denied

from experiments.assignment import BUCKETS
from experiments.charts.buckets import Bar, Block, bar
from experiments.forms import TesterForm
from experiments.models import CannotChange, Experiment
from experiments.services import access, entry
from experiments.services import traffic as services
from experiments.services.results import NoSuchExperiment, find_experiment
from experiments.services.slices import percent
from experiments.services.traffic_map import LayerMap, Part, SliceMap, traffic_map
from experiments.views.guard import needs, person_of


@dataclass(frozen=True)
class Row:
    """A line of a layer's table, with its block: an experiment with its number, or buckets that are free."""

    first: int
    last: int
    share: str
    block: Block
    part: Part | None = None


@dataclass(frozen=True)
class DrawnLayer:
    layer: LayerMap
    bar: Bar
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class DrawnSlice:
    holdout: SliceMap
    bar: Bar


@require_GET
@needs("read")
def traffic(request: HttpRequest) -> HttpResponse:
    """Every layer and every holdout as a bar of 10,000 buckets, and the experiments outside of layers."""
    found = traffic_map(timezone.now())
    context = {
        "map": found,
        "layers": [_drawn(layer) for layer in found.layers],
        "holdouts": [DrawnSlice(one, bar([(0, one.held_out, 1)])) for one in found.holdouts],
    }
    return render(request, "traffic.html", context)


def _drawn(layer: LayerMap) -> DrawnLayer:
    """A layer's bar and its table, in the order of buckets."""
    numbered = [(*part.buckets, number, part) for number, part in enumerate(layer.parts, start=1)]
    lines = sorted([*numbered, *((*gap, 0, None) for gap in layer.gaps)], key=lambda line: line[:2])
    drawn = bar((first, end, number) for first, end, number, _ in lines)
    rows = (
        Row(first, end - 1, percent((end - first) / BUCKETS), block, part)
        for (first, end, _, part), block in zip(lines, drawn.blocks, strict=True)
    )
    return DrawnLayer(layer, drawn, tuple(rows))


@require_GET
@needs("read")
def experiment(request: HttpRequest, key: str) -> HttpResponse:
    """What one experiment takes of all units, and who tests it."""
    found = _found(key)
    return _page(request, found, TesterForm(variants=_variants(found)))


@require_POST
@needs("edit")
def testers(request: HttpRequest, key: str) -> HttpResponse:
    """Give a tester a variant, or take it back: by editors in a draft, by its owners once it has started."""
    found = _found(key)
    why = access.refusal(person_of(request), access.to_change(found), found)
    if why is not None:
        return permission_denied(request, access.NotAllowed(why))
    form = TesterForm(request.POST, variants=_variants(found))
    if not form.is_valid():
        return _page(request, found, form, status=422)
    variant = None if "remove" in request.POST else form.cleaned_data["variant"]
    try:
        entry.force(key, form.cleaned_data["unit"], variant, by=person_of(request).email, now=timezone.now())
    except CannotChange as refusal:
        form.add_error(None, f"Not done: {refusal}.")
        return _page(request, found, form, status=409)
    return HttpResponseRedirect(reverse("experiment-traffic", args=[key]))


def _page(request: HttpRequest, found: Experiment, form: TesterForm, status: int = 200) -> HttpResponse:
    may_change = access.refusal(person_of(request), access.to_change(found), found) is None
    context = {
        "key": found.key, "experiment": found, "lines": services.told(found), "testers": entry.testers(found),
        "form": form, "may_change": may_change,
    }  # fmt: skip
    return render(request, "experiment_traffic.html", context, status=status)


def _variants(found: Experiment) -> list[str]:
    return [variant.key for variant in found.current_plan.load().variants]


def _found(key: str) -> Experiment:
    try:
        found = find_experiment(key)
    except NoSuchExperiment as missing:
        raise Http404(str(missing)) from None
    if found.kind != "experiment":
        raise Http404(f"{key} is a holdout; testers get variants of experiments")
    return found
