"""The sections that a configuration has beside Detectron2's, and what each of its keys may hold."""

from collections.abc import Iterator

from .detectron2_limits import DETECTRON2_LIMITS
from .limits import Limit
from .section import Section
from .sections import OUR_SECTIONS

_added: dict[str, Section] = {}


def known_sections() -> Iterator[Section]:
    """Yield our sections, then those of `know`."""
    yield from OUR_SECTIONS
    yield from _added.values()


def know(section: Section) -> None:
    """Add or replace a section of another package.

    Raises: ValueError for the name of one of our sections.
    """
    if section.name in {ours.name for ours in OUR_SECTIONS}:
        raise ValueError(f"{section.name} is a section of boxrefine_d2; choose another name")
    _added[section.name] = section


def limit_of(name: str) -> Limit | None:
    """Return the limit of a key; None if every value of its type is allowed.

    Args: name: the key, in full.
    """
    section_name, _, key_name = name.rpartition(".")
    for section in known_sections():
        if section.name == section_name and key_name in section.keys:
            return section.keys[key_name].allowed
    return DETECTRON2_LIMITS.get(name)
