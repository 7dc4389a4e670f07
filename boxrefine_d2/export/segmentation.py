"""COCO's ways to write a mask, decoded."""

import numpy as np
from pycocotools import mask as mask_codec

from boxrefine_d2.errors import UserError
from boxrefine_d2.structures.segmentation import compressed_rle

from .labelled_images import LabelledBox, LabelledImage


def mask_of(box: LabelledBox, image: LabelledImage) -> np.ndarray:
    """(H, W) bool: the mask of one box of the image.

    Raises: UserError, naming the image, for a segmentation that cannot be decoded or is of another size.
    """
    size = (image.height, image.width)
    try:
        mask = mask_codec.decode(compressed_rle(box.segmentation, size)).astype(bool)
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
