"""COCO's ways to write a mask, decoded."""

from typing import Any

import numpy as np
from pycocotools import mask as mask_codec

from boxrefine_d2.errors import UserError

from .labelled_images import LabelledBox, LabelledImage


def mask_of(box: LabelledBox, image: LabelledImage) -> np.ndarray:
    """(H, W) bool: the mask of one box of the image.

    Raises: UserError, naming the image, for a segmentation that cannot be decoded or is of another size.
    """
    size = (image.height, image.width)
    try:
        mask = mask_codec.decode(_compressed(box.segmentation, size)).astype(bool)
    except Exception as error:  # the codec raises nearly anything on damaged counts
        raise UserError(
            f"a segmentation of image {image.file_name!r} cannot be decoded: {error}"
        ) from error
    if mask.shape != size:
        raise UserError(
            f"a segmentation of image {image.file_name!r} is {mask.shape[1]} x {mask.shape[0]} pixels, the image "
            f"{image.width} x {image.height}"
        )
    return mask


def _compressed(segmentation: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Compressed RLE of RLE with counts of any kind, or of polygons."""
    if isinstance(segmentation, dict):
        if isinstance(segmentation["counts"], list):
            return mask_codec.frPyObjects(segmentation, *segmentation["size"])
        return segmentation
    return mask_codec.merge(mask_codec.frPyObjects(segmentation, *size))
