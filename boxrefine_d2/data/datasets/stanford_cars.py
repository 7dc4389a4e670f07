"""Loader of Stanford Cars (Krause et al., 3dRR 2013), in torchvision's layout.

stanford_cars/devkit/cars_meta.mat                 class_names
stanford_cars/devkit/cars_train_annos.mat          annotations: fname, class, bbox_x1, ...
stanford_cars/cars_test_annos_withlabels.mat       likewise
stanford_cars/cars_train/FNAME, stanford_cars/cars_test/FNAME
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.values import coordinates_of_words, is_file_name, shown_value
from boxrefine_d2.progress import with_progress

from ..images import header_size
from ..records import LoadedDataset, Record, box_annotation
from .held_out import split_of_training
from .mat_file import read_mat

NAMES = "devkit/cars_meta.mat"
TRAIN, TEST = "devkit/cars_train_annos.mat", "cars_test_annos_withlabels.mat"
SIDES = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
FIELDS = (*SIDES, "class", "fname")


def load_stanford_cars(root: str | os.PathLike[str], split: str) -> LoadedDataset:
    """Return the records of one split, in the order of the file. Each image has one box.

    The file counts pixels from 1 and includes the last one, as MATLAB does: the box is [x1 - 1,
    y1 - 1, x2, y2]. There is no official validation split: `val` is the part of the training images
    that `held_out` names, `train` the rest, and `trainval` both. The image id is the name of the
    file without suffix.

    Args:   split: "train", "val", "trainval" or "test".
    Raises: UserError for a missing or damaged file, labels without classes, and a class that has no
            name.
    """
    folder = Path(root)
    names = [str(name) for name in read_mat(folder / NAMES, "class_names")]
    path, images = (TEST, "cars_test") if split == "test" else (TRAIN, "cars_train")
    rows = read_mat(folder / path, "annotations")
    missing = [field for field in FIELDS if field not in (rows.dtype.names or ())]
    if missing:
        raise UserError(
            f"{str(folder / path)!r} has no {', '.join(missing)}; the test labels with classes are "
            "the file cars_test_annos_withlabels.mat"
        )
    cars = [_row(row, names, f"{str(folder / path)!r}, image {k}") for k, row in enumerate(rows, 1)]
    if split != "test":
        cars = split_of_training(cars, [label for _, label, _ in cars], split)
    records = [_record(folder, images, *car) for car in with_progress(cars, "cars")]
    return LoadedDataset(records, names, list(range(1, len(names) + 1)))


def _row(row: Any, names: list[str], where: str) -> tuple[str, int, list[float]]:
    """Return name of the file, class from 0 and box."""
    values = {field: np.ravel(row[field])[0] if np.size(row[field]) else "" for field in FIELDS}
    corners = coordinates_of_words(str(values[side]) for side in SIDES)
    label, name = str(values["class"]), str(values["fname"])
    if corners is None or not label.isdigit() or not 1 <= int(label) <= len(names):
        shown = shown_value({field: str(value) for field, value in values.items()})
        raise UserError(f"{where}, is {shown}; expected a box and a class from 1 to {len(names)}")
    if not is_file_name(name) or "/" in name:
        raise UserError(f"{where}, has the fname {shown_value(name)}")
    x1, y1, x2, y2 = corners
    return name, int(label) - 1, [x1 - 1, y1 - 1, x2, y2]


def _record(folder: Path, images: str, name: str, label: int, box: list[float]) -> Record:
    path = folder / images / name
    height, width = header_size(path)
    return {
        "file_name": str(path),
        "relative_name": f"{images}/{name}",
        "image_id": os.path.splitext(name)[0],
        "height": height,
        "width": width,
        "image_label": label,
        "annotations": [box_annotation(box, label)],
    }
