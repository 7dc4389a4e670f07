"""CSV: two tables, since an image without boxes has no line in a table of boxes.

    boxes.csv    a line a box, best first in each image: file_name, image_id, x1, y1, x2, y2, score
    images.csv   a line an image: file_name, image_id, width, height, boxes (how many; 0 for none)

Boxes are half-open, in pixels of the original image.
"""

import csv
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from boxrefine_d2.errors import UserError

from .format import Export, Format
from .labelled_images import decimal

BOX_COLUMNS = ("file_name", "image_id", "x1", "y1", "x2", "y2", "score")
IMAGE_COLUMNS = ("file_name", "image_id", "width", "height", "boxes")

logger = logging.getLogger(__name__)


def write_csv(export: Export, folder: Path) -> None:
    """Writes the format; see `Writer`."""
    _check_names(export)
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


def _check_names(export: Export) -> None:
    """Bytes that are no UTF-8 are said; half a character, as JSON may hold it, is in the name of no file."""
    strange = 0
    for image in export.images:
        for text in (image.file_name, str(image.image_id)):
            try:
                os.fsencode(text).decode("utf-8")
            except UnicodeEncodeError as error:
                raise UserError(
                    f"image {image.file_name!r} has half a character in its name or id; rename it"
                ) from error
            except UnicodeDecodeError:
                strange += 1
    if strange:
        logger.warning(
            "%s: %d names are no UTF-8 and are written byte for byte: in Python such a table is read with "
            "encoding='utf-8', errors='surrogateescape'",
            *(export.source, strange),
        )


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    # a bare \r ends a line for readers of tables, and the writer does not quote it
    table = list(rows)
    has_returns = any("\r" in str(cell) for row in table for cell in row)
    # names of files may hold bytes that are no UTF-8: they are written as they are on the disk
    with path.open("x", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(
            file, lineterminator="\n", quoting=csv.QUOTE_ALL if has_returns else csv.QUOTE_MINIMAL
        )
        writer.writerow(columns)
        writer.writerows(table)


CSV = Format(write_csv, frozenset({"boxes.csv", "images.csv"}))
