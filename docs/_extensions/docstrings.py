"""A Sphinx extension that turns our docstrings into reStructuredText.

The docstrings are Markdown with "Args:", "Attributes:", "Returns:" and "Raises:".
"""

import re

_SECTION = re.compile(
    r"(?:^|(?<=[.;:)\]`]\s))(Args|Attributes|Returns|Raises)(?: \(keyword\))?:\s+", re.MULTILINE
)
# an argument begins a line, or follows two spaces
_ITEM = re.compile(r"(?:^|\n[ ]*|[ ]{2,})(\*{0,2}\w+(?:, \w+)*):\s+")
_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
_MARKUP = re.compile(r"([\\*|])|(?<=\w)(_)(?!\w)")


def to_rst(text: str) -> str:
    """Return a docstring as reStructuredText: code spans become literals, sections field lists."""
    body, *sections = _SECTION.split(text.strip())
    parts = [_inline(body.strip())]
    for title, content in zip(sections[::2], sections[1::2], strict=True):
        content, _, rest = content.partition("\n\n")
        parts.append(_field(title, content))
        parts.append(_inline(rest.strip()))
    return "\n\n".join(part for part in parts if part)


def _field(title: str, content: str) -> str:
    before, *items = _ITEM.split(content.strip())
    if title in ("Returns", "Raises") or before or not items:
        return f":{title}: {_line(content)}"
    lines = [f"**{name}** – {_line(text)}" for name, text in zip(items[::2], items[1::2])]
    return "\n".join([f":{title}:", *(f"    * {line}" for line in lines)])


def _line(text: str) -> str:
    return _inline(" ".join(text.split()))


def _inline(text: str) -> str:
    """Turn code spans into literals, and escape all markup outside of them."""
    parts, end = [], 0
    for span in _CODE.finditer(text):
        code = " ".join(span[2].split())
        glued = text[span.end() : span.end() + 1].isalnum()
        parts += [_escaped(text[end : span.start()]), f"``{code}``" + ("\\ " if glued else "")]
        end = span.end()
    return "".join([*parts, _escaped(text[end:])])


def _escaped(text: str) -> str:
    return _MARKUP.sub(lambda match: "\\" + match[0], text)


def _process(app, what, name, obj, options, lines: list[str]) -> None:
    lines[:] = to_rst("\n".join(lines)).split("\n") + [""]


def setup(app) -> dict[str, bool]:
    """Pass every docstring that autodoc reads through `to_rst`."""
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True}
