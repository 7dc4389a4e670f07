"""The keys of the configuration for readers: some lines for a key, a Markdown page for all."""

import textwrap
from collections.abc import Callable, Iterable

from boxrefine_d2.errors import UserError

from .known import known_sections
from .section import Key, Section

# returns the names in a registry, given the registry's name in this package
NamesIn = Callable[[str], Iterable[str]]

_INTRODUCTION = """\
# Configuration

The keys that boxrefine_d2 adds to those of
[Detectron2](https://detectron2.readthedocs.io/modules/config.html). The defaults are the paper
profile. A YAML file changes keys, and so do `KEY VALUE` pairs at the end of a command line:

```
boxrefine train --config-file configs/lost_refine.yaml REFINE.WARMUP_ITERS 500 SOLVER.MAX_ITER 1500
```

`boxrefine config REFINE` prints a section, and `boxrefine config REFINE.REG_ON` prints a key.
`boxrefine config --markdown` prints this page.
"""


def reference_page(names_in: NamesIn) -> str:
    """Return the Markdown page of all keys that are not Detectron2's, one table for a section."""
    sections = "\n".join(_section_page(section, names_in) for section in known_sections())
    return f"{_INTRODUCTION}\n{sections}"


def reference_text(name: str, names_in: NamesIn) -> str:
    """Return the text of a key, of a section with all sections below it, or, for "", of all keys.

    Args: name: in full, such as "REFINE" or "REFINE.REG_ON"; lower case is read as upper case.
    Raises: UserError for a name that is neither a section nor a key of ours.
    """
    wanted = name.upper()
    blocks = []
    for section in known_sections():
        keys = [
            _key_text(full_name, key, section.source, names_in)
            for full_name, key in section.full_keys()
            if f"{full_name}.".startswith(f"{wanted}." if wanted else "")
        ]
        if keys:
            title = f"{section.name}: {section.meaning}" if section.name else section.meaning
            blocks.append("\n".join([textwrap.fill(title, 100), *keys]))
    if not blocks:
        names = ", ".join(dict.fromkeys(filter(None, (s.name for s in known_sections()))))
        raise UserError(f"there is no key or section {name[:100]!r}; sections: {names}")
    return "\n\n".join(blocks) + "\n"


def _section_page(section: Section, names_in: NamesIn) -> str:
    rows = [
        " | ".join(
            (
                f"| `{name}`",
                f"`{key.default!r}`",
                _cell(key.meaning),
                _cell(_allowed(key, names_in)),
                _cell(key.unit),
                f"{_cell(key.source or section.source)} |",
            )
        )
        for name, key in section.keys.items()
    ]
    head = "| key | default | meaning | values | unit | source |\n|---|---|---|---|---|---|"
    title = f"`{section.name}`" if section.name else "Keys without a section"
    return "\n".join([f"## {title}", "", section.meaning, "", head, *rows, ""])


def _key_text(name: str, key: Key, source: str, names_in: NamesIn) -> str:
    facts = {
        "values": _allowed(key, names_in),
        "unit": key.unit,
        "source": key.source or source,
    }
    lines = [key.meaning, *(f"{what}: {fact}" for what, fact in facts.items() if fact)]
    wrapped = (textwrap.fill(line, 96, subsequent_indent="  ") for line in lines)
    return "\n".join(
        [f"  {name} = {key.default!r}", *(textwrap.indent(w, "    ") for w in wrapped)]
    )


def _allowed(key: Key, names_in: NamesIn) -> str:
    """Return the values that a key may hold, in words, or the names that its registries know."""
    if key.allowed is None:
        return "True or False"
    names = [name for registry in key.allowed.registries for name in names_in(registry)]
    return ", ".join(names) or key.allowed.allowed


def _cell(text: str) -> str:
    """Return a text as a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("[", "\\[").replace("_", "\\_")
