"""Settings of Sphinx: `make docs` builds docs/_build/html, without a network. Warnings are errors."""

import sys
from functools import partial
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_extensions")]

from command_reference import command_reference  # noqa: E402
from outside_links import SHOWN, links_inside, shown_files  # noqa: E402

import boxrefine_d2  # noqa: E402

project = "boxrefine_d2"
author = "The boxrefine_d2 authors"
version = release = boxrefine_d2.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "docstrings"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
python_maximum_signature_line_length = 90
python_use_unqualified_type_names = True

highlight_language = "text"
smartquotes = False  # names of facets and modes are quoted

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"{project} {version}"
html_copy_source = False
html_show_copyright = False


# page -> what writes it below its introduction
GENERATED = {page: partial(shown_files, page) for page in SHOWN}
GENERATED["reference/cli"] = command_reference


def fill_page(app, page: str, source: list[str]) -> None:
    """Keep links inside the site, and write the generated part of a page."""
    source[0] = links_inside(source[0], HERE / f"{page}.md", page)
    if page in GENERATED:
        source[0] += GENERATED[page]()


def setup(app) -> None:
    """Connect to Sphinx. Generated pages are written anew by every build."""
    app.connect("source-read", fill_page)
    app.connect("env-get-outdated", lambda *_: list(GENERATED))
