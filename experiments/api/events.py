"""POST /api/v1/events: exposures and facts in batches. What was answered is stored; a batch may be sent again."""

import json
from dataclasses import asdict
from typing import Any, NoReturn

from django.db import OperationalError
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from experiments.api.caller import NotCalled, caller_of
from experiments.services import event_items, event_store

#: Bytes of a batch: all events that one may hold, at twice their usual length.
MOST_BYTES = 4 * 2**20

#: Things that are wrong are listed up to this many; their number is always told.
MOST_LISTED = 100


class BadBatch(Exception):
    """A request that holds no batch at all, and is refused whole."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


@csrf_exempt  # a browser never sends the header with the key by itself
def events(request: HttpRequest) -> JsonResponse:
    """Store the events of a batch one by one: 200 all taken, 207 some refused, 422 all refused."""
    try:
        if request.method != "POST":
            raise BadBatch(405, f"{request.method} is not allowed here; send events with POST")
        caller_of(request)
        items = _items(request)
        now = timezone.now()
        found, refused = event_items.read(items, now)
        stored = event_store.store(found, now) if found else event_store.Stored(0, 0, ())
    except NotCalled as problem:
        return _said(401, str(problem), {"WWW-Authenticate": "Bearer"})
    except BadBatch as problem:
        return _said(problem.status, str(problem), {"Allow": "POST"} if problem.status == 405 else {})
    except event_store.Busy:
        message = f"as many batches as may be are being stored; send this one again in {event_store.RETRY_SECONDS} s"
        return _said(429, message, {"Retry-After": str(event_store.RETRY_SECONDS)})
    except OperationalError:  # nothing is stored: a server that went away, or a wait that took too long
        return _said(503, "the database does not answer; send the batch again", {"Retry-After": "5"})
    wrong = sorted((*refused, *stored.refused), key=lambda one: one.index)
    out = len({one.index for one in wrong})
    return JsonResponse(
        {
            "stored": stored.stored, "duplicates": stored.duplicates, "refused": out,
            "errors": [asdict(one) for one in wrong[:MOST_LISTED]],
        },
        status=200 if not wrong else 422 if out == len(items) else 207,
    )  # fmt: skip


# Not a person at a browser: the caller is known by a key, so the door of the pages lets everybody through.
events.needs = "anybody"  # type: ignore[attr-defined]


def _said(status: int, message: str, headers: dict[str, str]) -> JsonResponse:
    return JsonResponse({"error": message}, status=status, headers=headers)


def _items(request: HttpRequest) -> list[Any]:
    """Return the events of a request. Raises BadBatch."""
    body = request.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise BadBatch(413, f"the batch has more than {MOST_BYTES:,} bytes; send fewer events at a time")
    try:
        batch = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadBatch(400, f"the body is not JSON: {error}") from error
    if not (isinstance(batch, dict) and isinstance(batch.get("events"), list)):
        raise BadBatch(400, 'the body must be an object with a list, {"events": [...]}')
    if set(batch) != {"events"}:
        raise BadBatch(400, f"the body has the key `{min(set(batch) - {'events'})[:100]}`; it has `events` alone")
    if not 1 <= len(batch["events"]) <= event_items.MOST_EVENTS:
        raise BadBatch(400, f"a batch has 1 to {event_items.MOST_EVENTS:,} events; found {len(batch['events']):,}")
    items: list[Any] = batch["events"]
    return items


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number; send null, or leave the value out")
