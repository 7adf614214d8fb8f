"""django-allauth's pages for accounts: those that are open here, and to whom. Signing up is not among them."""

from collections.abc import Callable
from typing import Any

from allauth.account import views as allauth
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse

from experiments.views.guard import AN_ACCOUNT, ANYBODY, needs


def _with_email(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A view that is there only where Holdfast can send e-mail."""

    @needs(ANYBODY)
    def sent(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not settings.HOLDFAST_EMAIL:
            raise Http404("passwords are not reset by e-mail here; an admin gives a new one")
        return view(request, *args, **kwargs)

    return sent


login = needs(ANYBODY)(allauth.login)
logout = needs(ANYBODY)(allauth.logout)
change_password = needs(AN_ACCOUNT)(allauth.password_change)
reset_password = _with_email(allauth.password_reset)
reset_password_done = _with_email(allauth.password_reset_done)
reset_password_from_key = _with_email(allauth.password_reset_from_key)
reset_password_from_key_done = _with_email(allauth.password_reset_from_key_done)
