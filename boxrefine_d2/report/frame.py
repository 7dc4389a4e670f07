"""The frame of every page of this room: one look, without scripts, that needs nothing but itself."""

from collections.abc import Sequence
from importlib import resources
from string import Template

from .page_text import escape


def framed(
    title: str, verdict: str, notes: str, sections: Sequence[str], style: str | None = None
) -> str:
    """A whole page.

    Args:
        title: plain text.
        verdict: what the page says, in a line or two.
        notes: paragraphs below it.
        sections: see `section`.
        style: a style sheet of this room beside the one that all pages have.
    """
    return Template(_text("frame.html")).substitute(
        title=escape(title),
        verdict=verdict,
        notes=notes,
        sections="\n".join(part for part in sections if part),
        style=_text(style) if style else "",
    )


def section(name: str, title: str, content: str) -> str:
    """A part of a page. Args: name: that addresses and styles know.  title: plain text."""
    return f'<section id="{name}"><h2>{escape(title)}</h2>\n{content}\n</section>'


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
