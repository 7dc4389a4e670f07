"""Masks as compressed RLE, the way files hold them, and back; the one place that encodes a mask."""

from typing import Any

import numpy as np
from pycocotools import mask as mask_codec

from .segmentation import Rle, checked_rle


def encode_masks(masks: np.ndarray) -> list[Rle]:
    """Return masks as compressed RLE whose counts are text, so that JSON can hold them.

    Args:    masks: (N, H, W) bool.
    Returns: N times {"size": [H, W], "counts": text}.
    """
    stacked = np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8))
    return [with_text_counts(rle) for rle in mask_codec.encode(stacked)]


def with_text_counts(rle: Rle) -> Rle:
    """Return compressed RLE of COCO's code, whose counts are bytes, as JSON can hold it."""
    return rle | {"counts": rle["counts"].decode("ascii")}


def decode_mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels of a mask that a file holds as RLE or polygons.

    Args:    size: (H, W) of the image.
    Returns: (H, W) bool.
    Raises:  ValueError for what cannot be decoded, or is of another size; see `checked_rles`.
    """
    mask: np.ndarray = mask_codec.decode(checked_rle(segmentation, size)).astype(bool)
    return mask
