"""COCO's forms of a mask, converted to one form and checked before COCO's own code reads them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_codec

from .rle_counts import all_fill

Rle = dict[str, Any]

MAX_PIXELS = 178_956_970  # of a mask; the same limit as for images
MAX_COORDINATE = 1e6  # of a polygon's corner, in pixels
MAX_OUTLINE = 1e7  # pixels along all outlines of one object; the codec takes memory for each
_NOT_FILLED = "its counts do not fill the mask"


def plain_segmentation(value: Any) -> Any:
    """Return a mask in a form that JSON can hold; None for anything that is no mask.

    RLE is returned unchanged, and polygons without their invalid parts. The result has the right
    form and a size that memory can hold. `checked_rles` checks whether counts fill the mask.
    """
    if isinstance(value, dict):
        return value if _is_rle(value) else None
    if isinstance(value, (list, tuple)):
        polygons = [part for part in value if _is_polygon(part)]
        return polygons if polygons and _outline(polygons) <= MAX_OUTLINE else None
    return None


def compressed_rle(segmentation: Any, size: tuple[int, int]) -> Rle:
    """Return compressed RLE of RLE with any kind of counts, or of polygons.

    Args:
        segmentation: RLE or polygons.
        size: (H, W) of the image that polygons are drawn on.
    Raises: ValueError for other values, or for a list of counts that does not fill the mask.
    """
    plain = plain_segmentation(segmentation)
    if plain is None:
        raise ValueError("it is neither RLE nor polygons of at least three corners")
    rle: Rle
    if isinstance(plain, list):
        rle = mask_codec.merge(mask_codec.frPyObjects(plain, *size))
    elif isinstance(plain["counts"], list):
        if sum(plain["counts"]) != plain["size"][0] * plain["size"][1]:
            raise ValueError(_NOT_FILLED)
        rle = mask_codec.frPyObjects(plain, *plain["size"])
    else:
        rle = plain
    return rle


def checked_rle(segmentation: Any, size: tuple[int, int]) -> Rle:
    """Return the compressed RLE of one mask; see `checked_rles`."""
    return checked_rles([segmentation], size)[0]


def checked_rles(segmentations: Sequence[Any], size: tuple[int, int]) -> list[Rle]:
    """Return compressed RLE, which COCO's code can read safely, of the masks of one image.

    Args:
        segmentations: RLE or polygons.
        size: (H, W) of the image.
    Raises: ValueError; its message describes the mistake in "a segmentation" of "the image".
    """
    try:
        rles = [compressed_rle(segmentation, size) for segmentation in segmentations]
        texts = [rle["counts"] for rle in rles]
        counts = [text.encode() if isinstance(text, str) else bytes(text) for text in texts]
    except Exception as error:  # the codec may raise nearly any exception
        raise ValueError(f"a segmentation cannot be decoded: {error}") from error
    for height, width in (rle["size"] for rle in rles):
        if (height, width) != tuple(size):
            raise ValueError(
                f"a segmentation is {width} x {height} pixels, the image {size[1]} x {size[0]}"
            )
    if rles and not all_fill(counts, size[0] * size[1]):
        raise ValueError(f"a segmentation cannot be decoded: {_NOT_FILLED}")
    return rles


def _is_rle(value: dict[str, Any]) -> bool:
    size, counts = value.get("size"), value.get("counts")
    if not (isinstance(size, (list, tuple)) and len(size) == 2 and all(map(_is_count, size))):
        return False
    if not 0 < size[0] * size[1] <= MAX_PIXELS:
        return False
    if isinstance(counts, list):
        return all(map(_is_count, counts))
    return isinstance(counts, (str, bytes))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_polygon(part: Any) -> bool:
    """Return whether a part is x, y, x, y, ... of three or more corners up to `MAX_COORDINATE`."""
    if not isinstance(part, (list, tuple)) or len(part) < 6 or len(part) % 2:
        return False
    try:
        # The norm is at least the largest coordinate. One call is fast: data sets have millions.
        norm = math.hypot(*part)
    except (TypeError, OverflowError):  # not a number, or too large for a float
        return False
    return math.isfinite(norm) and (norm <= MAX_COORDINATE or max(map(abs, part)) <= MAX_COORDINATE)


def _outline(polygons: Sequence[Sequence[float]]) -> float:
    """Return the length of all outlines, or an upper bound if that is below `MAX_OUTLINE`.

    The length of a step is its longer side.
    """
    bound = sum(2 * math.sqrt(len(part)) * math.hypot(*part) for part in polygons)
    if bound <= MAX_OUTLINE:
        return bound
    corners = [np.array(part, np.float64).reshape(-1, 2) for part in polygons]
    steps = [np.abs(part - np.roll(part, 1, axis=0)).max(axis=1) for part in corners]
    return float(sum(step.sum() for step in steps))
