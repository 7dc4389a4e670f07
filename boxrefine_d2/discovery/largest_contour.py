"""The object of a map or of a mask: the component inside the contour of the largest area.

Sources: weight map (Shaharabany and Wolf, arXiv:2111.14131), where the pixels from a share of the
maximum count; LCAR (Coarse2Fine, AAAI 2023), where the map is a mask already.
"""

import numpy as np

from boxrefine_d2.masks.contour_area import contour_areas


def bright_pixels(heatmap: np.ndarray, share: float) -> np.ndarray:
    """Return the pixels with at least a share of the largest value, (H, W) bool.

    A map without a value above 0 has no bright pixel.

    Args: heatmap: (H, W).  share: above 0, at most 1.
    """
    high = heatmap.max()
    return heatmap >= share * high if high > 0 else np.zeros(heatmap.shape, dtype=bool)


def largest_contour(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 8-connected component with the largest contour, and its box.

    The area inside a contour decides (see `masks.contour_area`), not the number of pixels. An empty
    mask gives an empty component, and a box around the whole image.

    Args: mask: (H, W) bool.
    Returns: component (H, W) bool; box (4,) int64 XYXY, half-open, in pixels of the mask.
    """
    if not mask.any():
        return np.zeros_like(mask), np.array([0, 0, mask.shape[1], mask.shape[0]])
    found = contour_areas(mask)
    component: np.ndarray = found.component_ids == found.largest + 1
    return component, found.boxes[found.largest]
