"""Borders of the parts and the holes of a mask."""

import numpy as np
from scipy import ndimage

from .components import TOUCHING_CORNERS


def border_boxes(mask: np.ndarray) -> np.ndarray:
    """Return the boxes of the borders of a mask: the parts first, then the holes.

    A part is 8-connected. A hole is a 4-connected region of the background that does not reach the
    border of the image; its box includes the pixels that enclose it. The boxes are those of
    OpenCV's `findContours` with RETR_TREE.

    Args:    mask: (H, W) bool.
    Returns: (N, 4) int64 XYXY, half-open, in pixels of the mask.
    """
    parts, _ = ndimage.label(mask, TOUCHING_CORNERS)
    # the added frame makes the region around everything the first one
    between, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    outer = [_box(slices) for slices in ndimage.find_objects(parts)]
    # minus the frame, and one pixel wider on each side
    holes = [_box(slices) + (-2, -2, 0, 0) for slices in ndimage.find_objects(between)[1:]]
    return np.array([*outer, *holes], dtype=np.int64).reshape(-1, 4)


def _box(slices: tuple[slice, slice]) -> np.ndarray:
    rows, columns = slices
    return np.array([columns.start, rows.start, columns.stop, rows.stop])
