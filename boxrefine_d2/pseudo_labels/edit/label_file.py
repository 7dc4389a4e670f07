"""A pseudo-label file, read image by image in memory that does not grow with the file.

This package writes one image or one annotation per line, in order. Files of that layout are read
line by line. Files of another layout, which other tools write, are read whole.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from boxrefine_d2.data.pseudo_categories import OBJECT_ID, Category, categories_of
from boxrefine_d2.data.pseudo_label_checks import image_problem, label_problem
from boxrefine_d2.data.pseudo_label_file import PseudoLabels, id_order, read_pseudo_labels
from boxrefine_d2.files.inputs import check_regular_file
from boxrefine_d2.progress import with_progress

Entry = dict[str, Any]
ImageLabels = tuple[Entry, list[Entry]]  # an image and its annotations, in file order

_DECODER = json.JSONDecoder()
_NEXT, _LAST = "],\n", "]}\n"  # end of a list that another one follows, and of the last list
_ANY_ID = range(2**62)

logger = logging.getLogger(__name__)


class _OtherLayoutError(ValueError):
    """A file whose layout is not that of this package; it may still be valid."""


@dataclass(frozen=True)
class LabelFile:
    """A pseudo-label file whose content was checked; it can be read any number of times.

    Attributes:
        sha256: SHA-256 of the file's bytes.  info: the file's own `info` object.
        categories: {id, name} of its categories.
        image_count, label_count: numbers of images and labels.
        mask_count: number of labels with a segmentation.
        whole: the sorted content of a file of another layout; None for a file read line by line.
    """

    path: Path
    sha256: str
    info: dict[str, Any]
    categories: Sequence[Category]
    image_count: int
    label_count: int
    mask_count: int
    whole: PseudoLabels | None

    def __str__(self) -> str:
        """Return the quoted path, for messages."""
        return repr(str(self.path))

    @property
    def name(self) -> str:
        """File name without folders."""
        return self.path.name

    def images(self) -> Iterator[Entry]:
        """Yield the images, sorted by `id_order` of their ids."""
        if self.whole:
            yield from self.whole.images
            return
        with _opened(self.path) as file:
            _read_info(file)
            yield from _objects(file, "images")

    def by_image(self) -> Iterator[ImageLabels]:
        """Iterate over the images with their labels, sorted by `id_order` of the image ids."""
        return _by_image(self.whole) if self.whole else _by_line(self.path)


def open_label_file(path: str | os.PathLike[str]) -> LabelFile:
    """Read a pseudo-label file once and check it.

    Raises: UserError, in one line, for a file that is not a pseudo-label file; see
        `read_pseudo_labels`.
    """
    source = Path(path)
    check_regular_file(source, "pseudo-label file")
    try:
        return _examined(source, None)
    except (OSError, ValueError, RecursionError):
        labels = read_pseudo_labels(source)  # raises UserError if the file is invalid
    logger.info("%s does not have the layout of this package and is read whole", source)
    return _examined(source, in_order(labels))


def _examined(path: Path, whole: PseudoLabels | None) -> LabelFile:
    if whole is None:
        with _opened(path) as file:
            info = _read_info(file)
    else:
        info = whole.info
    images = labels = masks = 0
    categories: list[Category] = list(whole.categories) if whole else []
    by_image = _by_image(whole) if whole else _by_line(path, categories)
    for _, own in with_progress(by_image, f"check {path.name}"):
        images += 1
        labels += len(own)
        masks += sum(bool(label.get("segmentation")) for label in own)
    with path.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    return LabelFile(path, sha256, info, categories, images, labels, masks, whole)


def in_order(labels: PseudoLabels) -> PseudoLabels:
    """Return the same content with sorted images, and labels in the order of their images."""
    images = sorted(labels.images, key=lambda image: id_order(image["id"]))
    position = {image["id"]: index for index, image in enumerate(images)}
    annotations = sorted(labels.annotations, key=lambda label: position[label["image_id"]])
    return PseudoLabels(images, annotations, labels.info, labels.categories)


def _by_image(labels: PseudoLabels) -> Iterator[ImageLabels]:
    return _grouped(labels.images, iter(labels.annotations))


def _grouped(images: Iterable[Entry], annotations: Iterator[Entry]) -> Iterator[ImageLabels]:
    """Yield each image with its annotations.

    Raises: _OtherLayoutError if the annotations are not in the order of the images.
    """
    waiting = next(annotations, None)
    for image in images:
        own = []
        while waiting is not None and waiting.get("image_id") == image["id"]:
            own.append(waiting)
            waiting = next(annotations, None)
        yield image, own
    if waiting is not None:
        raise _OtherLayoutError


def _by_line(path: Path, categories: list[Category] | None = None) -> Iterator[ImageLabels]:
    """Yield each image with its annotations, reading the file line by line.

    Args: categories: list to which the categories are added at the end of the file.
    Raises: ValueError, at the end of the file at the latest, if its layout is not that of this
        package.
    """
    with _opened(path) as images_file, _opened(path) as annotations_file:
        info = [_read_info(file) for file in (images_file, annotations_file)][0]
        images = _ascending(_objects(images_file, "images"))
        for _ in _objects(annotations_file, "images"):
            pass  # the annotations follow the images
        used = set()
        for image, own in _grouped(images, _objects(annotations_file, "annotations")):
            if any(label_problem(label, {image["id"]}, _ANY_ID) for label in own):
                raise _OtherLayoutError
            used |= {label.get("category_id", OBJECT_ID) for label in own}
            yield image, own
        listed = list(_objects(annotations_file, "categories", end=_LAST))
        found = categories_of({"info": info, "categories": listed})
        if annotations_file.read(1) or not found or not used <= {x["id"] for x in found}:
            raise _OtherLayoutError
        if categories is not None:
            categories.extend(found)


def _opened(path: Path) -> TextIO:
    return path.open(encoding="utf-8", newline="\n")


def _read_info(file: TextIO) -> dict[str, Any]:
    """Return the `info` object in the file's first line."""
    start, line = '{"info": ', file.readline()
    if not line.startswith(start):
        raise _OtherLayoutError
    info, end = _DECODER.raw_decode(line, len(start))
    if line[end:] != ",\n" or not isinstance(info, dict):
        raise _OtherLayoutError
    return info


def _objects(file: TextIO, name: str, end: str = _NEXT) -> Iterator[Entry]:
    """Yield the objects of the list `name`, whose first line is the next line of the file."""
    header, rest = file.readline(), ",\n"
    if header == f'"{name}": [{end}':
        return
    if header != f'"{name}": [\n':
        raise _OtherLayoutError
    while rest == ",\n":
        line = file.readline()
        entry, stop = _DECODER.raw_decode(line)
        rest = line[stop:]
        if not isinstance(entry, dict):
            raise _OtherLayoutError
        yield entry
    if rest != end:
        raise _OtherLayoutError


def _ascending(images: Iterable[Entry]) -> Iterator[Entry]:
    """Yield the images, and check that their ids ascend.

    Raises: _OtherLayoutError for an invalid image or an id that does not ascend.
    """
    last: tuple[bool, int | str] | None = None
    for image in images:
        if image_problem(image):
            raise _OtherLayoutError
        order = id_order(image["id"])
        if last is not None and order <= last:
            raise _OtherLayoutError
        last = order
        yield image
