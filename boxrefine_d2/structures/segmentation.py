"""COCO's ways to write a mask, brought to one, and checked."""

from collections.abc import Sequence
from typing import Any

from pycocotools import mask as mask_codec

from .rle_counts import all_fill

Rle = dict[str, Any]


def compressed_rle(segmentation: Any, size: tuple[int, int]) -> Rle:
    """Compressed RLE of RLE with counts of any kind, or of polygons.

    Args: size: (H, W) of the image that polygons are drawn on.
    Raises: whatever the codec raises on what is neither.
    """
    if isinstance(segmentation, dict):
        if isinstance(segmentation["counts"], list):
            return mask_codec.frPyObjects(segmentation, *segmentation["size"])
        return segmentation
    return mask_codec.merge(mask_codec.frPyObjects(segmentation, *size))


def checked_rle(segmentation: Any, size: tuple[int, int]) -> Rle:
    """`checked_rles` of one mask."""
    return checked_rles([segmentation], size)[0]


def checked_rles(segmentations: Sequence[Any], size: tuple[int, int]) -> list[Rle]:
    """Compressed RLE that COCO's code can read, of masks of one image of the size (H, W).

    Raises: ValueError, which says what is wrong with "a segmentation" of "the image".
    """
    try:
        rles = [compressed_rle(segmentation, size) for segmentation in segmentations]
        texts = [rle["counts"] for rle in rles]
        counts = [text.encode() if isinstance(text, str) else bytes(text) for text in texts]
        sizes = [tuple(rle["size"]) for rle in rles]
    except Exception as error:  # the codec raises nearly anything
        raise ValueError(f"a segmentation cannot be decoded: {error}") from error
    for height, width in sizes:
        if (height, width) != tuple(size):
            raise ValueError(
                f"a segmentation is {width} x {height} pixels, the image {size[1]} x {size[0]}"
            )
    if rles and not all_fill(counts, size[0] * size[1]):
        raise ValueError("a segmentation cannot be decoded: its counts do not fill the mask")
    return rles
