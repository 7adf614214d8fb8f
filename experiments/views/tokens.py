"""Tokens of the API: everybody makes and revokes their own; admins see those of all."""

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from experiments.forms import TokenForm
from experiments.services import tokens as service
from experiments.services.access import NotAllowed
from experiments.services.tokens import CannotMakeToken, NewToken, NoSuchToken
from experiments.views.guard import needs, person_of

#: Tokens on the page: the newest ones.
SHOWN = 200


@require_http_methods(["GET", "POST"])
@needs("read")
def tokens(request: HttpRequest) -> HttpResponse:
    """The tokens that one sees, and a form for a new one, whose secret is on the page that answers the form."""
    if request.method != "POST":
        return _page(request, TokenForm())
    form = TokenForm(request.POST)
    if form.is_valid():
        told, person = form.cleaned_data, person_of(request)
        try:
            made = service.create(
                person, told["name"], told["scopes"], told["days"], by=person.email, now=timezone.now()
            )  # fmt: skip
        except (CannotMakeToken, NotAllowed) as refusal:
            form.add_error(None, f"Not made: {refusal}.")
        else:
            return _page(request, TokenForm(), made)
    return _page(request, form, status=422)


@require_http_methods(["GET", "POST"])
@needs("read")
def revoke(request: HttpRequest, number: int) -> HttpResponse:
    """Ask whether to end a token, and end it at once when that is confirmed."""
    try:
        if request.method != "POST":
            return render(request, "token_revoke.html", {"token": service.seen(number, person_of(request))})
        service.revoke(number, by=person_of(request), now=timezone.now())
    except NoSuchToken as missing:
        raise Http404(str(missing)) from None
    return HttpResponseRedirect(reverse("tokens"))


def _page(request: HttpRequest, form: TokenForm, made: NewToken | None = None, status: int = 200) -> HttpResponse:
    now = timezone.now()
    found = service.of_person(person_of(request))[:SHOWN]
    listed = [(token, token.state(now), service.in_words(token)) for token in found]
    return render(request, "tokens.html", {"tokens": listed, "form": form, "made": made}, status=status)
