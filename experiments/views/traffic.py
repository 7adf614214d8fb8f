"""The map of traffic: layers, slices of holdouts, and what each experiment takes of all units."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from experiments.assignment import BUCKETS
from experiments.charts.buckets import Bar, Block, bar
from experiments.services.slices import percent
from experiments.services.traffic_map import LayerMap, Part, SliceMap, traffic_map
from experiments.views.guard import needs


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
