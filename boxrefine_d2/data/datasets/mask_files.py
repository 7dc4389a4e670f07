"""Masks that a data set holds as image files, one object or region per file."""

import os

import numpy as np
import torch
from PIL import Image

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.coding import encode_masks
from boxrefine_d2.structures import mask_to_box

from ..images import ImageReadError, read_image
from ..records import Record, box_annotation


def read_mask_file(path: str | os.PathLike[str], least: int = 1) -> np.ndarray:
    """Return the mask of a grey image file, (H, W) bool.

    Args:   least: smallest grey value, of 0 to 255, that belongs to the object.
    Raises: UserError for a file that is missing or cannot be read.
    """
    mask: np.ndarray = mask_pixels(path).max(axis=2) >= least
    return mask


def mask_pixels(path: str | os.PathLike[str]) -> np.ndarray:
    """Return the pixels of a file that shows a mask, (H, W, 3) uint8 RGB.

    Raises: UserError for a file that is missing or cannot be read.
    """
    try:
        return read_image(path)
    except ImageReadError as error:
        raise UserError(
            f"cannot read the mask {os.fspath(path)!r}: {error.reason}; unpack the masks again"
        ) from error


def resized_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a mask (h, w) bool in the frame of an image (H, W), by the nearest pixel."""
    if mask.shape == size:
        return mask
    resized = Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST)
    return np.array(resized)


def mask_annotation(mask: np.ndarray, category_id: int, *, iscrowd: int = 0) -> Record | None:
    """Return the annotation of a mask, with its tight box and its area; None if it is empty.

    Args: mask: (H, W) bool, in the frame of the image.
    """
    if not mask.any():
        return None
    box = mask_to_box(torch.from_numpy(mask[None]))[0].double().tolist()
    return box_annotation(box, category_id, iscrowd=iscrowd) | {
        "area": float(mask.sum()),
        "segmentation": encode_masks(mask[None])[0],
    }
