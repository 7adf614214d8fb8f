"""Pages as a reader sees them, for tests."""

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

from django.utils.html import strip_tags


def words(response: Any) -> str:
    """The page as a reader sees it: tags gone, any white space one space."""
    return plain(response.content.decode())


def plain(html: str) -> str:
    without_data = re.sub(r"<script.*?</script>", " ", html, flags=re.DOTALL)
    spaced = re.sub(r"(</t[dh]>|</d[td]>|</li>|</option>|<br>)", r"\1 ", without_data)
    return re.sub(r"\s+", " ", unescape(strip_tags(spaced))).strip()


class _Tables(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tables: list[tuple[str, list[list[str]]]] = []
        self._cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append((dict(attrs).get("data-part") or "", []))
        elif tag == "tr" and self.tables:
            self.tables[-1][1].append([])
        elif tag in ("td", "th") and self.tables:
            self._cell = []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self.tables[-1][1][-1].append(re.sub(r"\s+", " ", "".join(self._cell)).strip())
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)


def tables(response: Any) -> dict[str, list[list[list[str]]]]:
    """The tables of a page by what they hold (``data-part``): rows of cells as text."""
    parser = _Tables()
    parser.feed(response.content.decode())
    found: dict[str, list[list[list[str]]]] = {}
    for part, rows in parser.tables:
        found.setdefault(part, []).append(rows)
    return found
