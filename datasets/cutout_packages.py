"""Names, versions and licences of the Debian packages that were extracted into a folder."""

import gzip
import re
from pathlib import Path
from typing import Any


def packages_below(folder: Path) -> list[dict[str, Any]]:
    """Return the packages that `dpkg -x` extracted below a folder, sorted by name.

    A package is found by its documents. Its version comes from its changelog, its licences from its
    copyright file.

    Returns: one {"package", "version", "licences"} per package; the version is None and the
        licences are [] if the files do not state them.
    """
    packages = []
    for path in sorted(folder.glob("usr/share/doc/*/copyright")):
        text = path.read_text(encoding="utf-8", errors="replace")
        packages.append(
            {
                "package": path.parent.name,
                "version": _version(path.parent),
                "licences": licences_stated(text),
            }
        )
    return packages


def licences_stated(copyright_text: str) -> list[str]:
    """Return the short names of the licences in a machine-readable debian/copyright.

    The licences of the packaging itself are left out. A text in free form gives [].
    """
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
