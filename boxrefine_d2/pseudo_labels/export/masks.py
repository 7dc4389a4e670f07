"""PNG masks: masks/a/b.png for image a/b.jpg, a grey image of the same size.

A pixel is 0 without an instance, and otherwise the instance's number: 1 has the highest score, 2
the next. Where instances overlap, the pixel belongs to the higher score. Files have 8 bits per
pixel, or 16 for an image with more than 255 instances. The mask of an image without boxes is all 0.
"""

import io
import logging
from pathlib import Path

import numpy as np
from PIL import Image

from boxrefine_d2.errors import UserError

from .file_names import beside, file_names
from .format import Export, Format
from .labelled_images import LabelledImage
from .per_image import write_per_image
from .segmentation import mask_of

_MOST_INSTANCES = np.iinfo(np.uint16).max

logger = logging.getLogger(__name__)


def write_masks(export: Export, folder: Path) -> None:
    """Write the format; see `Writer`."""
    boxes = [box for image in export.images for box in image.boxes]
    without = sum(not box.segmentation for box in boxes)
    if without:
        raise UserError(
            f"{export.source}: {without} of the {len(boxes)} boxes have no 'segmentation', which "
            "masks are made of; use a method that finds masks, or another format"
        )
    names = file_names(export.images, beside(".png"))
    hidden = 0

    def content(image: LabelledImage) -> bytes:
        nonlocal hidden
        numbers = instance_numbers(image)
        hidden += len(image.boxes) - int(np.count_nonzero(np.unique(numbers)))
        return _png(numbers)

    write_per_image(folder / "masks", export.images, names, content)
    if hidden:
        logger.warning(
            "%s: %d instances lie under others of a higher score, or are empty, and have no pixel",
            *(export.source, hidden),
        )


def instance_numbers(image: LabelledImage) -> np.ndarray:
    """Return (H, W) uint8 or uint16: the number of each pixel's instance, or 0."""
    if len(image.boxes) > _MOST_INSTANCES:
        raise UserError(
            f"image {image.file_name!r} has {len(image.boxes)} instances, a mask has "
            f"{_MOST_INSTANCES} at most"
        )
    kind = np.uint8 if len(image.boxes) <= np.iinfo(np.uint8).max else np.uint16
    numbers = np.zeros((image.height, image.width), kind)
    for number in range(len(image.boxes), 0, -1):
        numbers[mask_of(image.boxes[number - 1], image)] = number
    return numbers


def _png(numbers: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(numbers).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


MASKS = Format(write_masks, frozenset({"masks"}))
