"""How files come in: only to views that ask for them, only from those who may send them, and straight to disk.

Forms are read before a view is asked, so this is a door of its own: without it anybody could fill the disk with files
that are refused afterwards.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile, StopUpload
from django.http import HttpRequest, HttpResponse

from experiments.models import Person
from experiments.services import access
from experiments.services.uploads import CannotReceive, Incoming

View = TypeVar("View", bound=Callable[..., HttpResponse])


def receives_files(view: View) -> View:
    """Declare that a view takes files from those who may edit. They are found with ``received``."""
    view.receives_files = True  # type: ignore[attr-defined]  # decorators above this one take it over
    return view


class Received(UploadedFile):  # type: ignore[type-arg]  # it has no file to be read here
    """A file that has come in whole. It is removed at the end of the request unless it was taken."""

    def __init__(self, incoming: Incoming) -> None:
        super().__init__(name=incoming.label, size=incoming.size)
        self.incoming = incoming

    def close(self) -> None:
        self.incoming.close()


class ToDisk(FileUploadHandler):
    """Writes files to disk as they come. What is wrong with one is kept with the request, for the view to say."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        if not _welcome(self.request):
            raise StopUpload(connection_reset=True)
        if not self.file_name:
            raise SkipFile
        try:
            self.file = Incoming(self.file_name, _announced(self.request))
        except CannotReceive as problem:
            self._refuse(problem)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        assert isinstance(self.file, Incoming)
        try:
            self.file.write(raw_data)
        except CannotReceive as problem:
            self._refuse(problem)

    def file_complete(self, file_size: int) -> Received | None:
        assert isinstance(self.file, Incoming)
        try:
            self.file.finish()
        except CannotReceive as problem:
            problems(self.request)[str(self.field_name)] = str(problem)
            return None
        return Received(self.file)

    def _refuse(self, problem: CannotReceive) -> None:
        """The rest of the file is read over, so that the browser comes to see the answer; it goes nowhere."""
        problems(self.request)[str(self.field_name)] = str(problem)
        raise SkipFile


def problems(request: HttpRequest | None) -> dict[str, str]:
    """What was wrong with files of this request while they came in, by field."""
    assert request is not None
    found: dict[str, str] = request.__dict__.setdefault("upload_problems", {})
    return found


def received(request: HttpRequest, field: str) -> Incoming | None:
    """The file that came in for a field of the form."""
    found = request.FILES.get(field)
    return found.incoming if isinstance(found, Received) else None


def _announced(request: HttpRequest | None) -> int:
    """Bytes that the whole request says it has."""
    length = request.META.get("CONTENT_LENGTH") if request is not None else None
    return int(length) if isinstance(length, str) and length.isdecimal() else 0


def _welcome(request: HttpRequest | None) -> bool:
    match = request.resolver_match if request is not None else None
    user = getattr(request, "user", None)
    if match is None or not getattr(match.func, "receives_files", False) or not isinstance(user, Person):
        return False
    return not user.must_change_password and access.refusal(user, "edit") is None
