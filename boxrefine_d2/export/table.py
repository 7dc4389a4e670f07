"""CSV: two tables, since an image without boxes has no line in a table of boxes.

    boxes.csv    a line a box, best first in each image: file_name, image_id, x1, y1, x2, y2, score
    images.csv   a line an image: file_name, image_id, width, height, boxes (how many; 0 for none)

Boxes are half-open, in pixels of the original image.
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from .format import Export, Format
from .labelled_images import decimal

BOX_COLUMNS = ("file_name", "image_id", "x1", "y1", "x2", "y2", "score")
IMAGE_COLUMNS = ("file_name", "image_id", "width", "height", "boxes")


def write_csv(export: Export, folder: Path) -> None:
    """Writes the format; see `Writer`."""
    boxes = (
        [image.file_name, image.image_id, *map(decimal, box.xyxy), box.score]
        for image in export.images
        for box in image.boxes
    )
    images = (
        [image.file_name, image.image_id, image.width, image.height, len(image.boxes)]
        for image in export.images
    )
    _write(folder / "boxes.csv", BOX_COLUMNS, boxes)
    _write(folder / "images.csv", IMAGE_COLUMNS, images)


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    # names of files may hold bytes that are no UTF-8: they are written as they are on the disk
    with path.open("x", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


CSV = Format(write_csv, frozenset({"boxes.csv", "images.csv"}))
