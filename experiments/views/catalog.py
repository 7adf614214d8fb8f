"""The catalog of metrics with their versions, and the data sources with who reads them. Both are to be read only."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from experiments.services import catalog


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    return render(request, "metrics.html", {"metrics": catalog.metrics()})


@require_GET
def sources(request: HttpRequest) -> HttpResponse:
    return render(request, "sources.html", {"sources": catalog.sources()})
