"""Help: the methods pages and their index."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from experiments import methods as written
from experiments.services.suggest import did_you_mean
from experiments.views.guard import needs


@require_GET
@needs("read")
def index(request: HttpRequest) -> HttpResponse:
    return render(request, "methods/index.html", {"pages": written.pages().values()})


@require_GET
@needs("read")
def page(request: HttpRequest, name: str) -> HttpResponse:
    pages = written.pages()
    if name not in pages:
        raise Http404(f"there is no methods page `{name}`{did_you_mean(name, list(pages))}")
    others = [other for other in pages.values() if other.name != name]
    return render(request, "methods/page.html", {"page": pages[name], "others": others})
