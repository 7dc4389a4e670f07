"""Pseudo-label files about the same images, read side by side."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from boxrefine_d2.data.pseudo_label_file import id_order
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.image_names import NameCheck, plain_name
from boxrefine_d2.files.values import known_size

from .label_file import Entry, ImageLabels, LabelFile

_EXAMPLES = 3  # ids that a message names


@dataclass(frozen=True)
class ImageCounts:
    """Numbers of images that both files list, and that only one of them lists.

    A file need not list images without labels.

    Attributes: warnings: one line for each oddity in the names of shared images.
    """

    shared: int
    only_first: int
    only_second: int
    warnings: tuple[str, ...] = ()

    @property
    def together(self) -> int:
        """Number of images that at least one of the files lists."""
        return self.shared + self.only_first + self.only_second


def check_same_images(first: LabelFile, second: LabelFile) -> ImageCounts:
    """Count the shared images of two files, and refuse files about different images.

    Raises: UserError if the files share no image, or if one id stands for images of different names
        or sizes.
    """
    shared = 0
    names = NameCheck(str(second), str(first))
    for pair in _in_turn(first.images(), second.images()):
        if len(pair) == 2:
            shared += 1
            names.add(pair[0]["id"], pair[1]["file_name"], pair[0]["file_name"])
            _check_same_size(pair, first, second)
    if not shared:
        raise UserError(
            f"{first} and {second} are about different images: ids {_examples(first)} in the one, "
            f"{_examples(second)} in the other; make both from one data set"
        )
    warnings = tuple(names.finish(image["file_name"] for image in first.images()))
    only_first, only_second = first.image_count - shared, second.image_count - shared
    return ImageCounts(shared, only_first, only_second, warnings)


def all_images(first: LabelFile, second: LabelFile) -> Iterator[Entry]:
    """Iterate over the images of both files, sorted by `id_order` of their ids.

    An image that both files list is yielded once, as the first file has it.
    """
    return (pair[0] for pair in _in_turn(first.images(), second.images()))


def side_by_side(*files: LabelFile) -> Iterator[tuple[Entry, list[list[Entry]]]]:
    """Yield each image that a file lists, sorted by `id_order`, with its labels in each file.

    The image is yielded as the first file that lists it has it. A file that does not list it
    contributes no labels.
    """
    tagged = heapq.merge(
        *(_tagged(file, place) for place, file in enumerate(files)), key=lambda item: item[0]
    )
    for _, group in groupby(tagged, key=lambda item: item[0]):
        labels_of: list[list[Entry]] = [[] for _ in files]
        image: Entry = {}
        for _, place, (entry, labels) in group:
            image = image or entry
            labels_of[place].extend(labels)
        yield image, labels_of


def check_lists_all(first: LabelFile, second: LabelFile) -> int:
    """Refuse a second file that leaves out an image of the first, unless the image failed there.

    Returns: number of images of the first file that failed in the second, by its `info`.
    Raises: UserError, naming the first image that is left out.
    """
    failures = second.info.get("images_failed")
    names = {
        plain_name(failure["file_name"])
        for failure in (failures if isinstance(failures, list) else [])
        if isinstance(failure, dict) and isinstance(failure.get("file_name"), str)
    }
    failed = 0
    for image in _left_out(first.images(), second.images()):
        if plain_name(image["file_name"]) not in names:
            raise UserError(
                f"image {image['id']!r} ({image['file_name']!r}) of {first} is not in {second}; "
                "make both from one data set"
            )
        failed += 1
    return failed


def _left_out(first: Iterable[Entry], second: Iterable[Entry]) -> Iterator[Entry]:
    """Yield the images of the first file that the second does not list; both are sorted."""
    there = iter(second)
    waiting = next(there, None)
    for image in first:
        while waiting is not None and _order(waiting) < _order(image):
            waiting = next(there, None)
        if waiting is None or _order(waiting) != _order(image):
            yield image


def _tagged(file: LabelFile, place: int) -> Iterator[tuple[Any, int, ImageLabels]]:
    return ((id_order(image["id"]), place, (image, own)) for image, own in file.by_image())


def _in_turn(first: Iterable[Entry], second: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Iterate over the entries of each id: one or two, that of the first file first."""
    merged = heapq.merge(first, second, key=_order)
    return (list(group) for _, group in groupby(merged, key=_order))


def _order(image: Entry) -> tuple[bool, int | str]:
    return id_order(image["id"])


def _check_same_size(pair: list[Entry], first: LabelFile, second: LabelFile) -> None:
    sizes = [size for image in pair if (size := known_size(image))]
    if len(set(sizes)) < 2:
        return
    shown = [f"{width} x {height} pixels" for height, width in sizes]
    raise UserError(
        f"image {pair[0]['id']!r} is {shown[0]} in {first} and {shown[1]} in {second}; make both "
        "from one data set"
    )


def _examples(file: LabelFile) -> str:
    ids = [repr(image["id"]) for image, _ in zip(file.images(), range(_EXAMPLES + 1), strict=False)]
    return ", ".join(ids[:_EXAMPLES]) + (", ..." if len(ids) > _EXAMPLES else "")
