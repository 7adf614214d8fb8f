"""The methods pages: what each figure means and how it is computed, written in Markdown under templates/methods.

Raw HTML is shown as text. Links between pages work; a link to a page that is not there is plain words. Django-free.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

FOLDER = Path(__file__).resolve().parent.parent / "templates" / "methods"
PAGE_LINK = re.compile(r"(?P<name>[a-z0-9-]+)\.md(?P<anchor>#[a-z0-9-]+)?")
OUTSIDE = ("https://", "http://")


@dataclass(frozen=True)
class Heading:
    anchor: str
    words: str


@dataclass(frozen=True)
class MethodsPage:
    """One page, rendered. ``html`` is without the title; ``headings`` are those of the second level."""

    name: str
    title: str
    summary: str
    html: str
    headings: tuple[Heading, ...]


@lru_cache(maxsize=1)
def pages(folder: Path = FOLDER) -> Mapping[str, MethodsPage]:
    """Return all pages by name, in the order of their titles. Files are read once: they come with the product."""
    texts = {file.stem: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.md"))}
    found = [render(name, text, texts) for name, text in texts.items()]
    return {page.name: page for page in sorted(found, key=lambda page: page.title.lower())}


def render(name: str, text: str, known: Mapping[str, str]) -> MethodsPage:
    """Return the page of a Markdown text; ``known`` are the pages that links may lead to."""
    markdown = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable("table")
    tokens = markdown.parse(text)
    title = ""
    if tokens and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        title, tokens = _plain(tokens[1]), tokens[3:]
    headings = tuple(_anchored(tokens))
    for token in tokens:
        token.children = _linked(token.children, known) if token.children else token.children
    first = next((token for token in tokens if token.type == "inline"), None)
    return MethodsPage(
        name=name,
        title=title or name.replace("-", " ").capitalize(),
        summary=_plain(first) if first else "",
        html=markdown.renderer.render(tokens, markdown.options, {}),
        headings=headings,
    )


def _anchored(tokens: Sequence[Token]) -> Iterator[Heading]:
    """Give every heading of the second level an anchor of its own."""
    used: set[str] = set()
    for token, inside in pairwise(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            words = _plain(inside)
            anchor = base = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "section"
            number = 2
            while anchor in used:
                anchor, number = f"{base}-{number}", number + 1
            used.add(anchor)
            token.attrSet("id", anchor)
            yield Heading(anchor, words)


def _plain(inline: Token) -> str:
    """The words of a paragraph or a heading without marks."""
    return "".join(child.content if child.type != "softbreak" else " " for child in inline.children or ())


def _linked(children: Sequence[Token], known: Mapping[str, str]) -> list[Token]:
    """Lead links between files to pages, keep those within the page and to other sites, and drop all others."""
    kept: list[Token] = []
    dropped = 0
    for token in children:
        if token.type == "link_open":
            address = _address(str(token.attrGet("href") or ""), known)
            if address is None:
                dropped += 1
                continue
            token.attrSet("href", address)
        elif token.type == "link_close" and dropped:
            dropped -= 1
            continue
        kept.append(token)
    return kept


def _address(href: str, known: Mapping[str, str]) -> str | None:
    page = PAGE_LINK.fullmatch(href)
    if page:
        return f"../{page['name']}/{page['anchor'] or ''}" if page["name"] in known else None
    return href if href.startswith((*OUTSIDE, "#")) else None


class _Renderer(RendererHTML):
    """Wide tables and code scroll within the page, and the keyboard reaches them."""

    def table_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        env["tables"] = env.get("tables", 0) + 1
        return f'<div class="scroll" tabindex="0" role="region" aria-label="Table {env["tables"]}"><table>'

    def table_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return "</table></div>"

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        # A doctest ends with an empty line.
        tokens[idx].content = tokens[idx].content.rstrip() + "\n"
        return super().fence(tokens, idx, options, env).replace("<pre>", '<pre tabindex="0">', 1)

    def code_block(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return super().code_block(tokens, idx, options, env).replace("<pre>", '<pre tabindex="0">', 1)
