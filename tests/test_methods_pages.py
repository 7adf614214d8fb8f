"""The methods pages: their code runs, and their figures are those of the runs that measured them."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "templates" / "methods").glob("*.md"))
REFERENCE = ROOT / "tests" / "reference"


def test_there_are_pages() -> None:
    assert {page.stem for page in PAGES} >= {"bands", "looks", "recommendations", "reversals"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_on_a_page_runs_and_prints_what_it_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    # A fence after an example would be read as its output.
    text = re.sub(r"^```.*$", "", text, flags=re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest(text, {}, page.stem, str(page), 0)
    runner = doctest.DocTestRunner(verbose=False)
    told: list[str] = []
    found = runner.run(examples, out=told.append)
    assert found.failed == 0, "".join(told)
    assert found.attempted > 0 or ">>>" not in text


@pytest.mark.parametrize("table", sorted(REFERENCE.glob("*.txt")), ids=lambda table: table.stem)
def test_every_frozen_table_is_on_a_page_as_it_was_measured(table: Path) -> None:
    assert any(table.read_text(encoding="utf-8").strip() in page.read_text(encoding="utf-8") for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_figures_on_a_page_comes_from_a_run(page: Path) -> None:
    measured = [table.read_text(encoding="utf-8").strip() for table in REFERENCE.glob("*.txt")]
    for block in re.findall(r"^```text\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL):
        left = block
        for table in measured:
            left = left.replace(table, "")
        assert not left.strip(), f"not in tests/reference: {left}"
