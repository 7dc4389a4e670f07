"""Checks of the image and the masks that a mask refinement reads."""

import numpy as np


def check_rgb(image: np.ndarray) -> None:
    """Refuse an image that is not (H, W, 3) uint8 or has no pixels. Raises: ValueError."""
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"an RGB image (H, W, 3) is needed, not {image.shape}")
    if image.dtype != np.uint8:
        raise ValueError(f"an image of uint8 is needed, not {image.dtype}")


def check_masks(masks: np.ndarray, image: np.ndarray) -> None:
    """Refuse masks that are not (N, H, W) bool of the image's size. Raises: ValueError."""
    if masks.dtype != np.bool_:
        raise ValueError(f"masks of bool are needed, not {masks.dtype}")
    if masks.shape[1:] != image.shape[:2]:
        raise ValueError(f"masks of {masks.shape} do not belong to an image of {image.shape}")
