"""People, for admins: who has an account, which role, and whether it is open."""

from collections.abc import Callable
from functools import partial

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from experiments.forms import NO_ROLE, ROLE_CHOICES, ActiveForm, RoleForm
from experiments.models import Person
from experiments.services import audit
from experiments.services import people as accounts
from experiments.services.people import CannotChangePerson
from experiments.views.guard import needs, person_of


@require_GET
@needs("administer")
def people(request: HttpRequest) -> HttpResponse:
    """Everybody with an account."""
    return _page(request)


@require_POST
@needs("administer")
def role(request: HttpRequest, number: int) -> HttpResponse:
    """Give somebody another role."""
    person, form = _found(number), RoleForm(request.POST)
    if not form.is_valid():
        return _page(request, "choose one of the roles", status=422)
    chosen = form.cleaned_data["role"]
    return _changed(request, partial(accounts.change_role, person, None if chosen == NO_ROLE else chosen))


@require_POST
@needs("administer")
def active(request: HttpRequest, number: int) -> HttpResponse:
    """Disable or enable somebody's account."""
    person, form = _found(number), ActiveForm(request.POST)
    if not form.is_valid():
        return _page(request, "say whether the account is to be enabled", status=422)
    return _changed(request, partial(accounts.set_active, person, active=form.cleaned_data["active"]))


def _changed(request: HttpRequest, change: Callable[..., None]) -> HttpResponse:
    try:
        change(by=person_of(request).email, now=timezone.now())
    except CannotChangePerson as refusal:
        return _page(request, str(refusal), status=409)
    return HttpResponseRedirect(reverse("people"))


def _page(request: HttpRequest, problem: str = "", status: int = 200) -> HttpResponse:
    context = {
        "everybody": accounts.everybody(),
        "roles": ROLE_CHOICES,
        "no_role": NO_ROLE,
        "entries": audit.about_people(),
        "problem": problem,
    }
    return render(request, "people.html", context, status=status)


def _found(number: int) -> Person:
    person = Person.objects.filter(pk=number).first()
    if person is None:
        raise Http404("there is no such person")
    return person
