"""What machines ask: is the process alive, is the installation ready, and the counts that Prometheus collects."""

import hmac
import os
from collections.abc import Callable, Iterator, Mapping

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound, JsonResponse
from django.urls import resolve, reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from experiments import queue
from experiments.queue import QueueProblem
from experiments.services import operations
from experiments.services.operations import Amounts
from experiments.views.guard import ANYBODY, needs

PROBES = ("alive", "ready", "counts")


class Early:
    """Middleware that answers probes before any other: they come by address rather than name, and without a session."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.paths = frozenset(reverse(name) for name in PROBES)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info not in self.paths:
            return self.get_response(request)
        request.resolver_match = resolve(request.path_info)
        response: HttpResponse = request.resolver_match.func(request)
        add_never_cache_headers(response)
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


@needs(ANYBODY)
@require_safe
def alive(request: HttpRequest) -> HttpResponse:
    """This process answers."""
    return JsonResponse({"alive": True})


@needs(ANYBODY)
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """Database, migrations and queue; 503 and what is wrong while one of them is not there."""
    problems = operations.unready()
    return JsonResponse({"ready": not problems, "problems": problems}, status=503 if problems else 200)


@needs(ANYBODY)
@require_safe
def counts(request: HttpRequest) -> HttpResponse:
    """The counts in Prometheus' text format, for who has the token. There is no such page where there is none."""
    token = settings.HOLDFAST_METRICS_TOKEN
    if not token:
        return HttpResponseNotFound("Set HOLDFAST_METRICS_TOKEN to open this.\n", content_type="text/plain")
    if not hmac.compare_digest(f"Bearer {token}".encode(), request.headers.get("Authorization", "").encode()):
        refused = HttpResponse("This takes the token: Authorization: Bearer ...\n", "text/plain", 401)
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused
    return HttpResponse(generate_latest(registry()), content_type=CONTENT_TYPE_LATEST)


def registry() -> CollectorRegistry:
    """What all processes of this web server counted, and what the database and the queue hold."""
    collected = CollectorRegistry()
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        MultiProcessCollector(collected)  # type: ignore[no-untyped-call]
    else:
        collected.register(REGISTRY)
    collected.register(Stored())
    return collected


class Stored(Collector):
    """Looks, cells and decisions are rows: counted when asked for, they are the same whichever process did the work."""

    def collect(self) -> Iterator[Metric]:
        yield from _queue()
        try:
            found = operations.amounts(timezone.now())
        except DatabaseError:
            yield GaugeMetricFamily("holdfast_database_up", "Whether the database answers", value=0)
            return
        yield GaugeMetricFamily("holdfast_database_up", "Whether the database answers", value=1)
        yield from _stored(found)


def _queue() -> Iterator[Metric]:
    try:
        waiting: int | None = queue.waiting()
    except QueueProblem:
        waiting = None
    yield GaugeMetricFamily("holdfast_queue_up", "Whether the broker answers", value=int(waiting is not None))
    if waiting is not None:
        yield GaugeMetricFamily("holdfast_queue_messages", "Messages that no worker has taken yet", value=waiting)


def _stored(found: Amounts) -> Iterator[Metric]:
    yield _by_label("holdfast_experiments", "Experiments", "state", found.experiments)
    yield _by_label("holdfast_looks", "Looks", "state", found.looks)
    cells = GaugeMetricFamily("holdfast_cells", "Pieces of work of looks that are open", labels=["kind", "state"])
    for (kind, state), count in found.cells.items():
        cells.add_metric([kind, state], count)
    yield cells
    yield GaugeMetricFamily(
        "holdfast_oldest_open_look_seconds", "Age of the oldest look that is open", value=found.oldest_seconds
    )
    decisions = CounterMetricFamily("holdfast_decisions", "Decisions that were recorded", labels=["action"])
    for action, count in found.decisions.items():
        decisions.add_metric([action], count)
    yield decisions
    buckets = [*((str(end), count) for end, count in found.look_seconds.items()), ("+Inf", found.done)]
    yield HistogramMetricFamily(
        "holdfast_look_seconds", "From asking for a look to its result", buckets=buckets, sum_value=found.done_seconds
    )


def _by_label(name: str, about: str, label: str, amounts: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=[label])
    for value, count in amounts.items():
        family.add_metric([value], count)
    return family
