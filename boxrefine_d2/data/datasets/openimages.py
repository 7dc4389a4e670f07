"""Boxes of Open Images (Kuznetsova et al., arXiv:1811.00982), as the official tables give them."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from detectron2.structures import BoxMode

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import check_regular_file, text_encoding
from boxrefine_d2.files.values import coordinates_of_words, shown_value

from ..images import image_size
from ..records import LoadedDataset, Record

CLASSES_NAME = "class-descriptions-boxable.csv"
_COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsGroupOf")


def load_openimages(root: str | os.PathLike[str], split: str) -> LoadedDataset:
    """Records of every picture SPLIT/*.jpg, by image id, which is the name ("0001eeaf4aed83f9").

    The table gives boxes in fractions of the image; they become pixels, neither rounded nor
    clipped, by the size in the picture's header. A box around a group (IsGroupOf 1) is a crowd.
    Categories are numbered by the line of their name. A picture without a box has no annotation.

    Args:   root: the folder that holds SPLIT and `annotations`, with SPLIT-annotations-bbox.csv and
            class-descriptions-boxable.csv.  split: "validation".
    Raises: UserError for a missing file or folder, a table without the columns, a line that is not
            a box, or boxes of pictures that are not there or cannot be read.
    """
    tables, pictures = Path(root) / "annotations", Path(root) / split
    if not os.path.isdir(pictures):
        raise UserError(f"Open Images folder {str(pictures)!r} does not exist")
    names = _class_names(tables / CLASSES_NAME)
    table = tables / f"{split}-annotations-bbox.csv"
    boxes = _boxes(table, {label: index for index, label in enumerate(names)})
    paths = {path.stem: path for path in pictures.glob("*.[jJ][pP][gG]")}
    missing = sorted(set(boxes) - set(paths))
    if missing:
        raise UserError(
            f"{len(missing)} of the {len(boxes)} images in {str(table)!r} are not in {str(pictures)!r}, "
            f"first {shown_value(missing[0] + '.jpg')}"
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
    """Label ("/m/011k07") -> name ("Tortoise"), in the order of the file."""
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
    """Image id -> its annotations, with boxes still in fractions."""
    rows = _rows(path)
    header = next(rows, [])
    lacking = [column for column in _COLUMNS if column not in header]
    if lacking:
        raise UserError(f"Open Images table {str(path)!r} has no column {', '.join(lacking)}")
    places = [header.index(column) for column in _COLUMNS]
    found: dict[str, list[Record]] = {}
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
        annotation = {
            "bbox": [x1, y1, x2, y2],
            "bbox_mode": BoxMode.XYXY_ABS,
            "category_id": classes[label],
            "iscrowd": int(group == "1"),
        }
        found.setdefault(image_id, []).append(annotation)
    return found


def _fractions(numbers: list[str], where: str) -> list[float]:
    values = coordinates_of_words(numbers)
    if values is None:
        raise UserError(f"{where} has the box {shown_value(numbers)}; it must be four numbers")
    return values


def _record(picture: Path, annotations: list[Record]) -> Record:
    height, width = image_size(picture)
    for annotation in annotations:
        x1, y1, x2, y2 = annotation["bbox"]
        annotation["bbox"] = [x1 * width, y1 * height, x2 * width, y2 * height]
    return {
        "file_name": str(picture),
        "relative_name": picture.name,
        "image_id": picture.stem,
        "height": height,
        "width": width,
        "annotations": annotations,
    }
