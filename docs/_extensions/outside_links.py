"""Pages made of files outside of docs/, and links to files of the repository."""

import os
import re
from pathlib import Path

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent

# page -> the files that it includes
SHOWN = {
    "reference/data_sets": ["datasets/README.md"],
    "reference/shipped_networks": [
        "boxrefine_d2/networks/shipped/dino_mini.md",
        "boxrefine_d2/networks/shipped/dino_mini_1.md",
        "boxrefine_d2/networks/shipped/found_mini.md",
        "boxrefine_d2/networks/shipped/resnet_mini.md",
        "boxrefine_d2/language/shipped/clip_mini.md",
    ],
}
_PAGES = {file: page for page, files in SHOWN.items() for file in files}
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#:\s]+)((?:#[^)]*)?)\)")
_NAME = re.compile(r"`(\w+)`")
_HEADING = re.compile(r"^#", re.MULTILINE)
_FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def shown_files(page: str) -> str:
    """Return the files of a page as Markdown.

    If a page has several files, their headings move one level down.
    """
    texts = []
    for name in SHOWN[page]:
        text = links_inside((ROOT / name).read_text(encoding="utf-8"), ROOT / name, page)
        if len(SHOWN[page]) > 1:
            # lines of code blocks, which may also begin with #, stay as they are
            parts = _FENCE.split(text)
            text = "".join(x if x.startswith("```") else _HEADING.sub("##", x) for x in parts)
        texts.append(text)
    return "\n".join(texts)


def links_inside(text: str, file: Path, page: str) -> str:
    """Return a text whose links lead to pages of the site if the site has such pages.

    A link to a module becomes a link to the class or function that the link text names. A link to
    a file that a page includes becomes a link to that page. Other files are offered for download.
    A link to a folder becomes plain text.

    Args:
        file: file of the text; its links are relative to it.
        page: page of the site on which the text appears.
    """
    here = DOCS / Path(page).parent

    def changed(link: re.Match[str]) -> str:
        words, target, anchor = link.groups()
        path = Path(os.path.normpath(file.parent / target))
        inside = os.path.relpath(path, ROOT)
        name = _NAME.fullmatch(words)
        if inside in _PAGES:
            return f"[{words}]({os.path.relpath(DOCS / _PAGES[inside], here)}.md{anchor})"
        if path.is_dir():
            return words
        if name and path.suffix == ".py":
            module = inside.removesuffix(".py").replace("/", ".")
            return f"{{py:obj}}`{name[1]} <{module}.{name[1]}>`"
        kind = "" if path.is_relative_to(DOCS) else "path:"
        return f"[{words}]({kind}{os.path.relpath(path, here)}{anchor})"

    return _LINK.sub(changed, text)
