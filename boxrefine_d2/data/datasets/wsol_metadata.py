"""Loader of the metadata of the published evaluation of weakly supervised localisation.

Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", arXiv:2001.07437.
A folder describes one split; its lines name images and masks below another folder.

image_ids.txt       PATH
class_labels.txt    PATH,CLASS                 a number from 0
image_sizes.txt     PATH,WIDTH,HEIGHT          missing or empty where the sizes are not known
localization.txt    PATH,X0,Y0,X1,Y1           one line per box
                    PATH,MASK,IGNORE           or one line per mask; IGNORE in one line per image
                    missing or empty for a split without boxes
"""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import read_lines
from boxrefine_d2.files.values import coordinates_of_words, image_sides, shown_value
from boxrefine_d2.progress import with_progress

from ..image_files import read_image_list
from ..images import header_size
from ..records import LoadedDataset, Record, box_annotation
from .mask_files import mask_annotation, read_mask_file, resized_mask

MAX_CLASS_DIGITS = 6

logger = logging.getLogger(__name__)


class _Line(NamedTuple):
    """A line without its path."""

    words: list[str]
    number: int

    def shown(self, path: Path) -> str:
        """Return the place of the line and its content, for messages."""
        return f"{str(path)!r}, line {self.number}, has {shown_value(','.join(self.words))}"


def load_wsol(
    metadata: str | os.PathLike[str], images: str | os.PathLike[str], limit: int | None = None
) -> LoadedDataset:
    """Return a record of every image, in the order of `image_ids.txt`; the path is the image id.

    `category_names` are the numbers of the classes as text. Boxes [x0, y0, x1, y1] are not changed.
    A mask becomes an annotation of the image's class with its tight box. The region to ignore,
    without the pixels of the masks, becomes an annotation with `iscrowd` 1. Masks of another size
    are resized to the image by the nearest pixel. Warnings count lines about other images, images
    without a line in `localization.txt`, and empty masks, which are left out.

    A size that `image_sizes.txt` lacks is read from the header of the image if the split has boxes
    or masks. Otherwise it stays unknown, so that a split of a million images loads in seconds.

    Args:   metadata: folder of the four files.  images: folder of the images and the masks.
            limit: number of first images to return; masks and headers of the others are not read.
    Raises: UserError for a missing folder or file, a damaged line, an image without a class, and a
            mask that cannot be read.
    """
    folder, root = Path(metadata), Path(images)
    for path, kind in ((folder, "metadata"), (root, "image")):
        if not os.path.isdir(path):
            raise UserError(f"WSOL {kind} folder {str(path)!r} does not exist")
    names = read_image_list(folder / "image_ids.txt", "WSOL list of images")
    labels = _labels(folder / "class_labels.txt", names)
    sizes = _sizes(folder / "image_sizes.txt", names)
    localization = folder / "localization.txt"
    objects: dict[str, list[_Line]] = {}
    for name, line in _lines(localization, set(names), optional=True):
        objects.setdefault(name, []).append(line)
    unlisted = len(names) - len(objects)
    if objects and unlisted:
        logger.warning("%s: %d images are not in localization.txt", folder, unlisted)
    records = []
    empty = 0
    for name in with_progress(names[:limit], "wsol"):
        file_name = os.path.join(root, name)
        size = sizes.get(name) or (header_size(file_name) if objects else (None, None))
        record: Record = {
            "file_name": file_name,
            "relative_name": name,
            "image_id": name,
            "height": size[0],
            "width": size[1],
            "image_label": labels[name],
        }
        if objects:
            found = _annotations(objects.get(name, []), record, localization, root)
            record["annotations"] = [item for item in found if item is not None]
            empty += len(found) - len(record["annotations"])
        records.append(record)
    if empty:
        logger.warning("%s: %d masks are empty; they are left out", folder, empty)
    classes = range(max(labels.values()) + 1)
    return LoadedDataset(records, list(map(str, classes)), list(classes), labelled=bool(objects))


def _lines(path: Path, known: set[str], *, optional: bool = False) -> Iterator[tuple[str, _Line]]:
    """Yield (image, line) of each line. A path may hold commas if an image has this name."""
    strangers = 0
    lines = [] if optional and not os.path.lexists(path) else read_lines(path, "WSOL metadata")
    for number, text in enumerate(lines, start=1):
        name, *words = text.split(",")
        while name not in known and len(words) > 1:
            name = f"{name},{words.pop(0)}"
        if name in known:
            yield name, _Line(words, number)
        else:
            strangers += 1
    if strangers:
        logger.warning(
            "%s: %d lines are about images that image_ids.txt does not list", path, strangers
        )


def _labels(path: Path, names: Sequence[str]) -> dict[str, int]:
    labels: dict[str, int] = {}
    for name, line in _lines(path, set(names)):
        text = line.words[0].strip() if len(line.words) == 1 else ""
        if not (text.isascii() and text.isdigit() and len(text) <= MAX_CLASS_DIGITS):
            raise UserError(f"{line.shown(path)}; a class is a number from 0")
        if labels.setdefault(name, int(text)) != int(text):
            raise UserError(f"{line.shown(path)}; the class before was {labels[name]}; keep one")
    missing = [name for name in names if name not in labels]
    if missing:
        raise UserError(
            f"{str(path)!r} has no class for {len(missing)} of {len(names)} images, first "
            f"{shown_value(missing[0])}; add a line PATH,CLASS for each"
        )
    return labels


def _sizes(path: Path, names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return image -> (H, W)."""
    sizes = {}
    for name, line in _lines(path, set(names), optional=True):
        numbers = coordinates_of_words(line.words)
        size = image_sides(numbers[1], numbers[0]) if numbers and len(numbers) == 2 else None
        if size is None:
            raise UserError(f"{line.shown(path)}; a size is WIDTH,HEIGHT in pixels")
        sizes[name] = size
    return sizes


def _annotations(
    lines: Sequence[_Line], record: Record, path: Path, root: Path
) -> list[Record | None]:
    """Return an annotation for each line, None for an empty mask, and perhaps one to ignore."""
    for line in lines:
        if len(line.words) != len(lines[0].words) or len(line.words) not in (2, 4):
            raise UserError(f"{line.shown(path)}; expected X0,Y0,X1,Y1 or MASK,IGNORE")
    if lines and len(lines[0].words) == 2:
        return _masks(lines, record, root)
    return [_box(line, record["image_label"], path) for line in lines]


def _box(line: _Line, label: int, path: Path) -> Record:
    box = coordinates_of_words(line.words)
    if box is None:
        raise UserError(f"{line.shown(path)}; a box is X0,Y0,X1,Y1 in pixels")
    return box_annotation(box, label)


def _masks(lines: Sequence[_Line], record: Record, root: Path) -> list[Record | None]:
    files, regions = zip(*((word.strip() for word in line.words) for line in lines), strict=True)
    objects = [read_mask_file(root / name) for name in files]
    size = (record["height"], record["width"]) if record["height"] else objects[0].shape
    objects = [resized_mask(mask, size) for mask in objects]
    label = record["image_label"]
    found = [mask_annotation(mask, label) for mask in objects]
    for name in filter(None, regions):
        ignored = resized_mask(read_mask_file(root / name), size) & ~np.any(objects, axis=0)
        region = mask_annotation(ignored, label, iscrowd=1)
        found += [region] if region else []
    return found
