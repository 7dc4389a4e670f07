"""Loader of Tiny-ImageNet: 200 classes of ILSVRC, reduced to 64 x 64 pixels.

tiny-imagenet-200/wnids.txt                    WNID
tiny-imagenet-200/train/WNID/WNID_boxes.txt    FILE X1 Y1 X2 Y2
tiny-imagenet-200/train/WNID/images/FILE
tiny-imagenet-200/val/val_annotations.txt      FILE WNID X1 Y1 X2 Y2
tiny-imagenet-200/val/images/FILE
"""

import os
from collections.abc import Iterator
from pathlib import Path

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import read_lines
from boxrefine_d2.files.values import coordinates_of_words, is_file_name, shown_value
from boxrefine_d2.progress import with_progress

from ..records import LoadedDataset, box_annotation

CLASSES, VAL_BOXES = "wnids.txt", "val/val_annotations.txt"
SIDE = 64


def load_tiny_imagenet(root: str | os.PathLike[str], split: str) -> LoadedDataset:
    """Return a record of every image that the tables of boxes list, with its class and box.

    The classes are the sorted WordNet ids of `wnids.txt`. The tables count pixels from 0 and
    include the last one, so the box is [x1, y1, x2 + 1, y2 + 1]. Every image has 64 x 64 pixels;
    no header is read. The image id is the name of the file without suffix.

    Args:   split: "train", by class and table, or "val", in the order of the table.
    Raises: UserError for a missing or empty table, a damaged line, and a class that is not listed.
    """
    folder = Path(root)
    wnids = sorted(set(read_lines(folder / CLASSES, "Tiny-ImageNet list of classes")))
    number = {wnid: place for place, wnid in enumerate(wnids)}
    rows = _val_rows(folder, number) if split == "val" else _train_rows(folder, wnids)
    records = [
        {
            "file_name": os.path.join(folder, relative),
            "relative_name": relative,
            "image_id": os.path.splitext(relative.rsplit("/", 1)[-1])[0],
            "height": SIDE,
            "width": SIDE,
            "image_label": number[wnid],
            "annotations": [box_annotation(box, number[wnid])],
        }
        for relative, wnid, box in rows
    ]
    return LoadedDataset(records, wnids, list(range(1, len(wnids) + 1)))


Row = tuple[str, str, list[float]]  # relative path, WordNet id, box


def _train_rows(folder: Path, wnids: list[str]) -> Iterator[Row]:
    for wnid in with_progress(wnids, "tiny-imagenet", unit="classes"):
        table = folder / "train" / wnid / f"{wnid}_boxes.txt"
        for words, where in _table(table, columns=5):
            yield f"train/{wnid}/images/{words[0]}", wnid, _box(words[1:], where)


def _val_rows(folder: Path, number: dict[str, int]) -> Iterator[Row]:
    for words, where in _table(folder / VAL_BOXES, columns=6):
        if words[1] not in number:
            raise UserError(f"{where} has the class {shown_value(words[1])}, not in {CLASSES}")
        yield f"val/images/{words[0]}", words[1], _box(words[2:], where)


def _table(path: Path, columns: int) -> Iterator[tuple[list[str], str]]:
    """Yield the words of each line and its place, for messages."""
    lines = read_lines(path, "Tiny-ImageNet table")
    if not lines:
        raise UserError(f"Tiny-ImageNet table {str(path)!r} is empty")
    for place, line in enumerate(lines, start=1):
        words, where = line.split(), f"{str(path)!r}, line {place},"
        if len(words) != columns or "/" in words[0] or not is_file_name(words[0]):
            raise UserError(f"{where} is {shown_value(line)}; expected {columns} columns")
        yield words, where


def _box(words: list[str], where: str) -> list[float]:
    box = coordinates_of_words(words)
    if box is None:
        raise UserError(f"{where} has the box {shown_value(' '.join(words))}; it must be numbers")
    x1, y1, x2, y2 = box
    return [x1, y1, x2 + 1, y2 + 1]
