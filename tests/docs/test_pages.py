"""Documentation pages: links have targets, commands are accepted, the README is short."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from boxrefine_d2.cli import VERBS
from boxrefine_d2.training.setup import load_config

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
WITH_COMMANDS = [ROOT / "README.md", *sorted((ROOT / "docs/guides").glob("*.md"))]
# A command alone, after environment variables, or started by torchrun.
COMMAND = re.compile(r"^(?:[A-Z_]+=\S+ |torchrun .*)*boxrefine (.+)")


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings as GitHub makes them."""
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


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda path: path.name)
def test_the_commands_of_a_page_are_accepted(page):
    """The verb of each command parses its arguments and loads its configuration."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    commands = "".join(text for language, text in blocks if language in ("", "sh"))
    lines = commands.replace("\\\n", " ").splitlines()
    matches = [COMMAND.search(line) for line in lines]
    commands = [shlex.split(match[1], comments=True) for match in matches if match]
    assert commands
    for verb, *words in commands:
        args = import_module(f"boxrefine_d2.cli.{VERBS[verb][0]}").parser().parse_args(words)
        if verb == "train":
            load_config(args.config_file, args.opts)
