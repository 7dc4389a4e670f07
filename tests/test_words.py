"""Plain words: a docstring begins with an imperative or a noun phrase, and an input is an image."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("boxrefine_d2", "tools", "datasets", "benchmarks", "experiments", "fuzz", "tests")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "boxrefine_d2").rglob("*.md")]
# Words without a subject or a verb of their own: "Of the image that ...".
RIDDLES = ("Of", "What", "Whose", "Whether", "How", "Where", "Those", "That", "So", "By", "As")
PICTURE = re.compile(r"\bpictures?\b", re.IGNORECASE)
# The recipe of Detectron2's build stays as it is; a prompt of the papers; this file.
OTHERS_WORDS = (
    "tools/build_detectron2.py",
    "language/blip.py",
    "test_captioners.py",
    "test_words.py",
)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_docstring_says_what_it_is_about_first(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node) or "Text."
            assert text.split(maxsplit=1)[0] not in RIDDLES, text.splitlines()[0]


@pytest.mark.parametrize("path", [*SOURCES, *PAGES], ids=named)
def test_an_input_is_an_image(path):
    if named(path).endswith(OTHERS_WORDS) or "_build" in path.parts:
        return
    text = (
        path.read_text(encoding="utf-8").replace("picture-masks", "").replace("picture_masks", "")
    )
    assert PICTURE.findall(text) == []
