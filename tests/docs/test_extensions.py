"""The Sphinx extensions of docs/_extensions convert docstrings and links."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def extension(name):
    spec = importlib.util.spec_from_file_location(f"_{name}", DOCS / "_extensions" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def to_rst():
    return extension("docstrings").to_rst


def test_code_is_literal_and_nothing_else_is_markup(to_rst):
    assert to_rst("Return `a_`s of *x* | y_.") == "Return ``a_``\\ s of \\*x\\* \\| y\\_."
    assert to_rst("See ``main(args)``.") == "See ``main(args)``."


def test_sections_in_a_block(to_rst):
    text = """Boxes.

    More.

    Args:
        boxes: (N, 4)
            XYXY.
        top, left: pixels: whole ones.
    Returns: (N,) `bool`.
    Raises: UserError if empty.
    """
    lines = [line[4:] if line.startswith("    ") else line for line in text.splitlines()]
    assert to_rst("\n".join(lines)) == (
        "Boxes.\n\nMore.\n\n"
        ":Args:\n    * **boxes** – (N, 4) XYXY.\n    * **top, left** – pixels: whole ones.\n\n"
        ":Returns: (N,) ``bool``.\n\n"
        ":Raises: UserError if empty."
    )


def test_sections_in_a_line(to_rst):
    text = "Draw. Args: a: one, or `b`.  c: two. Raises: UserError.\n\nThe end."
    assert to_rst(text) == (
        "Draw.\n\n:Args:\n    * **a** – one, or ``b``.\n    * **c** – two.\n\n"
        ":Raises: UserError.\n\nThe end."
    )


def test_a_section_name_in_a_sentence_starts_no_section(to_rst):
    assert to_rst("What it Raises: nothing.") == "What it Raises: nothing."


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        (
            "[`DiscoveryRule`](../../boxrefine_d2/discovery/rule.py)",
            "{py:obj}`DiscoveryRule <boxrefine_d2.discovery.rule.DiscoveryRule>`",
        ),
        ("[data](../../datasets/README.md#specs)", "[data](../reference/data_sets.md#specs)"),
        ("[a plan](../../setup.py)", "[a plan](path:../../setup.py)"),
        ("[the folder](../../benchmarks)", "the folder"),
        ("[metrics](../reference/metrics.md)", "[metrics](../reference/metrics.md)"),
        ("[here](#rules)", "[here](#rules)"),
        ("[there](https://example.org/a)", "[there](https://example.org/a)"),
    ],
)
def test_links_stay_inside_the_site(link, shown):
    page = "design/extending"
    assert extension("outside_links").links_inside(link, DOCS / f"{page}.md", page) == shown


def test_links_of_a_shown_file_are_relative_to_its_page():
    links = extension("outside_links")
    card = links.ROOT / "boxrefine_d2/networks/shipped/resnet_mini.md"
    text = links.links_inside(
        "[a](dino_mini.md), [b](../../../NOTICE.md)", card, "reference/shipped_networks"
    )
    assert text == "[a](shipped_networks.md), [b](path:../../NOTICE.md)"
