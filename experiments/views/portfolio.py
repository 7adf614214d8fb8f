"""The home page: every experiment and holdout in a row, what needs a decision first, with filters in the address."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from experiments.services import portfolio as service
from experiments.views.guard import needs
from experiments.views.portfolio_rows import FLAGS, GROUPS, Placed, Row, placed, row_of

#: Rows a page.
PAGE = 50


@dataclass(frozen=True)
class Filters:
    """What is asked for. An empty text asks for everything."""

    q: str = ""
    state: str = ""
    owner: str = ""
    flag: str = ""
    kind: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Filters":
        return cls(**{name: query.get(name, "").strip() for name in cls.__dataclass_fields__})

    def keeps(self, one: Placed) -> bool:
        entry = one.entry
        text = f"{entry.key} {entry.name} {entry.owner} {entry.hypothesis}".lower()
        return (
            all(word in text for word in self.q.lower().split())
            and self.state in ("", entry.state)
            and self.owner in ("", entry.owner)
            and self.kind in ("", entry.kind)
            and (not self.flag or any(flag.kind == self.flag for flag in one.flags))
        )

    @property
    def asked(self) -> dict[str, str]:
        return {name: value for name, value in vars(self).items() if value}


@dataclass(frozen=True)
class Section:
    """Neighboring rows of one group; ``total`` counts all of the group, on other pages too."""

    title: str
    total: int
    rows: tuple[Row, ...]


@require_GET
@needs("read")
def portfolio(request: HttpRequest) -> HttpResponse:
    """All that the filters keep, a page at a time."""
    everything = sorted((placed(entry) for entry in service.portfolio(timezone.now())), key=lambda one: one.rank)
    filters = Filters.of(request.GET.dict())
    kept = [one for one in everything if filters.keeps(one)]
    page = _page(request, len(kept))
    shown = kept[PAGE * (page - 1) : PAGE * page]
    context = {
        "sections": list(_sections(kept, shown)),
        "filters": filters,
        "options": _options(everything),
        "total": len(everything),
        "kept": len(kept),
        "before": _address(filters, page - 1) if page > 1 else "",
        "after": _address(filters, page + 1) if PAGE * page < len(kept) else "",
        "first": PAGE * (page - 1) + 1,
        "last": PAGE * (page - 1) + len(shown),
    }
    return render(request, "portfolio.html", context)


def _page(request: HttpRequest, kept: int) -> int:
    text = request.GET.get("page", "1")
    last = max(1, -(-kept // PAGE))
    if not text.isdecimal() or not 1 <= int(text) <= last:
        raise Http404(f"page is {text}; there are pages 1 to {last}")
    return int(text)


def _sections(kept: Sequence[Placed], shown: Sequence[Placed]) -> Iterator[Section]:
    courses = service.courses([one.entry for one in shown])
    for group, members in groupby(shown, key=lambda one: one.group):
        rows = tuple(row_of(one, courses.get(one.entry.key, service.Course())) for one in members)
        yield Section(GROUPS[group], sum(one.group == group for one in kept), rows)


def _options(everything: Sequence[Placed]) -> dict[str, list[tuple[str, str]]]:
    """The choices that lead to anything, each with its words."""

    def values(found: Iterator[str]) -> list[tuple[str, str]]:
        return [(value, value) for value in sorted(set(found))]

    flags = {flag.kind for one in everything for flag in one.flags}
    return {
        "state": values(one.entry.state for one in everything),
        "owner": values(one.entry.owner for one in everything),
        "kind": values(one.entry.kind for one in everything),
        "flag": [(kind, words) for kind, words in FLAGS.items() if kind in flags],
    }


def _address(filters: Filters, page: int) -> str:
    return f"?{urlencode({**filters.asked, **({'page': page} if page > 1 else {})})}"
