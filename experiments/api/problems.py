"""What is not done is answered in one shape, whatever went wrong: which field, why, and what to do."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Field, NinjaAPI, Schema
from ninja.errors import AuthenticationError, ValidationError

from experiments.definitions import DefinitionProblem
from experiments.queue import QueueProblem
from experiments.services.access import NotAllowed
from experiments.services.apply import CannotApply
from experiments.services.refresh import CannotRefresh
from experiments.services.results import NoLookYet, NoSuchExperiment
from experiments.services.tokens import BadToken, TooManyRequests

log = logging.getLogger(__name__)

#: What to do about a status, where the message itself does not say it.
FIXES: Mapping[int, str] = {
    401: "send the header `Authorization: Bearer hf_...` with a token from the page API tokens",
    403: "use a token with the scope that is named, of a person with the role that is named",
    405: "use a method that the header Allow names",
    409: "put right what the message names, or read what is there now, and try again",
    413: "send less",
    415: "send YAML as application/yaml, or JSON as application/json",
    422: "put right the fields that are named, and send the whole again",
    429: "wait as many seconds as the header Retry-After says",
    503: "try again in a minute",
}


#: Seconds after which a database that did not answer may be asked again.
RETRY_DATABASE = 5


class FieldProblem(Schema):
    """One value that is refused. ``field`` is empty where the whole is meant."""

    field: str
    message: str


class Problem(Schema):
    """Why nothing was done."""

    status: int
    title: str = Field(description="The status in words")
    detail: str = Field(description="What is wrong, naming the value and what is allowed")
    fix: str | None = Field(description="What to do about it")
    errors: list[FieldProblem] = Field(description="The values that are refused, one by one; empty where none is meant")


class Refused(Exception):
    """A request that is refused by the API itself."""

    def __init__(
        self, status: int, detail: str, *errors: FieldProblem, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, errors, headers or {}


def answered(
    status: int, detail: str, errors: Sequence[FieldProblem] = (), headers: Mapping[str, str] | None = None,
    fix: str | None = None,
) -> HttpResponse:  # fmt: skip
    """Return a problem as a response. ``fix`` takes the place of what helps with its status."""
    problem = Problem(
        status=status, title=HTTPStatus(status).phrase, detail=detail, fix=fix or FIXES.get(status), errors=list(errors)
    )  # fmt: skip
    return JsonResponse(problem.model_dump(), status=status, headers=headers)


#: Exceptions of the services whose message says everything.
STATUSES: Mapping[type[Exception], int] = {
    NotAllowed: 403,
    NoSuchExperiment: 404,
    CannotApply: 409,
    CannotRefresh: 409,
    QueueProblem: 503,
}


def handle(api: NinjaAPI) -> None:
    """Answer everything that an operation may raise."""
    for kind, status in STATUSES.items():
        api.add_exception_handler(kind, _said(status))
    api.add_exception_handler(Refused, _refused)
    api.add_exception_handler(NoLookYet, _no_look)
    api.add_exception_handler(AuthenticationError, _no_token)
    api.add_exception_handler(BadToken, _no_token)
    api.add_exception_handler(TooManyRequests, _too_many)
    api.add_exception_handler(ValidationError, _invalid)
    api.add_exception_handler(DefinitionProblem, _bad_definition)
    api.add_exception_handler(OperationalError, _away)
    api.add_exception_handler(Exception, _ours)


def _said(status: int) -> Any:
    return lambda request, problem: answered(status, str(problem))


def _refused(request: HttpRequest, problem: Any) -> HttpResponse:
    return answered(problem.status, problem.detail, problem.errors, problem.headers)


def _no_look(request: HttpRequest, problem: Any) -> HttpResponse:
    return answered(404, problem.why, fix="ask for a look with POST /api/v1/experiments/{key}/looks")


def _no_token(request: HttpRequest, problem: Any) -> HttpResponse:
    why = str(problem) if isinstance(problem, BadToken) else "this needs a token"
    return answered(401, why, headers={"WWW-Authenticate": 'Bearer realm="Holdfast"'})


def _too_many(request: HttpRequest, problem: Any) -> HttpResponse:
    return answered(429, str(problem), headers={"Retry-After": str(problem.retry_after)})


def _invalid(request: HttpRequest, problem: Any) -> HttpResponse:
    errors = [FieldProblem(field=str(one["loc"][-1]), message=_sentence(one["msg"])) for one in problem.errors]
    return answered(422, "; ".join(f"{one.field}: {one.message}" for one in errors), errors)


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ")


def _bad_definition(request: HttpRequest, problem: Any) -> HttpResponse:
    errors = [FieldProblem(field=one.field, message=one.message) for one in problem.violations]
    return answered(422, str(problem), errors)


def _away(request: HttpRequest, problem: Any) -> HttpResponse:
    """A server that went away, or a wait that took too long: nothing is done, and it may be tried again."""
    log.error("%s %s: the database does not answer", request.method, request.path, exc_info=problem)
    return answered(503, "the database does not answer", headers={"Retry-After": str(RETRY_DATABASE)})


def _ours(request: HttpRequest, problem: Any) -> HttpResponse:
    """A mistake of ours: the whole of it goes to the log, and nothing of it outside."""
    log.error("%s %s failed", request.method, request.path, exc_info=problem)
    return answered(500, "this should not happen; the log of the server says more")
