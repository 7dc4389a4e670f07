"""Requirements of the installed package, read from its own metadata (pyproject.toml)."""

import re
from dataclasses import dataclass
from importlib import metadata

import boxrefine_d2

NAME = boxrefine_d2.__name__

# name>=version; extra == "name"
_FORM = re.compile(
    r"([\w.-]+)(?:[^;]*?>=\s*([\w.]+))?[^;]*(?:;.*extra\s*==\s*[\"']([\w.-]+)[\"'])?"
)
# packages that others are built on come first: the first fault is then the cause
_ORDER = {"numpy": 0, "torch": 1, "torchvision": 2, "detectron2": 4}


@dataclass(frozen=True)
class Requirement:
    """One line of the metadata.

    Attributes:
        name: name of the package, in lower case.
        minimum: oldest version accepted; "" accepts any.
        extra: extra that asks for the package; "" if it is always needed.
    """

    name: str
    minimum: str
    extra: str

    def __str__(self) -> str:
        return f"{self.name}>={self.minimum}" if self.minimum else self.name


def requirements() -> list[Requirement]:
    """Return all lines in the order of the checks; [] if this package is not installed."""
    try:
        lines = metadata.requires(NAME) or []
    except metadata.PackageNotFoundError:
        return []
    matches = (_FORM.match(line) for line in lines)
    lines_read = [Requirement(m[1].lower(), m[2] or "", m[3] or "") for m in matches if m]
    return sorted(lines_read, key=lambda requirement: _ORDER.get(requirement.name, 3))


def oldest_python() -> str:
    """Return the oldest version of Python accepted; "" if this package is not installed."""
    try:
        return (metadata.metadata(NAME)["Requires-Python"] or "").removeprefix(">=")
    except metadata.PackageNotFoundError:
        return ""


def installed_version(name: str) -> str:
    """Return the version of a distribution; "" if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def is_older(version: str, minimum: str) -> bool:
    """Return whether a version is older than another one, by the numbers of the release.

    The result is False if one of the two has no numbers.

    >>> is_older("2.4.1+cu121", "2.5"), is_older("2.10.0", "2.5"), is_older("6", "6.0.0")
    (True, False, False)
    """
    release, least = (_release(text) for text in (version, minimum))
    length = max(len(release), len(least))
    if not release or not least:
        return False
    return release + [0] * (length - len(release)) < least + [0] * (length - len(least))


def _release(version: str) -> list[int]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    return [int(number) for number in match[0].split(".")] if match else []
