"""File names for formats that write one file per image.

Each name is made from the image's own name and lies inside the output folder. No two images share
a name.
"""

import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath, PureWindowsPath

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.names import MAX_NAME_BYTES, shown_name

from .labelled_images import LabelledImage

# maps an image's file name (relative, POSIX) to the name of the file written for it
NameRule = Callable[[PurePosixPath], PurePosixPath]

logger = logging.getLogger(__name__)


def beside(suffix: str) -> NameRule:
    """Return the rule that gives a/b.SUFFIX for a/b.jpg."""
    return lambda path: path.with_name(f"{path.stem}{suffix}")


def file_names(images: Sequence[LabelledImage], rule: NameRule) -> list[PurePosixPath]:
    """Return the name of the file to write for each image, relative to the output folder.

    Some disks do not distinguish upper and lower case, or the two encodings of an accented letter.
    A warning counts the names that such a disk would confuse.

    Raises: UserError for an image name that leads out of the folder, does not fit one line of text,
            or is too long, and for two images that would share one file.
    """
    owner: dict[PurePosixPath, str] = {}
    for image in images:
        name = image.file_name
        _check_inside(name)
        _check_text(name)
        path = rule(PurePosixPath(name))
        longest = max(len(os.fsencode(part)) for part in path.parts)
        if longest > MAX_NAME_BYTES:
            raise UserError(
                f"the name of image {name[:50]!r}... would have {longest} bytes in this format, at "
                f"most {MAX_NAME_BYTES} are possible; rename it"
            )
        if path in owner:
            raise UserError(
                f"images {owner[path]!r} and {name!r} would have the same file in this format, "
                f"{str(path)!r}; rename one, or export to csv or coco"
            )
        owner[path] = name
    _warn_of_look_alikes(list(owner))
    return list(owner)


def _check_inside(name: str) -> None:
    """Refuse a name that leads out of the folder, on POSIX or on Windows (drive, backslash)."""
    path, windows = PurePosixPath(name), PureWindowsPath(name)
    outside = not path.parts or path.is_absolute() or ".." in (*path.parts, *windows.parts)
    if outside or windows.root or re.match(r"[A-Za-z]:[\\/]", name):
        raise UserError(
            f"image {name!r} lies outside the data set's folder; file names must be relative"
        )


def _check_text(name: str) -> None:
    if shown_name(name) != name:
        raise UserError(f"image {name!r} has a character that is no text in its name; rename it")


def _warn_of_look_alikes(paths: Sequence[PurePosixPath]) -> None:
    seen = Counter(unicodedata.normalize("NFC", str(path)).casefold() for path in paths)
    alike = sum(count for count in seen.values() if count > 1)
    if alike:
        logger.warning(
            "%d images have names that differ only in upper and lower case, or in the encoding of "
            "accents: disks of Windows and macOS keep one file for them",
            alike,
        )
