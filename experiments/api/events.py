"""POST /api/v1/events: exposures and facts in batches. What was answered is stored; a batch may be sent again."""

import json
from dataclasses import asdict
from typing import Any, NoReturn

from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Router, Schema, Status

from experiments.api.door import Token
from experiments.api.parameters import answers
from experiments.api.problems import Problem, Refused
from experiments.services import event_items, event_store

#: Bytes of a batch: all events that one may hold, at twice their usual length.
MOST_BYTES = 4 * 2**20

#: Things that are wrong are listed up to this many; their number is always told.
MOST_LISTED = 100

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["events"],
                    "additionalProperties": False,
                    "properties": {
                        "events": {
                            "type": "array",
                            "items": {"type": "object"},
                            "minItems": 1,
                            "maxItems": event_items.MOST_EVENTS,
                        }
                    },
                }
            }
        },
    }
}

# Batches have a limit of their own: how many are stored at a time.
router = Router(auth=Token("events", most=MOST_BYTES, by_minute=False), tags=["Writing"])


class EventProblem(Schema):
    """Why an event is not stored."""

    index: int = Field(description="Its place in the batch, from 0")
    id: str | None
    field: str
    message: str


class Stored(Schema):
    """What became of a batch."""

    stored: int
    duplicates: int = Field(description="Events whose id was stored before")
    refused: int
    errors: list[EventProblem] = Field(description=f"The first {MOST_LISTED} things that are wrong")


@router.post(
    "/events",
    response={**answers(Stored, 400, 503), 207: Stored, 422: Stored | Problem},
    openapi_extra=_BODY,
    summary="Send events",
)
def events(request: HttpRequest) -> Status[dict[str, Any]]:
    """Store the events of a batch one by one: 200 all taken, 207 some refused, 422 all refused.

    An event is stored once, however often its `id` is sent. The page Sending events says what an event has.
    """
    items = _items(request)
    now = timezone.now()
    found, refused = event_items.read(items, now)
    try:
        stored = event_store.store(found, now) if found else event_store.Stored(0, 0, ())
    except event_store.Busy:
        wait = str(event_store.RETRY_SECONDS)
        message = f"as many batches as may be are being stored; send this one again in {wait} s"
        raise Refused(429, message, headers={"Retry-After": wait}) from None
    wrong = sorted((*refused, *stored.refused), key=lambda one: one.index)
    out = len({one.index for one in wrong})
    told = {
        "stored": stored.stored, "duplicates": stored.duplicates, "refused": out,
        "errors": [asdict(one) for one in wrong[:MOST_LISTED]],
    }  # fmt: skip
    return Status(200 if not wrong else 422 if out == len(items) else 207, told)


def _items(request: HttpRequest) -> list[Any]:
    """Return the events of a request. Raises Refused."""
    body = request.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise Refused(413, f"the batch has more than {MOST_BYTES:,} bytes; send fewer events at a time")
    try:
        batch = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {error}") from error
    if not (isinstance(batch, dict) and isinstance(batch.get("events"), list)):
        raise Refused(400, 'the body must be an object with a list, {"events": [...]}')
    if set(batch) != {"events"}:
        raise Refused(400, f"the body has the key `{min(set(batch) - {'events'})[:100]}`; it has `events` alone")
    if not 1 <= len(batch["events"]) <= event_items.MOST_EVENTS:
        raise Refused(400, f"a batch has 1 to {event_items.MOST_EVENTS:,} events; found {len(batch['events']):,}")
    items: list[Any] = batch["events"]
    return items


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number; send null, or leave the value out")
