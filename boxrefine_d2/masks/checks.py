"""What a refinement of masks asks of the image it reads."""

import numpy as np


def check_rgb(image: np.ndarray) -> None:
    """Raises: ValueError unless the image is (H, W, 3) uint8, with pixels."""
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"an RGB image (H, W, 3) is needed, not {image.shape}")
    if image.dtype != np.uint8:
        raise ValueError(f"an image of uint8 is needed, not {image.dtype}")


def check_masks(masks: np.ndarray, image: np.ndarray) -> None:
    """Raises: ValueError unless the masks are (N, H, W) bool, of the size of the image."""
    if masks.dtype != np.bool_:
        raise ValueError(f"masks of bool are needed, not {masks.dtype}")
    if masks.shape[1:] != image.shape[:2]:
        raise ValueError(f"masks of {masks.shape} do not belong to an image of {image.shape}")
