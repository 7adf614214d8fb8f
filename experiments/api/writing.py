"""Operations that change something: definitions are applied, looks are asked for. Sessions cannot use them.

An address belongs to one router, whatever its methods, so these are added to the one that reads.
"""

from typing import Annotated

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from ninja import Query, Status

from experiments.api.door import Token, actor_of, token_of
from experiments.api.parameters import Day, Key, answers
from experiments.api.problems import Refused
from experiments.api.reading import router
from experiments.api.schemas import AppliedOut, ChangeOut, LookOut
from experiments.services import results, submitted
from experiments.services.apply import Applied
from experiments.services.refresh import plan_look

YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml")
JSON_TYPE = "application/json"
LONGEST_REASON = 2000

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/yaml": {"schema": {"type": "object"}},
            JSON_TYPE: {"schema": {"type": "object"}},
        },
    }
}


@router.put(
    "/experiments/{key}/definition",
    auth=Token("apply"),
    tags=["Writing"],
    response=answers(AppliedOut, 409, 415),
    openapi_extra=_BODY,
    summary="Apply a definition",
)
def apply(
    request: HttpRequest,
    key: Key,
    dry_run: Annotated[bool, Query(description="Say what would change, and change nothing")] = False,
    amend: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=LONGEST_REASON,
            description="Why a started experiment's plan is changed; kept for good",
        ),
    ] = None,
) -> AppliedOut:
    """Create an experiment or holdout, or update it; the same rules and messages as `manage.py apply`.

    The definition names a registered source. Drafts take an editor; what has started takes one of its owners.
    """
    applied = submitted.submit(
        _yaml_of(request), key, person=token_of(request).owner, by=actor_of(request), now=timezone.now(), amend=amend,
        dry_run=dry_run,
    )  # fmt: skip
    return _told(applied, dry_run)


@router.post(
    "/experiments/{key}/looks",
    auth=Token("refresh"),
    tags=["Writing"],
    response={**answers(LookOut, 404, 409, 503), 202: LookOut},
    summary="Ask for a look",
)
def refresh(
    request: HttpRequest,
    response: HttpResponse,
    key: Key,
    as_of: Annotated[Day | None, Query(description="Without it, the day after the last one in the data")] = None,
) -> Status[LookOut]:
    """202: it is on its way, and the header Location says where to ask how far it is. 200: it was there already."""
    planned = plan_look(key, as_of, timezone.now(), by=actor_of(request))
    response["Location"] = reverse("api:look", args=[key, planned.as_of.isoformat()])
    return Status(200 if planned.outcome == "done" else 202, LookOut.from_orm(results.status_of(planned.look_id)))


def _yaml_of(request: HttpRequest) -> bytes:
    if request.content_type in YAML_TYPES:
        return request.body
    if request.content_type == JSON_TYPE:
        return submitted.from_json(request.body)
    found = request.content_type or "missing"
    raise Refused(415, f"the content type is {found}; send application/yaml or {JSON_TYPE}")


def _told(applied: Applied, dry_run: bool) -> AppliedOut:
    return AppliedOut(
        key=applied.key, kind=applied.kind, action=applied.action, dry_run=dry_run,
        plan_version=applied.plan_version, starts=applied.starts,
        changes=[ChangeOut.from_orm(change) for change in applied.changes],
    )  # fmt: skip
