"""OFREP, the OpenFeature Remote Evaluation Protocol 0.3: flags for OpenFeature clients in any language.

Every answer has all five fields (some providers fail silently without one), and every refusal key, errorCode and
errorDetails. https://github.com/open-feature/protocol, service/openapi.yaml.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from experiments.services.assignment import FLAGS, BrokenFlag, Snapshot, UnknownFlag
from experiments.services.entry import LONGEST_UNIT
from experiments.views.by_key import problem
from experiments.views.guard import A_KEY, needs

log = logging.getLogger(__name__)

LARGEST_BODY = 65_536


class Refused(Exception):
    """The request cannot be answered; the message says why."""

    def __init__(self, code: str, details: str, status: int = 400) -> None:
        super().__init__(details)
        self.code, self.status = code, status


@dataclass(frozen=True)
class Context:
    """Who asks for flags: the unit is the targetingKey, attributes are what targeting compares."""

    unit: str
    attributes: Mapping[str, Any]


View = Callable[..., HttpResponse]


def _answering(view: View) -> View:
    """Whatever happens is told in the protocol's words."""

    @wraps(view)
    def answered(request: HttpRequest, key: str | None = None) -> HttpResponse:
        if request.method != "POST":
            response = problem(405, "flags are asked for with POST", key=key)
            response["Allow"] = "POST, OPTIONS"
            return response
        try:
            return view(request) if key is None else view(request, key)
        except Refused as refusal:
            return problem(refusal.status, str(refusal), code=refusal.code, key=key)
        except Exception:
            log.exception("a flag could not be evaluated")
            return problem(500, "the flag could not be evaluated; the log of the server says why", key=key)

    return answered


@csrf_exempt
@needs(A_KEY)
@_answering
def flag(request: HttpRequest, key: str) -> HttpResponse:
    """One flag for one unit."""
    context = _context(request)
    response = _json(_evaluated(FLAGS.get(time.monotonic()), key, context))
    response["Cache-Control"] = "no-store"
    return response


@csrf_exempt
@needs(A_KEY)
@_answering
def flags(request: HttpRequest) -> HttpResponse:
    """All flags for one unit. With the ETag of what the program has, 304 says that it is still so."""
    context, snapshot = _context(request), FLAGS.get(time.monotonic())
    told = []
    for key in snapshot.keys:
        try:
            told.append(_evaluated(snapshot, key, context))
        except Refused as refusal:
            told.append({"key": key, "errorCode": refusal.code, "errorDetails": str(refusal)})
    response = _json({"flags": told, "metadata": {"version": ".".join(map(str, snapshot.version))}})
    etag = f'"{hashlib.sha256(response.content).hexdigest()[:32]}"'
    if etag in _known(request):
        response = HttpResponse(status=304)
    response["ETag"] = etag
    response["Cache-Control"] = "private, no-cache"
    return response


def _evaluated(snapshot: Snapshot, key: str, context: Context) -> dict[str, Any]:
    try:
        return asdict(snapshot.evaluate(key, context.unit, context.attributes, timezone.now()))
    except UnknownFlag as unknown:
        raise Refused("FLAG_NOT_FOUND", str(unknown), 404) from unknown
    except BrokenFlag as broken:
        raise Refused("GENERAL", str(broken), 500) from broken


def _json(body: Mapping[str, Any]) -> HttpResponse:
    """Python writes a float with its decimal point, 1.0 and not 1, by which clients tell it from a whole number."""
    return HttpResponse(json.dumps(body, allow_nan=False, separators=(",", ":")), content_type="application/json")


def _known(request: HttpRequest) -> set[str]:
    given = request.headers.get("If-None-Match", "")
    return {tag.strip().removeprefix("W/") for tag in given.split(",")}


def _context(request: HttpRequest) -> Context:
    context = _body(request).get("context", {})
    if not isinstance(context, dict):
        raise Refused("INVALID_CONTEXT", f"context is a mapping (found {type(context).__name__})")
    unit = context.get("targetingKey")
    if unit in (None, ""):
        raise Refused("TARGETING_KEY_MISSING", "context.targetingKey names the unit, and is missing")
    if not isinstance(unit, str):
        raise Refused("INVALID_CONTEXT", f"context.targetingKey is text (found {type(unit).__name__})")
    if len(unit) > LONGEST_UNIT:
        raise Refused("INVALID_CONTEXT", f"context.targetingKey has at most {LONGEST_UNIT:,} characters")
    try:
        unit.encode()
    except UnicodeEncodeError as error:
        raise Refused("INVALID_CONTEXT", "context.targetingKey cannot be written in UTF-8") from error
    return Context(unit, context)


def _body(request: HttpRequest) -> dict[str, Any]:
    if int(request.META.get("CONTENT_LENGTH") or 0) > LARGEST_BODY:
        raise Refused("INVALID_CONTEXT", f"a request has at most {LARGEST_BODY:,} bytes")
    try:
        body = json.loads(request.body, parse_constant=_not_json)
    except (ValueError, RecursionError) as error:
        raise Refused("PARSE_ERROR", f"the request is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise Refused("PARSE_ERROR", f"the request is a mapping with a context (found {type(body).__name__})")
    return body


def _not_json(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number in JSON")
