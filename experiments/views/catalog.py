"""The catalog of metrics with their versions, and the data sources with who reads them. Both are to be read only."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from experiments.services import catalog
from experiments.views.guard import needs


@require_GET
@needs("read")
def metrics(request: HttpRequest) -> HttpResponse:
    return render(request, "metrics.html", {"metrics": catalog.metrics()})


@require_GET
@needs("read")
def sources(request: HttpRequest) -> HttpResponse:
    return render(request, "sources.html", {"sources": catalog.sources()})
