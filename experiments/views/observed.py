"""Every request is given an id, counted, timed and logged. First of all middleware, so nothing is missed."""

import logging
import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter, Histogram

from experiments import logs

log = logging.getLogger(__name__)

REQUESTS = Counter("holdfast_requests_total", "Requests that were answered", ["route", "method", "status"])
SECONDS = Histogram("holdfast_request_seconds", "Time until a request was answered", ["route"])

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Observed:
    """Middleware. The id is the caller's ``X-Request-ID`` if it is fit to be logged, and is sent back under that name.

    Labels are names of routes, never addresses: those have no end, and one of them has a secret in it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        request_id = logs.request_id_of(request.headers.get("X-Request-ID"))
        logs.begin(request_id)  # it stands until this thread's next request: Django logs errors after all middleware
        response = self.get_response(request)
        self._note(request, response, time.perf_counter() - began)
        response.headers["X-Request-ID"] = request_id
        return response

    @staticmethod
    def _note(request: HttpRequest, response: HttpResponse, seconds: float) -> None:
        found = request.resolver_match
        route = (found.url_name if found else None) or "none"
        method = request.method if request.method in METHODS else "other"
        REQUESTS.labels(route, method, response.status_code).inc()
        SECONDS.labels(route).observe(seconds)
        log.info(
            "request",
            extra={
                "route": route,
                "method": method,
                "status": response.status_code,
                "milliseconds": round(1000 * seconds),
                "experiment": found.kwargs["key"] if found and found.route.startswith("experiments/<") else None,
            },
        )
