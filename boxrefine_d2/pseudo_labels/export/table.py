"""CSV: two tables, because an image without boxes has no line in a table of boxes.

    boxes.csv    one line per box, best first in each image: file_name, image_id, x1, y1, x2, y2,
                 score, category
    images.csv   one line per image: file_name, image_id, width, height, boxes (their number)

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

BOX_COLUMNS = ("file_name", "image_id", "x1", "y1", "x2", "y2", "score", "category")
IMAGE_COLUMNS = ("file_name", "image_id", "width", "height", "boxes")

logger = logging.getLogger(__name__)


def write_csv(export: Export, folder: Path) -> None:
    """Write the format; see `Writer`."""
    _check_names(export)
    boxes = (
        [
            *(image.file_name, image.image_id, *map(decimal, box.xyxy), box.score),
            export.categories[box.category_id],
        ]
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
    """Warn of names that are not UTF-8; refuse half a character (a lone surrogate).

    JSON may hold half a character, but no file name can.
    """
    not_utf8 = 0
    for image in export.images:
        for text in (image.file_name, str(image.image_id)):
            try:
                os.fsencode(text).decode("utf-8")
            except UnicodeEncodeError as error:
                raise UserError(
                    f"image {image.file_name!r} has half a character in its name or id; rename it"
                ) from error
            except UnicodeDecodeError:
                not_utf8 += 1
    if not_utf8:
        logger.warning(
            "%s: %d names are not UTF-8 and are written byte for byte; read the table in Python "
            "with encoding='utf-8', errors='surrogateescape'",
            *(export.source, not_utf8),
        )


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    # readers of tables end a line at a bare \r, and the writer does not quote it
    table = list(rows)
    has_returns = any("\r" in str(cell) for row in table for cell in row)
    # file names may hold bytes that are not UTF-8: they are written as they are on the disk
    with path.open("x", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(
            file, lineterminator="\n", quoting=csv.QUOTE_ALL if has_returns else csv.QUOTE_MINIMAL
        )
        writer.writerow(columns)
        writer.writerows(table)


CSV = Format(write_csv, frozenset({"boxes.csv", "images.csv"}))
