"""Sources: send or name two tables, say what their columns are, look at what there is, check it."""

from typing import Any

from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from experiments.data_forms import ColumnsForm, FolderForm, UploadForm, add_problems
from experiments.models import Source, SourceDraft
from experiments.queue import QueueProblem
from experiments.services import catalog, source_checks
from experiments.services import sources as services
from experiments.services.sources import TABLES, CannotDelete, CannotRegister, NoSuchSource
from experiments.views.guard import needs, person_of
from experiments.views.receiving import problems, received, receives_files

MEGABYTE = 2**20

#: Each severity of a finding with the tone of its mark and what it means for a look.
SEVERITY_WORDS = {
    "refused": ("bad", "▲", "Looks refuse it"),
    "left_out": ("open", "●", "Left out"),
    "noted": ("open", "○", "To know"),
    "fine": ("fine", "✓", "Fine"),
}


@require_http_methods(["GET", "POST"])
@needs("edit")
@receives_files
def add(request: HttpRequest) -> HttpResponse:
    """Send two files, or name files on the server."""
    return _data_page(request, None)


@require_http_methods(["GET", "POST"])
@needs("edit")
@receives_files
def data(request: HttpRequest, source: str) -> HttpResponse:
    """Give a source newer data in place of what it has."""
    return _data_page(request, _found(source))


def _data_page(request: HttpRequest, source: Source | None) -> HttpResponse:
    upload, folder, status = UploadForm(), FolderForm(), 200
    if request.method == "POST":
        by_name = request.POST.get("how") == "folder"
        form: UploadForm | FolderForm = FolderForm(request.POST) if by_name else UploadForm({})
        try:
            made = _named(request, form, source) if isinstance(form, FolderForm) else _sent(request, source)
        except CannotRegister as problem:
            _tell(form, problem)
        else:
            return HttpResponseRedirect(reverse("source-draft", args=[made.token]))
        status = 422
        upload, folder = (upload, form) if isinstance(form, FolderForm) else (form, folder)
    context = {
        "source": source, "upload": upload, "folder": folder, "megabytes": _limit(), "folders": _folders(folder)
    }  # fmt: skip
    return render(request, "source_data.html", context, status=status)


def _sent(request: HttpRequest, source: Source | None) -> SourceDraft:
    files = {name: file for name in TABLES if (file := received(request, name)) is not None}
    refused = problems(request)
    if refused:
        raise CannotRegister(refused)
    return services.draft_of_uploads(files, by=person_of(request).email, now=timezone.now(), source=source)


def _named(request: HttpRequest, form: FolderForm, source: Source | None) -> SourceDraft:
    if not form.is_valid():
        raise CannotRegister({})
    return services.draft_of_files(
        form.cleaned_data["folder"], form.patterns(), by=person_of(request).email, now=timezone.now(), source=source
    )


@require_http_methods(["GET", "POST"])
@needs("edit")
def draft(request: HttpRequest, token: str) -> HttpResponse:
    """Look at the first rows, and say which column is what."""
    try:
        found = services.find_draft(token)
    except NoSuchSource as missing:
        raise Http404(str(missing)) from None
    columns = services.guessed(found)
    status = 200
    if request.method == "POST":
        if "give-up" in request.POST:
            return render(request, "source_give_up.html", {"draft": found})
        if "surely" in request.POST:
            services.give_up(found)
            return HttpResponseRedirect(reverse("sources"))
        form = ColumnsForm(request.POST, draft=found)
        if form.is_valid():
            columns = services.columns_of(form.cleaned_data)
            try:
                kept = services.save(
                    found, form.cleaned_data.get("key", ""), columns, by=person_of(request).email, now=timezone.now()
                )
            except CannotRegister as problem:
                _tell(form, problem)
            else:
                return HttpResponseRedirect(reverse("source", args=[kept.key]))
        status = 422
    else:
        form = ColumnsForm(draft=found, initial=services.fields_of(columns))
    context = {"draft": found, "form": form, "tables": services.shown(found.tables, columns)}
    return render(request, "source_draft.html", context, status=status)


@require_GET
@needs("read")
def source(request: HttpRequest, source: str) -> HttpResponse:
    """What is known of a source: its tables with their first rows, who reads it, what the last check found."""
    return _source_page(request, _found(source))


@require_POST
@needs("edit")
def check(request: HttpRequest, source: str) -> HttpResponse:
    """Have a worker read the source from end to end."""
    found = _found(source)
    try:
        source_checks.ask(found, by=person_of(request).email, now=timezone.now())
    except QueueProblem as problem:
        return _source_page(request, found, str(problem), status=409)
    return HttpResponseRedirect(reverse("source", args=[source]) + "#check")


@require_http_methods(["GET", "POST"])
@needs("edit")
def delete(request: HttpRequest, source: str) -> HttpResponse:
    """Ask whether to delete a source, and delete it once that is confirmed. One that is read is kept."""
    found, problem, status = _found(source), "", 200
    if request.method == "POST":
        try:
            services.delete(source, by=person_of(request).email, now=timezone.now())
        except CannotDelete as refusal:
            problem, status = str(refusal), 409
        except NoSuchSource as missing:
            raise Http404(str(missing)) from None
        else:
            return HttpResponseRedirect(reverse("sources"))
    elif reading := services.users(found):
        problem = f"{source} is read by {', '.join(reading)}"
    return render(request, "source_delete.html", {"source": found, "problem": problem}, status=status)


@require_GET
@needs("read")
def progress(request: HttpRequest, source: str) -> HttpResponse:
    """How far the check is, or what it found: a part of the page that asks for itself until it is done."""
    found = _found(source)
    return render(request, "partials/source_check.html", {"source": found, **_check(found)})


def _check(found: Source) -> dict[str, Any]:
    """The newest check with its findings, each with the tone, mark and words of its severity."""
    newest = source_checks.newest(found)
    findings = newest.findings.all() if newest is not None else ()
    return {"check": newest, "findings": [(one, *SEVERITY_WORDS[one.severity]) for one in findings]}


def _source_page(request: HttpRequest, found: Source, problem: str = "", status: int = 200) -> HttpResponse:
    context = {
        "source": found,
        "entry": catalog.source(found),
        "tables": services.shown(found.tables, found.spec.columns),
        **_check(found),
        "problem": problem,
    }
    return render(request, "source.html", context, status=status)


def _tell(form: Form, problem: CannotRegister) -> None:
    """Show a refusal in a form; a form that is not whole shows its own."""
    form.is_valid()
    if isinstance(form, UploadForm):
        form.errors.clear()  # its files never reach the form
    add_problems(form, problem.problems)


def _found(key: str) -> Source:
    try:
        return services.find(key)
    except NoSuchSource as missing:
        raise Http404(str(missing)) from None


def _limit() -> int:
    return services.largest_upload() // MEGABYTE


def _folders(form: FolderForm) -> list[str]:
    return [str(choice) for choice, _ in form.fields["folder"].choices]  # type: ignore[attr-defined]
