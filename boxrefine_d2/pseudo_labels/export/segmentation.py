"""Decoding of COCO segmentations."""

import numpy as np

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.coding import decode_mask

from .labelled_images import LabelledBox, LabelledImage


def mask_of(box: LabelledBox, image: LabelledImage) -> np.ndarray:
    """Return (H, W) bool: the mask of one box of the image.

    Raises: UserError, naming the image, for a segmentation that cannot be decoded or that does not
        have the image's size.
    """
    try:
        return decode_mask(box.segmentation, (image.height, image.width))
    except ValueError as error:
        raise UserError(f"image {image.file_name!r}: {error}") from error
