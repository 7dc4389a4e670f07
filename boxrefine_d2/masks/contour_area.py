"""Areas inside the outer contours of a mask, as OpenCV's `contourArea` measures them.

A contour runs through the centres of the pixels on the border of an 8-connected component. The area
inside it is therefore smaller than the number of pixels: a rectangle of w x h pixels has the area
(w - 1) (h - 1), and a line has the area 0.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .components import TOUCHING_CORNERS


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

    The area is the number of 2 x 2 blocks with four pixels of the filled component, and half the
    number of blocks with three. A hole is a 4-connected region that does not reach the border.

    Args: mask: (H, W) bool.
    """
    component_ids, count = ndimage.label(np.ascontiguousarray(mask), TOUCHING_CORNERS)
    places = ndimage.find_objects(component_ids)
    # the pixels of a block touch one another, so they are of one component
    areas = np.bincount(_block_ids(component_ids).ravel(), _block_areas(mask).ravel(), count + 1)
    for component in _ids_with_holes(component_ids):
        crop = component_ids[places[component - 1]] == component
        areas[component] = _block_areas(ndimage.binary_fill_holes(crop)).sum()
    boxes = [(x.start, y.start, x.stop, y.stop) for y, x in places]
    return ContourAreas(component_ids, areas[1:], np.array(boxes, np.int64).reshape(-1, 4))


def _block_areas(mask: np.ndarray) -> np.ndarray:
    """Return the area of each 2 x 2 block inside a contour: 1, 1/2 or 0, (H - 1, W - 1)."""
    rows = mask[1:].astype(np.uint8) + mask[:-1]
    set_pixels = rows[:, 1:] + rows[:, :-1]
    areas: np.ndarray = np.array([0, 0, 0, 0.5, 1])[set_pixels]
    return areas


def _block_ids(component_ids: np.ndarray) -> np.ndarray:
    """Return the id of the component in each 2 x 2 block, 0 without one, (H - 1, W - 1)."""
    rows = np.maximum(component_ids[1:], component_ids[:-1])
    ids: np.ndarray = np.maximum(rows[:, 1:], rows[:, :-1])
    return ids


def _ids_with_holes(component_ids: np.ndarray) -> np.ndarray:
    """Return the ids of the components that enclose a hole."""
    # the added frame makes the region around everything the first one
    framed = np.pad(component_ids, 1)
    regions, count = ndimage.label(framed == 0)
    in_holes = np.flatnonzero(regions > 1)
    first = np.zeros(count + 1, np.int64)
    first[regions.ravel()[in_holes[::-1]]] = in_holes[::-1]
    # the pixel above the first pixel of a hole is of the component around it
    return np.unique(framed.ravel()[first[2:] - framed.shape[1]])
