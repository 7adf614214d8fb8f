"""Keys of programs that ask for flags: everybody sees which there are, admins make and revoke them."""

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from experiments.forms import KeyForm
from experiments.models import SdkKey
from experiments.services import keys as service
from experiments.services.keys import CannotChangeKey, NoSuchKey
from experiments.views.guard import needs, person_of


@require_GET
@needs("read")
def keys(request: HttpRequest) -> HttpResponse:
    """All keys, those in use first; of their texts the first letters."""
    found = sorted(service.everything(), key=lambda key: (key.revoked_at is not None, key.name, key.pk))
    return render(request, "keys.html", {"keys": found})


@require_http_methods(["GET", "POST"])
@needs("administer")
def add(request: HttpRequest) -> HttpResponse:
    """A form for a new key, whose text is on the page that answers the form."""
    form, text = KeyForm(request.POST if request.method == "POST" else None), ""
    if request.method == "POST" and form.is_valid():
        told = form.cleaned_data
        try:
            text = service.create(
                told["name"], told["kind"], told["origins"], by=person_of(request).email, now=timezone.now()
            )
        except CannotChangeKey as refusal:
            form.add_error(None, f"Not made: {refusal}.")
    status = 422 if form.errors else 200
    context = {"form": form, "text": text, "address": request.build_absolute_uri("/").rstrip("/")}
    return render(request, "key_add.html", context, status=status)


@require_http_methods(["GET", "POST"])
@needs("administer")
def revoke(request: HttpRequest, number: int) -> HttpResponse:
    """Ask whether to end a key, and end it once that is confirmed."""
    key, problem, status = _found(number), "", 200
    if request.method == "POST":
        try:
            service.revoke_number(number, by=person_of(request).email, now=timezone.now())
        except CannotChangeKey as refusal:
            problem, status = str(refusal), 409
        else:
            return HttpResponseRedirect(reverse("keys"))
    elif key.revoked_at is not None:
        problem = f"it was revoked on {key.revoked_at:%Y-%m-%d}"
    return render(request, "key_revoke.html", {"key": key, "problem": problem}, status=status)


def _found(number: int) -> SdkKey:
    try:
        return service.find(number)
    except NoSuchKey as missing:
        raise Http404(str(missing)) from None
