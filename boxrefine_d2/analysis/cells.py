"""Cells of a map that lie in a region of the image; the centre of a cell decides.

Shapes: N = h * w cells in row-major order; points and boxes in pixels of the original image.
"""

import numpy as np

from boxrefine_d2.structures import FeatureMap


def cell_centres(features: FeatureMap, image_size: tuple[int, int]) -> np.ndarray:
    """Return (N, 2) XY centres of the cells of one image; padding cells may lie outside it.

    Args:
        features: map of one image.
        image_size: (H, W) of the original image.
    """
    [(height, width)] = features.image_sizes
    (h, w), (sy, sx) = features.grid_size, features.strides
    rows = (np.arange(h) + 0.5) * sy * image_size[0] / height
    columns = (np.arange(w) + 0.5) * sx * image_size[1] / width
    return np.stack([np.tile(columns, h), np.repeat(rows, w)], axis=1)


def cells_in_box(centres: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """Return (N,) bool: whether each centre, out of (N, 2), is in a half-open XYXY box."""
    x1, y1, x2, y2 = box
    x, y = centres.T
    inside: np.ndarray = (x1 <= x) & (x < x2) & (y1 <= y) & (y < y2)
    return inside


def cells_in_image(centres: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Return (N,) bool: whether each centre, out of (N, 2), is in the image (H, W), not padding."""
    return cells_in_box(centres, (0, 0, image_size[1], image_size[0]))


def cells_in_mask(centres: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return (N,) bool: whether a mask (H, W) bool covers the pixel of each centre (N, 2)."""
    inside = cells_in_image(centres, mask.shape)
    columns, rows = np.floor(centres[inside]).astype(np.int64).T
    inside[inside] = mask[rows, columns]
    return inside
