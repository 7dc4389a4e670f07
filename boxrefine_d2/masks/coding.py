"""Conversion of masks to and from the compressed RLE of files; no other file encodes a mask."""

from typing import Any

import numpy as np
from pycocotools import mask as mask_codec

from .segmentation import Rle, checked_rle


def encode_masks(masks: np.ndarray) -> list[Rle]:
    """Return masks as compressed RLE with counts as text, which JSON can hold.

    Args:    masks: (N, H, W) bool.
    Returns: N times {"size": [H, W], "counts": text}.
    """
    stacked = np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8))
    return [with_text_counts(rle) for rle in mask_codec.encode(stacked)]


def with_text_counts(rle: Rle) -> Rle:
    """Return compressed RLE with text counts; COCO's code makes bytes, which JSON cannot hold."""
    return rle | {"counts": rle["counts"].decode("ascii")}


def decode_mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels of a mask that a file holds as RLE or polygons.

    Args:
        segmentation: RLE or polygons.
        size: (H, W) of the image.
    Returns: (H, W) bool.
    Raises:  ValueError for a mask that cannot be decoded or has another size; see `checked_rles`.
    """
    mask: np.ndarray = mask_codec.decode(checked_rle(segmentation, size)).astype(bool)
    return mask
