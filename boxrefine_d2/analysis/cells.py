"""Which cells of a map lie in a region of the picture: a cell is where its centre is.

Shapes: N = h * w cells in row-major order; points and boxes in pixels of the original image.
"""

import numpy as np

from boxrefine_d2.structures import FeatureMap


def cell_centres(features: FeatureMap, image_size: tuple[int, int]) -> np.ndarray:
    """(N, 2) XY of the centres of the cells of one image; those of the padding may lie outside of it.

    Args: features: of one image.  image_size: (H, W) of the original.
    """
    [(height, width)] = features.image_sizes
    (h, w), (sy, sx) = features.grid_size, features.strides
    rows = (np.arange(h) + 0.5) * sy * image_size[0] / height
    columns = (np.arange(w) + 0.5) * sx * image_size[1] / width
    return np.stack([np.tile(columns, h), np.repeat(rows, w)], axis=1)


def cells_in_box(centres: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """(N,) bool, the centres (N, 2) in a box XYXY, half-open."""
    x1, y1, x2, y2 = box
    x, y = centres.T
    inside: np.ndarray = (x1 <= x) & (x < x2) & (y1 <= y) & (y < y2)
    return inside


def cells_in_image(centres: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """(N,) bool, the centres (N, 2) that are not in the padding of an image (H, W)."""
    return cells_in_box(centres, (0, 0, image_size[1], image_size[0]))


def cells_in_mask(centres: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(N,) bool, the centres (N, 2) whose pixel a mask (H, W) bool covers."""
    inside = cells_in_image(centres, mask.shape)
    columns, rows = np.floor(centres[inside]).astype(np.int64).T
    inside[inside] = mask[rows, columns]
    return inside
