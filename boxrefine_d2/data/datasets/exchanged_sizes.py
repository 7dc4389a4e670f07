"""Correction of exchanged width and height of images or masks in COCO files.

MaskCut's release exchanges the sides of its images, and other tools exchange the sides of the
masks. The boxes of the labels show which of the two sizes is right. A mask decoded with its own
size has a bounding box. If that box equals the label's box, the size of the mask is right. If the
boxes are equal only after exchanging the sides of the mask, the size of the image is right.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np
from pycocotools import mask as mask_codec

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.segmentation import checked_rle

from ..records import Record

SLACK_PIXELS = 2.0  # largest difference between the box of a label and the box of its mask
_EXAMINED = 100  # largest number of masks decoded; all masks of a large file would take minutes

IMAGES_EXCHANGED = (
    "images have width and height exchanged, as their masks show; the sizes are corrected"
)
MASKS_EXCHANGED = (
    "masks have height and width exchanged, as their boxes show; the sizes are corrected"
)
_EXCHANGED = "the masks' sizes are those of the images with width and height exchanged"
_REMEDY = "write the size of a mask as [height, width] of its image"


def correct_exchanged_sizes(records: Iterable[Record], where: str) -> dict[str, int]:
    """Exchange the sides of all images, or of all masks, if every RLE mask contradicts its image.

    Args:   records: records with annotations; changed in place.  where: file name, for messages.
    Returns: `IMAGES_EXCHANGED` or `MASKS_EXCHANGED` -> number of changes; {} if the sizes agree.
    Raises: UserError if sizes are exchanged and the boxes do not show which of them.
    """
    records = list(records)
    turned = [flag for record in records for flag in _turned(record)]
    if not turned or not all(turned):
        return {}
    examples = list(islice(_sound_masks(records), _EXAMINED))
    if not examples:
        raise UserError(f"{where}: {_EXCHANGED}, and none of them can be decoded; {_REMEDY}")
    if all(_has_box(mask, box) for mask, box in examples):
        for record in records:
            record["height"], record["width"] = record["width"], record["height"]
        return {IMAGES_EXCHANGED: len(records)}
    if all(_has_box(_exchanged(mask), box) for mask, box in examples):
        for annotation in _masked(records):
            annotation["segmentation"] = _exchanged(annotation["segmentation"])
        return {MASKS_EXCHANGED: len(turned)}
    raise UserError(f"{where}: {_EXCHANGED}, and the boxes fit neither; {_REMEDY}")


def _masked(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    for record in records:
        for annotation in record["annotations"]:
            if isinstance(annotation.get("segmentation"), dict):
                yield annotation


def _turned(record: Record) -> list[bool]:
    """Return for each RLE mask whether its size is (width, height) of the image.

    A square image gives an empty list.
    """
    if record["height"] == record["width"]:
        return []
    size = [record["width"], record["height"]]
    return [annotation["segmentation"]["size"] == size for annotation in _masked([record])]


def _sound_masks(records: Iterable[Record]) -> Iterator[tuple[dict[str, Any], list[float]]]:
    """Yield the masks that can be decoded, with the boxes of their labels."""
    for annotation in _masked(records):
        mask = annotation["segmentation"]
        with suppress(ValueError):
            yield checked_rle(mask, tuple(mask["size"])), annotation["bbox"]


def _exchanged(mask: dict[str, Any]) -> dict[str, Any]:
    return {**mask, "size": mask["size"][::-1]}


def _has_box(mask: dict[str, Any], box: list[float]) -> bool:
    """Return True if the bounding box of the mask equals the XYXY box, up to `SLACK_PIXELS`."""
    x, y, width, height = mask_codec.toBbox(mask).tolist()
    return bool(np.abs(np.subtract([x, y, x + width, y + height], box)).max() <= SLACK_PIXELS)
