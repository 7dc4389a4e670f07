"""Finder of the images that a label file names, under the exact name or another spelling."""

import logging
import os
import unicodedata
from pathlib import Path
from typing import NamedTuple

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import read_lines
from boxrefine_d2.files.names import MAX_NAME_BYTES, shown_name
from boxrefine_d2.files.values import is_file_name, shown_value

from .images import image_suffixes

logger = logging.getLogger(__name__)


def read_image_list(path: str | os.PathLike[str], description: str) -> list[str]:
    """Return the names in a list of images, one name per line, in the order of the file.

    Args:   description: expected kind of file, for messages ("VOC list").
    Raises: UserError for a file that cannot be read or names no image, for a name that occurs
            twice, for a name that no file can have, and for a name that leads out of the image
            folder.
    """
    names = read_lines(path, description)
    shown = f"{description} {os.fspath(path)!r}"
    if not names:
        raise UserError(f"{shown} names no image")
    seen = set()
    for name in names:
        parts = name.split("/")
        too_long = any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in parts)
        if too_long or not is_file_name(name):
            raise UserError(f"{shown} has the line {shown_value(name)}, which no file can have")
        if os.path.isabs(name) or ".." in parts:
            raise UserError(
                f"{shown} has the line {shown_value(name)}, which leads out of the tree; "
                "write names below it"
            )
        if name in seen:
            raise UserError(f"{shown} names {shown_value(name)} twice")
        seen.add(name)
    return names


class _Pair(NamedTuple):
    wanted: str  # name in the label file
    existing: str  # name on disk


class ImageFinder:
    """Finder of the images of one folder by their names in a label file.

    The exact name is tried first; this takes one check. If no file has that name, the folder is
    listed once. Then a file is accepted if its name differs only in: backslashes between folders
    (files made on Windows), the Unicode form of accents (NFC or NFD), upper or lower case of the
    suffix, and, with `by_stem`, the image format. If several files match, none is accepted.

    Args: by_stem: the label files name images without their suffix, as VOC's lists and KITTI do.
    """

    def __init__(self, folder: str | os.PathLike[str], *, by_stem: bool = False):
        self.folder = Path(folder)
        self._by_stem = by_stem
        self._listings: dict[str, _Listing] = {}
        self._respelled: list[_Pair] = []  # found under another spelling
        self._similar: list[_Pair] = []  # not found, but a file has a similar name

    def find(self, *names: str) -> str:
        """Return the POSIX path below the folder of the first of these names that matches a file.

        If no name matches, return the first name as it was given. The reader of the image then
        reports the missing file.
        """
        for name in names:
            if self._exists(name):
                return Path(name).as_posix()
        for name in names:
            respelled = self._respelled_path(name)
            if respelled is not None:
                self._respelled.append(_Pair(names[0], respelled))
                return respelled
        similar = self._similar_name(names[0])
        if similar is not None:
            self._similar.append(_Pair(names[0], similar))
        return Path(names[0]).as_posix()

    def report(self, source: object) -> None:
        """Log the numbers of images with another spelling, and of missing ones with a similar name.

        Args: source: label file, for messages.
        """
        if self._respelled:
            logger.log(
                logging.INFO if self._by_stem else logging.WARNING,
                "%s: %d images were found under names that differ in backslashes, Unicode form or "
                "suffix, %s",
                *(source, len(self._respelled), _example(self._respelled[0])),
            )
        if self._similar:
            logger.warning(
                "%s: %d images are not in %s, but other files there have similar names, %s",
                *(source, len(self._similar), self.folder, _example(self._similar[0])),
            )

    def _exists(self, name: str) -> bool:
        return os.path.exists(os.path.join(self.folder, name))

    def _listing(self, below: str) -> "_Listing":
        if below not in self._listings:
            self._listings[below] = _Listing(self.folder / below)
        return self._listings[below]

    def _respelled_path(self, name: str) -> str | None:
        *folders, last = name.replace("\\", "/").split("/")
        if os.path.isabs(name) or ".." in folders or not last:
            return None
        below = ""
        for folder in folders:
            if folder in ("", "."):
                continue
            existing = self._listing(below).same(folder)
            if existing is None:
                return None
            below = _joined(below, existing)
        file = self._listing(below).image(last, by_stem=self._by_stem)
        return None if file is None else _joined(below, file)

    def _similar_name(self, name: str) -> str | None:
        """Return a file directly in the folder with the stem of `name` in any case, or None."""
        return self._listing("").similar(name.replace("\\", "/").rsplit("/", 1)[-1])


class _Listing:
    """Names in a folder, indexed by their parts that do not depend on spelling."""

    def __init__(self, folder: Path):
        try:
            self._names = frozenset(os.listdir(folder))
        except (OSError, ValueError):
            self._names = frozenset()
        self._by_form: dict[str, list[str]] = {}
        self._by_suffix: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        self._by_any_case: dict[str, str] = {}
        for name in sorted(self._names):
            form = unicodedata.normalize("NFC", name)
            self._by_form.setdefault(form, []).append(name)
            self._by_suffix.setdefault(_lower_suffix(form), []).append(name)
            self._by_any_case.setdefault(_stem(form).casefold(), name)
            if os.path.splitext(form)[1].lower() in image_suffixes():
                self._by_stem.setdefault(_stem(form), []).append(name)

    def same(self, name: str) -> str | None:
        """Return the name itself, or the only name that is equal in NFC."""
        if name in self._names:
            return name
        return _only(self._by_form.get(unicodedata.normalize("NFC", name), []))

    def image(self, name: str, *, by_stem: bool) -> str | None:
        """Return the only file that matches the name, or None."""
        form = unicodedata.normalize("NFC", name)
        match = self.same(name) or _only(self._by_suffix.get(_lower_suffix(form), []))
        if match is None and by_stem:
            return _only(self._by_stem.get(_stem(form), []))
        return match

    def similar(self, name: str) -> str | None:
        """Return the first file with this stem, in any case."""
        return self._by_any_case.get(_stem(unicodedata.normalize("NFC", name)).casefold())


def _only(names: list[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def _joined(below: str, name: str) -> str:
    return f"{below}/{name}" if below else name


def _lower_suffix(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem + suffix.lower()


def _stem(name: str) -> str:
    """Return the name without an image suffix. Other dots belong to the name."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in image_suffixes() else name


def _example(pair: _Pair) -> str:
    return f"for example {shown_name(pair.existing)!r} for {shown_name(pair.wanted)!r}"
