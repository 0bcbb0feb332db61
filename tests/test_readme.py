"""README.md and docs/: links lead somewhere, they stay short, and a number is true."""

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

README = ROOT / "README.md"
DOCS = [README, *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*DOCS, *(ROOT / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY"))]
MOST_LINES = 110
MOST_WORDS = 12_900


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    ours = [link for link in links if not link.startswith("https://")]
    assert [link for link in ours if not leads_somewhere(page, link)] == []


def test_a_link_to_nowhere_is_noticed() -> None:
    assert leads_somewhere(README, "docs/photos.md#the-split")
    assert not leads_somewhere(README, "docs/photos.md#a-heading-that-is-not-there")
    assert not leads_somewhere(README, "docs/nowhere.md")


def test_every_page_is_reached_from_another() -> None:
    texts = {page: page.read_text(encoding="utf-8") for page in PAGES}
    for page in DOCS[1:]:
        others = [text for other, text in texts.items() if other != page]
        assert any(f"{page.name})" in text or f"{page.name}#" in text for text in others), page


def test_they_are_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    assert sum(len(page.read_text(encoding="utf-8").split()) for page in DOCS) <= MOST_WORDS


def test_the_loop_has_as_many_lines_as_the_readme_says() -> None:
    (said,) = re.findall(r"of (\d+) lines", README.read_text(encoding="utf-8"))
    module = ast.parse((ROOT / "stages/train/training.py").read_text(encoding="utf-8"))
    (run,) = (
        node
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef) and node.name == "run"
    )
    assert run.end_lineno is not None
    assert int(said) == run.end_lineno - run.lineno + 1
