"""COCO's ways to write a mask, decoded."""

import numpy as np
from pycocotools import mask as mask_codec

from boxrefine_d2.errors import UserError
from boxrefine_d2.structures.segmentation import checked_rle

from .labelled_images import LabelledBox, LabelledImage


def mask_of(box: LabelledBox, image: LabelledImage) -> np.ndarray:
    """(H, W) bool: the mask of one box of the image.

    Raises: UserError, naming the image, for a segmentation that cannot be decoded or is of another size.
    """
    try:
        rle = checked_rle(box.segmentation, (image.height, image.width))
    except ValueError as error:
        raise UserError(f"image {image.file_name!r}: {error}") from error
    mask: np.ndarray = mask_codec.decode(rle).astype(bool)
    return mask
