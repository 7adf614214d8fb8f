"""Version 1, put together: its operations, its OpenAPI document, its addresses, and what is refused before them."""

import re
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, re_path
from django.utils.cache import add_never_cache_headers
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET
from ninja import NinjaAPI
from ninja.constants import NOT_SET

from experiments import __version__
from experiments.api import charts, events, problems, reading, records, writing  # noqa: F401 - it adds to reading's router
from experiments.api.door import Token
from experiments.api.problems import FieldProblem, answered
from experiments.services.suggest import did_you_mean
from experiments.views.guard import ANYBODY, needs

ROOT = "/api/v1/"

#: What some programs send where they have nothing to say.
NOTHING_SAID = "{}"

View = Callable[..., HttpResponse]

api = NinjaAPI(
    title="Holdfast",
    version=__version__,
    description=(
        "Experiments by time since exposure: read scorecards, apply definitions, ask for looks. Every request carries "
        "a token in its header, `Authorization: Bearer hf_...`. What is not done is answered by a problem that names "
        "the field and what to do. Parameters that an operation does not know, and bodies that it does not read, are "
        "refused."
    ),
    docs_url=None,
    openapi_url=None,
    urls_namespace="api",
)
problems.handle(api)
ROUTERS = (reading.router, charts.router, records.router, events.router)
for router in ROUTERS:
    api.add_router("", router)


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The OpenAPI document, as plain values. Each operation names the scope that it takes."""
    found = dict(api.get_openapi_schema(path_prefix=ROOT))
    for router in ROUTERS:
        for path, view in router.path_operations.items():
            for operation in view.operations:
                auth = router.auth if operation.auth_param is NOT_SET else operation.auth_param
                assert isinstance(auth, Token), f"{path} says no scope"
                for method in operation.methods:
                    told = found["paths"][f"{ROOT}{path.removeprefix('/')}"][method.lower()]
                    told["security"] = [{"Token": [auth.scope]}]
    return found


@require_GET
@needs(ANYBODY)
def openapi(request: HttpRequest) -> HttpResponse:
    """The document for programs. It says how to ask, and nothing of what is there."""
    return JsonResponse(document())


@csrf_exempt
@needs(ANYBODY)
def unknown(request: HttpRequest) -> HttpResponse:
    """An address that is not there is a problem like any other."""
    known = [f"{ROOT}docs", *document()["paths"]]
    return answered(404, f"there is no {request.path}{did_you_mean(request.path, known)}")


def _behind(view: View, path: str) -> View:
    """The view of an address with what is refused before any operation: a wrong method, what would not be read."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = _refused(request, path) or view(request, *args, **kwargs)
        add_never_cache_headers(response)
        return response

    # Guard lets it through to its own door: every operation takes a token, which a test holds them to.
    return needs(ANYBODY)(csrf_exempt(answer))


def _refused(request: HttpRequest, path: str) -> HttpResponse | None:
    operations = document()["paths"][path]
    operation = operations.get((request.method or "").lower())
    if operation is None:
        allowed = ", ".join(sorted(method.upper() for method in operations))
        return answered(405, f"{request.method} is not for {path}; use {allowed}", headers={"Allow": allowed})
    known = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
    length = request.META.get("CONTENT_LENGTH") or ""
    if "requestBody" not in operation and length.isdecimal() and int(length) > len(NOTHING_SAID):
        there = f"; say it in the address: {', '.join(f'?{name}=' for name in known)}" if known else ""
        return answered(422, f"a body is not read here{there}")
    errors = [
        FieldProblem(field=name, message=f"there is no such parameter{did_you_mean(name, known)}")
        for name in request.GET
        if name not in known
    ] + [
        FieldProblem(field=name, message="is given more than once")
        for name, values in request.GET.lists()
        if len(values) > 1
    ]  # fmt: skip
    return answered(422, "; ".join(f"{one.field}: {one.message}" for one in errors), errors) if errors else None


def _patterns() -> list[URLPattern]:
    found = []
    for pattern in api.urls[0]:
        assert isinstance(pattern, URLPattern)
        path = ROOT + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))
        if path in document()["paths"]:  # ninja's own root is left out
            found.append(URLPattern(pattern.pattern, _behind(pattern.callback, path), name=pattern.name))
    return [*found, re_path("", unknown, name="unknown")]


urlpatterns = _patterns()
