"""The methods pages: their code runs and says what they claim, their links lead somewhere, nothing raw gets through."""

import doctest
import re
from pathlib import Path

import pytest
from django.test import Client

from experiments import methods
from experiments.methods import FOLDER, render
from tests.experiments.pages import words

FILES = sorted(FOLDER.glob("*.md"))
LINKED = re.compile(r"\]\(([a-z0-9-]+)\.md")
#: Pages that every installation has, because columns and charts lead to them.
NEEDED = {
    "bands", "checks", "effects", "looks", "recommendations", "reversals", "scorecard", "segments", "survival",
    "assignment", "holdouts", "notebooks", "reconciliation",
}  # fmt: skip
#: Pages whose code asks a live server: it runs in test_client.py.
SERVED = {"notebooks"}
#: Tables of measured rates, as tests/rates has frozen them.
MEASURED = sorted((Path(__file__).parents[1] / "reference").glob("*.txt"))


@pytest.mark.parametrize("file", [file for file in FILES if file.stem not in SERVED], ids=lambda file: file.stem)
def test_the_code_of_a_page_says_what_the_page_claims(file: Path) -> None:
    outcome = doctest.testfile(str(file), module_relative=False, optionflags=doctest.FAIL_FAST)
    assert outcome.failed == 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_page_has_a_title_sections_and_sentences(file: Path) -> None:
    page = methods.pages()[file.stem]
    assert page.title
    assert page.headings
    assert len(page.summary) > 40
    assert "<h1" not in page.html


@pytest.mark.parametrize("table", MEASURED, ids=lambda table: table.stem)
def test_every_frozen_table_is_on_a_page_as_it_was_measured(table: Path) -> None:
    assert any(_text(table) in _text(file) for file in FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_block_of_figures_on_a_page_comes_from_a_run(file: Path) -> None:
    for block in re.findall(r"^```text\n(.*?)^```$", _text(file), flags=re.MULTILINE | re.DOTALL):
        left = block
        for table in MEASURED:
            left = left.replace(_text(table), "")
        assert not left.strip(), f"not in tests/reference: {left}"


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()


def test_the_pages_that_columns_lead_to_are_there() -> None:
    assert set(methods.pages()) >= NEEDED


def test_every_page_is_served_with_its_contents_and_leads_to_the_others(client: Client) -> None:
    for name, page in methods.pages().items():
        response = client.get(f"/methods/{name}/")
        html = response.content.decode()
        assert response.status_code == 200
        assert f"<h1>{page.title}</h1>".replace("'", "&#x27;") in html
        for heading in page.headings:
            assert f'<a href="#{heading.anchor}">' in html
            assert f'id="{heading.anchor}"' in html
        for target in re.findall(r'href="\.\./([a-z0-9-]+)/', page.html):
            assert client.get(f"/methods/{target}/").status_code == 200


def test_the_index_lists_every_page(client: Client) -> None:
    html = client.get("/methods/").content.decode()
    for name in methods.pages():
        assert f'<a href="/methods/{name}/">' in html


def test_a_page_that_is_not_there_is_named(client: Client) -> None:
    response = client.get("/methods/survial/")
    assert response.status_code == 404
    assert "did you mean `survival`?" in words(response)


# --- Markdown ---------------------------------------------------------------------------------------------------------
KNOWN = {"one": "", "other": ""}


def test_links_lead_to_pages_and_one_to_a_page_that_is_not_there_is_plain_words() -> None:
    html = render("one", "See [the other](other.md#part), [nothing](missing.md) and [here](#top).", KNOWN).html
    assert '<a href="../other/#part">the other</a>' in html
    assert "nothing and" in html
    assert '<a href="#top">here</a>' in html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "[click](javascript:alert(1))",
        "[click](data:text/html;base64,PHNjcmlwdD4=)",
        "[click](/admin/)",
        "[click](../../etc/passwd)",
        '<img src="x" onerror="alert(1)">',
    ],
)
def test_nothing_raw_gets_through(text: str) -> None:
    html = render("one", text, KNOWN).html
    assert not re.search(r"<(script|img|a)\b", html)


def test_tables_and_code_scroll_and_can_be_reached_by_the_keyboard() -> None:
    html = render("one", "| a | b |\n| - | - |\n| 1 | 2 |\n\n```\n>>> 1 < 2\nTrue\n```\n", KNOWN).html
    assert '<div class="scroll" tabindex="0" role="region" aria-label="Table 1"><table>' in html
    assert '<pre tabindex="0"><code>&gt;&gt;&gt; 1 &lt; 2' in html


def test_headings_with_the_same_words_have_anchors_of_their_own() -> None:
    page = render("one", "# Title `code`\n\n## Part\n\ntext\n\n## Part\n\n## 中\n", KNOWN)
    assert page.title == "Title code"
    assert [heading.anchor for heading in page.headings] == ["part", "part-2", "section"]
    assert render("long-name", "no title", KNOWN).title == "Long name"
