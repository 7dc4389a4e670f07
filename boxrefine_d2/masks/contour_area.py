"""Areas inside the outer contours of a mask, as OpenCV's `contourArea` measures them.

A contour runs through the centres of the pixels on the border of an 8-connected component. The area
inside it is therefore smaller than the number of pixels: a rectangle of w x h pixels has the area
(w - 1) (h - 1), and a line has the area 0.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .components import TOUCHING_CORNERS
from .level_contours import level_contours


@dataclass(frozen=True)
class ContourAreas:
    """Components of a mask in raster order of their first pixels.

    Attributes:
        component_ids: (H, W) int32; component i has the id i + 1, and the background has 0.
        areas: (N,) float64, the area inside the outer contour of each component, holes included.
        boxes: (N, 4) int64 XYXY, half-open, in pixels of the mask.
    """

    component_ids: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray

    @property
    def largest(self) -> int:
        """Index of the component with the largest area, the last among equals, as in OpenCV.

        Raises: ValueError for an empty mask.
        """
        return len(self.areas) - 1 - int(self.areas[::-1].argmax())


def contour_areas(mask: np.ndarray) -> ContourAreas:
    """Return the 8-connected components of a mask with their areas and boxes.

    `level_contours` knows the area of a contour; a mask is a map of one level.

    Args: mask: (H, W) bool.
    """
    component_ids, _ = ndimage.label(np.ascontiguousarray(mask), TOUCHING_CORNERS)
    found = level_contours(mask.astype(np.float64), highest=1)
    outer = np.flatnonzero(~found.hole)
    outer = outer[np.argsort(found.first[outer])]  # the order of `ndimage.label`
    starts, sides = found.box[outer, :2], found.box[outer, 2:]
    boxes = np.concatenate([starts, starts + sides], axis=1)
    return ContourAreas(component_ids, found.area[outer], boxes)
