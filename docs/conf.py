"""Settings of Sphinx for `make docs`, which needs no network; a warning is an error."""

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
smartquotes = False  # names of facets and modes stand in straight quotes

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"{project} {version}"
html_copy_source = False
html_show_copyright = False


# page -> the function that returns the text below its introduction
GENERATED = {page: partial(shown_files, page) for page in SHOWN}
GENERATED["reference/cli"] = command_reference


def fill_page(app, page: str, source: list[str]) -> None:
    """Keep the links of a page inside the site, and append its generated part."""
    source[0] = links_inside(source[0], HERE / f"{page}.md", page)
    if page in GENERATED:
        source[0] += GENERATED[page]()


def setup(app) -> None:
    """Connect to Sphinx, and write the generated pages anew in every build."""
    app.connect("source-read", fill_page)
    app.connect("env-get-outdated", lambda *_: list(GENERATED))
