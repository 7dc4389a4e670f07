"""Overlap of labels, by boxes or by run-length encoded masks, which are never decoded."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_codec

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.segmentation import Rle, checked_rle
from boxrefine_d2.structures.overlap import overlaps_another

from .label_file import Entry, LabelFile

COMPARISONS = ("mask", "box")


def choose_comparison(by: str | None, first: LabelFile, second: LabelFile) -> tuple[str, str]:
    """Return the comparison to use, "mask" or "box", and a sentence about it for the summary.

    Args:   by: the requested comparison; None is "mask" if all labels of both files have masks.
    Raises: UserError if masks are requested and a label has none, and for an unknown comparison.
    """
    if by not in (None, *COMPARISONS):
        raise UserError(f"labels cannot be compared by {by!r}; known: {', '.join(COMPARISONS)}")
    lacking = [
        f"{file.label_count - file.mask_count} of the {file.label_count} labels of {file} "
        "have no mask"
        for file in (first, second)
        if file.mask_count < file.label_count
    ]
    if by == "mask" and lacking:
        raise UserError(f"{'; '.join(lacking)}; compare boxes: --by box")
    if by == "box":
        return "box", "compared by boxes"
    if lacking:
        return "box", f"compared by boxes, since {' and '.join(lacking)}"
    return "mask", "compared by masks"


def largest_iou(
    labels: Sequence[Entry], others: Sequence[Entry], image: Entry, by: str
) -> NDArray[np.float64]:
    """Return (N,): the largest IoU of each label with any of the others; 0 without others.

    Raises: UserError for a mask that cannot be read or that does not have the image's size.
    """
    if not labels or not others:
        return np.zeros(len(labels))
    if by == "mask":
        sides: Any = [[mask_rle(label, image) for label in side] for side in (labels, others)]
    else:
        sides = [np.array([label["bbox"] for label in side], float) for side in (labels, others)]
    largest: NDArray[np.float64] = mask_codec.iou(*sides, [0] * len(others)).max(axis=1)
    return largest


def boxes_overlap(labels: Sequence[Entry]) -> NDArray[np.bool_]:
    """Return (N,): True for each label whose box overlaps another one; see `structures.overlap`."""
    boxes = np.array([label["bbox"] for label in labels], float).reshape(-1, 4)
    return overlaps_another(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1))


def mask_rle(label: Entry, image: Entry) -> Rle:
    """Return the label's mask as compressed RLE of the image's size.

    Raises: UserError for a mask that cannot be read or that does not have the image's size.
    """
    height, width = image.get("height", 0), image.get("width", 0)
    try:
        if not all(isinstance(side, int) and side > 0 for side in (height, width)):
            raise ValueError(f"the image has width {width!r} and height {height!r}")
        return checked_rle(label["segmentation"], (height, width))
    except ValueError as error:
        raise UserError(
            f"image {image['file_name']!r} has a mask that cannot be used: {error}; repair the "
            "file or use boxes"
        ) from error
