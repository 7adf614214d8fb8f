"""The page that describes the API, made on the server from its OpenAPI document: nothing comes from elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from experiments import methods
from experiments.api import v1
from experiments.views.guard import needs

#: The statuses that every operation has, told once at the top of the page.
COMMON = ("401", "403", "413", "422", "429")


@dataclass(frozen=True)
class Parameter:
    name: str
    place: str
    kind: str
    required: bool
    words: str


@dataclass(frozen=True)
class Answer:
    status: str
    phrase: str
    schema: str


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    summary: str
    words: str
    anchor: str
    scope: str
    parameters: tuple[Parameter, ...]
    body: tuple[str, ...]
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Shape:
    """A schema of the document: its fields with their types."""

    name: str
    words: str
    fields: tuple[tuple[str, str, str], ...]


@require_GET
@needs("read")
def docs(request: HttpRequest) -> HttpResponse:
    document = v1.document()
    tags: dict[str, list[Operation]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tags.setdefault(operation["tags"][0], []).append(_operation(method, path, operation))
    context = {
        "title": document["info"]["title"],
        "words": _html(document["info"]["description"]),
        "tags": tags.items(),
        "shapes": list(_shapes(document)),
    }
    return render(request, "api_docs.html", context)


def _html(words: str) -> str:
    """The document writes Markdown, as the methods pages do."""
    return methods.render("api", words, {}).html


def _operation(method: str, path: str, operation: dict[str, Any]) -> Operation:
    return Operation(
        method=method.upper(), path=path, summary=operation["summary"], words=_html(operation["description"]),
        anchor=operation["operationId"], scope=operation["security"][0]["Token"][0],
        parameters=tuple(_parameter(one) for one in operation["parameters"]),
        body=tuple(operation.get("requestBody", {}).get("content", {})),
        answers=tuple(
            _answer(str(status), told) for status, told in operation["responses"].items() if str(status) not in COMMON
        ),
    )  # fmt: skip


def _parameter(one: dict[str, Any]) -> Parameter:
    return Parameter(one["name"], one["in"], kind_of(one["schema"]), one["required"], one.get("description", ""))


def _answer(status: str, told: dict[str, Any]) -> Answer:
    content = told.get("content", {})
    kinds = [kind_of(one["schema"]) or media for media, one in content.items()]
    return Answer(status, HTTPStatus(int(status)).phrase, ", ".join(kinds))


def _shapes(document: dict[str, Any]) -> Iterator[Shape]:
    for name, schema in sorted(document["components"]["schemas"].items()):
        fields = (
            (field, kind_of(one), one.get("description", "")) for field, one in schema.get("properties", {}).items()
        )  # fmt: skip
        yield Shape(name, schema.get("description", ""), tuple(fields))


def kind_of(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words; empty for one that allows anything."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(kind_of(one) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(str(one) for one in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {kind_of(schema.get('items', {})) or 'anything'}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"{kind_of(schema['additionalProperties']) or 'anything'} by name"
    return str(schema.get("format") or schema.get("type", ""))
