"""Names of one file an image: made from the image's own, inside the folder, and no two images share one."""

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

# from the image's file name, relative and POSIX, to the one of its file
NameRule = Callable[[PurePosixPath], PurePosixPath]

logger = logging.getLogger(__name__)


def beside(suffix: str) -> NameRule:
    """Return the rule that gives a/b.SUFFIX for a/b.jpg."""
    return lambda path: path.with_name(f"{path.stem}{suffix}")


def file_names(images: Sequence[LabelledImage], rule: NameRule) -> list[PurePosixPath]:
    """Return the name of each image's file, relative to the folder of them all.

    Names that only a disk with large and small letters, or with two ways to write an accent, tells apart are counted in
    a warning.

    Raises: UserError for an image's name that leads out of the folder, does not fit a line of text, or is too long, and
            for two images that would have one file.
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
                f"the name of image {name[:50]!r}... would have {longest} bytes in this format, at most {MAX_NAME_BYTES} "
                "are possible; rename it"
            )
        if path in owner:
            raise UserError(
                f"images {owner[path]!r} and {name!r} would have the same file in this format, {str(path)!r}; rename "
                "one, or export to csv or coco"
            )
        owner[path] = name
    _warn_of_look_alikes(list(owner))
    return list(owner)


def _check_inside(name: str) -> None:
    """A name of another system counts as that system reads it: a drive, a backslash."""
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
            "%d images have names that differ only in large and small letters, or in how accents are written: disks of "
            "Windows and macOS keep one file for them",
            alike,
        )
