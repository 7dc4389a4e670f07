"""Loader of the official box tables of Open Images (Kuznetsova et al., arXiv:1811.00982)."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import check_regular_file, text_encoding
from boxrefine_d2.files.values import coordinates_of_words, shown_value

from ..images import image_size
from ..records import LoadedDataset, Record, box_annotation

CLASSES_NAME = "class-descriptions-boxable.csv"
_COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsGroupOf")


def load_openimages(root: str | os.PathLike[str], split: str) -> LoadedDataset:
    """Return a record of every image SPLIT/*.jpg, sorted by image id.

    The image id is the name of the file ("0001eeaf4aed83f9"). The table states boxes as fractions
    of the image. The size in the image header converts them to pixels, neither rounded nor clipped.
    A box around a group (IsGroupOf 1) is a crowd. Categories are numbered from 0 in the order of
    their names in the file. An image without a box has an empty list of annotations.

    Args:   root: folder that holds SPLIT and `annotations`, with SPLIT-annotations-bbox.csv and
            class-descriptions-boxable.csv.  split: "validation".
    Raises: UserError for a missing file or folder, a table without the required columns, a line
            that is not a box, or boxes of images that are missing or cannot be read.
    """
    tables, image_folder = Path(root) / "annotations", Path(root) / split
    if not os.path.isdir(image_folder):
        raise UserError(f"Open Images folder {str(image_folder)!r} does not exist")
    names = _class_names(tables / CLASSES_NAME)
    table = tables / f"{split}-annotations-bbox.csv"
    boxes = _boxes(table, {label: index for index, label in enumerate(names)})
    paths = {path.stem: path for path in image_folder.glob("*.[jJ][pP][gG]")}
    missing = sorted(set(boxes) - set(paths))
    if missing:
        raise UserError(
            f"{len(missing)} of the {len(boxes)} images in {str(table)!r} are not in "
            f"{str(image_folder)!r}, first {shown_value(missing[0] + '.jpg')}"
        )
    records = [_record(paths[name], boxes.get(name, [])) for name in sorted(paths)]
    return LoadedDataset(records, list(names.values()), list(range(1, len(names) + 1)))


def _rows(path: Path) -> Iterator[list[str]]:
    check_regular_file(path, "Open Images table")
    try:
        with path.open(encoding=text_encoding(path), newline="") as file:
            yield from csv.reader(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read Open Images table {str(path)!r}: {error}") from error


def _class_names(path: Path) -> dict[str, str]:
    """Return label ("/m/011k07") -> name ("Tortoise"), in the order of the file."""
    names = {}
    for number, row in enumerate(_rows(path), start=1):
        if len(row) != 2:
            raise UserError(
                f"{str(path)!r}, line {number}: expected a label and a name, got {shown_value(row)}"
            )
        names[row[0]] = row[1]
    if not names:
        raise UserError(f"Open Images table {str(path)!r} is empty")
    return names


def _boxes(path: Path, classes: dict[str, int]) -> dict[str, list[Record]]:
    """Return image id -> annotations with boxes in fractions of the image."""
    rows = _rows(path)
    header = next(rows, [])
    lacking = [column for column in _COLUMNS if column not in header]
    if lacking:
        raise UserError(f"Open Images table {str(path)!r} has no column {', '.join(lacking)}")
    places = [header.index(column) for column in _COLUMNS]
    annotations: dict[str, list[Record]] = {}
    for number, row in enumerate(rows, start=2):
        where = f"{str(path)!r}, line {number}"
        if len(row) != len(header):
            raise UserError(f"{where} has {len(row)} columns, the header {len(header)}")
        image_id, label, *numbers, group = (row[place] for place in places)
        if label not in classes:
            raise UserError(
                f"{where} has the label {shown_value(label)}, which {CLASSES_NAME} does not name"
            )
        x1, x2, y1, y2 = _fractions(numbers, where)
        annotation = box_annotation([x1, y1, x2, y2], classes[label], iscrowd=int(group == "1"))
        annotations.setdefault(image_id, []).append(annotation)
    return annotations


def _fractions(numbers: list[str], where: str) -> list[float]:
    values = coordinates_of_words(numbers)
    if values is None:
        raise UserError(f"{where} has the box {shown_value(numbers)}; it must be four numbers")
    return values


def _record(path: Path, annotations: list[Record]) -> Record:
    height, width = image_size(path)
    for annotation in annotations:
        x1, y1, x2, y2 = annotation["bbox"]
        annotation["bbox"] = [x1 * width, y1 * height, x2 * width, y2 * height]
    return {
        "file_name": str(path),
        "relative_name": path.name,
        "image_id": path.stem,
        "height": height,
        "width": width,
        "annotations": annotations,
    }
