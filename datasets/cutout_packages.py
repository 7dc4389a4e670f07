"""Which Debian packages were extracted into a folder, and the licences they state."""

import gzip
import re
from pathlib import Path
from typing import Any


def packages_below(folder: Path) -> list[dict[str, Any]]:
    """One {"package", "version", "licences"} for each package whose documents `dpkg -x` put below
    `folder`, sorted by name. Version and licences come from its changelog and its copyright file,
    and are None and [] where these do not say."""
    found = []
    for path in sorted(folder.glob("usr/share/doc/*/copyright")):
        text = path.read_text(encoding="utf-8", errors="replace")
        found.append(
            {
                "package": path.parent.name,
                "version": _version(path.parent),
                "licences": licences_stated(text),
            }
        )
    return found


def licences_stated(copyright_text: str) -> list[str]:
    """Short names of the licences in a machine-readable debian/copyright, without those of the
    packaging itself; [] for a text in free form."""
    names = set()
    for paragraph in re.split(r"\n[ \t]*\n", copyright_text):
        files = re.search(r"^Files:\s*(\S+)", paragraph, flags=re.MULTILINE)
        licence = re.search(r"^License:[ \t]*(\S.*?)[ \t]*$", paragraph, flags=re.MULTILINE)
        if files and licence and not files.group(1).startswith("debian/"):
            names.add(licence.group(1))
    return sorted(names)


def _version(documents: Path) -> str | None:
    for name in ("changelog.Debian.gz", "changelog.gz"):
        path = documents / name
        if not path.is_file():
            continue
        try:
            with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
                head = re.match(r"\S+ \(([^)]+)\)", file.readline())
        except (OSError, EOFError):
            continue
        if head:
            return head.group(1)
    return None
