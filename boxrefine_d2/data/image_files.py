"""Names of images in label files, and where the image lies: under its exact name, or one that only is written otherwise."""

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


def read_image_list(path: str | os.PathLike[str], what: str) -> list[str]:
    """Return the names in a list of images, one a line, in the order of the file.

    Args:   what: what the file is to be, for messages ("VOC list").
    Raises: UserError for a file that cannot be read or names no image, for a name that occurs twice, and for one that no
            file can have or that leads out of the folder of images.
    """
    names = read_lines(path, what)
    shown = f"{what} {os.fspath(path)!r}"
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
                f"{shown} has the line {shown_value(name)}, which leads out of the tree; write names below it"
            )
        if name in seen:
            raise UserError(f"{shown} names {shown_value(name)} twice")
        seen.add(name)
    return names


class _Pair(NamedTuple):
    wanted: str
    there: str


class ImageFinder:
    """Finds the images of one folder by their names in a label file.

    The exact name comes first and costs one look. Where no file has it, the folder is listed once, and the one file is
    taken whose name differs only in this: backslashes between folders (files made on Windows), the Unicode form of
    accents (NFC or NFD), upper or lower case of the suffix, and, `by_stem`, the kind of image. Where several files
    would do, none is taken.

    Args: by_stem: the label files name images without their suffix, as VOC's lists and KITTI do.
    """

    def __init__(self, folder: str | os.PathLike[str], *, by_stem: bool = False):
        self.folder = Path(folder)
        self._by_stem = by_stem
        self._listings: dict[str, _Listing] = {}
        self._found: list[_Pair] = []  # under another name
        self._near: list[_Pair] = []  # not found, though a file has nearly the name

    def find(self, *names: str) -> str:
        """Return the path below the folder, POSIX, of the first of these names that leads to a file.

        Where none does, it is the first name as it was given: whoever reads the image reports it.
        """
        for name in names:
            if self._is_there(name):
                return Path(name).as_posix()
        for name in names:
            found = self._otherwise_written(name)
            if found is not None:
                self._found.append(_Pair(names[0], found))
                return found
        near = self._nearly(names[0])
        if near is not None:
            self._near.append(_Pair(names[0], near))
        return Path(names[0]).as_posix()

    def report(self, source: object) -> None:
        """Say in one line each how many names were found otherwise written, and how many were nearly found.

        Args: source: the label file, for messages.
        """
        if self._found:
            logger.log(
                logging.INFO if self._by_stem else logging.WARNING,
                "%s: %d images were found under names that are written otherwise (backslashes, Unicode form, suffix), %s",
                *(source, len(self._found), _example(self._found[0])),
            )
        if self._near:
            logger.warning(
                "%s: %d images are not in %s, where other files have nearly their names, %s",
                *(source, len(self._near), self.folder, _example(self._near[0])),
            )

    def _is_there(self, name: str) -> bool:
        return os.path.exists(os.path.join(self.folder, name))

    def _listing(self, below: str) -> "_Listing":
        if below not in self._listings:
            self._listings[below] = _Listing(self.folder / below)
        return self._listings[below]

    def _otherwise_written(self, name: str) -> str | None:
        *folders, last = name.replace("\\", "/").split("/")
        if os.path.isabs(name) or ".." in folders or not last:
            return None
        below = ""
        for folder in folders:
            if folder in ("", "."):
                continue
            found = self._listing(below).same(folder)
            if found is None:
                return None
            below = _joined(below, found)
        file = self._listing(below).image(last, by_stem=self._by_stem)
        return None if file is None else _joined(below, file)

    def _nearly(self, name: str) -> str | None:
        """A file in the folder itself whose name, without folders, case and suffix, is that of `name`."""
        return self._listing("").near(name.replace("\\", "/").rsplit("/", 1)[-1])


class _Listing:
    """The names in a folder, by what is the same however it is written."""

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
        """The name itself, or the one that is equal in NFC."""
        if name in self._names:
            return name
        return _only(self._by_form.get(unicodedata.normalize("NFC", name), []))

    def image(self, name: str, *, by_stem: bool) -> str | None:
        """The one file that the name means."""
        form = unicodedata.normalize("NFC", name)
        found = self.same(name) or _only(self._by_suffix.get(_lower_suffix(form), []))
        if found is None and by_stem:
            return _only(self._by_stem.get(_stem(form), []))
        return found

    def near(self, name: str) -> str | None:
        """The first file of that stem in any case."""
        return self._by_any_case.get(_stem(unicodedata.normalize("NFC", name)).casefold())


def _only(names: list[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def _joined(below: str, name: str) -> str:
    return f"{below}/{name}" if below else name


def _lower_suffix(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem + suffix.lower()


def _stem(name: str) -> str:
    """Without the suffix of an image; other dots belong to the name."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in image_suffixes() else name


def _example(pair: _Pair) -> str:
    return f"for example {shown_name(pair.there)!r} for {shown_name(pair.wanted)!r}"
