"""Pages that are files outside of docs/, and links to files of the repository."""

import os
import re
from pathlib import Path

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent

# page -> the files that it shows
SHOWN = {
    "reference/data_sets": ["datasets/README.md"],
    "reference/shipped_networks": [
        "boxrefine_d2/networks/shipped/dino_mini.md",
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
    """Return what a page shows, in Markdown; headings of several files are one level lower."""
    texts = []
    for name in SHOWN[page]:
        text = links_inside((ROOT / name).read_text(encoding="utf-8"), ROOT / name, page)
        if len(SHOWN[page]) > 1:
            # a line of a code block may begin with # too
            parts = _FENCE.split(text)
            text = "".join(x if x.startswith("```") else _HEADING.sub("##", x) for x in parts)
        texts.append(text)
    return "\n".join(texts)


def links_inside(text: str, file: Path, page: str) -> str:
    """Return a text whose links lead to pages of the site where it has them.

    A link to a module becomes one to the class or function that it names, and a link to a file that a page shows, one to
    that page. Other files are offered for download. A folder has no link.

    Args: file: of the text: links are relative to it.  page: the text's place in the site.
    """
    here = DOCS / Path(page).parent

    def changed(found: re.Match[str]) -> str:
        words, target, anchor = found.groups()
        wanted = Path(os.path.normpath(file.parent / target))
        inside = os.path.relpath(wanted, ROOT)
        name = _NAME.fullmatch(words)
        if inside in _PAGES:
            return f"[{words}]({os.path.relpath(DOCS / _PAGES[inside], here)}.md{anchor})"
        if wanted.is_dir():
            return words
        if name and wanted.suffix == ".py":
            module = inside.removesuffix(".py").replace("/", ".")
            return f"{{py:obj}}`{name[1]} <{module}.{name[1]}>`"
        kind = "" if wanted.is_relative_to(DOCS) else "path:"
        return f"[{words}]({kind}{os.path.relpath(wanted, here)}{anchor})"

    return _LINK.sub(changed, text)
