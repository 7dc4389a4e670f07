"""COCO's ways to write a mask, brought to one, and checked."""

from typing import Any

from pycocotools import mask as mask_codec

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
    """Compressed RLE that can be decoded, of an image of the size (H, W).

    Raises: ValueError, which says what is wrong with "a segmentation" of "the image".
    """
    try:
        rle = compressed_rle(segmentation, size)
        mask_codec.decode(rle)  # which alone sees counts that do not fill the mask
    except Exception as error:  # the codec raises nearly anything on damaged counts
        raise ValueError(f"a segmentation cannot be decoded: {error}") from error
    height, width = rle["size"]
    if (height, width) != tuple(size):
        raise ValueError(
            f"a segmentation is {width} x {height} pixels, the image {size[1]} x {size[0]}"
        )
    return rle
