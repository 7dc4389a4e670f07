"""Tests of the pages: links within the repository lead somewhere, and the README stays short."""

import re
from pathlib import Path

import pytest

from boxrefine_d2.cli import VERBS

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FOLDERS = ("docs", "datasets", "boxrefine_d2")
BUILT = ROOT / "docs" / "_build"
PAGES = sorted(
    page
    for page in {
        *ROOT.glob("*.md"),
        *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md")),
    }
    if not page.is_relative_to(BUILT)
)


def headings(page: Path) -> set[str]:
    """Return the anchors of a page, as GitHub makes them."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_page_have_targets(page):
    for target in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in headings(file), f"{page.name}: {target}"


def test_the_readme_is_short():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if len(line) > 100] == []


def test_every_page_is_linked_from_the_readme_or_from_a_page():
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in PAGES
        for target in LINK.findall(page.read_text())
        if "://" not in target
    }
    for page in PAGES:
        if page.is_relative_to(ROOT / "docs"):
            assert page.resolve() in linked, page


def test_verbs_on_the_pages_exist():
    first_words = {verb.split()[0] for verb in VERBS}
    for page in PAGES:
        for verb in re.findall(r"^boxrefine ([a-z-]+)", page.read_text(), re.MULTILINE):
            assert verb in first_words, f"{page.name}: boxrefine {verb}"
