"""Files in which the size of masks and that of their images stand width for height: which of the two is right.

MaskCut's release exchanges the sides of its images, other tools those of the masks. A mask drawn in its own size has a box;
where that is the box of its label the mask is right, where it is so only with the sides exchanged the image is.
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

SLACK_PIXELS = 2.0  # by which the box of a label and that of its mask may differ
_EXAMINED = 100  # masks at most: decoding all of a large file would take minutes

IMAGES_EXCHANGED = "images have width and height exchanged, by their masks; read the right way"
MASKS_EXCHANGED = "masks have height and width exchanged, by their boxes; read the right way"
_EXCHANGED = "the masks' sizes are those of the images with width and height exchanged"
_REMEDY = "write the size of a mask as [height, width] of its image"


def correct_exchanged_sizes(records: Iterable[Record], where: str) -> dict[str, int]:
    """Exchange the sides of all images, or of all masks, where every RLE mask says that one of the two is wrong.

    Args:   records: with annotations; changed in place.  where: the file, for messages.
    Returns: what was exchanged -> how often; {} where sizes agree.
    Raises: UserError if sizes are exchanged and boxes do not tell which.
    """
    records = list(records)
    turned = [one for record in records for one in _turned(record)]
    if not turned or not all(turned):
        return {}
    examples = list(islice(_sound_masks(records), _EXAMINED))
    if not examples:
        raise UserError(f"{where}: {_EXCHANGED}, and none of them can be decoded; {_REMEDY}")
    if all(_draws(mask, box) for mask, box in examples):
        for record in records:
            record["height"], record["width"] = record["width"], record["height"]
        return {IMAGES_EXCHANGED: len(records)}
    if all(_draws(_exchanged(mask), box) for mask, box in examples):
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
    """Of each RLE mask, if the image is not square, whether its size is (width, height) of the image."""
    if record["height"] == record["width"]:
        return []
    size = [record["width"], record["height"]]
    return [annotation["segmentation"]["size"] == size for annotation in _masked([record])]


def _sound_masks(records: Iterable[Record]) -> Iterator[tuple[dict[str, Any], list[float]]]:
    """Masks that can be decoded, with the boxes of their labels."""
    for annotation in _masked(records):
        mask = annotation["segmentation"]
        with suppress(ValueError):
            yield checked_rle(mask, tuple(mask["size"])), annotation["bbox"]


def _exchanged(mask: dict[str, Any]) -> dict[str, Any]:
    return {**mask, "size": mask["size"][::-1]}


def _draws(mask: dict[str, Any], box: list[float]) -> bool:
    """Whether the mask's own box is that box XYXY, rounding allowed."""
    x, y, width, height = mask_codec.toBbox(mask).tolist()
    return bool(np.abs(np.subtract([x, y, x + width, y + height], box)).max() <= SLACK_PIXELS)
