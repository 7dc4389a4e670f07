"""Loader of Caltech-UCSD Birds-200-2011 (Wah et al., CNS-TR-2011-001), from its own files.

CUB_200_2011/images.txt                ID PATH
CUB_200_2011/image_class_labels.txt    ID CLASS               numbers from 1
CUB_200_2011/classes.txt               CLASS NAME
CUB_200_2011/train_test_split.txt      ID IS_TRAINING         1 or 0
CUB_200_2011/bounding_boxes.txt        ID X Y WIDTH HEIGHT    pixels
CUB_200_2011/images/PATH
CUB_200_2011/segmentations/PATH.png    optional; an archive of its own
"""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import read_lines
from boxrefine_d2.files.values import coordinates_of_words, is_file_name, shown_value
from boxrefine_d2.masks.coding import encode_masks
from boxrefine_d2.progress import with_progress

from ..images import header_size
from ..records import LoadedDataset, Record, box_annotation
from .held_out import split_of_training
from .mask_files import read_mask_file, resized_mask

IMAGES, MASKS = "images", "segmentations"
FILES = (
    "images.txt", "image_class_labels.txt", "classes.txt", "train_test_split.txt",
    "bounding_boxes.txt",
)  # fmt: skip
# A mask has the share of the annotators who marked a pixel as bird, from 0 to 255.
MAJORITY = 128


def load_cub(root: str | os.PathLike[str], split: str) -> LoadedDataset:
    """Return the records of one split, in the order of `images.txt`.

    The image id is the number in the files. Each image has one bird: a box [x, y, x + width,
    y + height] and, with `segmentations`, the pixels that most annotators marked. The box is the
    file's, not that of the mask. There is no official validation split: `val` is the part of the
    training images that `held_out` names, `train` the rest, and `trainval` both.

    Args:   split: "train", "val", "trainval" or "test".
    Raises: UserError for a missing file, a damaged line, an image without a line in one of the
            files, and a mask that cannot be read.
    """
    folder = Path(root)
    rows = {name: _rows(folder / name) for name in FILES}
    names = {key: " ".join(words) for key, words in rows["classes.txt"].items()}
    paths = {key: " ".join(words) for key, words in rows["images.txt"].items()}
    places = {key: place for place, key in enumerate(names)}
    labels = {}
    for key in paths:
        (own,) = _words_of(rows, "image_class_labels.txt", key, 1, folder)
        if not own.isdigit() or int(own) not in places:
            raise UserError(
                f"{str(folder / 'image_class_labels.txt')!r} has the class {shown_value(own)} for "
                f"image {key}, which classes.txt does not name"
            )
        labels[key] = places[int(own)]
    flags = {key: _words_of(rows, "train_test_split.txt", key, 1, folder)[0] for key in paths}
    if split == "test":
        chosen = [key for key in paths if flags[key] == "0"]
    else:
        training = [key for key in paths if flags[key] == "1"]
        chosen = split_of_training(training, [labels[key] for key in training], split)
    masks = os.path.isdir(folder / MASKS)
    records = [
        _record(folder, key, paths[key], labels[key], rows, masks)
        for key in with_progress(chosen, "cub")
    ]
    return LoadedDataset(records, list(names.values()), list(names))


def _rows(path: Path) -> dict[int, list[str]]:
    """Return number -> the other words of its line, in the order of the file."""
    rows: dict[int, list[str]] = {}
    for place, line in enumerate(read_lines(path, "CUB file"), start=1):
        first, *words = line.split()
        if not (first.isascii() and first.isdigit()) or not words or int(first) in rows:
            raise UserError(
                f"{str(path)!r}, line {place}, is {shown_value(line)}; expected a number that "
                "no line before has, and its values"
            )
        rows[int(first)] = words
    if not rows:
        raise UserError(f"CUB file {str(path)!r} is empty")
    return rows


def _words_of(
    rows: Mapping[str, Mapping[int, list[str]]], name: str, key: int, count: int, folder: Path
) -> list[str]:
    words = rows[name].get(key, [])
    if len(words) != count:
        raise UserError(
            f"{str(folder / name)!r} has {len(words)} values for image {key} of images.txt; "
            f"expected {count}"
        )
    return words


def _record(
    folder: Path,
    key: int,
    path: str,
    label: int,
    rows: Mapping[str, Mapping[int, list[str]]],
    masks: bool,
) -> Record:
    if not is_file_name(path) or os.path.isabs(path) or ".." in PurePosixPath(path).parts:
        raise UserError(f"image {key} of {str(folder / 'images.txt')!r} is {shown_value(path)}")
    words = _words_of(rows, "bounding_boxes.txt", key, 4, folder)
    numbers = coordinates_of_words(words)
    if numbers is None:
        raise UserError(
            f"{str(folder / 'bounding_boxes.txt')!r} has the box {shown_value(' '.join(words))} "
            f"for image {key}; it must be four numbers"
        )
    x, y, width, height = numbers
    bird = box_annotation([x, y, x + width, y + height], label)
    size = header_size(folder / IMAGES / path)
    if masks:
        mask = read_mask_file((folder / MASKS / path).with_suffix(".png"), MAJORITY)
        if size[0] and size[1]:
            mask = resized_mask(mask, (size[0], size[1]))
        bird |= {"area": float(mask.sum()), "segmentation": encode_masks(mask[None])[0]}
    return {
        "file_name": str(folder / IMAGES / path),
        "relative_name": f"{IMAGES}/{path}",
        "image_id": key,
        "height": size[0],
        "width": size[1],
        "image_label": label,
        "annotations": [bird],
    }
