"""What the installed package asks for, by its own metadata (pyproject.toml)."""

import re
from dataclasses import dataclass
from importlib import metadata

import boxrefine_d2

NAME = boxrefine_d2.__name__

# name>=version; extra == "name"
_FORM = re.compile(
    r"([\w.-]+)(?:[^;]*?>=\s*([\w.]+))?[^;]*(?:;.*extra\s*==\s*[\"']([\w.-]+)[\"'])?"
)
# what others are built on comes first, so that the first fault is the cause
_ORDER = {"numpy": 0, "torch": 1, "torchvision": 2, "detectron2": 4}


@dataclass(frozen=True)
class Requirement:
    """A line of the metadata.

    Attributes: minimum: the oldest version, "" for any.  extra: the extra that asks for it, "" if always needed.
    """

    name: str
    minimum: str
    extra: str

    def __str__(self) -> str:
        return f"{self.name}>={self.minimum}" if self.minimum else self.name


def requirements() -> list[Requirement]:
    """All lines, in the order in which packages are to be tried; [] if this package is not installed."""
    try:
        lines = metadata.requires(NAME) or []
    except metadata.PackageNotFoundError:
        return []
    matches = (_FORM.match(line) for line in lines)
    found = [Requirement(m[1].lower(), m[2] or "", m[3] or "") for m in matches if m]
    return sorted(found, key=lambda requirement: _ORDER.get(requirement.name, 3))


def oldest_python() -> str:
    """The oldest version of Python that will do, "" if this package is not installed."""
    try:
        return (metadata.metadata(NAME)["Requires-Python"] or "").removeprefix(">=")
    except metadata.PackageNotFoundError:
        return ""


def installed_version(name: str) -> str:
    """The version of a distribution, "" if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def is_older(version: str, minimum: str) -> bool:
    """Whether a version comes before another, by the numbers of the release; False if one of them has none.

    >>> is_older("2.4.1+cu121", "2.5"), is_older("2.10.0", "2.5"), is_older("6", "6.0.0")
    (True, False, False)
    """
    ours, theirs = (_release(text) for text in (version, minimum))
    length = max(len(ours), len(theirs))
    if not ours or not theirs:
        return False
    return ours + [0] * (length - len(ours)) < theirs + [0] * (length - len(theirs))


def _release(version: str) -> list[int]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return [int(number) for number in found[0].split(".")] if found else []
